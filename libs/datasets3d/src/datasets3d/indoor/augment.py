"""Random changes of rooms in training. Source: DSPDet3D's pipeline, after those of FCAF3D and TR3D."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from geom3d import transforms

from datasets3d._validate import check_least, check_positive, check_within
from datasets3d.indoor.room import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomAugmentation:
    """What is drawn for every room, in this order; the defaults are the published ones.

    Raises:
        ValueError: A share outside 0..1, a negative spread, a factor that is not positive.
    """

    flip_share: float = 0.5
    """How often x, and independently y, changes its sign."""
    yaw_rad: float = 0.02
    """The room turns about z by an angle drawn evenly from -yaw_rad..yaw_rad."""
    smallest_scale: float = 0.9
    """Points and boxes are multiplied by a factor drawn evenly from smallest_scale..largest_scale."""
    largest_scale: float = 1.1
    """See `smallest_scale`."""
    shift_m: float = 0.1
    """Standard deviation of a shift along each of x, y and z."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_within(self, (0, 1), "flip_share")
        check_least(self, 0, "yaw_rad", "shift_m")
        check_positive(self, "smallest_scale")
        check_least(self, self.smallest_scale, "largest_scale")


def augment_room(room: Room, config: RoomAugmentation, *, rng: np.random.Generator) -> Room:
    """Return the room flipped, turned, scaled and shifted; boxes go along and stay along the axes.

    A turned box becomes the box around it. `aligned_from_scan` is dropped: it would not lead here.

    Example:
        >>> room = Room(name="a", points=np.array([[1, 0, 0]], np.float32))
        >>> still = RoomAugmentation(
        ...     flip_share=1.0, yaw_rad=0.0, smallest_scale=2.0, largest_scale=2.0, shift_m=0.0
        ... )
        >>> augment_room(room, still, rng=np.random.default_rng(0)).points.tolist()
        [[-2.0, 0.0, 0.0]]
    """
    signs = np.where(rng.random(2) < config.flip_share, -1.0, 1.0)
    yaw = rng.uniform(-config.yaw_rad, config.yaw_rad)
    factor = rng.uniform(config.smallest_scale, config.largest_scale)
    shift = rng.normal(0.0, config.shift_m, 3)
    matrix = factor * transforms.rotation_z(yaw) @ np.diag([*signs, 1.0])
    points = (room.points @ matrix.T + shift).astype(np.float32)
    objects = room.objects
    if objects is not None:
        centers = objects.boxes[:, :3] @ matrix.T + shift
        sizes = objects.boxes[:, 3:] @ np.abs(matrix).T
        objects = replace(objects, boxes=np.concatenate([centers, sizes], axis=1).astype(np.float32))
    return replace(room, points=points + np.float32(0), objects=objects, aligned_from_scan=None)


def sample_points(room: Room, count: int, *, rng: np.random.Generator) -> Room:
    """Return exactly `count` points of the room: drawn without replacement, or with it if there are fewer.

    Raises:
        ValueError: A count below 1, or a room without points.
    """
    if count < 1:
        raise ValueError(f"sample_points: count must be at least 1, got {count}")
    if not len(room):
        raise ValueError(f"sample_points: room {room.name!r} has no points to draw from")
    return room.take(rng.choice(len(room), count, replace=len(room) < count))
