"""Splitting, saving and joining evaluators changes no digit."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators.kitti import KittiEvaluator, KittiObjects
from evaluators.state import read_state, write_state
from hypothesis import given, settings
from hypothesis import strategies as st

Frames = dict[str, KittiObjects]


def filled(gt: Frames, pred: Frames, frames: list[str]) -> KittiEvaluator:
    evaluator = KittiEvaluator()
    for at, frame in enumerate(frames):
        # Every frame whose number ends in 3 lacks its predictions.
        evaluator.update(frame, gt[frame], None if frame.endswith("3") else pred[frame])
        if at == 1:
            # What has been counted in between must not stay behind.
            evaluator.compute()
    return evaluator


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    score_levels=st.sampled_from([0, 3]),
    parts=st.lists(st.integers(0, 3), min_size=7, max_size=7),
    order=st.permutations(range(7)),
    by_state=st.booleans(),
)
@settings(max_examples=40)
def test_any_split_gives_the_same_bits(
    make_frames: Callable[..., tuple[Frames, Frames]],
    seed: int,
    score_levels: int,
    parts: list[int],
    order: list[int],
    by_state: bool,
) -> None:
    gt, pred = make_frames(seed, 7, score_levels=score_levels)
    names = list(gt)
    whole = filled(gt, pred, names)
    joined = KittiEvaluator()
    for part in range(4):
        piece = filled(gt, pred, [names[at] for at in order if parts[at] == part])
        if by_state:
            joined.merge_state(piece.state())
        else:
            joined.merge(pickle.loads(pickle.dumps(piece)))
    assert joined.compute().to_json() == whole.compute().to_json()
    expected = whole.state()
    assert joined.state().keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(joined.state()[name], array, strict=True)


def test_a_saved_state_survives_the_file(car: KittiObjects, tmp_path: Path) -> None:
    evaluator = KittiEvaluator(on_invalid="drop")
    bad = car.select(np.array([True]))
    object.__setattr__(bad, "score", np.array([np.nan]))
    evaluator.update("b", car, bad)
    evaluator.update("a", car, None)
    write_state(tmp_path / "part.npz", evaluator)
    again = KittiEvaluator(on_invalid="drop")
    again.merge_state(read_state(tmp_path / "part.npz"))
    assert again.compute().to_json() == evaluator.compute().to_json()
    counts = again.compute().counts
    assert (counts.n_frames, counts.n_missing, counts.n_dropped_pred, counts.n_pred) == (2, 1, 1, 0)


def test_the_state_of_nothing_adds_nothing(car: KittiObjects) -> None:
    evaluator = KittiEvaluator()
    evaluator.merge_state(KittiEvaluator().state())
    assert len(evaluator) == 0
    evaluator.update("a", car, car)
    evaluator.merge_state(KittiEvaluator().state())
    assert len(evaluator) == 1


def test_a_state_shares_no_memory(car: KittiObjects) -> None:
    evaluator = KittiEvaluator()
    evaluator.update("a", car, car)
    before = evaluator.compute().to_json()
    for array in evaluator.state().values():
        array[...] = np.zeros((), array.dtype)
    fresh = KittiEvaluator()
    fresh.merge(evaluator)
    assert fresh.compute().to_json() == before


def test_merging_leaves_the_other_as_it_was(car: KittiObjects) -> None:
    one, other = KittiEvaluator(), KittiEvaluator()
    one.update("a", car, car)
    other.update("b", car, car)
    one.merge(other)
    one.update("c", car, car)
    assert (len(one), len(other)) == (3, 1)
    assert other.compute().counts.n_frames == 1


def test_other_settings_are_refused(car: KittiObjects) -> None:
    strict, lenient = KittiEvaluator(), KittiEvaluator(on_invalid="drop")
    message = "other settings: there .*on_invalid=drop.*, here .*on_invalid=error"
    with pytest.raises(ValueError, match=message):
        strict.merge(lenient)
    with pytest.raises(ValueError, match=message):
        strict.merge_state(lenient.state())


def test_a_frame_counts_once_by_state(car: KittiObjects) -> None:
    evaluator = KittiEvaluator()
    evaluator.update("a", car, car)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: a"):
        evaluator.merge_state(evaluator.state())
    assert len(evaluator) == 1


BROKEN: list[tuple[dict[str, object], str]] = [
    ({"sums": np.zeros(1)}, "lacking nothing, unknown sums"),
    ({"settings": np.zeros(1)}, "settings is no text"),
    ({"settings": np.array("on_invalid=maybe")}, "other settings: there .*maybe"),
    ({"frames": np.array(["a", "a"])}, "lists some frames twice"),
    ({"frames": np.array([1, 2])}, "frames has type int64"),
    ({"missing": np.array([False])}, r"missing has type bool and shape \[1\]"),
    ({"dropped": np.array([0, -1])}, "dropped holds a negative count"),
    ({"gt_counts": np.array([1, 2])}, "gt_counts do not add up to the 2 rows of gt_values"),
    ({"gt_counts": np.array([3, -1])}, "gt_counts do not add up"),
    ({"pred_names": np.array(["Car"])}, r"pred_names has type <U3 and shape \[1\]"),
    ({"pred_values": np.zeros((2, 14))}, r"pred_values has type float64 and shape \[2, 14\]"),
    ({"pred_values": np.full((2, 15), np.nan)}, "frame 'a', predictions, row 1 .* expected finite numbers"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_what_is_not_such_a_state_is_refused(
    car: KittiObjects, change: dict[str, np.ndarray], message: str
) -> None:
    source, evaluator = KittiEvaluator(), KittiEvaluator()
    source.update("a", car, car)
    source.update("b", car, car)
    with pytest.raises(ValueError, match=message):
        evaluator.merge_state(source.state() | change)
    assert len(evaluator) == 0


@pytest.mark.parametrize("name", list(KittiEvaluator().state()))
def test_every_array_is_needed(car: KittiObjects, name: str) -> None:
    evaluator = KittiEvaluator()
    evaluator.update("a", car, car)
    state = {key: array for key, array in evaluator.state().items() if key != name}
    with pytest.raises(ValueError, match=rf"not what KittiEvaluator.state\(\) returned: lacking {name}"):
        KittiEvaluator().merge_state(state)
