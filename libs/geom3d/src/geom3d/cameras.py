"""Pinhole cameras: project points to pixels and back.

Camera frame: x right, y down, z forward, metres. Pixels: u right, v down; the picture covers [0, width) x [0,
height), pixel column i covers [i, i + 1). Functions take numpy arrays or torch tensors; the camera itself
holds float64 numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from geom3d._arrays import ArrayT, check_last, check_matrix, finite_matrix, namespace, promote, untyped
from geom3d.transforms import invert_3x3


@dataclass(frozen=True, eq=False, kw_only=True)
class PinholeCamera:
    """A camera without lens distortion: where it is, how it projects, and the size of its picture.

    "LiDAR" stands for the frame the points are given in; see `with_scene` for others. Arrays are copied.

    Raises:
        ValueError: Wrong shapes, numbers that are not finite, or a width or height that is not positive.

    Example:
        >>> eye = np.eye(4)
        >>> camera = PinholeCamera(image_from_cam=eye[:3], cam_from_lidar=eye, width=640, height=480)
        >>> camera.resized(320, 240).image_from_cam[0].tolist()
        [0.5, 0.0, 0.0, 0.0]
    """

    image_from_cam: np.ndarray = field(repr=False)
    """float64 [3, 4]: homogeneous pixel from a point in the camera frame (KITTI's P2)."""
    cam_from_lidar: np.ndarray = field(repr=False)
    """float64 [4, 4]."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""

    def __post_init__(self) -> None:
        for name, shape in (("image_from_cam", (3, 4)), ("cam_from_lidar", (4, 4))):
            matrix = finite_matrix(getattr(self, name), shape, function="cameras.PinholeCamera", name=name)
            object.__setattr__(self, name, matrix)
        check_size(self.width, self.height, function="cameras.PinholeCamera")

    @property
    def image_from_lidar(self) -> np.ndarray:
        """float64 [3, 4]: homogeneous pixel from a point in the LiDAR frame."""
        return self.image_from_cam @ self.cam_from_lidar

    def mirrored(self) -> PinholeCamera:
        """Return the camera of the picture mirrored left to right: u becomes width - u."""
        return self._with_pixels([[-1.0, 0.0, float(self.width)], [0.0, 1.0, 0.0]], self.width, self.height)

    def resized(self, width: int, height: int) -> PinholeCamera:
        """Return the camera of the picture scaled to another size."""
        pixels = [[width / self.width, 0.0, 0.0], [0.0, height / self.height, 0.0]]
        return self._with_pixels(pixels, width, height)

    def cropped(self, x0: int, y0: int, width: int, height: int) -> PinholeCamera:
        """Return the camera of the part of the picture that starts at column x0, row y0.

        The part may reach beyond the picture (padding): negative x0 pads at the left.
        """
        return self._with_pixels([[1.0, 0.0, -float(x0)], [0.0, 1.0, -float(y0)]], width, height)

    def with_scene(self, lidar_from_scene: Float[np.ndarray, "4 4"]) -> PinholeCamera:
        """Return the same camera for points given in another frame, such as an augmented scene.

        After moving all points by `scene_from_lidar`, pass its inverse: the points keep their pixels.

        Raises:
            ValueError: The matrix is not 4x4.
        """
        check_matrix(
            lidar_from_scene, ((4, 4),), function="PinholeCamera.with_scene", name="lidar_from_scene"
        )
        return replace(self, cam_from_lidar=self.cam_from_lidar @ lidar_from_scene)

    def _with_pixels(self, pixels: list[list[float]], width: int, height: int) -> PinholeCamera:
        """Return the camera after an affine map of the pixels, given as two rows of u v 1."""
        matrix = np.array([*pixels, [0.0, 0.0, 1.0]])
        return replace(self, image_from_cam=matrix @ self.image_from_cam, width=width, height=height)


def project(
    points: Float[ArrayT, "*n 3"], image_from_points: Float[ArrayT, "*#n 3 4"]
) -> tuple[Float[ArrayT, "*n 2"], Float[ArrayT, "*n"]]:
    """Return the pixels u v of points, and their depths (the third homogeneous coordinate, metres).

    Points behind the camera get a mirrored pixel and a depth <= 0: pass both to `in_image`. At depth exactly
    0 the division is left out, so that nothing is infinite.

    Args:
        image_from_points: Such as `camera.image_from_lidar`; one 3x4 matrix for all points.

    Raises:
        ValueError: Wrong shapes.

    Example:
        >>> uv, depth = project(np.array([[1.0, 2.0, 4.0]]), np.eye(4)[:3])
        >>> uv.tolist(), depth.tolist()
        ([[0.25, 0.5]], [4.0])
    """
    check_last(points, 3, function="cameras.project", name="points")
    check_matrix(image_from_points, ((3, 4),), function="cameras.project", name="image_from_points")
    p, matrix = promote(points, image_from_points)
    xp = namespace(p)
    homogeneous = p @ xp.matrix_transpose(matrix[..., :3]) + matrix[..., 3]
    depth = homogeneous[..., 2]
    divisor = xp.where(depth == 0, xp.ones_like(depth), depth)
    return homogeneous[..., :2] / divisor[..., None], depth


def in_image(
    uv: Float[ArrayT, "*n 2"], depth: Float[ArrayT, "*n"], *, width: int, height: int, min_depth: float = 0.0
) -> Bool[ArrayT, "*n"]:
    """Mark pixels inside the picture with 0 <= u < width, 0 <= v < height and depth > min_depth (metres).

    Raises:
        ValueError: Wrong shapes, or a width or height that is not positive.

    Example:
        >>> in_image(np.array([[0.0, 0.0], [4.0, 0.0]]), np.array([1.0, 1.0]), width=4, height=3).tolist()
        [True, False]
    """
    check_last(uv, 2, function="cameras.in_image", name="uv")
    check_size(width, height, function="cameras.in_image")
    u, v, d = untyped(uv)[..., 0], untyped(uv)[..., 1], untyped(depth)
    return (u >= 0) & (u < width) & (v >= 0) & (v < height) & (d > min_depth)


def unproject(
    uv: Float[ArrayT, "*n 2"], depth: Float[ArrayT, "*n"], image_from_cam: Float[ArrayT, "3 4"]
) -> Float[ArrayT, "*n 3"]:
    """Return the points that `project` maps to pixels `uv` with `depth`: its inverse.

    Raises:
        ValueError: Wrong shapes, or the left 3x3 block is singular.

    Example:
        >>> unproject(np.array([[0.25, 0.5]]), np.array([4.0]), np.eye(4)[:3]).tolist()
        [[1.0, 2.0, 4.0]]
    """
    check_last(uv, 2, function="cameras.unproject", name="uv")
    check_matrix(image_from_cam, ((3, 4),), function="cameras.unproject", name="image_from_cam")
    pixels, d, matrix = promote(uv, depth, image_from_cam)
    xp = namespace(pixels)
    inverse = invert_3x3(matrix[:, :3], function="cameras.unproject", name="image_from_cam")
    homogeneous = xp.concat([pixels, xp.ones_like(pixels[..., :1])], axis=-1) * d[..., None]
    return (homogeneous - matrix[:, 3]) @ xp.matrix_transpose(inverse)


def check_size(width: Any, height: Any, *, function: str) -> None:
    """Raise ValueError unless both are positive."""
    if width <= 0 or height <= 0:
        raise ValueError(f"{function}: width and height must be positive, got {width} x {height}")
