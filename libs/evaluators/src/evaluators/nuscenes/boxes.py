"""Boxes of one sample as arrays, in the conventions of the nuScenes tables and submissions."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float64, Real

from evaluators._columns import column

_column = functools.partial(column, "NuscenesBoxes")

_WIDTHS = {"translation": 3, "size_wlh": 3, "rotation": 4, "velocity": 2, "num_pts": 0}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NuscenesBoxes:
    """Boxes of one sample, row by row in file order; use `predictions` or `ground_truth` to build them.

    Numbers of any type are stored as float64 (`num_pts` as int64). All samples may share the global frame of
    the data set, or each may use the frame of its vehicle: only distances inside a sample matter.

    Raises:
        ValueError: A column has another length than `names`, or a wrong width.
    """

    names: tuple[str, ...]
    """Classes."""
    translation: Real[np.ndarray, "n 3"]
    """x y z of the geometric centre in metres, z up."""
    size_wlh: Real[np.ndarray, "n 3"]
    """Width, length, height in metres; length is along x at yaw 0."""
    rotation: Real[np.ndarray, "n 4"]
    """Quaternion w x y z; only the yaw is scored."""
    velocity: Real[np.ndarray, "n 2"]
    """vx vy in m/s; NaN in ground truth if not known."""
    attributes: tuple[str, ...]
    """Attribute of each box, "" for none."""
    num_pts: Real[np.ndarray, " n"]
    """LiDAR and radar points in a ground truth box; -1 not counted. Boxes with 0 do not count."""
    score: Real[np.ndarray, " n"] | None = None
    """Detections only: 0 or more, higher is better. Not rounded."""

    def __post_init__(self) -> None:
        count = len(self.names)
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "attributes", tuple(self.attributes))
        if len(self.attributes) != count:
            raise ValueError(
                f"NuscenesBoxes.attributes must have {count} entries, as names, got {len(self.attributes)}"
            )
        for name, width in _WIDTHS.items():
            object.__setattr__(self, name, _column(name, getattr(self, name), count, width))
        object.__setattr__(self, "num_pts", _whole(self.num_pts))
        if self.score is not None:
            object.__setattr__(self, "score", _column("score", self.score, count, 0))

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def empty(cls) -> NuscenesBoxes:
        """Return no boxes, usable as ground truth and as detections."""
        return cls.predictions((), translation=(), size_wlh=(), rotation=(), velocity=(), score=())

    @classmethod
    def predictions(
        cls,
        names: Sequence[str],
        *,
        translation: object,
        size_wlh: object,
        rotation: object,
        velocity: object,
        score: object,
        attributes: Sequence[str] | None = None,
    ) -> NuscenesBoxes:
        """Return detections, from arrays or lists; without `attributes` all are "".

        Example:
            >>> found = NuscenesBoxes.predictions(
            ...     ["car"], translation=[[10, 2, 1]], size_wlh=[[1.9, 4.5, 1.6]],
            ...     rotation=rotation_from_yaw([0.1]), velocity=[[0, 0]], score=[0.8],
            ...     attributes=["vehicle.parked"],
            ... )
            >>> len(found), found.score
            (1, array([0.8]))
        """
        count = len(names)
        return cls(
            names=tuple(names),
            translation=_column("translation", translation, count, 3),
            size_wlh=_column("size_wlh", size_wlh, count, 3),
            rotation=_column("rotation", rotation, count, 4),
            velocity=_column("velocity", velocity, count, 2),
            attributes=("",) * count if attributes is None else tuple(attributes),
            num_pts=np.full(count, -1),
            score=_column("score", score, count, 0),
        )

    @classmethod
    def ground_truth(
        cls,
        names: Sequence[str],
        *,
        translation: object,
        size_wlh: object,
        rotation: object,
        velocity: object,
        attributes: Sequence[str] | None = None,
        num_pts: object = None,
    ) -> NuscenesBoxes:
        """Return ground truth, from arrays or lists; without `num_pts` all boxes count."""
        boxes = cls.predictions(
            names,
            translation=translation,
            size_wlh=size_wlh,
            rotation=rotation,
            velocity=velocity,
            score=np.zeros(len(names)),
            attributes=attributes,
        )
        counted = boxes.num_pts if num_pts is None else _column("num_pts", num_pts, len(names), 0)
        return replace(boxes, score=None, num_pts=counted)

    def select(self, rows: Bool[np.ndarray, " n"]) -> NuscenesBoxes:
        """Return the rows marked True, in order."""
        return replace(
            self,
            names=tuple(itertools.compress(self.names, rows)),
            attributes=tuple(itertools.compress(self.attributes, rows)),
            score=None if self.score is None else self.score[rows],
            **{name: getattr(self, name)[rows] for name in _WIDTHS},
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NuscenesSample:
    """Ground truth of one sample, and what decides which boxes count in it."""

    boxes: NuscenesBoxes
    ego_translation: Real[np.ndarray, " 3"] = field(default_factory=lambda: np.zeros(3))
    """Where the vehicle is, in the frame of the boxes; class ranges are measured from here."""
    racks: Real[np.ndarray, "r 10"] = field(default_factory=lambda: np.zeros((0, 10)))
    """Bicycle racks: x y z, width length height, quaternion w x y z."""


def rotation_from_yaw(yaw_rad: object) -> Float64[np.ndarray, "n 4"]:
    """Return the quaternions w x y z that turn by `yaw_rad` [n] about z, counter-clockwise.

    Example:
        >>> rotation_from_yaw([0.0]).tolist()
        [[1.0, 0.0, 0.0, 0.0]]
    """
    half = np.asarray(yaw_rad, dtype=np.float64).reshape(-1) / 2
    nothing = np.zeros_like(half)
    return np.stack([np.cos(half), nothing, nothing, np.sin(half)], axis=1)


def _whole(values: np.ndarray) -> np.ndarray:
    if not (np.isfinite(values).all() and np.array_equal(values, np.floor(values))):
        raise ValueError("NuscenesBoxes.num_pts must hold whole numbers (-1 for not counted)")
    return values.astype(np.int64)
