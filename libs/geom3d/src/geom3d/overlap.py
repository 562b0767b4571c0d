"""Overlap of boxes: exact rotated and axis-aligned areas, IoU, GIoU, DIoU. numpy only, float64.

Boxes are `x y z dx dy dz yaw` in one frame. Common rules: the `[n, m]` forms compare every box of `boxes_a`
with every one of `boxes_b`, the `paired_` forms row by row. Any float dtype comes in. A box with an edge <= 0
has no volume and overlaps nothing (IoU 0, also with itself). Touching is no overlap. Rotated results are
exact up to rounding, so IoU of a box with itself is 1 within 1e-12 wherever it is. NaN or infinite numbers
raise ValueError. The first rotated call loads numba and, once for each machine, compiles for a few seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from geom3d.boxes import corners_bev

_Array = np.ndarray[Any, np.dtype[np.float64]]


def intersection_bev(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "m 7"]
) -> Float64[np.ndarray, "n m"]:
    """Return the areas common to rotated boxes seen from above, square metres.

    Raises:
        ValueError: Not 7 columns, or numbers that are not finite.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0]])
        >>> intersection_bev(box, box + [[0, 0, 0, 0, 0, 0, np.pi / 2]]).round(6)
        array([[4.]])
    """
    a, b = _checked(boxes_a, boxes_b, function="overlap.intersection_bev")
    return _pairwise_intersection(a, b)


def iou_bev(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "m 7"]
) -> Float64[np.ndarray, "n m"]:
    """Return the IoU of rotated boxes seen from above; z and dz do not matter.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3]])
        >>> iou_bev(box, box).tolist()
        [[1.0]]
    """
    a, b = _checked(boxes_a, boxes_b, function="overlap.iou_bev")
    return _ratio(_pairwise_intersection(a, b), _area(a)[:, None], _area(b))


def iou_3d(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "m 7"]
) -> Float64[np.ndarray, "n m"]:
    """Return the IoU of rotated boxes in space.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3]])
        >>> iou_3d(box, box + [[0.0, 0.0, 0.75, 0.0, 0.0, 0.0, 0.0]]).round(6)
        array([[0.333333]])
    """
    a, b = _checked(boxes_a, boxes_b, function="overlap.iou_3d")
    common = _pairwise_intersection(a, b) * _common_height(a[:, None], b)
    return _ratio(common, _volume(a)[:, None], _volume(b))


def iou_aligned_bev(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "m 7"]
) -> Float64[np.ndarray, "n m"]:
    """Return the IoU seen from above as if every yaw were 0. Nearest aligned boxes: `boxes.bev_aabb`.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3]])
        >>> iou_aligned_bev(box, box + [[2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]).round(6)
        array([[0.333333]])
    """
    a, b = _checked(boxes_a, boxes_b, function="overlap.iou_aligned_bev")
    return _ratio(_aligned_intersection(a[:, None], b), _area(a)[:, None], _area(b))


def iou_aligned_3d(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "m 7"]
) -> Float64[np.ndarray, "n m"]:
    """Return the IoU in space as if every yaw were 0.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3]])
        >>> iou_aligned_3d(box, box).tolist()
        [[1.0]]
    """
    a, b = _checked(boxes_a, boxes_b, function="overlap.iou_aligned_3d")
    common = _aligned_intersection(a[:, None], b) * _common_height(a[:, None], b)
    return _ratio(common, _volume(a)[:, None], _volume(b))


def iou_2d(
    boxes_a: Float[np.ndarray, "n 4"], boxes_b: Float[np.ndarray, "m 4"]
) -> Float64[np.ndarray, "n m"]:
    """Return the IoU of image boxes x0 y0 x1 y1. Lengths are x1 - x0: no "+ 1" pixel.

    Raises:
        ValueError: Not 4 columns, or numbers that are not finite.

    Example:
        >>> iou_2d(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])).round(6)
        array([[0.333333]])
    """
    a = _checked_table(boxes_a, 4, function="overlap.iou_2d", name="boxes_a")
    b = _checked_table(boxes_b, 4, function="overlap.iou_2d", name="boxes_b")
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=-1)
    area_a, area_b = (np.prod(np.maximum(t[:, 2:] - t[:, :2], 0.0), axis=-1) for t in (a, b))
    return _ratio(common, area_a[:, None], area_b)


def giou_3d(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "m 7"]
) -> Float64[np.ndarray, "n m"]:
    """Return the generalised IoU of rotated boxes in space, in [-1, 1].

    It is IoU - (volume of C - union) / volume of C. C is the upright prism over the convex hull of both
    outlines, from the lower bottom to the higher top, so that a turned box compared with itself gives 1 and
    turning the scene changes nothing. Two boxes without any hull: 0. Source: Rezatofighi et al., CVPR 2019,
    algorithm 1.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]])
        >>> giou_3d(box, box + [[3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
        array([[-0.5]])
    """
    a, b = _checked(boxes_a, boxes_b, function="overlap.giou_3d")
    left, right = np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1))
    return _giou(left, right).reshape(len(a), len(b))


def diou_3d(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "m 7"]
) -> Float64[np.ndarray, "n m"]:
    """Return the distance IoU of rotated boxes in space, in [-1, 1].

    It is IoU - (distance of centres / diagonal of C)^2. C is the smallest box around both that is parallel to
    the axes of the frame. Two boxes in one point: 0. Source: Zheng et al., AAAI 2020, equation 7.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]])
        >>> diou_3d(box, box + [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]).round(4)
        array([[-0.1667]])
    """
    a, b = _checked(boxes_a, boxes_b, function="overlap.diou_3d")
    common = _pairwise_intersection(a, b) * _common_height(a[:, None], b)
    return _ratio(common, _volume(a)[:, None], _volume(b)) - _centre_penalty(a[:, None], b)


def paired_iou_bev(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "n 7"]
) -> Float64[np.ndarray, " n"]:
    """Return `iou_bev` of row i with row i.

    Raises:
        ValueError: As `iou_bev`, or different numbers of rows.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3]])
        >>> paired_iou_bev(box, box).tolist()
        [1.0]
    """
    a, b = _checked_pairs(boxes_a, boxes_b, function="overlap.paired_iou_bev")
    return _ratio(_paired_intersection(a, b), _area(a), _area(b))


def paired_iou_3d(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "n 7"]
) -> Float64[np.ndarray, " n"]:
    """Return `iou_3d` of row i with row i.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3]])
        >>> paired_iou_3d(box, box).tolist()
        [1.0]
    """
    a, b = _checked_pairs(boxes_a, boxes_b, function="overlap.paired_iou_3d")
    return _paired_iou_3d(a, b)


def paired_giou_3d(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "n 7"]
) -> Float64[np.ndarray, " n"]:
    """Return `giou_3d` of row i with row i.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]])
        >>> paired_giou_3d(box, box).tolist()
        [1.0]
    """
    a, b = _checked_pairs(boxes_a, boxes_b, function="overlap.paired_giou_3d")
    return _giou(a, b)


def paired_diou_3d(
    boxes_a: Float[np.ndarray, "n 7"], boxes_b: Float[np.ndarray, "n 7"]
) -> Float64[np.ndarray, " n"]:
    """Return `diou_3d` of row i with row i.

    Example:
        >>> box = np.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]])
        >>> paired_diou_3d(box, box).tolist()
        [1.0]
    """
    a, b = _checked_pairs(boxes_a, boxes_b, function="overlap.paired_diou_3d")
    return _paired_iou_3d(a, b) - _centre_penalty(a, b)


def _checked_table(table: Any, columns: int, *, function: str, name: str) -> _Array:
    """Return `table` as contiguous float64; ValueError unless it is [n, columns] and finite."""
    array = np.ascontiguousarray(table, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"{function}: {name} must have shape [n, {columns}], got {list(array.shape)}")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise ValueError(
            f"{function}: {name} holds NaN or infinity (first in row {row}); drop such boxes first"
        )
    return array


def _checked(boxes_a: Any, boxes_b: Any, *, function: str) -> tuple[_Array, _Array]:
    """Return both tables of boxes as contiguous float64, checked."""
    a = _checked_table(boxes_a, 7, function=function, name="boxes_a")
    return a, _checked_table(boxes_b, 7, function=function, name="boxes_b")


def _checked_pairs(boxes_a: Any, boxes_b: Any, *, function: str) -> tuple[_Array, _Array]:
    """Return both tables as `_checked`; ValueError unless they have equally many rows."""
    a, b = _checked(boxes_a, boxes_b, function=function)
    if len(a) != len(b):
        raise ValueError(
            f"{function}: boxes_a has {len(a)} rows but boxes_b has {len(b)}; pairs need equal numbers"
        )
    return a, b


def _kernels() -> Any:
    """Return the compiled kernels; numba takes half a second to import, so the first call in need does it."""
    from geom3d import kernels

    return kernels


def _pairwise_intersection(a: _Array, b: _Array) -> _Array:
    """Return [n, m] common areas seen from above."""
    return _kernels().pairwise_intersection_bev(a, b)


def _paired_intersection(a: _Array, b: _Array) -> _Array:
    """Return [n] common areas seen from above."""
    return _kernels().paired_intersection_bev(a, b)


def _area(boxes: _Array) -> _Array:
    """Return areas seen from above, 0 where an edge is negative."""
    return np.prod(np.maximum(boxes[..., 3:5], 0.0), axis=-1)


def _volume(boxes: _Array) -> _Array:
    """Return volumes, 0 where an edge is negative."""
    return np.prod(np.maximum(boxes[..., 3:6], 0.0), axis=-1)


def _common_length(a: _Array, b: _Array, axis: int) -> _Array:
    """Return the common length along one axis, yaw ignored."""
    half_a, half_b = a[..., 3 + axis] * 0.5, b[..., 3 + axis] * 0.5
    # Only the difference of the centres enters, so that boxes far from the origin lose no digits.
    offset = b[..., axis] - a[..., axis]
    length = np.minimum(half_a, offset + half_b) - np.maximum(-half_a, offset - half_b)
    return np.maximum(length, 0.0)


def _common_height(a: _Array, b: _Array) -> _Array:
    """Return the length of the common range of z."""
    return _common_length(a, b, 2)


def _aligned_intersection(a: _Array, b: _Array) -> _Array:
    """Return the common area seen from above, yaw ignored."""
    return _common_length(a, b, 0) * _common_length(a, b, 1)


def _ratio(common: _Array, size_a: _Array, size_b: _Array) -> _Array:
    """Return common / union, 0 where either has no size."""
    union = size_a + size_b - common
    valid = (size_a > 0) & (size_b > 0)
    return np.where(valid, common, 0.0) / np.where(valid, union, 1.0)


def _paired_iou_3d(a: _Array, b: _Array) -> _Array:
    """Return the IoU in space, row by row."""
    return _ratio(_paired_intersection(a, b) * _common_height(a, b), _volume(a), _volume(b))


def _giou(a: _Array, b: _Array) -> _Array:
    """Return the generalised IoU, row by row."""
    volume_a, volume_b = _volume(a), _volume(b)
    common = _paired_intersection(a, b) * _common_height(a, b)
    union = volume_a + volume_b - common
    # Relative to the middle of the pair: absolute coordinates would cost digits of the hull.
    middle = (a[:, :3] + b[:, :3]) * 0.5
    near_a, near_b = a.copy(), b.copy()
    near_a[:, :3] -= middle
    near_b[:, :3] -= middle
    outline = np.concatenate([corners_bev(near_a), corners_bev(near_b)], axis=1)
    top = np.maximum(near_a[:, 2] + a[:, 5] * 0.5, near_b[:, 2] + b[:, 5] * 0.5)
    bottom = np.minimum(near_a[:, 2] - a[:, 5] * 0.5, near_b[:, 2] - b[:, 5] * 0.5)
    # The hull is never smaller than the union; rounding must not make it so.
    hull = np.maximum(_kernels().hull_areas(np.ascontiguousarray(outline)) * (top - bottom), union)
    waste = np.where(hull > 0, hull - union, 0.0) / np.where(hull > 0, hull, 1.0)
    return _ratio(common, volume_a, volume_b) - waste


def _centre_penalty(a: _Array, b: _Array) -> _Array:
    """Return (distance of centres / diagonal of the enclosing aligned box)^2, 0 where the diagonal is 0."""
    offset = b[..., :3] - a[..., :3]
    half_a, half_b = _half_extent(a), _half_extent(b)
    span = np.maximum(half_a, offset + half_b) - np.minimum(-half_a, offset - half_b)
    diagonal = np.sum(span * span, axis=-1)
    distance = np.sum(offset * offset, axis=-1)
    return np.where(diagonal > 0, distance, 0.0) / np.where(diagonal > 0, diagonal, 1.0)


def _half_extent(boxes: _Array) -> _Array:
    """Return half edges [..., 3] of the smallest aligned box around each turned box."""
    edges = np.maximum(boxes[..., 3:6], 0.0)
    cos, sin = np.abs(np.cos(boxes[..., 6])), np.abs(np.sin(boxes[..., 6]))
    x = edges[..., 0] * cos + edges[..., 1] * sin
    y = edges[..., 0] * sin + edges[..., 1] * cos
    return np.stack([x, y, edges[..., 2]], axis=-1) * 0.5
