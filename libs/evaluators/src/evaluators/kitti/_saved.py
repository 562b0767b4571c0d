"""The state of an evaluator as plain arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluators._validation import OnInvalid, require_choice
from evaluators.kitti._rows import DETECTION_COLUMNS, LABEL_COLUMNS, Rows
from evaluators.state import State

_KIND: Final = "kitti-object state 1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """What a state holds."""

    on_invalid: OnInvalid
    frames: dict[str, bool]
    """Whether each frame lacks predictions, in the order of the rows."""
    gt: Rows
    det: Rows
    dropped: np.ndarray
    """int64 [2]: invalid rows of ground truth and detections that were left out."""


def state(
    on_invalid: OnInvalid, frames: Mapping[str, bool], gt: Rows, det: Rows, dropped: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the state of frames in the order of their names, as arrays of its own."""
    arrays = {
        "kind": np.array(_KIND),
        "on_invalid": np.array(on_invalid),
        "frames": np.array(list(frames), dtype=np.str_),
        "missing": np.array(list(frames.values()), dtype=np.bool_),
        "dropped": dropped.copy(),
    }
    for side, rows in (("gt", gt), ("det", det)):
        arrays[f"{side}_counts"] = rows.counts.copy()
        arrays[f"{side}_names"] = np.array([*rows.names, ""], dtype=np.str_)[rows.codes]
        arrays[f"{side}_values"] = rows.values.copy()
    return arrays


def empty_state(on_invalid: OnInvalid) -> dict[str, np.ndarray]:
    """Return the state of an evaluator without frames."""
    gt, det = Rows.of([], [], LABEL_COLUMNS), Rows.of([], [], DETECTION_COLUMNS)
    return state(on_invalid, {}, gt, det, np.zeros(2, dtype=np.int64))


def load(arrays: State) -> Loaded:
    """Return what the arrays of `state` hold.

    Raises:
        ValueError: The arrays are not those of such a state, or do not fit together.
    """
    try:
        if str(arrays["kind"]) != _KIND:
            raise ValueError(f"kind is {str(arrays['kind'])!r}, expected {_KIND!r}")
        require_choice(str(arrays["on_invalid"]), OnInvalid, name="on_invalid")
        on_invalid: OnInvalid = "drop" if str(arrays["on_invalid"]) == "drop" else "error"
        names = [str(name) for name in _array(arrays, "frames", "U", (None,))]
        missing = _array(arrays, "missing", "b", (len(names),))
        dropped = _array(arrays, "dropped", "i", (2,))
        if len(set(names)) != len(names) or (dropped < 0).any():
            raise ValueError("a frame is there twice, or a count is negative")
        sides = [_rows(arrays, "gt", len(names), LABEL_COLUMNS)]
        sides.append(_rows(arrays, "det", len(names), DETECTION_COLUMNS))
    except (KeyError, ValueError) as error:
        raise ValueError(f"not the state of a KittiEvaluator ({error}); make it with state()") from None
    frames = dict(zip(names, missing.tolist(), strict=True))
    return Loaded(on_invalid=on_invalid, frames=frames, gt=sides[0], det=sides[1], dropped=dropped)


def _rows(arrays: State, side: str, frames: int, columns: int) -> Rows:
    counts = _array(arrays, f"{side}_counts", "i", (frames,))
    values = _array(arrays, f"{side}_values", "f", (None, columns))
    names = _array(arrays, f"{side}_names", "U", (len(values),))
    if (counts < 0).any() or counts.sum() != len(values):
        raise ValueError(f"{side}_counts do not add up to the {len(values)} rows of {side}_values")
    known, codes = np.unique(names, return_inverse=True)
    return Rows(
        counts=counts.astype(np.int64),
        names=tuple(map(str, known)),
        codes=codes.astype(np.int64),
        values=values.astype(np.float64),
    )


def _array(arrays: State, name: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return the array of that name after a look at its type and shape, where None fits any length."""
    array = np.asarray(arrays[name])
    fits = len(array.shape) == len(shape) and all(
        expected in (None, length) for expected, length in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind != kind or not fits:
        raise ValueError(f"{name} has type {array.dtype} and shape {list(array.shape)}")
    return array
