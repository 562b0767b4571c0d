"""What DSPDet3D gets: `RoomBatch`, made from rooms by `collate_rooms`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets3d.indoor import Room, RoomObjects
from jaxtyping import Float, Int64
from sparseops import TensorFields
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomBatch(TensorFields):
    """Rooms joined into tensors: n points and m objects, room after room, each in its own `aligned` frame.

    Raises:
        ValueError: Some of `boxes`, `labels` and `box_counts` are None and others not.
    """

    names: tuple[str, ...]
    """Of the scans."""
    points: Float[Tensor, "n 3"]
    """x y z in metres."""
    point_counts: tuple[int, ...]
    """Points of every room; may be 0."""
    boxes: Float[Tensor, "m 6"] | None = None
    """Centre x y z and size dx dy dz in metres; None without labels."""
    labels: Int64[Tensor, " m"] | None = None
    """Index of the class of every box; None without labels."""
    box_counts: tuple[int, ...] | None = None
    """Boxes of every room; None without labels."""

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if len({part is None for part in (self.boxes, self.labels, self.box_counts)}) != 1:
            raise ValueError("RoomBatch: boxes, labels and box_counts must all be given or all be None")

    def __len__(self) -> int:
        """Count the rooms."""
        return len(self.names)


def collate_rooms(rooms: Sequence[Room], class_names: Sequence[str]) -> RoomBatch:
    """Join rooms into a batch on the CPU; points keep their order, and so do the objects of these classes.

    Objects of other names are left out. A room without points, or without objects, is fine.

    Raises:
        ValueError: No rooms; a class named twice; some rooms have labels and others not; a point or a box of
            a class that is not finite. The message names the rooms.

    Example:
        >>> boxes = np.array([[0, 0, 1, 0.1, 0.1, 0.1], [3, 0, 1, 0, 5, 2]], np.float32)
        >>> objects = RoomObjects(names=("cup", "wall"), boxes=boxes)
        >>> room = Room(name="scene0000_00", points=np.zeros((4, 3), np.float32), objects=objects)
        >>> batch = collate_rooms([room, room], ("bottle", "cup"))
        >>> batch.point_counts, batch.box_counts, batch.labels.tolist()
        ((4, 4), (1, 1), [1, 1])
    """
    if not rooms:
        raise ValueError("collate_rooms: expected at least one room, got none")
    number = {name: index for index, name in enumerate(class_names)}
    if len(number) < len(class_names):
        raise ValueError(f"collate_rooms: class_names must be distinct, got {tuple(class_names)}")
    names, counts = tuple(room.name for room in rooms), tuple(len(room) for room in rooms)
    points = _finite(
        "points", names, [room.points for room in rooms], cure="remove those points when the scan is read"
    )
    objects = _labelled(rooms, number)
    if objects is None:
        return RoomBatch(names=names, points=points, point_counts=counts)
    boxes = _finite(
        "boxes",
        names,
        [found.boxes for found in objects],
        cure="leave out those objects when the labels are read",
    )
    labels = [number[name] for found in objects for name in found.names]
    return RoomBatch(
        names=names,
        points=points,
        point_counts=counts,
        boxes=boxes,
        labels=torch.tensor(labels, dtype=torch.int64),
        box_counts=tuple(len(found) for found in objects),
    )


def _labelled(rooms: Sequence[Room], number: dict[str, int]) -> list[RoomObjects] | None:
    """Return the objects of every room that have a number, None if no room has labels."""
    without = [room.name for room in rooms if room.objects is None]
    if without and len(without) < len(rooms):
        raise ValueError(
            f"collate_rooms: rooms {without} have no labels, the others do; do not mix them in a batch"
        )
    found = [room.objects for room in rooms if room.objects is not None]
    chosen = [[row for row, name in enumerate(objects.names) if name in number] for objects in found]
    return [objects.take(np.array(rows, int)) for objects, rows in zip(found, chosen, strict=True)] or None


def _finite(what: str, names: Sequence[str], rows: Sequence[np.ndarray], *, cure: str) -> Tensor:
    """Join the rows of all rooms; raise if some are not finite."""
    counts = [int((~np.isfinite(part).all(1)).sum()) for part in rows]
    bad = ", ".join(f"{count} in {name}" for name, count in zip(names, counts, strict=True) if count)
    if bad:
        raise ValueError(f"collate_rooms: {what} must be finite, got NaN or infinity: {bad}; {cure}")
    return torch.from_numpy(np.concatenate(rows))
