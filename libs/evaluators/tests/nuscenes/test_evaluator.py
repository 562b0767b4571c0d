import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluators import nuscenes
from evaluators.nuscenes import (
    DETECTION_CVPR_2019,
    NuscenesBoxes,
    NuscenesEvaluator,
    NuscenesSample,
    rotation_from_yaw,
)
from evaluators.state import Evaluator, read_state, write_state
from hypothesis import given, settings
from hypothesis import strategies as st

Samples = tuple[dict[str, NuscenesSample], dict[str, NuscenesBoxes]]
MakeSamples = Callable[..., Samples]
SEEDS = st.integers(0, 2**32 - 1)
NEAR = replace(DETECTION_CVPR_2019, name="near", dist_thresholds_m=(0.5, 2.0))


def gathered(samples: Samples, tokens: list[str] | None = None) -> NuscenesEvaluator:
    gt, pred = samples
    evaluator = NuscenesEvaluator()
    for token in gt if tokens is None else tokens:
        evaluator.update(token, gt[token], pred[token])
    return evaluator


@pytest.mark.slow
@given(seed=SEEDS, score_levels=st.sampled_from([0, 3]))
@settings(max_examples=15)
def test_order_and_splits_change_no_digit(make_samples: MakeSamples, seed: int, score_levels: int) -> None:
    samples = make_samples(seed, 7, score_levels=score_levels)
    whole = gathered(samples)
    tokens = np.random.default_rng(seed).permutation(list(samples[0])).tolist()
    parts = [gathered(samples, tokens[:3]), gathered(samples, tokens[3:4]), gathered(samples, tokens[4:])]
    joined = parts[1]
    joined.merge(pickle.loads(pickle.dumps(parts[2])))
    joined.merge_state(parts[0].state())
    assert len(joined) == len(whole) == 7
    assert joined.compute().to_json() == whole.compute().to_json()
    state = joined.state()
    for name, array in whole.state().items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=15)
def test_renaming_samples_changes_nothing_when_scores_are_unique(
    make_samples: MakeSamples, seed: int
) -> None:
    gt, pred = make_samples(seed, 6)
    names = dict(zip(gt, reversed(list(gt)), strict=True))
    other = nuscenes.evaluate(
        {names[token]: gt[token] for token in gt}, {names[token]: pred[token] for token in pred}
    )
    same = nuscenes.evaluate(gt, pred)
    assert other.mean_ap == pytest.approx(same.mean_ap, abs=1e-12)
    assert other.nds == pytest.approx(same.nds, abs=1e-12)


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_a_turned_and_moved_world_scores_the_same(make_samples: MakeSamples, seed: int) -> None:
    gt, pred = make_samples(seed, 5)
    gt = {token: replace(sample, racks=np.zeros((0, 10))) for token, sample in gt.items()}
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])

    def moved(boxes: NuscenesBoxes) -> NuscenesBoxes:
        yaw = 2 * np.arctan2(boxes.rotation[:, 3], boxes.rotation[:, 0]) + np.pi / 2
        return replace(
            boxes,
            translation=boxes.translation @ turn.T + 5.0,
            rotation=rotation_from_yaw(yaw),
            velocity=boxes.velocity @ turn[:2, :2].T,
        )

    there = {
        token: replace(sample, boxes=moved(sample.boxes), ego_translation=turn @ sample.ego_translation + 5.0)
        for token, sample in gt.items()
    }
    before = nuscenes.evaluate(gt, pred)
    after = nuscenes.evaluate(there, {token: moved(boxes) for token, boxes in pred.items()})
    assert after.nds == pytest.approx(before.nds, abs=1e-9)
    assert after.tp_errors == pytest.approx(before.tp_errors, abs=1e-9)


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_a_monotone_change_of_scores_keeps_average_precision(make_samples: MakeSamples, seed: int) -> None:
    gt, pred = make_samples(seed, 6)
    changed = {token: replace(boxes, score=(boxes.score + 1) ** 3) for token, boxes in pred.items()}
    before, after = nuscenes.evaluate(gt, pred), nuscenes.evaluate(gt, changed)
    assert {n: after.ap(n) for n in NEAR.class_names} == {n: before.ap(n) for n in NEAR.class_names}


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_a_wider_distance_never_finds_less_of_a_single_detection(
    make_samples: MakeSamples, seed: int
) -> None:
    gt, pred = make_samples(seed, 6)
    first = {token: boxes.select(np.arange(len(boxes)) < 1) for token, boxes in pred.items()}
    result = nuscenes.evaluate(gt, first)
    for name in result.protocol.class_names:
        found = [result.curve(name, distance).n_tp for distance in result.protocol.dist_thresholds_m]
        assert found == sorted(found)


def test_the_later_of_two_equal_scores_goes_first(parked: NuscenesBoxes) -> None:
    two = replace(
        parked,
        names=("car", "car"),
        attributes=("", ""),
        translation=np.array([[10.5, 0, 1], [10.25, 0, 1]]),
        **{
            name: np.repeat(getattr(parked, name), 2, axis=0)
            for name in ("size_wlh", "rotation", "velocity", "num_pts", "score")
        },
    )
    result = nuscenes.evaluate({"a": NuscenesSample(boxes=parked)}, {"a": two})
    assert result.curve("car").errors["trans_err"][50] == pytest.approx(0.25)
    assert result.counts.n_tied_scores == 2
    swapped = nuscenes.evaluate(
        {"a": NuscenesSample(boxes=parked)}, {"a": replace(two, translation=two.translation[::-1])}
    )
    assert swapped.curve("car").errors["trans_err"][50] == pytest.approx(0.5)


def test_ground_truth_that_is_taken_is_passed_over(parked: NuscenesBoxes) -> None:
    near = replace(parked, translation=parked.translation + np.array([0.1, 0, 0]), score=np.array([0.7]))
    gt = replace(
        parked,
        names=("car", "car"),
        attributes=("", ""),
        translation=np.array([[10.0, 0, 1], [11.0, 0, 1]]),
        **{
            name: np.repeat(getattr(parked, name), 2, axis=0)
            for name in ("size_wlh", "rotation", "velocity", "num_pts")
        },
        score=None,
    )
    both = replace(
        gt, translation=np.concatenate([parked.translation, near.translation]), score=np.array([0.9, 0.8])
    )
    result = nuscenes.evaluate({"a": NuscenesSample(boxes=gt)}, {"a": both})
    assert result.curve("car", 1.0).n_tp == 2
    assert result.curve("car", 0.5).n_tp == 1


def test_the_first_of_two_equally_near_objects_is_taken(parked: NuscenesBoxes) -> None:
    columns = ("rotation", "velocity", "num_pts")
    gt = NuscenesBoxes(
        names=("car", "car"),
        attributes=("", ""),
        translation=np.array([[9.0, 0, 1], [11.0, 0, 1]]),
        size_wlh=parked.size_wlh * np.array([[1.0], [2.0]]),
        **{name: np.repeat(getattr(parked, name), 2, axis=0) for name in columns},
    )
    result = nuscenes.evaluate({"a": NuscenesSample(boxes=gt)}, {"a": parked})
    assert result.tp_error("car", "scale_err") == pytest.approx(0.0)


def test_a_hit_is_strictly_nearer_than_the_threshold(parked: NuscenesBoxes) -> None:
    moved = replace(parked, translation=parked.translation + np.array([2.0, 0.0, 0.0]))
    result = nuscenes.evaluate({"a": NuscenesSample(boxes=parked)}, {"a": moved})
    assert (result.curve("car", 2.0).n_tp, result.curve("car", 4.0).n_tp) == (0, 1)


def test_the_range_is_strict_and_measured_from_the_vehicle(parked: NuscenesBoxes) -> None:
    for ego_x, counted in ((-40.0, 0), (-39.999, 1)):
        sample = NuscenesSample(boxes=parked, ego_translation=np.array([ego_x, 0.0, 0.0]))
        result = nuscenes.evaluate({"a": sample}, {"a": parked})
        assert result.curve("car").n_gt == result.curve("car").n_pred == counted
        assert result.counts.n_gt_out_of_range == result.counts.n_pred_out_of_range == 1 - counted


@pytest.mark.parametrize(("name", "period"), [("barrier", math.pi), ("car", 2 * math.pi)])
def test_yaw_has_the_period_of_the_class(parked: NuscenesBoxes, name: str, period: float) -> None:
    gt = replace(parked, names=(name,), attributes=("",))
    turned = replace(gt, rotation=rotation_from_yaw([0.1 + math.pi - 0.2]))
    result = nuscenes.evaluate({"a": NuscenesSample(boxes=gt)}, {"a": turned})
    assert result.tp_error(name, "orient_err") == pytest.approx(0.2 if period == math.pi else math.pi - 0.2)


def test_attributes_and_sizes(parked: NuscenesBoxes) -> None:
    wrong = replace(parked, attributes=("vehicle.moving",), size_wlh=parked.size_wlh * [1.0, 0.5, 1.0])
    result = nuscenes.evaluate({"a": NuscenesSample(boxes=parked)}, {"a": wrong})
    assert result.tp_error("car", "attr_err") == 1.0
    assert result.tp_error("car", "scale_err") == pytest.approx(0.5)
    unknown = NuscenesSample(boxes=replace(parked, attributes=("",)))
    assert nuscenes.evaluate({"a": unknown}, {"a": wrong}).tp_error("car", "attr_err") == 1.0


def test_an_unknown_velocity_is_left_out_of_the_mean(parked: NuscenesBoxes) -> None:
    lost = NuscenesSample(boxes=replace(parked, score=None, velocity=np.array([[np.nan, np.nan]])))
    fast = replace(parked, velocity=np.array([[3.0, 4.0]]))
    one = nuscenes.evaluate({"a": lost}, {"a": fast})
    assert one.tp_error("car", "vel_err") == 1.0
    both = nuscenes.evaluate(
        {"a": lost, "b": NuscenesSample(boxes=parked)}, {"a": replace(fast, score=np.array([0.1])), "b": fast}
    )
    assert both.tp_error("car", "vel_err") == pytest.approx(5.0)


def test_nothing_at_all_is_zero_and_not_evaluated() -> None:
    nothing = NuscenesSample(boxes=NuscenesBoxes.empty())
    result = nuscenes.evaluate({"a": nothing}, {"a": NuscenesBoxes.empty()})
    assert (result.mean_ap, result.nds) == (0.0, 0.0)
    assert not any(result.curve(name).evaluated for name in result.protocol.class_names)
    assert set(result.tp_errors.values()) == {1.0}


def test_a_configuration_of_your_own(parked: NuscenesBoxes) -> None:
    van = replace(DETECTION_CVPR_2019.classes[0], name="van", unscored=("attr_err",), range_m=11.0)
    protocol = replace(NEAR, name="vans", classes=(van,), mean_ap_weight=1.0)
    boxes = replace(parked, names=("van",))
    result = nuscenes.evaluate({"a": NuscenesSample(boxes=boxes)}, {"a": boxes}, protocol=protocol)
    assert result.tp_errors == dict.fromkeys(("trans_err", "scale_err", "orient_err", "vel_err"), 0.0)
    assert result.nds == pytest.approx(1.0)


@pytest.mark.usefixtures("unchecked_shapes")
def test_unknown_policies_are_refused() -> None:
    with pytest.raises(ValueError, match="missing must be one of 'error', 'empty', got 'skip'"):
        nuscenes.evaluate({}, {}, missing="skip")
    with pytest.raises(ValueError, match="on_invalid must be one of 'error', 'drop', got 'keep'"):
        NuscenesEvaluator(on_invalid="keep")


def test_missing_and_unknown_samples(parked: NuscenesBoxes) -> None:
    gt = {name: NuscenesSample(boxes=parked) for name in ("a", "b")}
    with pytest.raises(ValueError, match=r"predictions lack 1 of 2 frames: b; give NuscenesBoxes\.empty"):
        nuscenes.evaluate(gt, {"a": parked})
    result = nuscenes.evaluate(gt, {"a": parked}, missing="empty")
    assert result.counts.n_missing == 1
    assert "1 frames had no predictions" in result.table()
    with pytest.raises(ValueError, match="hold 1 frames that the ground truth lacks: z"):
        nuscenes.evaluate(gt, {"a": parked, "z": parked}, missing="empty")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"translation": [[np.nan, 0, 0]]}, "expected finite numbers, got a NaN or infinity"),
        ({"score": [np.inf]}, "expected finite numbers"),
        ({"velocity": [[np.nan, 0]]}, "expected finite numbers"),
        ({"size_wlh": [[1, 0, 1]]}, "expected positive sizes, got width 1, length 0, height 1"),
        ({"rotation": [[1, 1, 0, 0]]}, "expected a unit quaternion w x y z, got one of length 1.41421"),
        ({"rotation": [[0, 0, 0, 0]]}, "expected a unit quaternion w x y z, got one of length 0"),
        ({"score": [-0.1]}, "expected a score of 0 or more, got -0.1"),
    ],
)
def test_invalid_rows_are_refused_or_dropped(
    parked: NuscenesBoxes, change: dict[str, list[object]], message: str
) -> None:
    bad = replace(parked, **{name: np.array(value, dtype=float) for name, value in change.items()})
    gt = {"a": NuscenesSample(boxes=parked)}
    with pytest.raises(ValueError, match=rf"frame 'a', predictions, row 1 \(car\): {message}"):
        nuscenes.evaluate(gt, {"a": bad})
    result = nuscenes.evaluate(gt, {"a": bad}, on_invalid="drop")
    assert (result.counts.n_dropped_pred, result.counts.n_pred) == (1, 0)
    assert "1 invalid predictions were dropped" in result.table()
    if "score" not in change and "velocity" not in change:
        with pytest.raises(ValueError, match=rf"frame 'a', ground truth, row 1 \(car\): {message}"):
            nuscenes.evaluate({"a": NuscenesSample(boxes=bad)}, {"a": parked})


def test_names_are_refused_with_the_list(parked: NuscenesBoxes) -> None:
    evaluator = NuscenesEvaluator(on_invalid="drop")
    sample = NuscenesSample(boxes=NuscenesBoxes.empty())
    with pytest.raises(ValueError, match="row 1: unknown class 'van'; the classes are car, truck"):
        evaluator.update("a", sample, replace(parked, names=("van",)))
    with pytest.raises(ValueError, match=r"unknown attribute 'x'; the attributes are cycle.with_rider, "):
        evaluator.update("a", sample, replace(parked, attributes=("x",)))
    with pytest.raises(
        ValueError, match=r"a car cannot have the attribute 'cycle.with_rider'; it has vehicle"
    ):
        evaluator.update("a", sample, replace(parked, attributes=("cycle.with_rider",)))
    with pytest.raises(ValueError, match="frame 'a', predictions have no score"):
        evaluator.update("a", sample, replace(parked, score=None))
    assert len(evaluator) == 0


@pytest.mark.parametrize("column", ["translation", "size_wlh", "velocity"])
def test_astronomic_numbers_are_no_accident(parked: NuscenesBoxes, column: str) -> None:
    huge = replace(parked, **{column: getattr(parked, column) + 1e200})
    result = nuscenes.evaluate({"a": NuscenesSample(boxes=parked)}, {"a": huge})
    assert result.ap("car") == (0.0 if column == "translation" else pytest.approx(1.0))
    nuscenes.evaluate({"a": NuscenesSample(boxes=huge)}, {"a": huge})


def test_at_most_500_boxes(parked: NuscenesBoxes) -> None:
    def repeated(times: int) -> NuscenesBoxes:
        columns = ("translation", "size_wlh", "rotation", "velocity", "num_pts", "score")
        return replace(
            parked,
            names=parked.names * times,
            attributes=parked.attributes * times,
            **{name: np.repeat(getattr(parked, name), times, axis=0) for name in columns},
        )

    sample = NuscenesSample(boxes=parked)
    NuscenesEvaluator().update("a", sample, repeated(500))
    with pytest.raises(ValueError, match="frame 'a', predictions: 501 boxes, at most 500 are allowed"):
        NuscenesEvaluator().update("a", sample, repeated(501))


@pytest.mark.usefixtures("unchecked_shapes")
def test_surroundings_must_make_sense(parked: NuscenesBoxes) -> None:
    evaluator = NuscenesEvaluator()
    with pytest.raises(
        ValueError, match=r"ego_translation must have shape \[3\] and racks \[r, 10\], got \[2\]"
    ):
        evaluator.update("a", NuscenesSample(boxes=parked, ego_translation=np.zeros(2)), parked)
    with pytest.raises(ValueError, match="ego_translation must be finite"):
        evaluator.update("a", NuscenesSample(boxes=parked, ego_translation=np.full(3, np.nan)), parked)
    with pytest.raises(ValueError, match="racks must be finite, with unit quaternions"):
        evaluator.update("a", NuscenesSample(boxes=parked, racks=np.ones((1, 10))), parked)


def test_a_sample_counts_once(parked: NuscenesBoxes) -> None:
    evaluator, other = NuscenesEvaluator(), NuscenesEvaluator()
    assert isinstance(evaluator, Evaluator)
    for each in (evaluator, other):
        each.update("a", NuscenesSample(boxes=parked), parked)
    with pytest.raises(ValueError, match="frame 'a' was added before"):
        evaluator.update("a", NuscenesSample(boxes=parked), parked)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: a"):
        evaluator.merge(other)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: a"):
        evaluator.merge_state(other.state())
    evaluator.reset()
    with pytest.raises(ValueError, match="no frames to evaluate"):
        evaluator.compute()
    with pytest.raises(ValueError, match="order must name each of the 1 frames once, got 2 names"):
        other.compute(order=["a", "a"])


@pytest.mark.slow
def test_other_settings_and_foreign_states_are_refused(parked: NuscenesBoxes, tmp_path: Path) -> None:
    evaluator, near = NuscenesEvaluator(), NuscenesEvaluator(protocol=NEAR)
    evaluator.update("a", NuscenesSample(boxes=parked), parked)
    with pytest.raises(ValueError, match=r"other settings: there .*dist_thresholds_m"):
        near.merge(evaluator)
    with pytest.raises(ValueError, match="the other evaluator has other settings"):
        near.merge_state(evaluator.state())
    with pytest.raises(
        ValueError, match=r"not what NuscenesEvaluator.state.. returned: lacking .* unknown x"
    ):
        near.merge_state({"x": np.zeros(3)})
    state = evaluator.state()
    for broken in (
        {"lengths": state["lengths"][:0]},
        {"lengths": -state["lengths"]},
        {"counts": state["counts"][:, :3]},
        {"pred_values": state["pred_values"][:0]},
        {"frames": np.array(["a", "a"])},
    ):
        with pytest.raises(ValueError, match=r"do not belong together|has type|frames twice"):
            NuscenesEvaluator().merge_state(state | broken)
    write_state(tmp_path / "state.npz", evaluator)
    resumed = NuscenesEvaluator()
    resumed.merge_state(read_state(tmp_path / "state.npz"))
    assert resumed.compute().to_json() == evaluator.compute().to_json()
    empty = NuscenesEvaluator()
    empty.merge_state(NuscenesEvaluator().state())
    assert len(empty) == 0
