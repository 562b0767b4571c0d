"""Making a pasted object agree with the picture: re-projection, crops, and who owns a pixel."""

import numpy as np
from geom3d import boxes, cameras, transforms
from geom3d.cameras import PinholeCamera


def reproject(xyz: np.ndarray, *, source: PinholeCamera, target: PinholeCamera) -> np.ndarray:
    """Move points so that the target camera sees them at the pixel and depth at which the source camera did.

    Points are x y z in metres [n, 3], each side in its own LiDAR frame.
    """
    uv, depth_m = cameras.project(xyz, source.image_from_lidar)
    xyz_cam = cameras.unproject(uv, depth_m, target.image_from_cam)
    return transforms.apply(transforms.invert(target.cam_from_lidar), xyz_cam)


def refit_box(corners: np.ndarray) -> np.ndarray:
    """Return the box x y z dx dy dz yaw of eight corners [8, 3]: mean corner, mean edges, mean heading."""
    along_x = corners[[0, 1, 4, 5]] - corners[[3, 2, 7, 6]]
    along_y = corners[[0, 3, 4, 7]] - corners[[1, 2, 5, 6]]
    along_z = corners[4:] - corners[:4]
    size = [np.linalg.norm(edges, axis=1).mean() for edges in (along_x, along_y, along_z)]
    heading = along_x.mean(axis=0)
    return np.array([*corners.mean(axis=0), *size, np.arctan2(heading[1], heading[0])])


def reproject_box(box: np.ndarray, *, source: PinholeCamera, target: PinholeCamera) -> np.ndarray:
    """Move a box [7] as `reproject` moves points."""
    return refit_box(reproject(boxes.corners(box), source=source, target=target))


def road_height(xyz: np.ndarray, plane_cam: np.ndarray, camera: PinholeCamera) -> np.ndarray:
    """Return the road's z (LiDAR frame, metres) at the places [n, 3], seen straight along the camera's y."""
    xyz_cam = transforms.apply(camera.cam_from_lidar, xyz)
    a, b, c, d = plane_cam
    xyz_cam[:, 1] = -(a * xyz_cam[:, 0] + c * xyz_cam[:, 2] + d) / b
    return transforms.apply(transforms.invert(camera.cam_from_lidar), xyz_cam)[:, 2]


class Canvas:
    """A picture under pasting, and the number of the paste that owns each pixel (-1: the scene)."""

    def __init__(self, image: np.ndarray) -> None:
        self.image: np.ndarray = image.copy()
        self.owner: np.ndarray = np.full(image.shape[:2], -1, np.int32)

    def paste(
        self,
        number: int,
        crop: np.ndarray,
        *,
        crop_origin: tuple[int, int],
        source_box: tuple[float, float, float, float],
        box: np.ndarray,
    ) -> None:
        """Paste the part of the source picture about the centre of `source_box`, as large as `box`.

        What the crop does not hold is not pasted; the piece is then centred in `box`, which lies in the
        picture. Pixels are cut off, not rounded, as in the released code.
        """
        (u0, v0, u1, v1), (a0, b0, a1, b1) = box.tolist(), source_box
        u_to, u_from, width = _span((u0, u1), (a0, a1), origin=crop_origin[0], length=crop.shape[1])
        v_to, v_from, height = _span((v0, v1), (b0, b1), origin=crop_origin[1], length=crop.shape[0])
        if width <= 0 or height <= 0:
            return
        piece = crop[v_from : v_from + height, u_from : u_from + width]
        self.image[v_to : v_to + height, u_to : u_to + width] = piece
        self.owner[v_to : v_to + height, u_to : u_to + width] = number

    def owned(self, uv: np.ndarray, number: int) -> np.ndarray:
        """Mark the pixels [n, 2] that belong to this paste, bool [n].

        Outside the picture the pixel of its border decides: cut-off objects have points there.
        """
        height, width = self.image.shape[:2]
        u, v = np.clip(uv, 0, (width - 1, height - 1)).astype(np.int64).T
        return self.owner[v, u] == number


def _span(
    box: tuple[float, float], source_box: tuple[float, float], *, origin: int, length: int
) -> tuple[int, int, int]:
    """Return (start in the target, start in the crop, length) along one axis."""
    first, last = int(box[0]), int(box[1])
    centre, half = sum(source_box) / 2, (last - first) / 2
    start, stop = max(int(centre - half), origin), min(int(centre + half), origin + length)
    kept = stop - start
    to = first if kept == last - first else int((first + last - kept) / 2)
    return to, start - origin, kept
