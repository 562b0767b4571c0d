"""KITTI object benchmark: calibration files and boxes in its camera convention. numpy, float64.

Frames: `velo` (LiDAR: x forward, y left, z up), `cam` (rectified camera 0: x right, y down, z forward). A
KITTI box is the centre of its bottom face in `cam`, height width length, and rotation_y (clockwise seen from
above, 0 along camera x); here sizes are ordered `l h w`. Heading in LiDAR: yaw = -(pi / 2 + rotation_y).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from geom3d._arrays import check_boxes, check_last, finite_matrix
from geom3d.angles import wrap_angle
from geom3d.cameras import PinholeCamera
from geom3d.text import read_text
from geom3d.transforms import apply, invert

_Array = np.ndarray[Any, np.dtype[np.float64]]

# Field, key in the file, shape, in the order of the official files.
_ENTRIES = (
    ("p0", "P0", (3, 4)),
    ("p1", "P1", (3, 4)),
    ("p2", "P2", (3, 4)),
    ("p3", "P3", (3, 4)),
    ("r0_rect", "R0_rect", (3, 3)),
    ("velo_to_cam", "Tr_velo_to_cam", (3, 4)),
    ("imu_to_velo", "Tr_imu_to_velo", (3, 4)),
)
_OPTIONAL = ("p0", "p1", "p3", "imu_to_velo")
# How KITTI's other benchmarks and its raw recordings call the same matrices.
_SYNONYMS = {
    **{f"P_rect_0{i}": f"P{i}" for i in range(4)},
    **{"R_rect": "R0_rect", "R_rect_00": "R0_rect"},
    **{"Tr_velo_cam": "Tr_velo_to_cam", "Tr_imu_velo": "Tr_imu_to_velo"},
}

_NEAR_M = 0.1
_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))


@dataclass(frozen=True, eq=False, kw_only=True)
class KittiCalibration:
    """The matrices of one calibration file, float64.

    Raises:
        ValueError: Wrong shapes or numbers that are not finite.

    Example:
        >>> pinhole = np.array([[720.0, 0, 620, 0], [0, 720, 190, 0], [0, 0, 1, 0]])
        >>> axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]])
        >>> calibration = KittiCalibration(p2=pinhole, r0_rect=np.eye(3), velo_to_cam=axes)
        >>> car = np.array([[10.0, 2.0, -1.0, 4.0, 1.6, 1.5, 0.5]])
        >>> location, size_lhw, rotation_y = boxes_camera_from_lidar(car, calibration)
        >>> location.tolist(), size_lhw.tolist(), rotation_y.round(4).tolist()
        ([[-2.0, 1.75, 10.0]], [[4.0, 1.5, 1.6]], [-2.0708])
        >>> boxes_lidar_from_camera(location, size_lhw, rotation_y, calibration).round(4).tolist()
        [[10.0, 2.0, -1.0, 4.0, 1.6, 1.5, 0.5]]
        >>> boxes_image_from_lidar(car, calibration.camera(1242, 375)).round(1).tolist()
        [[388.2, 204.8, 591.7, 350.3]]
        >>> alpha_from_boxes(car, calibration).round(4).tolist()
        [-1.8734]
    """

    p0: np.ndarray | None = field(default=None, repr=False)
    """[3, 4]: left grey camera, or None."""
    p1: np.ndarray | None = field(default=None, repr=False)
    """[3, 4]: right grey camera, or None."""
    p2: np.ndarray = field(repr=False)
    """[3, 4]: left colour camera, the one of the object benchmark; pixels from rectified camera 0."""
    p3: np.ndarray | None = field(default=None, repr=False)
    """[3, 4]: right colour camera, or None."""
    r0_rect: np.ndarray = field(repr=False)
    """[3, 3]: rectification of camera 0."""
    velo_to_cam: np.ndarray = field(repr=False)
    """[3, 4]: LiDAR to camera 0 before rectification."""
    imu_to_velo: np.ndarray | None = field(default=None, repr=False)
    """[3, 4] or None."""

    def __post_init__(self) -> None:
        for name, _, shape in _ENTRIES:
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            matrix = finite_matrix(value, shape, function="kitti.KittiCalibration", name=name)
            object.__setattr__(self, name, matrix)

    @property
    def cam_from_lidar(self) -> np.ndarray:
        """float64 [4, 4]: rectified camera 0 from LiDAR, R0_rect @ Tr_velo_to_cam."""
        result = np.eye(4)
        result[:3] = self.r0_rect @ self.velo_to_cam
        return result

    def camera(self, width: int, height: int) -> PinholeCamera:
        """Return the left colour camera (P2, folder image_2) for a picture of the given size in pixels."""
        return PinholeCamera(
            image_from_cam=self.p2, cam_from_lidar=self.cam_from_lidar, width=width, height=height
        )


def read_calibration(path: str | Path) -> KittiCalibration:
    """Read a calibration file: lines `P2: 12 numbers`. P2, R0_rect and Tr_velo_to_cam must be there.

    The names of the tracking benchmark (`R_rect`, `Tr_velo_cam`) and of raw recordings (`P_rect_02`,
    `R_rect_00`, and `R` and `T` of the LiDAR) stand for the same matrices; the two raw files must be joined.
    Other lines are passed over.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A matrix is missing, is there twice, or has the wrong number of values or one that is no
            number; they place no camera; or the file is no text.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"kitti.read_calibration: no file {path}; expected the official tree with calib/<frame>.txt"
        )
    matrices: dict[str, _Array] = {}
    shapes = {key: shape for _, key, shape in _ENTRIES} | {"R": (3, 3), "T": (3, 1)}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        # The tracking benchmark leaves the colon out behind some names.
        name, _, values = line.strip().replace(":", " ", 1).partition(" ")
        key = _SYNONYMS.get(name, name)
        if key in matrices:
            raise ValueError(
                f"kitti.read_calibration: {path}, line {number}: {key} is there already; keep the right one"
            )
        if key in shapes:
            matrices[key] = _parse_matrix(values, shapes[key], where=f"{path}, line {number}, {name}")
    if "R" in matrices and "T" in matrices:
        matrices.setdefault("Tr_velo_to_cam", np.hstack([matrices["R"], matrices["T"]]))
    missing = [key for name, key, _ in _ENTRIES if name not in _OPTIONAL and key not in matrices]
    if missing:
        raise ValueError(
            f"kitti.read_calibration: {path} has no key {' and no '.join(missing)}, only {sorted(matrices)}; "
            "P2 (3x4), R0_rect (3x3) and Tr_velo_to_cam (3x4) are needed, rows first, as in files of the "
            "object benchmark; R0_rect of a camera that is not rectified is the identity"
        )
    calibration = KittiCalibration(**{name: matrices[key] for name, key, _ in _ENTRIES if key in matrices})
    try:
        invert(calibration.cam_from_lidar)
    except ValueError:
        raise ValueError(
            f"kitti.read_calibration: {path}: R0_rect times Tr_velo_to_cam has no inverse, so it places no "
            "camera; copy the file again"
        ) from None
    return calibration


def write_calibration(path: str | Path, calibration: KittiCalibration) -> None:
    """Write an official calibration file of the matrices that are there, with 12 decimals as official ones.

    Raises:
        FileNotFoundError: The folder does not exist.
    """
    lines: list[str] = []
    for name, key, _ in _ENTRIES:
        matrix = getattr(calibration, name)
        if matrix is not None:
            lines.append(f"{key}: " + " ".join(f"{value:.12e}" for value in matrix.ravel()))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def boxes_lidar_from_camera(
    location: Float[np.ndarray, "m 3"],
    size_lhw: Float[np.ndarray, "m 3"],
    rotation_y: Float[np.ndarray, " m"],
    calibration: KittiCalibration,
) -> Float64[np.ndarray, "m 7"]:
    """Return LiDAR boxes from labels.

    The bottom centre is moved to the LiDAR frame first and raised by half the height along LiDAR z there, as
    the common code bases do; the upright axes of the two frames differ by the tilt of the camera. Yaw lies in
    [-pi, pi).

    Args:
        location: Centre of the bottom face, rectified camera frame, metres.
        size_lhw: Length, height, width, metres (the label file has h w l).
        rotation_y: Radians.

    Raises:
        ValueError: Wrong shapes.
    """
    name = "kitti.boxes_lidar_from_camera"
    bottom_cam, size, turn = _checked_boxes(location, size_lhw, rotation_y, function=name)
    bottom = apply(invert(calibration.cam_from_lidar), bottom_cam)
    length, height, width = size[:, 0], size[:, 1], size[:, 2]
    yaw = wrap_angle(-(math.pi / 2 + turn))
    centre_z = bottom[:, 2] + height * 0.5
    return np.stack([bottom[:, 0], bottom[:, 1], centre_z, length, width, height, yaw], axis=1)


def boxes_camera_from_lidar(
    boxes_lidar: Float[np.ndarray, "m 7"], calibration: KittiCalibration
) -> tuple[Float64[np.ndarray, "m 3"], Float64[np.ndarray, "m 3"], Float64[np.ndarray, " m"]]:
    """Return location, size_lhw and rotation_y (in [-pi, pi)): the inverse of `boxes_lidar_from_camera`.

    Raises:
        ValueError: Not 7 columns.
    """
    return _camera_boxes(boxes_lidar, calibration.cam_from_lidar, function="kitti.boxes_camera_from_lidar")


def boxes_image_from_lidar(
    boxes_lidar: Float[np.ndarray, "m 7"], camera: PinholeCamera
) -> Float64[np.ndarray, "m 4"]:
    """Return the image boxes x0 y0 x1 y1 around the projected boxes, clipped to the picture.

    The picture is [0, width - 1] x [0, height - 1], as in the labels. Boxes stand upright in the camera
    frame, as KITTI's do. Parts nearer than 0.1 m in front of the camera are cut off; a box without any part
    in front gives 0 0 0 0, one beside the picture an empty box at its border.

    Raises:
        ValueError: Not 7 columns.
    """
    location, size, turn = _camera_boxes(
        boxes_lidar, camera.cam_from_lidar, function="kitti.boxes_image_from_lidar"
    )
    # [m, 12 edges, 2 ends, xyz]: ends behind the near plane slide along their edge onto it.
    edges = _corners_cam(location, size, turn)[:, np.array(_EDGES)]
    depth = edges @ camera.image_from_cam[2, :3] + camera.image_from_cam[2, 3]
    other = depth[..., ::-1]
    slides = (depth < _NEAR_M) & (other > _NEAR_M)
    share = np.where(slides, (_NEAR_M - depth) / np.where(slides, other - depth, 1.0), 0.0)
    ends = edges + share[..., None] * (edges[..., ::-1, :] - edges)
    visible = (depth >= _NEAR_M) | slides
    homogeneous = ends @ camera.image_from_cam[:, :3].T + camera.image_from_cam[:, 3]
    uv = homogeneous[..., :2] / np.where(visible, homogeneous[..., 2], 1.0)[..., None]
    low = np.where(visible[..., None], uv, np.inf).min(axis=(1, 2), initial=np.inf)
    high = np.where(visible[..., None], uv, -np.inf).max(axis=(1, 2), initial=-np.inf)
    result = np.concatenate([low, high], axis=1)
    result[~visible.any(axis=(1, 2))] = 0.0
    limits = np.array([camera.width - 1, camera.height - 1] * 2, dtype=np.float64)
    return np.clip(result, 0.0, limits)


def alpha_from_boxes(
    boxes_lidar: Float[np.ndarray, "m 7"], calibration: KittiCalibration
) -> Float64[np.ndarray, " m"]:
    """Return the observation angle rotation_y - atan2(x, z) of the camera location, in [-pi, pi).

    Raises:
        ValueError: Not 7 columns.
    """
    location, _, turn = _camera_boxes(
        boxes_lidar, calibration.cam_from_lidar, function="kitti.alpha_from_boxes"
    )
    return wrap_angle(turn - np.arctan2(location[:, 0], location[:, 2]))


def _parse_matrix(text: str, shape: tuple[int, int], *, where: str) -> _Array:
    """Return the numbers of one line as a matrix."""
    fields = text.split()
    if len(fields) != shape[0] * shape[1]:
        raise ValueError(
            f"kitti.read_calibration: {where}: expected {shape[0] * shape[1]} numbers, got {len(fields)}; "
            "the line is cut or the file damaged, copy it again"
        )
    try:
        return np.array([float(field) for field in fields]).reshape(shape)
    except ValueError as error:
        raise ValueError(
            f"kitti.read_calibration: {where}: {error}; the file is damaged, copy it again"
        ) from None


def _checked_boxes(location: Any, size_lhw: Any, rotation_y: Any, *, function: str) -> list[_Array]:
    """Return the three arrays as float64, checked."""
    arrays = [np.asarray(a, dtype=np.float64) for a in (location, size_lhw, rotation_y)]
    check_last(arrays[0], 3, function=function, name="location")
    check_last(arrays[1], 3, function=function, name="size_lhw")
    if not arrays[0].shape == arrays[1].shape == (*arrays[2].shape, 3) or arrays[2].ndim != 1:
        shapes = ", ".join(str(list(a.shape)) for a in arrays)
        raise ValueError(f"{function}: expected shapes [m, 3], [m, 3] and [m], got {shapes}")
    return arrays


def _camera_boxes(
    boxes_lidar: Any, cam_from_lidar: _Array, *, function: str
) -> tuple[_Array, _Array, _Array]:
    """Return location (bottom), size_lhw and rotation_y of LiDAR boxes."""
    check_boxes(boxes_lidar, function=function)
    b = np.asarray(boxes_lidar, dtype=np.float64)
    bottom = b[:, :3] - b[:, 5:6] * np.array([0.0, 0.0, 0.5])
    return apply(cam_from_lidar, bottom), b[:, [3, 5, 4]], wrap_angle(-(math.pi / 2 + b[:, 6]))


def _corners_cam(location: _Array, size_lhw: _Array, rotation_y: _Array) -> _Array:
    """Return [m, 8, 3] corners in the camera frame: four of the bottom, then four of the top."""
    along = np.array([1.0, 1.0, -1.0, -1.0] * 2) * 0.5 * size_lhw[:, 0:1]
    across = np.array([1.0, -1.0, -1.0, 1.0] * 2) * 0.5 * size_lhw[:, 2:3]
    up = np.array([0.0] * 4 + [1.0] * 4) * size_lhw[:, 1:2]
    cos, sin = np.cos(rotation_y)[:, None], np.sin(rotation_y)[:, None]
    offset = np.stack([along * cos + across * sin, -up, across * cos - along * sin], axis=-1)
    return location[:, None] + offset
