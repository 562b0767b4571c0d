"""The typed scan of a room: `Room`, and the labelled `RoomObjects` in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from datasets3d._validate import check_array


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomObjects:
    """The labelled objects of one room, as columns of equal length m (m may be 0).

    Raises:
        TypeError: A column has another dtype than stated here.
        ValueError: A column has another shape, or a size is negative; the message names the column.

    Example:
        >>> objects = RoomObjects.empty()
        >>> len(objects), objects.boxes.shape
        (0, (0, 6))
    """

    names: tuple[str, ...]
    """Class names as the label set spells them."""
    boxes: Float32[np.ndarray, "m 6"]
    """Centre x y z and sizes dx dy dz in metres, along the axes of the `aligned` frame."""
    instances: Int32[np.ndarray, " m"] | None = None
    """Number of the object in `Room.instances`; None if the data set does not say."""

    def __post_init__(self) -> None:
        """Check lengths, shapes and dtypes."""
        count = len(self.names)
        check_array("RoomObjects.boxes", self.boxes, np.float32, (count, 6))
        if self.instances is not None:
            check_array("RoomObjects.instances", self.instances, np.int32, (count,))
        if not (self.boxes[:, 3:] >= 0).all():
            raise ValueError("RoomObjects.boxes: sizes (columns 3 to 5) must not be negative or NaN")

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.names)

    def take(self, index: np.ndarray) -> RoomObjects:
        """Return the objects of `index` (row numbers or a mask), in that order."""
        rows = np.arange(len(self))[index]
        return RoomObjects(
            names=tuple(self.names[row] for row in rows),
            boxes=self.boxes[rows],
            instances=None if self.instances is None else self.instances[rows],
        )

    @classmethod
    def empty(cls) -> RoomObjects:
        """Return no objects."""
        return cls(names=(), boxes=np.zeros((0, 6), np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One scan of a room (or of a building) in the `aligned` frame: z up, walls along x and y, metres.

    Raises:
        TypeError: An array has another dtype than stated here.
        ValueError: An array has another shape; the message names it.
    """

    name: str
    """Of the scan, as its data set writes it (`scene0000_00`)."""
    points: Float32[np.ndarray, "n 3"]
    """x y z in metres; n may be 0."""
    colors: UInt8[np.ndarray, "n 3"] | None = None
    """Red, green and blue of every point."""
    classes: Int32[np.ndarray, " n"] | None = None
    """Number of every point's class in the label set, -1 for none of them."""
    instances: Int32[np.ndarray, " n"] | None = None
    """Number of the object that every point belongs to, -1 for none."""
    objects: RoomObjects | None = None
    """None where the scan has no labels (test scans, own scans); an empty set says that there are none."""
    aligned_from_scan: Float64[np.ndarray, "4 4"] | None = None
    """What took the points of the file into this frame; None if they were in it."""

    def __post_init__(self) -> None:
        """Check lengths, shapes and dtypes."""
        count = len(self.points)
        columns: tuple[tuple[str, Any, tuple[int, ...]], ...] = (
            ("points", np.float32, (count, 3)),
            ("colors", np.uint8, (count, 3)),
            ("classes", np.int32, (count,)),
            ("instances", np.int32, (count,)),
            ("aligned_from_scan", np.float64, (4, 4)),
        )
        for name, dtype, shape in columns:
            value = getattr(self, name)
            if name == "points" or value is not None:
                check_array(f"Room.{name}", value, dtype, shape)

    def __len__(self) -> int:
        """Count the points."""
        return len(self.points)

    def take(self, index: np.ndarray) -> Room:
        """Return the points of `index` (row numbers or a mask), in that order; objects stay as they are."""
        columns = ("points", "colors", "classes", "instances")
        taken = {name: value[index] for name in columns if (value := getattr(self, name)) is not None}
        return replace(self, **taken)
