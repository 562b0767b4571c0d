"""The objects of one frame: ground truth and detections as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer

from evaluators._columns import Fault, kept_rows, not_finite
from evaluators._validation import OnInvalid
from evaluators.waymo.protocol import LEVEL_2_MAX_POINTS, TYPES

_CODES = [item.code for item in TYPES]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaymoGroundTruth:
    """The labelled objects of one frame.

    Give `difficulty`, `n_points` or both. Objects with no LiDAR point are left out, as by the official tool;
    those without annotated difficulty (0) are hard with up to 5 points.

    Example:
        >>> car = [[10.0, 0.0, 1.0, 4.5, 2.0, 1.6, 0.1]]
        >>> one = np.array([1])
        >>> WaymoGroundTruth(boxes=np.array(car), types=one, n_points=3 * one).levels().tolist()
        [2]
    """

    boxes: Float[np.ndarray, "_ 7"]
    """Centre x y z, length, width, height in metres, heading in radians counter-clockwise from +x, in the
    vehicle frame."""
    types: Integer[np.ndarray, " _"]
    """1 vehicle, 2 pedestrian, 3 sign, 4 cyclist."""
    difficulty: Integer[np.ndarray, " _"] | None = None
    """1 or 2; 0 is not annotated."""
    n_points: Integer[np.ndarray, " _"] | None = None
    """LiDAR points in the box."""

    def __len__(self) -> int:
        return len(self.types)

    def levels(self) -> Int64[np.ndarray, " n"]:
        """Return 1 or 2 for objects that take part, 0 for those without a LiDAR point."""
        if self.n_points is None:
            assert self.difficulty is not None  # checked before
            return self.difficulty.astype(np.int64)
        by_points = np.where(self.n_points <= LEVEL_2_MAX_POINTS, 2, 1)
        known = (
            by_points
            if self.difficulty is None
            else np.where(self.difficulty > 0, self.difficulty, by_points)
        )
        return np.where(self.n_points > 0, known, 0).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaymoPredictions:
    """The detections of one frame."""

    boxes: Float[np.ndarray, "_ 7"]
    """As in `WaymoGroundTruth`."""
    types: Integer[np.ndarray, " _"]
    scores: Float[np.ndarray, " _"]
    """0 to 1, higher is surer; compared in float32."""
    in_no_label_zone: Bool[np.ndarray, " _"] | None = None
    """True where a detection overlaps a zone without labels: unmatched, it is no false positive."""

    def __len__(self) -> int:
        return len(self.types)

    @classmethod
    def empty(cls) -> WaymoPredictions:
        """Return no detections."""
        return cls(boxes=np.zeros((0, 7)), types=np.zeros(0, np.int64), scores=np.zeros(0))


def checked_rows(
    objects: WaymoGroundTruth | WaymoPredictions, on_invalid: OnInvalid, *, where: str
) -> Bool[np.ndarray, " n"]:
    """Return which rows can be evaluated.

    Raises:
        ValueError: Arrays that do not fit together, an unknown type or difficulty, or a row is invalid and
            the policy is "error"; names `where` and the row (from 1).
    """
    _check_shapes(objects, where)
    boxes = objects.boxes.astype(np.float64)
    faults: list[Fault] = [
        not_finite(boxes),
        (np.any(boxes[:, 3:6] <= 0, axis=1), "expected positive length, width and height"),
    ]
    if isinstance(objects, WaymoPredictions):
        inside = (objects.scores >= 0) & (objects.scores <= 1)
        faults.append((~inside, "expected a score from 0 to 1 (a sigmoid makes one of logits)"))
    return kept_rows(faults, on_invalid, where=where)


def _check_shapes(objects: WaymoGroundTruth | WaymoPredictions, where: str) -> None:
    count = len(objects.types)
    columns: dict[str, np.ndarray | None] = {"types": objects.types}
    if isinstance(objects, WaymoPredictions):
        columns |= {"scores": objects.scores, "in_no_label_zone": objects.in_no_label_zone}
    else:
        columns |= {"difficulty": objects.difficulty, "n_points": objects.n_points}
    if objects.boxes.shape != (count, 7):
        raise ValueError(f"{where}: boxes must be [{count}, 7] for {count} types, got {objects.boxes.shape}")
    for name, column in columns.items():
        if column is not None and column.shape != (count,):
            raise ValueError(f"{where}: {name} must be [{count}], got {column.shape}")
    if not np.isin(objects.types, _CODES).all():
        raise ValueError(
            f"{where}: types must be 1 to 4 (vehicle, pedestrian, sign, cyclist); leave others out"
        )
    if isinstance(objects, WaymoGroundTruth):
        if objects.difficulty is None and objects.n_points is None:
            raise ValueError(f"{where}: give difficulty (1 or 2), n_points, or both")
        lowest = 0 if objects.n_points is not None else 1
        if objects.difficulty is not None and not np.isin(objects.difficulty, range(lowest, 3)).all():
            raise ValueError(f"{where}: difficulty must be 1 or 2, or 0 where n_points decides")
