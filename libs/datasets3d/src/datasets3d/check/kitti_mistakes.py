"""Common mistakes in labels laid out as KITTI's, and what the boxes would be without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from geom3d import kitti as geom_kitti
from geom3d.kitti import KittiCalibration
from jaxtyping import Float64

from datasets3d.kitti.labels import KittiLabel

_HWL = "h w l"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of m labels that place boxes, as they stand in the file."""

    size_hwl: Float64[np.ndarray, "m 3"]
    location: Float64[np.ndarray, "m 3"]
    rotation_y: Float64[np.ndarray, " m"]
    calibration: KittiCalibration

    @classmethod
    def of(cls, labels: Sequence[KittiLabel], calibration: KittiCalibration) -> Columns:
        """Return the columns of labels that are no DontCare."""
        return cls(
            size_hwl=np.array([label.size_hwl for label in labels]).reshape(-1, 3),
            location=np.array([label.location for label in labels]).reshape(-1, 3),
            rotation_y=np.array([label.rotation_y for label in labels]),
            calibration=calibration,
        )

    def boxes(
        self,
        *,
        order: str = _HWL,
        shift: float = 0.0,
        mirror: float = 1.0,
        turn: Callable[[np.ndarray], np.ndarray] = lambda rotation_y: rotation_y,
    ) -> Float64[np.ndarray, "m 7"]:
        """Return LiDAR boxes as if sizes had another order, y were higher by `shift` heights, and so on."""
        size = self._sizes(order)
        location = self.location * [mirror, 1.0, 1.0]
        location[:, 1] += shift * size[:, 0]
        return geom_kitti.boxes_lidar_from_camera(
            location, size[:, [2, 0, 1]], turn(self.rotation_y), self.calibration
        )

    def boxes_in_lidar_frame(self, *, order: str, raised: float) -> Float64[np.ndarray, "m 7"]:
        """Return the boxes if place and angle were those of the LiDAR frame already."""
        size = self._sizes(order)
        centre = self.location + np.outer(size[:, 0] * raised, [0.0, 0.0, 1.0])
        return np.column_stack([centre, size[:, [2, 1, 0]], self.rotation_y])

    def _sizes(self, order: str) -> Float64[np.ndarray, "m 3"]:
        """Return height, width, length if the three columns came in this order."""
        written = order.split()
        return self.size_hwl[:, [written.index(letter) for letter in _HWL.split()]]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake: the boxes as they were meant, and the cure."""

    undone: Callable[[Columns], Float64[np.ndarray, "m 7"]]
    cure: str


def _wrong_order(order: str) -> Mistake:
    names = dict(zip("hwl", ("height", "width", "length"), strict=True))
    written = " ".join(names[letter] for letter in order.split())
    if order == "h l w":
        said = "width and length seem swapped"
    else:
        said = f"the sizes seem to be written as {written}"
    return Mistake(
        undone=lambda columns: columns.boxes(order=order),
        cure=f"{said}; the columns are height width length, with length along the heading",
    )


def _lidar_frame(order: str, raised: float) -> Mistake:
    also = "" if order == _HWL else f", and the sizes {order} instead of {_HWL}"
    return Mistake(
        undone=lambda columns: columns.boxes_in_lidar_frame(order=order, raised=raised),
        cure=f"x y z and rotation_y seem to be given in the LiDAR frame{also}; KITTI's are the bottom "
        "centre in the camera's frame (x right, y down, z forward): convert them with "
        "geom3d.kitti.boxes_camera_from_lidar",
    )


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        undone=lambda columns: columns.boxes(shift=0.5),
        cure="the labels' y seems to be the box centre; KITTI's is the bottom face: add height / 2 to y",
    ),
    Mistake(
        undone=lambda columns: columns.boxes(shift=1.0),
        cure="the labels' y seems to be the box top; KITTI's is the bottom face: add the height to y",
    ),
    *(_wrong_order(" ".join(order)) for order in permutations("hwl") if " ".join(order) != _HWL),
    Mistake(
        undone=lambda columns: columns.boxes(turn=np.deg2rad),
        cure="rotation_y seems to be in degrees; it is in radians: multiply it and alpha by pi / 180",
    ),
    Mistake(
        undone=lambda columns: columns.boxes(turn=np.negative),
        cure="rotation_y seems to have the other sign; it turns about the camera's y, which points down",
    ),
    Mistake(
        undone=lambda columns: columns.boxes(turn=lambda yaw: -(np.pi / 2 + yaw)),
        cure="rotation_y seems to be the yaw in the LiDAR frame; write -(pi / 2 + yaw)",
    ),
    Mistake(
        undone=lambda columns: columns.boxes(mirror=-1.0),
        cure="left and right seem swapped; the camera's x points right, the LiDAR's y points left",
    ),
    *(_lidar_frame(order, raised) for order in (_HWL, "l w h", "w l h") for raised in (0.0, 0.5)),
)
"""In the order in which they are believed where two explain the data equally well."""
