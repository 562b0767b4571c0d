"""The matching against SciPy and brute force, the policies, and what must not change a digit."""

import itertools
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluators import waymo
from evaluators.page import Result
from evaluators.state import Evaluator
from evaluators.waymo import WaymoEvaluator, WaymoGroundTruth, WaymoPredictions, _kernels
from geom3d.overlap import iou_3d
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

CAR = np.array([[10.0, 0.0, 1.0, 4.0, 2.0, 1.5, 0.3]])


def truth(boxes: np.ndarray, *, types: int = 1, difficulty: int = 1) -> WaymoGroundTruth:
    ones = np.ones(len(boxes), dtype=np.int64)
    return WaymoGroundTruth(boxes=boxes, types=types * ones, difficulty=difficulty * ones)


def found(boxes: np.ndarray, scores: list[float], *, types: int = 1) -> WaymoPredictions:
    return WaymoPredictions(
        boxes=boxes, types=types * np.ones(len(boxes), dtype=np.int64), scores=np.array(scores)
    )


def moved(x: float = 0.0, turn: float = 0.0) -> np.ndarray:
    return CAR + np.array([x, 0, 0, 0, 0, 0, turn])


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 7), st.floats(0, 1), st.integers(1, 50))
def test_the_assignment_has_the_largest_weight_after_every_row(
    seed: int, n_pred: int, n_gt: int, share: float, largest: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((n_pred, n_gt)) < share, rng.integers(1, largest + 1, (n_pred, n_gt)), 0)
    row_of = np.full(n_gt + n_pred, -1)
    row_price, column_price = np.zeros(n_pred, np.int64), np.zeros(n_gt + n_pred, np.int64)
    for row in range(n_pred):
        _kernels.add_row(weights, row, row_of, row_price, column_price)
        given_rows = row_of[row_of >= 0]
        assert sorted(given_rows.tolist()) == list(range(row + 1))
        ours = sum(weights[row_of[gt], gt] for gt in range(n_gt) if row_of[gt] >= 0)
        rows, columns = linear_sum_assignment(weights[: row + 1], maximize=True)
        assert ours == weights[rows, columns].sum()
        if row < 4 and n_gt < 5:
            best = max(
                sum(weights[r, g] for r, g in enumerate(choice) if g < n_gt)
                for choice in itertools.permutations(range(n_gt + row + 1), row + 1)
            )
            assert ours == best


@pytest.mark.parametrize("case", ["chain", "crowded"])
def test_counts_are_those_of_one_assignment_per_cutoff(golden_waymo: Path, load: Callable, case: str) -> None:
    """Count every cut-off from scratch, with SciPy and geom3d's overlaps; greedy matching differs."""
    gt, pred = load(golden_waymo / f"{case}.npz")
    result = waymo.evaluate(gt, pred)
    greedy_differs = False
    for index in (0, 30, 55, 80):
        cutoff = np.float32(waymo.SCORE_CUTOFFS[index])
        for kind in waymo.TYPES:
            tp = fp = fn = greedy_tp = 0
            for name in gt:
                g = gt[name].types == kind.code
                d = (pred[name].types == kind.code) & (pred[name].scores.astype(np.float32) >= cutoff)
                zone = pred[name].in_no_label_zone[d]
                boxes = gt[name].boxes[g].astype(np.float64), pred[name].boxes[d].astype(np.float64)
                overlaps = iou_3d(boxes[1], boxes[0]).astype(np.float32)
                weights = np.where(overlaps >= np.float32(kind.min_overlap), overlaps, 0)
                rows, columns = linear_sum_assignment(weights.astype(np.float64), maximize=True)
                hit = rows[weights[rows, columns] > 0]
                tp += len(hit)
                fp += np.count_nonzero(~zone) - np.count_nonzero(~zone[hit])
                fn += g.sum() - len(hit)
                free = set(range(g.sum()))
                for row in np.argsort(-pred[name].scores[d], kind="stable"):
                    best = max(free, key=lambda k: weights[row, k], default=None)
                    if best is not None and weights[row, best] > 0:
                        free.remove(best)
                        greedy_tp += 1
            curve = result.curve(kind.name, "LEVEL_2")
            assert (curve.tp[index], curve.fp[index], curve.fn[index]) == (tp, fp, fn)
            greedy_differs |= greedy_tp != tp
    assert greedy_differs == (case == "chain"), "the case tells the two apart"


def test_levels_hard_objects_count_when_hit_but_not_when_missed_at_level_1() -> None:
    boxes = np.concatenate([moved(), moved(20)])
    gt = WaymoGroundTruth(boxes=boxes, types=np.array([1, 1]), difficulty=np.array([1, 2]))
    hit_hard = waymo.evaluate({"a": gt}, {"a": found(boxes[1:], [0.5])})
    level_1, level_2 = (hit_hard.curve("VEHICLE", level) for level in waymo.LEVELS)
    assert (level_1.n_gt, level_2.n_gt) == (1, 2)
    assert (level_1.tp[0], level_1.fn[0], level_2.tp[0], level_2.fn[0]) == (1, 1, 1, 1)
    hit_easy = waymo.evaluate({"a": gt}, {"a": found(boxes[:1], [0.5])})
    level_1, level_2 = (hit_easy.curve("VEHICLE", level) for level in waymo.LEVELS)
    assert (level_1.fn[0], level_2.fn[0]) == (0, 1)
    assert level_1.ap == pytest.approx(1.0)


def test_difficulty_comes_from_points_where_it_is_not_annotated() -> None:
    five = np.repeat(CAR, 5, axis=0)
    gt = WaymoGroundTruth(
        boxes=five,
        types=np.ones(5, int),
        difficulty=np.array([0, 0, 0, 2, 1]),
        n_points=np.array([0, 5, 6, 100, 3]),
    )
    assert gt.levels().tolist() == [0, 2, 1, 2, 1]
    result = waymo.evaluate({"a": gt}, {}, missing="empty")
    assert result.curve("VEHICLE", "LEVEL_2").n_gt == 4
    assert result.counts.n_gt_without_points == 1
    assert "1 objects without LiDAR points were left out." in result.notes()


@pytest.mark.parametrize(
    ("turn", "accuracy"), [(0, 1), (math.pi / 2, 0.5), (math.pi, 0), (2 * math.pi, 1), (-7, None)]
)
def test_heading_accuracy(turn: float, accuracy: float | None) -> None:
    wrapped = abs(math.atan2(math.sin(turn), math.cos(turn)))
    expected = 1 - wrapped / math.pi if accuracy is None else accuracy
    # Overlap is 1 in ground area only for half turns; a square box makes every turn a match.
    square = np.array([[10.0, 0, 1, 2, 2, 2, 0.3]])
    gt, pred = truth(square, types=2), found(square + np.eye(7)[6] * turn, [0.5], types=2)
    result = waymo.evaluate({"a": gt}, {"a": pred})
    assert result.curve("PEDESTRIAN", "LEVEL_2").precision_heading[0] == pytest.approx(expected, abs=1e-10)
    assert result.value("PEDESTRIAN", "ap", "LEVEL_2") == pytest.approx(1.0)
    assert result.value("PEDESTRIAN", "aph", "LEVEL_2") == pytest.approx(expected, abs=1e-10)


@pytest.mark.slow
def test_a_score_on_a_cutoff_is_in_whatever_its_precision() -> None:
    for index in range(101):
        score = index * 0.01
        curve = waymo.evaluate({"a": truth(CAR)}, {"a": found(CAR, [score])}).curve("VEHICLE", "LEVEL_2")
        assert np.flatnonzero(curve.tp).max() == index


def test_a_no_label_zone_forgives() -> None:
    far = found(moved(50), [0.9])
    forgiven = replace(far, in_no_label_zone=np.array([True]))
    assert waymo.evaluate({"a": truth(CAR)}, {"a": far}).curve("VEHICLE", "LEVEL_2").fp[0] == 1
    assert waymo.evaluate({"a": truth(CAR)}, {"a": forgiven}).curve("VEHICLE", "LEVEL_2").fp[0] == 0
    hit = replace(found(CAR, [0.9]), in_no_label_zone=np.array([True]))
    assert waymo.evaluate({"a": truth(CAR)}, {"a": hit}).curve("VEHICLE", "LEVEL_2").tp[0] == 1


def test_range_limits_belong_to_the_farther_range() -> None:
    at = [np.nextafter(30, 0), 30.0, np.nextafter(50, 0), 50.0]
    boxes = np.array([[x, 0, 0, 4, 2, 1.5, 0] for x in at])
    result = waymo.evaluate({"a": truth(boxes)}, {}, missing="empty")
    assert [result.curve("VEHICLE", "LEVEL_1", name).n_gt for name in waymo.RANGES] == [4, 1, 2, 1]


def test_boxes_of_a_centimetre_overlap_nothing() -> None:
    tiny = np.array([[1.0, 0, 0, 4, 2, 0.01, 0]])
    assert (
        waymo.evaluate({"a": truth(tiny)}, {"a": found(tiny, [0.9])}).curve("VEHICLE", "LEVEL_1").tp[0] == 0
    )


def test_the_split_and_order_of_frames_change_no_digit(crowded: tuple) -> None:
    gt, pred = crowded

    def gathered(names: list[str]) -> WaymoEvaluator:
        evaluator = WaymoEvaluator()
        for name in names:
            evaluator.update(name, gt[name], pred[name])
        return evaluator

    whole = gathered(sorted(gt)).compute().to_json()
    rng = np.random.default_rng(0)
    for _ in range(6):
        names = rng.permutation(sorted(gt)).tolist()
        cut, cut2 = sorted(rng.integers(0, len(names), 2).tolist())
        parts = [gathered(part) for part in (names[:cut], names[cut:cut2], names[cut2:])]
        joined = pickle.loads(pickle.dumps(parts[2]))
        joined.merge(parts[0])
        joined.merge_state(parts[1].state())
        assert joined.compute().to_json() == whole


def test_rows_of_a_frame_in_any_order_give_the_same(crowded: tuple) -> None:
    gt, pred = crowded
    name = max(gt, key=lambda key: len(pred[key]))
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(gt[name])), rng.permutation(len(pred[name]))
    mixed_gt = replace(gt[name], **{k: getattr(gt[name], k)[rows] for k in ("boxes", "types", "difficulty")})
    mixed_pred = replace(
        pred[name],
        **{k: getattr(pred[name], k)[columns] for k in ("boxes", "types", "scores", "in_no_label_zone")},
    )
    first, second = (
        waymo.evaluate({"a": gt[name]}, {"a": pred[name]}),
        waymo.evaluate({"a": mixed_gt}, {"a": mixed_pred}),
    )
    for key, curve in first.curves.items():
        assert curve.tp.tolist() == second.curves[key].tp.tolist()
        assert curve.aph == pytest.approx(second.curves[key].aph, abs=1e-9)


@given(st.integers(0, 1000))
def test_average_precision_is_the_area_under_the_filled_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recall = np.sort(rng.uniform(0.01, 1, rng.integers(1, 9)))[::-1]
    precision = rng.uniform(0, 1, recall.size)
    envelope = np.maximum.accumulate(precision)
    area = 0.0
    for k, r in enumerate(recall):
        below = recall[k + 1] if k + 1 < recall.size else 0.0
        next_p = envelope[k + 1] if k + 1 < recall.size else None
        gap = r - below
        # Steps of 0.05 at this precision, and one trapezoid for what is left before the next point.
        flat = 0.05 * max(0, math.ceil((gap - 1e-6) / 0.05) - 1)
        if next_p is None:
            area += gap * envelope[k]
        else:
            area += flat * envelope[k] + (gap - flat) * 0.5 * (envelope[k] + next_p)
    assert waymo.average_precision(precision, recall) == pytest.approx(area, abs=1e-12)


def test_invalid_rows_are_refused_or_dropped() -> None:
    two = np.repeat(CAR, 2, axis=0)
    bad = two.copy()
    bad[1, 0] = np.nan
    flat = two.copy()
    flat[1, 4] = 0.0
    for gt, pred, message in (
        (truth(bad), found(two, [0.1, 0.2]), "frame 'a', ground truth, row 2: expected finite"),
        (truth(two), found(flat, [0.1, 0.2]), "frame 'a', predictions, row 2: expected positive length"),
        (truth(two), found(two, [0.1, 1.2]), "frame 'a', predictions, row 2: expected a score from 0 to 1"),
        (truth(two), found(two, [0.1, np.nan]), "row 2: expected a score from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            waymo.evaluate({"a": gt}, {"a": pred})
        result = waymo.evaluate({"a": gt}, {"a": pred}, on_invalid="drop")
        assert result.counts.n_dropped_gt + result.counts.n_dropped_pred == 1
        assert any("were dropped" in note for note in result.notes())


def test_arrays_that_do_not_fit_are_refused() -> None:
    one, none = truth(CAR), WaymoPredictions.empty()
    for gt, pred, message in (
        (replace(one, boxes=np.zeros((2, 7))), none, r"boxes must be \[1, 7\] for 1 types, got \(2, 7\)"),
        (replace(one, difficulty=np.array([1, 2])), none, r"difficulty must be \[1\], got \(2,\)"),
        (replace(one, types=np.array([0])), none, "types must be 1 to 4"),
        (replace(one, difficulty=None), none, "give difficulty"),
        (
            replace(one, difficulty=np.array([0])),
            none,
            "difficulty must be 1 or 2, or 0 where n_points decides",
        ),
        (replace(one, difficulty=np.array([3]), n_points=np.array([1])), none, "difficulty must be 1 or 2"),
        (one, replace(none, scores=np.zeros(1)), r"scores must be \[0\], got \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            waymo.evaluate({"a": gt}, {"a": pred})
    with pytest.raises(ValueError, match="1 frames that the ground truth lacks: b"):
        waymo.evaluate({"a": one}, {"a": none, "b": none})
    with pytest.raises(ValueError, match="lack 1 of 1 frames: a"):
        waymo.evaluate({"a": one}, {})
    with pytest.raises(ValueError, match="no frames to evaluate"):
        waymo.evaluate({}, {})
    result = waymo.evaluate({"a": one}, {}, missing="empty")
    assert result.notes()[0] == "1 frames had no predictions and were taken as empty."
    with pytest.raises(ValueError, match=r"no 'CAR', 'LEVEL_1', 'all'; types are VEHICLE"):
        result.value("CAR", "ap", "LEVEL_1")


def test_states_that_do_not_fit_are_refused() -> None:
    evaluator = WaymoEvaluator()
    assert isinstance(evaluator, Evaluator)
    evaluator.update("a", truth(CAR), None)
    with pytest.raises(ValueError, match="frame 'a' was added before"):
        evaluator.update("a", truth(CAR), None)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: a"):
        evaluator.merge(evaluator)
    with pytest.raises(ValueError, match="other settings"):
        WaymoEvaluator(on_invalid="drop").merge(evaluator)
    with pytest.raises(ValueError, match="lacking counts, n_gt, settings"):
        evaluator.merge_state({"frames": np.array(["b"]), "tallies": np.zeros(5)})
    state = evaluator.state()
    with pytest.raises(ValueError, match=r"returned: .* has type"):
        WaymoEvaluator().merge_state({**state, "tallies": np.zeros(5)})
    evaluator.reset()
    assert len(evaluator) == 0
    evaluator.merge_state(state)
    assert evaluator.compute().curve("VEHICLE", "LEVEL_2").n_gt == 1


def test_a_state_shares_no_memory() -> None:
    evaluator, twin = WaymoEvaluator(), WaymoEvaluator()
    evaluator.update("a", truth(CAR), found(CAR, [0.5]))
    before = evaluator.compute().to_json()
    state = evaluator.state()
    twin.merge_state(state)
    for array in state.values():
        array[...] = np.zeros((), array.dtype)
    assert evaluator.compute().to_json() == twin.compute().to_json() == before


def test_forms_of_a_result(crowded: tuple) -> None:
    result = waymo.evaluate(*crowded)
    assert isinstance(result, Result)
    table = result.table()
    assert f"{100 * result.value('CYCLIST', 'aph', 'LEVEL_2', range_name='[0, 30)'):.4f}" in table
    mean = np.mean([result.value(name, "aph", "LEVEL_2") for name in ("VEHICLE", "PEDESTRIAN", "CYCLIST")])
    assert result.mean("aph", "LEVEL_2") == pytest.approx(mean)
    assert [section.title for section in result.sections()][1:] == [
        "Precision, LEVEL_1",
        "Precision, LEVEL_2",
    ]
    report = result.to_json()
    assert report["results"]["SIGN/LEVEL_1/all"]["ap"] == result.value("SIGN", "ap", "LEVEL_1")
    empty = waymo.evaluate({"a": truth(CAR)}, {}, missing="empty")
    assert not empty.curve("SIGN", "LEVEL_2").evaluated
    assert "no ground truth, therefore 0: PEDESTRIAN, SIGN, CYCLIST." in empty.table()
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in empty.table().splitlines()}
    assert rows["SIGN", "all"] == ["-", "-", "-", "-", "0"]
    assert rows["VEHICLE", "all"] == ["0.0000"] * 4 + ["1"]
