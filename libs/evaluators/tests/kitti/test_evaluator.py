import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from evaluators import kitti
from evaluators.kitti import KittiEvaluator, KittiObjects, KittiResult
from hypothesis import given, settings
from hypothesis import strategies as st

Frames = dict[str, KittiObjects]
MakeFrames = Callable[..., tuple[Frames, Frames]]
SEEDS = st.integers(0, 2**32 - 1)


def with_scores(pred: Frames, scores: Callable[[np.ndarray], np.ndarray]) -> Frames:
    return {
        frame: replace(objects, score=scores(objects.score)) if objects.score is not None else objects
        for frame, objects in pred.items()
    }


def averages(result: KittiResult) -> dict[object, tuple[float, float]]:
    return {key: (curve.ap(40), curve.ap(11)) for key, curve in result.curves.items()}


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=20)
def test_renaming_frames_changes_nothing_when_scores_are_unique(make_frames: MakeFrames, seed: int) -> None:
    gt, pred = make_frames(seed, 8)
    order = np.random.default_rng(seed).permutation(len(gt))
    names = {frame: f"{order[at]:06d}" for at, frame in enumerate(gt)}
    shuffled = kitti.evaluate(
        {names[frame]: gt[frame] for frame in gt}, {names[frame]: pred[frame] for frame in gt}
    )
    for key, value in averages(kitti.evaluate(gt, pred)).items():
        assert averages(shuffled)[key] == pytest.approx(value, abs=1e-12)


@pytest.mark.slow
@given(seed=SEEDS, score_levels=st.sampled_from([0, 3]))
@settings(max_examples=20)
def test_order_of_updates_and_merging_change_no_digit(
    make_frames: MakeFrames, seed: int, score_levels: int
) -> None:
    gt, pred = make_frames(seed, 7, score_levels=score_levels)
    parts = [KittiEvaluator(), KittiEvaluator(), KittiEvaluator()]
    for at, frame in enumerate(reversed(list(gt))):
        parts[at % 3].update(frame, gt[frame], pred[frame])
    whole = parts[1]
    whole.merge(pickle.loads(pickle.dumps(parts[0])))
    whole.merge(parts[2])
    assert len(whole) == 7
    assert whole.compute().to_json() == kitti.evaluate(gt, pred).to_json()


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=20)
def test_the_order_of_detections_changes_nothing_when_scores_are_unique(
    make_frames: MakeFrames, seed: int
) -> None:
    gt, pred = make_frames(seed, 8)
    rng = np.random.default_rng(seed)
    # The protocol takes the first of several ignored (too small) detections; here none is too small.
    levels = (replace(kitti.HARD, min_height_px=0.0),)
    assert min(float((item.bbox[:, 3] - item.bbox[:, 1]).min(initial=9.0)) for item in pred.values()) > 0.0
    shuffled = {frame: reordered(objects, rng.permutation(len(objects))) for frame, objects in pred.items()}
    before, after = (
        kitti.evaluate(gt, found, difficulties=levels, aos="always") for found in (pred, shuffled)
    )
    for key, curve in before.curves.items():
        for column in ("thresholds", "tp", "fp", "fn", "curve"):
            np.testing.assert_array_equal(getattr(after.curves[key], column), getattr(curve, column))


def reordered(objects: KittiObjects, order: np.ndarray) -> KittiObjects:
    assert objects.score is not None
    return KittiObjects.predictions(
        [objects.names[row] for row in order],
        alpha=objects.alpha[order],
        bbox=objects.bbox[order],
        size_hwl=objects.size_hwl[order],
        location=objects.location[order],
        rotation_y=objects.rotation_y[order],
        score=objects.score[order],
    )


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=20)
def test_a_monotone_change_of_scores_changes_nothing(make_frames: MakeFrames, seed: int) -> None:
    gt, pred = make_frames(seed, 8)
    changed = with_scores(pred, lambda scores: -1.0 / (scores + 0.01))
    assert averages(kitti.evaluate(gt, changed)) == averages(kitti.evaluate(gt, pred))


@pytest.mark.slow
@given(seed=SEEDS, name=st.sampled_from(["Car", "Pedestrian", "Cyclist"]))
@settings(max_examples=20)
def test_a_detection_below_all_scores_never_raises_precision(
    make_frames: MakeFrames, seed: int, name: str
) -> None:
    gt, pred = make_frames(seed, 8)
    frame = "000003"
    # A copy of something that is there, or of a stray box, with the lowest score of all.
    source = gt[frame] if len(gt[frame]) else pred[frame]
    added = KittiObjects.predictions(
        (*pred[frame].names, *([name] * len(source))),
        alpha=np.concatenate([pred[frame].alpha, source.alpha]),
        bbox=np.concatenate([pred[frame].bbox, source.bbox]),
        size_hwl=np.concatenate([pred[frame].size_hwl, source.size_hwl]),
        location=np.concatenate([pred[frame].location, source.location]),
        rotation_y=np.concatenate([pred[frame].rotation_y, source.rotation_y]),
        score=np.concatenate([pred[frame].score, np.full(len(source), -5.0)]),
    )
    before, after = kitti.evaluate(gt, pred), kitti.evaluate(gt, pred | {frame: added})
    for key, curve in before.curves.items():
        counts = {t: (curve.tp[at], curve.fp[at]) for at, t in enumerate(curve.thresholds)}
        now = after.curves[key]
        for at, threshold in enumerate(now.thresholds):
            if threshold in counts:
                assert (now.tp[at], now.fp[at]) == counts[threshold]


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_curves_are_shares_that_never_rise(make_frames: MakeFrames, seed: int) -> None:
    result = kitti.evaluate(*make_frames(seed, 8), overlaps="loose-extended")
    for (name, metric, level), curve in result.curves.items():
        assert (np.diff(curve.curve) <= 0).all()
        assert 0.0 <= curve.curve[-1] <= curve.curve[0] <= 1.0
        assert (curve.tp + curve.fn <= curve.n_gt).all()
        if metric == "aos":
            assert (curve.curve <= result.curves[name, "2d", level].curve + 1e-12).all()


@pytest.mark.slow
def test_a_second_table_uses_the_same_frames(make_frames: MakeFrames) -> None:
    gt, pred = make_frames(5, 20)
    evaluator = KittiEvaluator()
    for frame in gt:
        evaluator.update(frame, gt[frame], pred[frame])
    evaluator.compute()
    loose = evaluator.compute(overlaps="loose")
    assert loose.to_json() == kitti.evaluate(gt, pred, overlaps="loose").to_json()


@pytest.mark.slow
def test_a_table_of_your_own_is_evaluated(car: KittiObjects) -> None:
    moved = replace(car, rotation_y=np.zeros(1), location=car.location + np.array([1.0, 0.0, 0.0]))
    straight = replace(car, rotation_y=np.zeros(1))
    frames, found = ({f"{i:06d}": objects for i in range(60)} for objects in (straight, moved))
    half = kitti.OverlapTable(name="half", classes=(replace(kitti.CAR, overlap_3d=0.5),))
    assert kitti.evaluate(frames, found).ap("Car", "3d", "easy") == 0.0
    result = kitti.evaluate(frames, found, overlaps=half)
    assert result.ap("Car", "3d", "easy") == pytest.approx(100.0)
    assert result.overlaps.class_names == ("Car",)


def test_ties_inside_a_frame_go_to_the_earlier_row(car: KittiObjects) -> None:
    both = KittiObjects.predictions(
        ("Car", "Car"),
        alpha=np.concatenate([car.alpha, car.alpha + np.pi]),
        bbox=np.concatenate([car.bbox, car.bbox]),
        size_hwl=np.concatenate([car.size_hwl] * 2),
        location=np.concatenate([car.location] * 2),
        rotation_y=np.concatenate([car.rotation_y] * 2),
        score=[0.5, 0.5],
    )
    result = kitti.evaluate({"a": car}, {"a": both})
    assert result.counts.n_tied_scores == 2
    # The first row faces the right way, the second the wrong one: the hit is the first.
    assert result.curves["Car", "aos", "easy"].curve[0] == pytest.approx(0.5)


def test_orientation_is_left_out_if_one_alpha_is_absent(car: KittiObjects) -> None:
    frames = {"a": car, "b": replace(car, alpha=np.array([-10.0]))}
    assert kitti.evaluate(frames, frames).ap("Car", "aos", "easy") is None
    assert kitti.evaluate(frames, frames).mean("aos", "easy") is None
    assert kitti.evaluate(frames, frames, aos="always").ap("Car", "aos", "easy") is not None
    assert kitti.evaluate({"a": car}, {"a": car}, aos="never").ap("Car", "aos", "easy") is None


def test_a_class_without_detections_is_not_evaluated(car: KittiObjects) -> None:
    result = kitti.evaluate({"a": car}, {"a": KittiObjects.empty()})
    curve = result.curves["Car", "3d", "easy"]
    assert (curve.evaluated, curve.n_gt, curve.ap(40), curve.thresholds.size) == (False, 1, 0.0, 0)


def test_frames_without_predictions_can_count_as_empty(car: KittiObjects) -> None:
    result = kitti.evaluate({"a": car, "b": car}, {"a": car}, missing="empty")
    assert result.counts.n_missing == 1
    assert result.curves["Car", "3d", "easy"].fn.tolist() == [1]


def test_reset_forgets_everything(car: KittiObjects) -> None:
    evaluator = KittiEvaluator()
    evaluator.update("a", car, car)
    evaluator.reset()
    assert len(evaluator) == 0
    evaluator.update("a", car, None)
    assert evaluator.compute().counts.n_missing == 1


def test_missing_frames_are_refused_by_name(car: KittiObjects) -> None:
    with pytest.raises(ValueError, match=r"predictions lack 1 of 2 frames: b; give KittiObjects\.empty"):
        kitti.evaluate({"a": car, "b": car}, {"a": car})


def test_unknown_frames_are_refused_by_name(car: KittiObjects) -> None:
    with pytest.raises(ValueError, match="hold 1 frames that the ground truth lacks: b"):
        kitti.evaluate({"a": car}, {"a": car, "b": car})


def test_a_frame_counts_once(car: KittiObjects) -> None:
    evaluator, other = KittiEvaluator(), KittiEvaluator()
    evaluator.update("a", car, car)
    other.update("a", car, car)
    with pytest.raises(ValueError, match="frame 'a' was added before"):
        evaluator.update("a", car, car)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: a"):
        evaluator.merge(other)


def test_detections_need_a_score(car: KittiObjects) -> None:
    with pytest.raises(ValueError, match="frame 'a': predictions have no score"):
        kitti.evaluate({"a": car}, {"a": replace(car, score=None)})


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(ValueError, match="no frames to evaluate"):
        kitti.evaluate({}, {})


def test_levels_need_distinct_names(car: KittiObjects) -> None:
    with pytest.raises(ValueError, match="at least one level with distinct names"):
        kitti.evaluate({"a": car}, {"a": car}, difficulties=(kitti.EASY, kitti.EASY))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": np.array([np.nan])}, r"row 1 \(Car\): expected finite numbers"),
        ({"location": np.array([[np.inf, 0, 9]])}, "expected finite numbers"),
        (
            {"size_hwl": np.array([[1.5, 0.0, 4.0]])},
            "expected positive sizes .* height 1.5, width 0, length 4",
        ),
        ({"bbox": np.array([[9, 0, 5, 9]])}, "expected an image box with x1 <= x2 and y1 <= y2, got 9 0 5 9"),
    ],
)
def test_invalid_rows_are_refused_or_dropped(
    car: KittiObjects, change: dict[str, np.ndarray], message: str
) -> None:
    bad = replace(car, **change)
    with pytest.raises(ValueError, match=f"frame 'a', predictions, .*{message}"):
        kitti.evaluate({"a": car}, {"a": bad})
    result = kitti.evaluate({"a": bad, "b": car}, {"a": bad, "b": car}, on_invalid="drop")
    # Ground truth has no score, so a bad one there means nothing.
    assert result.counts.n_dropped_gt == ("score" not in change)
    assert (result.counts.n_dropped_pred, result.counts.n_pred) == (1, 1)


@pytest.mark.parametrize("policy", ["missing", "on_invalid", "aos"])
def test_unknown_policies_are_refused(car: KittiObjects, policy: str) -> None:
    from evaluators._validation import require_choice
    from evaluators.kitti.evaluator import AosMode

    with pytest.raises(ValueError, match=f"{policy} must be one of .* got 'maybe'"):
        require_choice("maybe", AosMode, name=policy)
