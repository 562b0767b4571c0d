"""The objects of one frame as arrays, in the conventions of the KITTI label files."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Real

from evaluators._columns import column

_column = functools.partial(column, "KittiObjects")

ABSENT_SIZE = -1.0
ABSENT_LOCATION = -1000.0
ABSENT_ANGLE = -10.0
_WIDTHS = {"truncated": 0, "alpha": 0, "bbox": 4, "size_hwl": 3, "location": 3, "rotation_y": 0}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KittiObjects:
    """Objects of one frame: columns of a label or detection file, row by row in file order.

    Numbers of any type are stored as float64 (occlusion as int64). What an object does not have is written as
    in the files: size -1, location -1000, angle -10.

    Raises:
        ValueError: A column has another length than `names`, or a wrong width.

    Example:
        >>> car = KittiObjects(
        ...     names=("Car",), truncated=np.zeros(1), occluded=np.zeros(1), alpha=np.array([-1.6]),
        ...     bbox=np.array([[100, 120, 200, 180]]), size_hwl=np.array([[1.5, 1.6, 3.9]]),
        ...     location=np.array([[1, 1.7, 20]]), rotation_y=np.array([-1.5]),
        ... )
        >>> len(car), car.size_hwl.dtype.name
        (1, 'float64')
    """

    names: tuple[str, ...]
    """Class names; letter case does not matter; unknown classes and DontCare are welcome."""
    truncated: Real[np.ndarray, " n"]
    """Share outside the image, 0 to 1; -1 if not given. Read from ground truth only."""
    occluded: Real[np.ndarray, " n"]
    """0 visible, 1 partly, 2 largely, 3 unknown; -1 if not given. Read from ground truth only."""
    alpha: Real[np.ndarray, " n"]
    """Observation angle in radians; -10 if not given."""
    bbox: Real[np.ndarray, "n 4"]
    """Image box x1 y1 x2 y2 in pixels; width is x2 - x1 (nothing is added)."""
    size_hwl: Real[np.ndarray, "n 3"]
    """Height, width, length in metres, the order of the files; -1 if absent."""
    location: Real[np.ndarray, "n 3"]
    """x y z in metres of the centre of the bottom face, rectified camera frame (y down, z forward)."""
    rotation_y: Real[np.ndarray, " n"]
    """Angle about the camera's y axis in radians; -10 if absent."""
    score: Real[np.ndarray, " n"] | None = None
    """Detections only: any real number, higher is better. Not rounded."""

    def __post_init__(self) -> None:
        count = len(self.names)
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "occluded", _whole("occluded", _column("occluded", self.occluded, count, 0)))
        for name, width in _WIDTHS.items():
            object.__setattr__(self, name, _column(name, getattr(self, name), count, width))
        if self.score is not None:
            object.__setattr__(self, "score", _column("score", self.score, count, 0))

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def empty(cls) -> KittiObjects:
        """Return a frame without objects, usable as ground truth and as detections."""
        return cls.predictions((), alpha=(), bbox=(), size_hwl=(), location=(), rotation_y=(), score=())

    @classmethod
    def predictions(
        cls,
        names: Sequence[str],
        *,
        alpha: object,
        bbox: object,
        size_hwl: object,
        location: object,
        rotation_y: object,
        score: object,
    ) -> KittiObjects:
        """Return detections, from arrays or lists; the columns read from ground truth only become -1.

        Example:
            >>> found = KittiObjects.predictions(
            ...     ["Car"], alpha=[-1.6], bbox=[[100, 120, 200, 180]], size_hwl=[[1.5, 1.6, 3.9]],
            ...     location=[[1, 1.7, 20]], rotation_y=[-1.5], score=[0.9],
            ... )
            >>> found.score
            array([0.9])
        """
        absent = np.full(len(names), -1)
        return cls(
            names=tuple(names),
            truncated=absent.astype(np.float64),
            occluded=absent,
            alpha=_column("alpha", alpha, len(names), 0),
            bbox=_column("bbox", bbox, len(names), 4),
            size_hwl=_column("size_hwl", size_hwl, len(names), 3),
            location=_column("location", location, len(names), 3),
            rotation_y=_column("rotation_y", rotation_y, len(names), 0),
            score=_column("score", score, len(names), 0),
        )

    def select(self, rows: Bool[np.ndarray, " n"]) -> KittiObjects:
        """Return the rows marked True, in order."""
        columns = {name: getattr(self, name)[rows] for name in ("occluded", *_WIDTHS)}
        names = tuple(itertools.compress(self.names, rows))
        return replace(self, names=names, score=None if self.score is None else self.score[rows], **columns)


def _whole(name: str, values: np.ndarray) -> np.ndarray:
    if not np.array_equal(values, np.floor(values)):
        raise ValueError(f"KittiObjects.{name} must hold whole numbers (0 to 3, -1 for not given)")
    return values.astype(np.int64)
