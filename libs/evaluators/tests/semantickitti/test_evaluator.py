"""The evaluator: counts against an independent count, merging, states, policies."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators.semantickitti import (
    MOVING,
    MULTI_SCAN,
    RANGES_M,
    SINGLE_SCAN,
    LabelMap,
    SemanticKittiEvaluator,
    SemanticKittiResult,
    confusion_matrix,
    evaluate,
    plain_map,
)
from evaluators.state import Evaluator, read_state, write_state
from hypothesis import given, settings
from hypothesis import strategies as st

Scans = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
Make = Callable[..., Scans]


def ranged_points(gt: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 20, (len(labels), 4)).astype(np.float32) for name, labels in gt.items()}


def same(a: SemanticKittiResult, b: SemanticKittiResult) -> bool:
    return a.to_json() == b.to_json()


@pytest.mark.parametrize("the_map", [SINGLE_SCAN, MULTI_SCAN, MOVING])
def test_counts_equal_a_plain_count(make_scans: Make, the_map: LabelMap) -> None:
    gt, pred = make_scans(1, 9, the_map)
    result = evaluate(gt, pred, task=the_map)
    plain = sum(
        confusion_matrix(the_map.train_ids(pred[name]), the_map.train_ids(gt[name]), len(the_map.classes))
        for name in gt
    )
    assert result.confusion.tolist() == np.asarray(plain).tolist()
    assert result.counts.n_points == sum(map(len, gt.values()))
    assert result.counts.n_frames == 9


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 31, 32, 33, 4097])
def test_every_length_and_run_is_counted_once(n: int) -> None:
    """The kernel takes sixteen points at a time; all lengths and places of a change must be right."""
    for change in range(0, min(n, 40) + 1):
        gt = np.where(np.arange(n) < change, 40, 70).astype(np.uint32)
        confusion = evaluate({"s": gt}, {"s": gt[::-1].copy()}).confusion
        expected = confusion_matrix(SINGLE_SCAN.train_ids(gt[::-1]), SINGLE_SCAN.train_ids(gt), 20)
        assert confusion.tolist() == expected.tolist()


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=7, max_size=7), st.permutations(range(7)))
def test_any_split_in_any_order_gives_the_same_report(
    make_scans: Make, parts: list[int], order: list[int]
) -> None:
    gt, pred = make_scans(2, 7)
    points = ranged_points(gt)
    names = list(gt)
    whole = evaluate(gt, pred, points=points)
    evaluators = [SemanticKittiEvaluator(ranges_m=RANGES_M) for _ in range(4)]
    for index in order:
        name = names[index]
        evaluators[parts[index]].update(name, gt[name], pred[name], points[name])
    joined = SemanticKittiEvaluator(ranges_m=RANGES_M)
    for evaluator in evaluators[:2]:
        joined.merge(pickle.loads(pickle.dumps(evaluator)))
    for evaluator in evaluators[2:]:
        joined.merge_state(evaluator.state())
    assert same(joined.compute(), whole)
    assert joined.compute().range_confusions.tolist() == whole.range_confusions.tolist()


@pytest.mark.slow
@given(st.integers(0, 1000))
def test_the_order_of_points_does_not_matter(make_scans: Make, seed: int) -> None:
    gt, pred = make_scans(seed, 2)
    order = {name: np.random.default_rng(seed).permutation(len(labels)) for name, labels in gt.items()}
    shuffled = [{name: side[name][order[name]] for name in side} for side in (gt, pred)]
    assert same(evaluate(gt, pred), evaluate(shuffled[0], shuffled[1]))


def test_points_doubled_leave_the_shares(make_scans: Make) -> None:
    gt, pred = make_scans(3, 4)
    twice = [{name: np.tile(labels, 2) for name, labels in side.items()} for side in (gt, pred)]
    once, doubled = evaluate(gt, pred), evaluate(twice[0], twice[1])
    assert once.scores.miou == doubled.scores.miou
    assert (2 * once.confusion).tolist() == doubled.confusion.tolist()


def test_ground_truth_as_prediction_is_perfect(make_scans: Make) -> None:
    gt, _ = make_scans(4, 5)
    assert evaluate(gt, gt, protocol="mmdet3d").scores.miou == 1.0


def test_memory_does_not_grow_with_points(make_scans: Make) -> None:
    evaluator = SemanticKittiEvaluator()
    sizes = []
    for n in (10, 100_000):
        evaluator.reset()
        evaluator.update("s", np.full(n, 40, np.uint32), np.full(n, 40, np.uint32))
        sizes.append(len(pickle.dumps(evaluator)))
    assert sizes[0] == sizes[1]


def test_ranges_leave_the_ends_of_bins_out() -> None:
    points = np.array([[0, 0, 0], [5, 0, 0], [10, 0, 0], [0, 10.5, 0], [49, 0, 0], [60, 0, 0]], np.float32)
    gt = np.full(6, 40, np.uint32)
    result = evaluate({"s": gt}, {"s": gt}, points={"s": points})
    assert [int(matrix.sum()) for matrix in result.range_confusions] == [1, 1, 0, 0, 1]
    assert result.confusion.sum() == 6


def test_float64_points_are_measured_in_float64() -> None:
    evaluator = SemanticKittiEvaluator(ranges_m=((1.0, 2.0), (3.0, 4.0)))
    points = np.array([[1 + 1e-12, 0, 0], [1, 0, 0], [2.5, 0, 0], [3.5, 0, 0], [0.5, 0, 0], [4, 0, 0]])
    evaluator.update("s", np.full(6, 40), np.full(6, 40), points)
    assert [int(matrix.sum()) for matrix in evaluator.compute().range_confusions] == [1, 1]


@given(st.integers(0, 100), st.lists(st.integers(0, 60), min_size=2, max_size=8, unique=True))
def test_bins_equal_masks(seed: int, edges: list[int]) -> None:
    edges = sorted(edges[: len(edges) // 2 * 2])
    ranges = tuple((float(near), float(far)) for near, far in zip(edges[::2], edges[1::2], strict=True))
    rng = np.random.default_rng(seed)
    points = rng.integers(-30, 30, (50, 3)).astype(np.float32)
    gt, pred = (rng.choice([10, 40, 70], 50).astype(np.uint32) for _ in range(2))
    evaluator = SemanticKittiEvaluator(ranges_m=ranges)
    evaluator.update("s", gt, pred, points)
    distance = np.linalg.norm(points, 2, axis=1)
    for (near, far), matrix in zip(ranges, evaluator.compute().range_confusions, strict=True):
        mask = (distance > near) & (distance < far)
        true, found = (SINGLE_SCAN.train_ids(labels[mask]) for labels in (gt, pred))
        assert matrix.tolist() == confusion_matrix(found, true, 20).tolist()


def test_limit_takes_the_first_points() -> None:
    gt, pred = np.array([40, 40, 70], np.uint32), np.array([40, 70, 40, 40, 40], np.uint32)
    points = np.ones((9, 3), np.float32)
    result = evaluate({"s": gt}, {"s": pred}, limit=2, points={"s": points})
    assert result.counts.n_points == 2
    assert result.iou("road") == 0.5
    assert result.range_scores[0].iou[9] == 0.5


def test_missing_scans_count_as_unlabeled_and_are_reported() -> None:
    gt = {"a": np.array([40, 40, 0]), "b": np.array([40])}
    result = evaluate(gt, {"b": np.array([40])}, missing="empty")
    assert (result.counts.n_missing, result.scores.fn[9], result.scores.tp[9]) == (1, 2, 1)
    assert any("1 frames had no predictions" in note for note in result.notes())


def test_unknown_ids_can_be_taken_as_unlabeled_and_are_counted() -> None:
    gt, pred = {"s": np.array([40, 2, 70, 3])}, {"s": np.array([9999, 40, 70, 4])}
    result = evaluate(gt, pred, unknown="unlabeled")
    assert (result.counts.n_unknown_gt, result.counts.n_unknown_pred) == (2, 2)
    zero = evaluate({"s": np.array([40, 0, 70, 0])}, {"s": np.array([0, 40, 70, 0])})
    assert result.confusion.tolist() == zero.confusion.tolist()
    assert any("2 points of the ground truth, 2 of the pred" in note for note in result.notes())


def test_unknown_ids_are_refused_by_name_and_nothing_is_counted() -> None:
    evaluator = SemanticKittiEvaluator()
    with pytest.raises(ValueError, match=r"frame 's', prediction: raw ids .* 2 \(3 points\)"):
        evaluator.update("s", np.full(20, 40), np.array([2] * 3 + [40] * 17))
    with pytest.raises(ValueError, match=r"frame 's', ground truth: raw ids .* 7 \(20 points\)"):
        evaluator.update("s", np.full(20, 7), np.full(20, 40))
    assert len(evaluator) == 0
    evaluator.update("s", np.full(20, 40), np.full(20, 40))
    assert evaluator.compute().counts.n_points == 20


def test_classes_of_another_data_set() -> None:
    task = plain_map(("ground", "tree", "void"), ignored=(2,), name="forest")
    result = evaluate({"s": np.array([0, 1, 2])}, {"s": np.array([0, 0, 0])}, task=task)
    assert result.scores.iou[:2].tolist() == [0.5, 0.0]
    with pytest.raises(ValueError, match="ignores no class"):
        evaluate({"s": np.array([0])}, {}, task=plain_map(("a",)), missing="empty")
    with pytest.raises(ValueError, match="ignores no class"):
        SemanticKittiEvaluator(plain_map(("a",)), unknown="unlabeled")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64])
def test_every_integer_type_is_taken(dtype: type) -> None:
    labels = np.array([40, 70, 81], dtype=dtype)
    labels.flags.writeable = False
    assert evaluate({"s": labels[::-1]}, {"s": labels[::-1]}, protocol="mmdet3d").scores.miou == 1.0


def test_a_scan_counts_once(make_scans: Make) -> None:
    labels = np.array([40])
    evaluator = SemanticKittiEvaluator()
    evaluator.update("s", labels, labels)
    with pytest.raises(ValueError, match="'s' was added before"):
        evaluator.update("s", labels, labels)
    other = SemanticKittiEvaluator()
    other.update("s", labels, labels)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: s"):
        evaluator.merge(other)
    assert evaluator.compute().counts.n_points == 1
    evaluator.reset()
    evaluator.update("s", labels, labels)


@pytest.mark.parametrize(
    "other",
    [
        SemanticKittiEvaluator("moving"),
        SemanticKittiEvaluator(ranges_m=RANGES_M),
        SemanticKittiEvaluator(limit=5),
        SemanticKittiEvaluator(unknown="unlabeled"),
    ],
)
def test_other_settings_do_not_merge(other: SemanticKittiEvaluator) -> None:
    evaluator = SemanticKittiEvaluator()
    with pytest.raises(ValueError, match="other settings"):
        evaluator.merge(other)
    with pytest.raises(ValueError, match="other settings"):
        evaluator.merge_state(other.state())


def test_state_survives_a_file(make_scans: Make, tmp_path: Path) -> None:
    gt, pred = make_scans(5, 3)
    evaluator = SemanticKittiEvaluator()
    assert isinstance(evaluator, Evaluator)
    for name in gt:
        evaluator.update(name, gt[name], pred[name])
    write_state(tmp_path / "s.npz", evaluator)
    resumed = evaluator.empty()
    resumed.merge_state(read_state(tmp_path / "s.npz"))
    assert same(resumed.compute(), evaluator.compute())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": None}, "not what SemanticKittiEvaluator.state"),
        ({"counts": np.zeros((1, 21, 20), np.int64)}, r"counts has type int64 and shape \[1, 21, 20\]"),
        ({"counts": np.zeros((1, 21, 21))}, "counts has type float64"),
        ({"counts": np.full((1, 21, 21), -1)}, "damaged"),
        ({"missing": np.array(["elsewhere"])}, "damaged"),
        ({"frames": np.array(["s", "s"])}, "lists some frames twice"),
    ],
)
def test_damaged_states_are_refused(change: dict, message: str) -> None:
    state = SemanticKittiEvaluator().state() | change
    if state["frames"] is None:
        del state["frames"]
    with pytest.raises(ValueError, match=message):
        SemanticKittiEvaluator().merge_state(state)


@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_scans_are_refused() -> None:
    one = {"a": np.array([40])}
    with pytest.raises(ValueError, match="hold 1 frames that the ground truth lacks: b"):
        evaluate(one, {"a": np.array([40]), "b": np.array([40])})
    with pytest.raises(ValueError, match="lack 1 of 1 frames: a"):
        evaluate(one, {})
    with pytest.raises(ValueError, match="no frames to evaluate"):
        evaluate({}, {})
    with pytest.raises(ValueError, match="missing must be one of"):
        evaluate(one, one, missing="skip")
    with pytest.raises(ValueError, match=r"frame 'a': range bins need the points .* got None"):
        evaluate(one, one, points={})


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("gt", "pred", "points", "message"),
    [
        (np.array([40]), np.array([40, 40]), None, "prediction: 2 points, but frame 's', ground truth has 1"),
        (np.array([40.0]), np.array([40]), None, r"ground truth: expected whole numbers.*float64 \(1,\)"),
        (np.array([[40]]), np.array([40]), None, r"ground truth: expected whole numbers.*\(1, 1\)"),
        (np.array([40]), np.array([-1]), None, r"prediction: labels must lie in 0\.\.2\^32-1, got -1\.\.-1"),
        (np.array([40]), np.array([1 << 32]), None, r"prediction: labels must lie"),
        (np.array([40]), np.array([40]), None, r"range bins need the points \[1, 3 or more\].*None"),
        (np.array([40]), np.array([40]), np.zeros((2, 3)), r"range bins need the points.*\(2, 3\)"),
        (np.array([40]), np.array([40]), np.zeros((1, 2)), r"range bins need the points.*\(1, 2\)"),
        (np.array([40]), np.array([40]), np.full((1, 3), np.nan), "point 0 is not finite"),
        (np.array([40]), np.array([40]), np.full((1, 3), np.inf), "point 0 is not finite"),
    ],
)
def test_wrong_arrays_are_refused(gt: np.ndarray, pred: np.ndarray, points: np.ndarray, message: str) -> None:
    evaluator = SemanticKittiEvaluator(ranges_m=RANGES_M)
    with pytest.raises(ValueError, match=message):
        evaluator.update("s", gt, pred, points)
    assert len(evaluator) == 0
    with pytest.raises(ValueError, match="no frames"):
        evaluator.compute()


@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="limit must be at least 1 point, got 0"):
        SemanticKittiEvaluator(limit=0)
    for ranges in (((5.0, 5.0),), ((-1.0, 5.0),), ((5.0, 9.0), (1.0, 2.0)), ((1.0, 5.0), (4.0, 6.0))):
        with pytest.raises(
            ValueError, match=r"ranges_m must hold \(near, far\).*in order and without overlap"
        ):
            SemanticKittiEvaluator(ranges_m=ranges)
    with pytest.raises(ValueError, match="ranges_m must hold"):
        SemanticKittiEvaluator(ranges_m=((0.0, float("nan")),))
    with pytest.raises(ValueError, match="unknown must be one of 'error', 'unlabeled', got 'zero'"):
        SemanticKittiEvaluator(unknown="zero")
    with pytest.raises(ValueError, match="task must be one of"):
        SemanticKittiEvaluator("semantic")
    evaluator = SemanticKittiEvaluator()
    with pytest.raises(ValueError, match="protocol must be one of"):
        evaluator.compute(protocol="official")
