"""Scalar and pairwise overlap kernels, compiled by numba on first use.

`rotated_intersection_area` may be called from other numba functions. Importing this module imports numba, so
the package itself does not import it; `geom3d.overlap` does on its first call.
"""
# numba is not typed, so strict checking has nothing to hold on to here.
# pyright: basic

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np

from geom3d.compiled import njit

# `no_type_check` keeps run-time checkers of annotations (used in tests) out of the compiled functions.


@njit(cache=True, nogil=True)
@no_type_check
def _edge_integral(x0, y0, x1, y1, half_x, half_y, centre):
    """Integrate clamp(x, -half_x, half_x) - centre over dy along the part of a segment with |y| <= half_y."""
    rise = y1 - y0
    from_y = min(max(y0, -half_y), half_y)
    to_y = min(max(y1, -half_y), half_y)
    if from_y == to_y:
        return 0.0
    from_x, to_x = x0, x1
    if from_y != y0:
        from_x = x0 + (x1 - x0) * ((from_y - y0) / rise)
    if to_y != y1:
        to_x = x0 + (x1 - x0) * ((to_y - y0) / rise)
    low, high = min(from_x, to_x), max(from_x, to_x)
    if low >= half_x:
        mean = half_x
    elif high <= -half_x:
        mean = -half_x
    elif low >= -half_x and high <= half_x:
        mean = 0.5 * (low + high)
    else:
        # The mean of the clamped x: shares left of, inside and right of the strip. Every share is relative to
        # the width, so that nearly vertical segments on the border lose no digits.
        inner_low, inner_high = max(low, -half_x), min(high, half_x)
        left, right = inner_low - low, high - inner_high
        inner = 0.5 * (inner_low + inner_high) * (inner_high - inner_low)
        mean = (inner + half_x * (right - left)) / (high - low)
    return (mean - centre) * (to_y - from_y)


@njit(cache=True, nogil=True)
@no_type_check
def rotated_intersection_area(  # noqa: PLR0913 - scalars stay in registers
    ax, ay, adx, ady, ayaw, bx, by, bdx, bdy, byaw
):
    """Return the area common to two rotated rectangles, float64.

    Each is centre x y, edges dx dy, yaw (radians, counter-clockwise). Exact up to rounding (about 1e-15 of
    the larger area), also for identical, touching and very thin rectangles. A rectangle with an edge <= 0 has
    no area. About 0.1 microseconds; rectangles far apart cost a nanosecond.

    Method: in the frame of rectangle a (so only differences of coordinates enter, and distance from the
    origin costs no digits) the common area is the contour integral of clamp(x) dy over the outline of b, cut
    to a's range of y (Green's theorem). There is no list of vertices that rounding could corrupt.
    """
    offset_x, offset_y = bx - ax, by - ay
    # (r_a + r_b)^2 <= 2 (r_a^2 + r_b^2): no square root needed to send distant pairs away.
    reach = 0.5 * (adx * adx + ady * ady + bdx * bdx + bdy * bdy)
    if offset_x * offset_x + offset_y * offset_y >= reach:
        return 0.0
    if adx <= 0.0 or ady <= 0.0 or bdx <= 0.0 or bdy <= 0.0:
        return 0.0
    half_x, half_y = 0.5 * adx, 0.5 * ady
    cos, sin = math.cos(ayaw), math.sin(ayaw)
    centre_x = offset_x * cos + offset_y * sin
    centre_y = offset_y * cos - offset_x * sin
    cos, sin = math.cos(byaw - ayaw), math.sin(byaw - ayaw)
    front_x, front_y = 0.5 * bdx * cos, 0.5 * bdx * sin
    left_x, left_y = -0.5 * bdy * sin, 0.5 * bdy * cos
    x0, y0 = centre_x + front_x + left_x, centre_y + front_y + left_y
    x1, y1 = centre_x - front_x + left_x, centre_y - front_y + left_y
    x2, y2 = centre_x - front_x - left_x, centre_y - front_y - left_y
    x3, y3 = centre_x + front_x - left_x, centre_y + front_y - left_y
    # Any constant may be subtracted from x: it integrates to zero around the outline, and digits are saved.
    centre = min(max(centre_x, -half_x), half_x)
    area = _edge_integral(x0, y0, x1, y1, half_x, half_y, centre)
    area += _edge_integral(x1, y1, x2, y2, half_x, half_y, centre)
    area += _edge_integral(x2, y2, x3, y3, half_x, half_y, centre)
    area += _edge_integral(x3, y3, x0, y0, half_x, half_y, centre)
    return min(max(area, 0.0), adx * ady, bdx * bdy)


@njit(cache=True, nogil=True)
@no_type_check
def pairwise_intersection_bev(boxes_a, boxes_b):
    """Return [n, m] common areas seen from above of float64 [n, 7] and [m, 7]."""
    result = np.empty((boxes_a.shape[0], boxes_b.shape[0]))
    for i in range(boxes_a.shape[0]):
        for j in range(boxes_b.shape[0]):
            result[i, j] = _intersection_of_rows(boxes_a, i, boxes_b, j)
    return result


@njit(cache=True, nogil=True)
@no_type_check
def paired_intersection_bev(boxes_a, boxes_b):
    """Return [n] common areas seen from above of float64 [n, 7] and [n, 7], row by row."""
    result = np.empty(boxes_a.shape[0])
    for i in range(boxes_a.shape[0]):
        result[i] = _intersection_of_rows(boxes_a, i, boxes_b, i)
    return result


@njit(cache=True, nogil=True)
@no_type_check
def _intersection_of_rows(boxes_a, i, boxes_b, j):
    """Return the common area of row i of one table and row j of another."""
    return rotated_intersection_area(
        boxes_a[i, 0],
        boxes_a[i, 1],
        boxes_a[i, 3],
        boxes_a[i, 4],
        boxes_a[i, 6],
        boxes_b[j, 0],
        boxes_b[j, 1],
        boxes_b[j, 3],
        boxes_b[j, 4],
        boxes_b[j, 6],
    )


@njit(cache=True, nogil=True)
@no_type_check
def hull_areas(corners):
    """Return [n] areas of the convex hulls of float64 [n, k, 2] points, which get sorted (monotone chain)."""
    count, size = corners.shape[0], corners.shape[1]
    result = np.empty(count)
    hull = np.empty((2 * size, 2))
    for index in range(count):
        points = corners[index]
        _sort_by_x_then_y(points)
        length = _half_hull(points, hull, 0, 1)
        length = _half_hull(points, hull, length - 1, -1)
        area = 0.0
        for i in range(1, length - 1):
            area += _cross(hull[0], hull[i], hull[i + 1])
        result[index] = 0.5 * area
    return result


@njit(cache=True, nogil=True)
@no_type_check
def _half_hull(points, hull, start, step):
    """Write the lower (step 1) or upper (step -1) chain of sorted points to hull[start:]; return its end."""
    length = start
    first = 0 if step == 1 else points.shape[0] - 1
    for i in range(points.shape[0]):
        point = points[first + step * i]
        while length - start >= 2 and _cross(hull[length - 2], hull[length - 1], point) <= 0.0:
            length -= 1
        hull[length] = point
        length += 1
    return length


@njit(cache=True, nogil=True)
@no_type_check
def _cross(origin, a, b):
    """Return the z component of (a - origin) x (b - origin)."""
    return (a[0] - origin[0]) * (b[1] - origin[1]) - (a[1] - origin[1]) * (b[0] - origin[0])


@njit(cache=True, nogil=True)
@no_type_check
def _sort_by_x_then_y(points):
    """Sort a few points in place (insertion sort)."""
    for i in range(1, points.shape[0]):
        x, y = points[i, 0], points[i, 1]
        j = i - 1
        while j >= 0 and (points[j, 0] > x or (points[j, 0] == x and points[j, 1] > y)):
            points[j + 1, 0], points[j + 1, 1] = points[j, 0], points[j, 1]
            j -= 1
        points[j + 1, 0], points[j + 1, 1] = x, y
