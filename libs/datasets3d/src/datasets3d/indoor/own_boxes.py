"""Boxes found in the scan of a room: taken back to its own coordinates, and written for others to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Integer, UInt8

from datasets3d import _atomic, _ply
from datasets3d._validate import check_array

MAX_TILT_RAD = 0.02
"""A frame whose z is no more off than this takes boxes that stand upright in the room for upright ones."""
EDGES = (
    *((0, 1), (1, 3), (3, 2), (2, 0), (4, 5), (5, 7)),
    *((7, 6), (6, 4), (0, 4), (1, 5), (2, 6), (3, 7)),
)
"""Of a box, as rows of its corners."""
_SIGNS = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], np.float64) / 2
_TUBE = 4
"""Sides of the tubes that stand for edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBoxes:
    """Boxes in any frame and unit, standing upright in the room but not necessarily in this frame."""

    centres: Float64[np.ndarray, "n 3"]
    sizes: Float64[np.ndarray, "n 3"]
    """Along the axes of the box."""
    axes: Float64[np.ndarray, "3 3"]
    """Columns are the axes of all boxes, right-handed, of length 1; the third points up in the room."""

    def __len__(self) -> int:
        """Count the boxes."""
        return len(self.centres)

    @property
    def corners(self) -> Float64[np.ndarray, "n 8 3"]:
        """Corners, four below and four above; see `EDGES`."""
        return self.centres[:, None] + (_SIGNS * self.sizes[:, None]) @ self.axes.T


def own_boxes(
    boxes: Float[np.ndarray, "n 6"], own_from_repaired: Float64[np.ndarray, "4 4"] | None = None
) -> OwnBoxes:
    """Return boxes of a repaired room in the coordinates and the unit of its file.

    Args:
        boxes: Centre x y z and sizes dx dy dz, metres, along the axes of the repaired room.
        own_from_repaired: Of `RepairedRoom`: turns, scales, shifts, and may mirror. None: as they are.

    Raises:
        ValueError: A matrix that stretches, or boxes of another shape.

    Example:
        >>> millimetres = np.diag([1e3, 1e3, 1e3, 1.0])
        >>> own_boxes(np.array([[1.0, 2.0, 0.5, 0.4, 0.5, 1.0]]), millimetres).centres.tolist()
        [[1000.0, 2000.0, 500.0]]
    """
    check_array("boxes", boxes, boxes.dtype, (None, 6))
    matrix = np.eye(4) if own_from_repaired is None else own_from_repaired
    check_array("own_from_repaired", matrix, np.float64, (4, 4))
    linear = matrix[:3, :3]
    scale = float(np.abs(np.linalg.det(linear))) ** (1 / 3)
    if not 0 < scale < np.inf or np.abs(linear.T @ linear - scale**2 * np.eye(3)).max() > 1e-6 * scale**2:
        raise ValueError("own_boxes: own_from_repaired must turn, scale, shift and mirror, nothing else")
    axes = linear / scale
    if np.linalg.det(axes) < 0:  # a box is its own mirror image
        axes = axes * [1.0, -1.0, 1.0]
    centres = boxes[:, :3].astype(np.float64) @ linear.T + matrix[:3, 3]
    return OwnBoxes(centres=centres, sizes=boxes[:, 3:].astype(np.float64) * scale, axes=axes)


def upright_boxes(boxes: OwnBoxes) -> Float64[np.ndarray, "n 7"]:
    """Return centre x y z, sizes dx dy dz and yaw (counter-clockwise, seen from above) in a frame with z up.

    In a frame that is a little tilted (at most `MAX_TILT_RAD`) they stand upright in that frame.

    Raises:
        ValueError: A frame whose z is not up; use `OwnBoxes.corners` there.
    """
    up = boxes.axes[:, 2]
    if up[2] < np.cos(MAX_TILT_RAD):
        raise ValueError(
            f"upright_boxes: up is {np.round(up, 3).tolist()} in this frame, expected 0 0 1; boxes aslant "
            "have no yaw, take their corners"
        )
    yaw = np.arctan2(boxes.axes[1, 0], boxes.axes[0, 0])
    return np.column_stack([boxes.centres, boxes.sizes, np.full(len(boxes), yaw)])


def write_boxes_json(
    path: Path | str,
    boxes: Float[np.ndarray, "n 6"],
    *,
    labels: Integer[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    class_names: Sequence[str],
    own_from_repaired: Float64[np.ndarray, "4 4"] | None = None,
) -> None:
    """Write boxes of one scan as JSON, whole or not at all.

    Entries: `boxes` [n, 6], `labels` [n] (class numbers), `scores` [n] and `names` [n] (of the classes), as
    evaluators of rooms read them, in the frame of the room: z up, metres. With `own_from_repaired` also this
    matrix, and `corners_own` [n, 8, 3] in the coordinates and the unit of the scan's file.

    Args:
        path: The file; missing folders are made.
        boxes: Centre x y z and sizes dx dy dz.
        labels: Places in `class_names`.
        scores: The higher the surer.
        class_names: Of all classes.
        own_from_repaired: Of a repaired scan.

    Raises:
        ValueError: Columns of different lengths, a label that is no class, or numbers that are not finite.
    """
    count = len(boxes)
    check_array("labels", labels, labels.dtype, (count,))
    check_array("scores", scores, scores.dtype, (count,))
    if count and not 0 <= labels.min() <= labels.max() < len(class_names):
        raise ValueError(
            f"write_boxes_json: labels must be 0..{len(class_names) - 1}, got {labels.min()}..{labels.max()}"
        )
    content = {
        "boxes": _numbers(boxes),
        "labels": labels.tolist(),
        "scores": _numbers(scores),
        "names": [class_names[label] for label in labels.tolist()],
    }
    if own_from_repaired is not None:
        content["own_from_repaired"] = own_from_repaired.tolist()
        content["corners_own"] = own_boxes(boxes, own_from_repaired).corners.round(6).tolist()
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("write_boxes_json: boxes and scores must be finite")
    _atomic.write_json(Path(path), content)


def write_boxes_ply(
    path: Path | str,
    corners: Float[np.ndarray, "n 8 3"],
    *,
    colours_rgb: UInt8[np.ndarray, "n 3"],
    radius: float | None = None,
) -> None:
    """Write the edges of boxes as thin coloured tubes: a mesh to be opened beside the scan.

    Faces are what MeshLab, CloudCompare and all others show. Edge elements, which the format has as well, are
    nothing to CloudCompare, and lines of one pixel vanish in a dense scan.

    Args:
        path: The file; missing folders are made.
        corners: Of `OwnBoxes`, in the frame of the scan that they are shown with.
        colours_rgb: A colour a box.
        radius: Of the tubes, in the unit of the corners; None: 1/150 of the mean size of the boxes, 1/500 of
            the extent of all at most.

    Raises:
        ValueError: Not one colour a box.
    """
    check_array("corners", corners, corners.dtype, (None, 8, 3))
    check_array("colours_rgb", colours_rgb, np.uint8, (len(corners), 3))
    vertices, triangles = _tubes(corners.astype(np.float64), _radius(corners) if radius is None else radius)
    colours = np.repeat(colours_rgb, len(EDGES) * 2 * _TUBE, axis=0)
    _ply.write_mesh(path, vertices.astype(np.float32), triangles, colours_rgb=colours)


def write_boxed_scan(
    path: Path | str,
    points: Float32[np.ndarray, "n 3"],
    corners: Float[np.ndarray, "m 8 3"],
    *,
    point_colours_rgb: UInt8[np.ndarray, "n 3"] | None,
    box_colours_rgb: UInt8[np.ndarray, "m 3"],
) -> None:
    """Write a scan and the edges of boxes, as rows of dots, as one cloud that every viewer shows at once.

    The column `box` is the row of the box that a dot belongs to, -1 of the scan. Scans without colours are
    grey.

    Raises:
        ValueError: Not one colour a box, or a point.
    """
    check_array("corners", corners, corners.dtype, (None, 8, 3))
    check_array("box_colours_rgb", box_colours_rgb, np.uint8, (len(corners), 3))
    if point_colours_rgb is None:
        point_colours_rgb = np.full((len(points), 3), 170, np.uint8)
    dots, of_box = _dots(corners.astype(np.float64), step=2 * _radius(corners))
    _ply.write_ply(
        path,
        np.concatenate([points, dots.astype(np.float32)]),
        colours_rgb=np.concatenate([point_colours_rgb, box_colours_rgb[of_box]]),
        columns={"box": np.concatenate([np.full(len(points), -1, np.int32), of_box.astype(np.int32)])},
    )


def _numbers(values: np.ndarray) -> list:
    return values.astype(np.float64).round(6).tolist()


def _ends(corners: Float64[np.ndarray, "n 8 3"]) -> tuple[np.ndarray, np.ndarray]:
    start, end = np.array(EDGES).T
    return corners[:, start].reshape(-1, 3), corners[:, end].reshape(-1, 3)


def _radius(corners: Float[np.ndarray, "n 8 3"]) -> float:
    if not len(corners):
        return 1.0
    diagonals = np.linalg.norm(corners[:, 7] - corners[:, 0], axis=1)
    whole = np.linalg.norm(np.ptp(corners.reshape(-1, 3).astype(np.float64), axis=0))
    return max(min(float(diagonals.mean()) / 150, float(whole) / 500), 1e-9)


def _tubes(
    corners: Float64[np.ndarray, "n 8 3"], radius: float
) -> tuple[Float64[np.ndarray, "v 3"], Integer[np.ndarray, "t 3"]]:
    """Return vertices, `_TUBE` at either end of every edge, and triangles of tubes without ends."""
    start, end = _ends(corners)
    along = end - start
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    aside = np.eye(3)[np.argmin(np.abs(along), axis=1)]
    first = np.cross(along, aside)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    second = np.cross(along, first)
    turns = (np.arange(_TUBE) + 0.5) * 2 * np.pi / _TUBE
    ring = radius * (np.cos(turns)[:, None] * first[:, None] + np.sin(turns)[:, None] * second[:, None])
    # Longer by the radius, so that tubes meet at the corners.
    ends = [(start - radius * along)[:, None] + ring, (end + radius * along)[:, None] + ring]
    vertices = np.concatenate(ends, axis=1).reshape(-1, 3)
    near = np.arange(_TUBE)
    following = (near + 1) % _TUBE
    quads = [[near, following, near + _TUBE], [following, following + _TUBE, near + _TUBE]]
    one = np.concatenate([np.stack(corner, axis=1) for corner in quads])
    triangles = one[None] + 2 * _TUBE * np.arange(len(start))[:, None, None]
    return vertices, triangles.reshape(-1, 3).astype(np.int32)


def _dots(
    corners: Float64[np.ndarray, "n 8 3"], *, step: float
) -> tuple[Float64[np.ndarray, "k 3"], Int64[np.ndarray, " k"]]:
    """Return points along the edges no farther apart than `step`, and the box of each."""
    start, end = _ends(corners)
    counts = np.ceil(np.linalg.norm(end - start, axis=1) / step).astype(np.int64) + 1
    edge = np.repeat(np.arange(len(start)), counts)
    at = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (at / np.maximum(counts[edge] - 1, 1))[:, None]
    return start[edge] + share * (end - start)[edge], edge // len(EDGES)
