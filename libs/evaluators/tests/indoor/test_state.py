import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators.indoor import ClassTable, IndoorBoxes, IndoorEvaluator
from evaluators.state import Evaluator, read_state, write_state

MakeScenes = Callable[..., tuple[dict[str, IndoorBoxes], dict[str, IndoorBoxes]]]
BOX = [[0.0, 0.0, 0.5, 1.0, 1.0, 1.0]]


def test_the_state_survives_a_file(make_scenes: MakeScenes, three: ClassTable, tmp_path: Path) -> None:
    gt, pred = make_scenes(4, 6)
    evaluator = IndoorEvaluator(classes=three, on_invalid="drop")
    assert isinstance(evaluator, Evaluator)
    for name in gt:
        evaluator.update(name, gt[name], pred[name])
    broken = IndoorBoxes([[math.nan] * 7], [0], [0.5])
    evaluator.update("z", broken, None)
    path = tmp_path / "state.npz"
    write_state(path, evaluator)
    copy = IndoorEvaluator(classes=three, on_invalid="drop")
    copy.merge_state(read_state(path))
    assert copy.compute().to_json() == evaluator.compute().to_json()
    assert (copy.compute().counts.n_missing, copy.compute().counts.n_dropped_gt) == (1, 1)
    copy.reset()
    assert len(copy) == 0


def test_an_empty_state_can_be_merged(three: ClassTable) -> None:
    evaluator = IndoorEvaluator(classes=three)
    evaluator.merge_state(IndoorEvaluator(classes=three).state())
    assert len(evaluator) == 0


@pytest.mark.parametrize(
    "other",
    [
        IndoorEvaluator(classes="sunrgbd"),
        IndoorEvaluator(protocol="votenet"),
        IndoorEvaluator(on_invalid="drop"),
    ],
)
def test_other_settings_are_refused(other: IndoorEvaluator) -> None:
    with pytest.raises(ValueError, match="the other evaluator has other settings"):
        IndoorEvaluator().merge(other)
    with pytest.raises(ValueError, match="the other evaluator has other settings"):
        IndoorEvaluator().merge_state(other.state())


def test_a_scene_counts_once(make_scenes: MakeScenes, three: ClassTable) -> None:
    gt, pred = make_scenes(4, 2)
    first = IndoorEvaluator(classes=three)
    first.update("a", *(next(iter(scenes.values())) for scenes in (gt, pred)))
    with pytest.raises(ValueError, match="frame 'a' was added before"):
        first.update("a", IndoorBoxes.empty(), None)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: a;"):
        first.merge(first)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: a;"):
        first.merge_state(first.state())
    assert len(first) == 1


BROKEN = {
    "settings": None,
    "scores": None,
    "best_gt": np.array([5, 0]),
    "overlaps": np.array([np.nan, 0.5]),
    "pred_codes": np.array([0, 18]),
    "n_pred": np.array([3]),
    "n_gt": np.array([-1]),
    "scenes": np.array([["a"]]),
    "gt_codes": np.array([0.0]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_state_is_refused(name: str) -> None:
    evaluator = IndoorEvaluator()
    evaluator.update("a", IndoorBoxes(BOX, [0]), IndoorBoxes(BOX * 2, [0, 0], [0.5, 0.6]))
    state = evaluator.state()
    if BROKEN[name] is None:
        del state[name]
    else:
        state[name] = BROKEN[name]
    with pytest.raises(ValueError, match=r"what IndoorEvaluator\.state"):
        IndoorEvaluator().merge_state(state)
