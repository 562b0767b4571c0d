"""Compiled loops of the indoor protocol. Import on first use only: this loads numba.

Kernels carry `no_type_check` because a run-time type check inside a compiled function cannot be compiled.
All numbers are float64, indices int64. A box is x y z dx dy dz yaw, z up, yaw counter-clockwise.
"""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from geom3d.compiled import njit
from geom3d.kernels import hull_areas, rotated_intersection_area


@njit(cache=True, error_model="numpy")
@no_type_check
def best_matches(boxes, codes, gt, gt_codes, clipped):
    """Return (gt row [d], overlap [d]) of the ground truth of the same class that overlaps most.

    The first one on ties; -1 and 0 if nothing overlaps. `clipped` takes VoteNet's overlap, which is NaN where
    it fails.
    """
    best = np.full(boxes.shape[0], -1, np.int64)
    overlaps = np.zeros(boxes.shape[0], np.float64)
    corners, gt_corners = np.empty((4, 2)), np.empty((4, 2))
    for row in range(boxes.shape[0]):
        for column in range(gt.shape[0]):
            if codes[row] != gt_codes[column]:
                continue
            a, b = boxes[row], gt[column]
            height = min(a[2] + 0.5 * a[5], b[2] + 0.5 * b[5]) - max(a[2] - 0.5 * a[5], b[2] - 0.5 * b[5])
            area = 0.0
            if clipped:
                write_corners(a, corners)
                write_corners(b, gt_corners)
                area = clipped_area(corners, gt_corners)
                # Nothing is compared with NaN afterwards: VoteNet would have stopped here.
                if math.isnan(area):
                    best[row], overlaps[row] = column, area
                    break
            elif height > 0.0:
                area = rotated_intersection_area(a[0], a[1], a[3], a[4], a[6], b[0], b[1], b[3], b[4], b[6])
            if height > 0.0 and area > 0.0:
                common = area * height
                overlap = common / (a[3] * a[4] * a[5] + b[3] * b[4] * b[5] - common)
                if overlap > overlaps[row]:
                    best[row], overlaps[row] = column, overlap
    return best, overlaps


@njit(cache=True)
@no_type_check
def write_corners(box, out):
    """Write the corners seen from above to `out[4, 2]`, counter-clockwise, rounded as VoteNet rounds them."""
    half_x, half_y = box[3] / 2, box[4] / 2
    cos, sin = math.cos(box[6]), math.sin(box[6])
    for corner in range(4):
        along = half_x if corner in (2, 3) else -half_x
        across = half_y if corner in (0, 3) else -half_y
        out[corner, 0] = cos * along - sin * across + box[0]
        out[corner, 1] = sin * along + cos * across + box[1]


@njit(cache=True)
@no_type_check
def clipped_area(subject, clip):
    """Return the common area of two counter-clockwise polygons [4, 2] as VoteNet computes it.

    Sutherland-Hodgman with a strict inside test, then the area of the convex hull. The faults are kept:
    parallel edges that coincide lose corners, or give NaN.
    """
    # Four cuts leave eight corners, or, with faults, at most half as many again after every cut.
    points, kept = np.empty((24, 2)), np.empty((24, 2))
    points[:4] = subject
    count = 4
    for edge in range(4):
        start, end = clip[edge - 1], clip[edge]
        n_kept = 0
        previous = points[count - 1]
        was_inside = is_left(start, end, previous)
        for index in range(count):
            point = points[index]
            inside = is_left(start, end, point)
            if inside != was_inside:
                write_crossing(start, end, previous, point, kept[n_kept])
                n_kept += 1
            if inside:
                kept[n_kept] = point
                n_kept += 1
            previous, was_inside = point, inside
        if n_kept == 0:
            return 0.0
        points[:n_kept] = kept[:n_kept]
        count = n_kept
    if not np.isfinite(points[:count]).all():
        return np.nan
    return hull_areas(points[:count].copy().reshape(1, count, 2))[0]


@njit(cache=True)
@no_type_check
def is_left(start, end, point):
    """Return whether the point is strictly left of the line from start to end."""
    return (end[0] - start[0]) * (point[1] - start[1]) > (end[1] - start[1]) * (point[0] - start[0])


@njit(cache=True, error_model="numpy")
@no_type_check
def write_crossing(start, end, a, b, out):
    """Write the point where the line start-end meets the line a-b; not finite if they are parallel."""
    edge_x, edge_y = start[0] - end[0], start[1] - end[1]
    side_x, side_y = a[0] - b[0], a[1] - b[1]
    edge = start[0] * end[1] - start[1] * end[0]
    side = a[0] * b[1] - a[1] * b[0]
    scale = 1.0 / (edge_x * side_y - edge_y * side_x)
    out[0] = (edge * side_x - side * edge_x) * scale
    out[1] = (edge * side_y - side * edge_y) * scale
