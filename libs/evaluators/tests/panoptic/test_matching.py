"""Counting against a brute force over sets of points, and invariances."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from evaluators.panoptic import SEMANTIC_KITTI, PanopticEvaluator, PanopticLabels, PanopticProtocol, evaluate
from evaluators.panoptic.result import PanopticResult
from evaluators.semantickitti.protocol import plain_map
from hypothesis import given, settings
from hypothesis import strategies as st

Scan = tuple[PanopticLabels, PanopticLabels]
MakeScan = Callable[..., Scan]
SEEDS = st.integers(0, 2**32 - 1)

SMALL = PanopticProtocol(
    name="small",
    label_map=plain_map(("void", "car", "person", "road", "other"), ignored=(0, 4)),
    things=("car", "person"),
    stuff=("road",),
    min_points=4,
)


def one(gt: PanopticLabels, pred: PanopticLabels, min_points: int = 4) -> PanopticResult:
    return evaluate({"a": gt}, {"a": pred}, protocol=SMALL, min_points=min_points)


def labels(*runs: tuple[int, int, int]) -> PanopticLabels:
    """Build labels from (class, instance, number of points)."""
    semantic, instance, count = np.array(runs).T
    return PanopticLabels(semantic=np.repeat(semantic, count), instance=np.repeat(instance, count))


def brute_force(gt: PanopticLabels, pred: PanopticLabels, min_points: int) -> dict[str, list[object]]:
    """Count with sets of point numbers and exact fractions."""
    ignored = SMALL.label_map.ignored
    names = ("tp", "fp", "fn", "small_gt", "small_pred", "split_gt", "split_pred", "iou_sum")
    counted: dict[str, list[object]] = {name: [0] * 5 for name in names}
    valid = [at for at, label in enumerate(gt.semantic.tolist()) if label not in ignored]
    for label in set(range(5)) - set(ignored):
        sides = []
        for side in (gt, pred):
            points = [at for at in valid if side.semantic[at] == label]
            ids = {int(side.instance[at]) for at in points}
            sides.append([{at for at in points if side.instance[at] == found} for found in sorted(ids)])
        true, found = sides
        ious = [(a, b, Fraction(len(a & b), len(a | b))) for a in true for b in found]
        matches = [(a, b, iou) for a, b, iou in ious if iou > Fraction(1, 2)]
        lost = [a for a in true if not any(a is match[0] for match in matches)]
        false = [b for b in found if not any(b is match[1] for match in matches)]
        counted["tp"][label] = len(matches)
        counted["iou_sum"][label] = float(sum(iou for _, _, iou in matches))
        counted["fn"][label] = sum(len(a) >= min_points for a in lost)
        counted["fp"][label] = sum(len(b) >= min_points for b in false)
        counted["small_gt"][label] = sum(len(a) < min_points for a in lost)
        counted["small_pred"][label] = sum(len(b) < min_points for b in false)
        counted["split_gt"][label], counted["split_pred"][label] = int(len(true) > 1), int(len(found) > 1)
    return counted


@pytest.mark.slow
@given(seed=SEEDS, min_points=st.integers(0, 12))
@settings(max_examples=300)
def test_counts_equal_the_brute_force(make_scan: MakeScan, seed: int, min_points: int) -> None:
    gt, pred = make_scan(np.random.default_rng(seed))
    result = one(gt, pred, min_points)
    expected = brute_force(gt, pred, min_points)
    np.testing.assert_allclose(result.iou_sum, expected.pop("iou_sum"), rtol=1e-12, atol=0)
    assert {name: getattr(result, name).tolist() for name in expected} == expected
    pairs = list(zip(pred.semantic.tolist(), gt.semantic.tolist(), strict=True))
    assert result.confusion.tolist() == [
        [pairs.count((row, column)) for column in range(5)] for row in range(5)
    ]


def test_the_random_scans_exercise_everything(make_scan: MakeScan) -> None:
    totals = {"tp": 0, "fp": 0, "fn": 0, "small_gt": 0, "small_pred": 0, "split_gt": 0, "split_pred": 0}
    for seed in range(40):
        result = one(*make_scan(np.random.default_rng(seed)))
        totals = {name: total + int(getattr(result, name).sum()) for name, total in totals.items()}
    assert min(totals.values()) > 10, totals


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=100)
def test_renaming_instances_changes_no_digit(make_scan: MakeScan, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gt, pred = make_scan(rng)

    def renamed(side: PanopticLabels) -> PanopticLabels:
        ids, inverse = np.unique(side.instance, return_inverse=True)
        fresh = rng.choice(10**6, len(ids), replace=False).astype(np.uint32)
        return replace(side, instance=fresh[inverse] * np.uint32(4099))

    assert one(renamed(gt), renamed(pred)).to_json() == one(gt, pred).to_json()


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=100)
def test_exchanging_the_sides_exchanges_false_and_missed(make_scan: MakeScan, seed: int) -> None:
    gt, pred = make_scan(np.random.default_rng(seed))
    # Ignored ground truth is not symmetric: keep the points that neither side ignores.
    kept = ~(np.isin(gt.semantic, (0, 4)) | np.isin(pred.semantic, (0, 4)))
    gt, pred = (
        PanopticLabels(semantic=side.semantic[kept], instance=side.instance[kept]) for side in (gt, pred)
    )
    there, back = one(gt, pred), one(pred, gt)
    assert back.tp.tolist() == there.tp.tolist()
    assert (back.fp.tolist(), back.fn.tolist()) == (there.fn.tolist(), there.fp.tolist())
    assert (back.small_pred.tolist(), back.small_gt.tolist()) == (
        there.small_gt.tolist(),
        there.small_pred.tolist(),
    )
    assert back.iou_sum.tolist() == there.iou_sum.tolist()
    assert back.confusion.tolist() == there.confusion.T.tolist()


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=50)
def test_the_order_of_points_changes_no_count(make_scan: MakeScan, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gt, pred = make_scan(rng)
    order = rng.permutation(len(gt.semantic))
    shuffled = one(
        *(PanopticLabels(semantic=s.semantic[order], instance=s.instance[order]) for s in (gt, pred))
    )
    for name in ("tp", "fp", "fn", "small_gt", "small_pred", "confusion"):
        assert getattr(shuffled, name).tolist() == getattr(one(gt, pred), name).tolist()
    np.testing.assert_allclose(shuffled.iou_sum, one(gt, pred).iou_sum, rtol=1e-14, atol=0)


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=50)
def test_packed_labels_count_like_class_and_instance(make_scan: MakeScan, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label_map = SEMANTIC_KITTI.label_map
    sides = [replace(side, instance=side.instance % 2**16) for side in make_scan(rng, len(label_map.classes))]
    apart = evaluate({"a": sides[0]}, {"a": sides[1]}, min_points=4)
    packed = [
        label_map.raw_ids(side.semantic) + (side.instance.astype(np.uint32) << np.uint32(16))
        for side in sides
    ]
    for gt, pred in ((packed[0], packed[1]), (packed[0], sides[1]), (sides[0], packed[1].astype(np.int64))):
        assert evaluate({"a": gt}, {"a": pred}, min_points=4).to_json() == apart.to_json()


def test_an_overlap_of_exactly_one_half_is_no_match() -> None:
    gt = labels((1, 1, 10), (3, 0, 10))
    result = one(gt, labels((1, 5, 5), (3, 0, 15)))
    assert (result.tp[1], result.fp[1], result.fn[1]) == (0, 1, 1)
    result = one(gt, labels((1, 5, 6), (3, 0, 14)))
    assert (result.tp[1], result.iou_sum[1]) == (1, 0.6)


def test_a_match_counts_however_small_it_is() -> None:
    result = one(labels((1, 1, 1), (3, 0, 9)), labels((1, 9, 1), (3, 0, 9)), min_points=50)
    assert result.tp.tolist() == [0, 1, 0, 1, 0]


def test_a_segment_of_exactly_min_points_is_an_error() -> None:
    result = one(labels((1, 1, 4), (1, 2, 3)), labels((2, 1, 4), (2, 2, 3)))
    assert (result.fn[1], result.small_gt[1]) == (1, 1)
    assert (result.fp[2], result.small_pred[2]) == (1, 1)


def test_points_of_ignored_ground_truth_do_not_enter_areas() -> None:
    # The prediction covers 6 points of the car and 20 ignored ones: IoU 1 without those.
    result = one(labels((1, 1, 6), (0, 0, 15), (4, 0, 5)), labels((1, 1, 26)))
    assert (result.tp[1], result.iou_sum[1], result.fp.sum()) == (1, 1.0, 0)


def test_predictions_of_an_ignored_class_make_no_segment() -> None:
    result = one(labels((1, 1, 10)), labels((4, 1, 5), (0, 2, 5)))
    assert (result.fn.tolist(), result.fp.tolist()) == ([0, 1, 0, 0, 0], [0] * 5)


def test_raw_ids_of_one_class_are_segments_of_their_own() -> None:
    road, lane = np.full(60, 40), np.full(55, 60)
    gt = np.concatenate([road, lane]).astype(np.uint32)
    evaluator = PanopticEvaluator()
    evaluator.update("a", gt, np.full(115, 40, dtype=np.uint32))
    result = evaluator.compute()
    assert (result.tp[9], result.fn[9], result.split_gt[9], result.iou[9]) == (1, 1, 1, 1.0)


def test_one_instance_id_in_two_classes_is_two_segments() -> None:
    result = one(labels((1, 7, 5), (2, 7, 5)), labels((1, 7, 5), (2, 7, 5)))
    assert result.tp.tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("low", [0, 0xFFFF0000])
def test_every_32_bit_instance_is_exact(low: int) -> None:
    # Ids that differ in one bit only, and the highest one, which a signed or shifted id would lose.
    gt = labels((1, low, 5), (1, low + 1, 5), (1, 0xFFFFFFFF, 5), (1, 0x7FFFFFFF, 5))
    assert one(gt, gt).tp[1] == 4
