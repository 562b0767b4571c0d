"""The boxes of one frame as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64, Shaped

from evaluators._columns import Fault, kept_rows, not_finite
from evaluators._validation import OnInvalid
from evaluators.indoor.protocol import ClassTable

Values: TypeAlias = "np.ndarray | Sequence[Any]"
"""An array, or nested sequences that NumPy can turn into one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, init=False)
class IndoorBoxes:
    """Boxes of one frame, with scores if they were predicted.

    Numbers of any type are stored as float64, never rounded.

    Raises:
        ValueError: A column of another length or width; labels that are neither whole numbers nor text.

    Example:
        >>> found = IndoorBoxes([[0, 0, 0.5, 1, 1, 1]], labels=["chair"], scores=[0.9])
        >>> found.boxes
        array([[0. , 0. , 0.5, 1. , 1. , 1. , 0. ]])
    """

    boxes: Float64[np.ndarray, "n 7"]
    """Centre x y z, sizes dx dy dz in metres, yaw in radians, counter-clockwise from x to y seen from above;
    z points up. The centre is the middle of the box, not of its bottom. Six columns get a yaw of 0."""
    labels: Shaped[np.ndarray, " n"]
    """Class numbers (int64) or class names (text) of the table that is evaluated."""
    scores: Float64[np.ndarray, " n"] | None = None
    """Predictions only: any real number, higher is better."""

    def __init__(self, boxes: Values, labels: Values, scores: Values | None = None) -> None:
        table = _table(boxes)
        object.__setattr__(self, "boxes", table)
        object.__setattr__(self, "labels", _labels(labels, len(table)))
        object.__setattr__(self, "scores", None if scores is None else _scores(scores, len(table)))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def from_bottom_centre(cls, boxes: Values, labels: Values, scores: Values | None = None) -> IndoorBoxes:
        """Return the same from boxes whose x y z is the centre of the bottom face.

        That is what the `tensor` of an mmdet3d `DepthInstance3DBoxes` holds (its yaw turns the same way), so
        a prediction of mmdet3d becomes

            found = sample.pred_instances_3d.cpu()
            IndoorBoxes.from_bottom_centre(
                found.bboxes_3d.tensor.numpy(), found.labels_3d.numpy(), found.scores_3d.numpy()
            )

        and its ground truth, from `sample.eval_ann_info`,

            truth = sample.eval_ann_info
            IndoorBoxes.from_bottom_centre(truth["gt_bboxes_3d"].tensor.numpy(), truth["gt_labels_3d"])

        Example:
            >>> IndoorBoxes.from_bottom_centre([[0, 0, 0, 1, 1, 3, 0]], labels=[2]).boxes[0, 2].item()
            1.5
        """
        table = _table(boxes).copy()
        table[:, 2] += 0.5 * table[:, 5]
        return cls(table, labels, scores)

    @classmethod
    def empty(cls) -> IndoorBoxes:
        """Return a frame without boxes, usable as ground truth and as predictions."""
        return cls(np.zeros((0, 7)), np.zeros(0, np.int64), np.zeros(0))

    def codes(self, table: ClassTable, *, where: str) -> np.ndarray:
        """Return the class numbers in `table`, int64 [n].

        Raises:
            ValueError: A label that the table lacks; names `where` and the row (from 1).
        """
        if self.labels.dtype.kind == "U":
            numbers = {name: number for number, name in enumerate(table.classes)}
            codes = np.array([numbers.get(name, -1) for name in self.labels.tolist()], dtype=np.int64)
        else:
            codes = self.labels
        unknown = (codes < 0) | (codes >= len(table.classes))
        if unknown.any():
            row = int(np.argmax(unknown))
            raise ValueError(
                f"{where}, row {row + 1}: label {self.labels[row].item()!r} is not in the class table"
                f" {table.name!r} ({len(table.classes)} classes: {table.classes[0]} is 0, ...,"
                f" {table.classes[-1]} is {len(table.classes) - 1}); pass the table of these labels"
            )
        return codes


def valid_rows(frame: IndoorBoxes, on_invalid: OnInvalid, *, where: str) -> np.ndarray:
    """Return which rows can be evaluated, bool [n]: finite numbers and positive sizes.

    Raises:
        ValueError: A row cannot and the policy is "error"; names `where`, row (from 1) and reason.
    """
    numbers = frame.boxes if frame.scores is None else np.column_stack([frame.boxes, frame.scores])
    size = frame.boxes[:, 3:6]

    def bad_size(row: int) -> str:
        dx, dy, dz = size[row].tolist()
        return f"expected positive sizes in metres, got {dx:g} {dy:g} {dz:g}"

    faults: list[Fault] = [not_finite(numbers), (np.any(size <= 0, axis=1), bad_size)]
    return kept_rows(faults, on_invalid, where=where)


def _table(values: Values) -> np.ndarray:
    array = _numbers("boxes", values)
    if array.size == 0:
        return np.zeros((0, 7))
    if array.ndim != 2 or array.shape[1] not in (6, 7):
        raise ValueError(f"IndoorBoxes.boxes must have shape [n, 6] or [n, 7], got {list(array.shape)}")
    return array if array.shape[1] == 7 else np.pad(array, ((0, 0), (0, 1)))


def _scores(values: Values, count: int) -> np.ndarray:
    array = _numbers("scores", values)
    if array.shape != (count,):
        raise ValueError(
            f"IndoorBoxes.scores must have shape [{count}] for {count} boxes, got {list(array.shape)}"
        )
    return array


def _labels(values: Values, count: int) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"IndoorBoxes.labels must be one number or name per box ({error})") from None
    if array.shape != (count,):
        raise ValueError(
            f"IndoorBoxes.labels must have shape [{count}] for {count} boxes, got {list(array.shape)}"
        )
    if count == 0 or array.dtype.kind == "i":
        return array.astype(np.int64)
    # Larger unsigned numbers would wrap round to negative ones.
    if array.dtype.kind == "u" and int(array.max()) < 2**63:
        return array.astype(np.int64)
    if array.dtype.kind == "U":
        return array
    raise ValueError(
        f"IndoorBoxes.labels must be whole numbers or class names, got the type {array.dtype};"
        " convert them with .astype(int)"
    )


def _numbers(name: str, values: Values) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"IndoorBoxes.{name} must be an array of numbers ({error})") from None
