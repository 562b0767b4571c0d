"""Nearest neighbours by a k-d tree with tight boxes; every search is exact.

The distance to a box is rounded like the distance to a point, coordinate by coordinate. So a box is never
farther than a point in it, in floating point either, and leaving out boxes beyond the worst neighbour loses
nothing.
"""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange

_LEAF_POINTS = 16
_QUERIES_PER_TASK = 64


# No NaN gets here, and the smallest and the largest number do not depend on the order: vector lanes are safe.
@njit(cache=True, fastmath={"nnan", "nsz"})
@no_type_check
def _extent(values):
    low = high = values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
    return low, high


@njit(cache=True)
@no_type_check
def _split(xyz, rows, spare_xyz, spare_rows, axis, middle):
    """Move points below `middle` to the front, both parts in their order; return how many they are."""
    left = right = 0
    for i in range(len(rows)):
        below = xyz[axis, i] < middle
        # Written to both sides, kept on one: no branch to mispredict.
        for a in range(3):
            value = xyz[a, i]
            xyz[a, left] = spare_xyz[a, right] = value
        row = rows[i]
        rows[left] = spare_rows[right] = row
        left += below
        right += 1 - below
    for a in range(3):
        xyz[a, left:] = spare_xyz[a, :right]
    rows[left:] = spare_rows[:right]
    return left


@njit(cache=True)
@no_type_check
def _build(points, start, stop):
    """Halve the box of the points at its widest side, again and again.

    Returns coordinates [3, n] and rows [n] of the finite points in tree order; of every node the box [6], its
    first child (0: a leaf; the second child follows) and its span of points [3]; and the number of levels.
    """
    xyz, rows = np.empty((3, stop - start), points.dtype), np.empty(stop - start, np.int32)
    count = 0
    for i in range(start, stop):
        if np.isfinite(points[i, 0]) and np.isfinite(points[i, 1]) and np.isfinite(points[i, 2]):
            rows[count] = i - start
            xyz[0, count], xyz[1, count], xyz[2, count] = points[i, 0], points[i, 1], points[i, 2]
            count += 1
    spare_xyz, spare_rows = np.empty((3, count), points.dtype), np.empty(count, np.int32)
    boxes, nodes = np.empty((2 * count, 6), points.dtype), np.empty((2 * count, 3), np.int32)
    if count:
        nodes[0, 1], nodes[0, 2] = 0, count
    total = level_end = min(count, 1)
    levels = node = 0
    while node < total:
        first, last = nodes[node, 1], nodes[node, 2]
        axis = 0
        for a in range(3):
            boxes[node, a], boxes[node, a + 3] = _extent(xyz[a, first:last])
            if boxes[node, a + 3] - boxes[node, a] > boxes[node, axis + 3] - boxes[node, axis]:
                axis = a
        low, high = boxes[node, axis], boxes[node, axis + 3]
        nodes[node, 0] = 0
        if last - first > _LEAF_POINTS and low < high:
            middle = np.float64(low) / 2 + np.float64(high) / 2
            if not (low < middle and middle <= high):
                middle = np.float64(high)
            part = first + _split(xyz[:, first:last], rows[first:last], spare_xyz, spare_rows, axis, middle)
            nodes[node, 0] = total
            nodes[total, 1], nodes[total, 2] = first, part
            nodes[total + 1, 1], nodes[total + 1, 2] = part, last
            total += 2
        node += 1
        if node == level_end:
            levels += 1
            level_end = total
    return xyz, rows, boxes, nodes, levels


@njit(cache=True)
@no_type_check
def _distance_to_box(box, x, y, z):
    zero = x - x
    dx = max(max(box[0] - x, x - box[3]), zero)
    dy = max(max(box[1] - y, y - box[4]), zero)
    dz = max(max(box[2] - z, z - box[5]), zero)
    return (dx * dx + dy * dy) + dz * dz


@njit(cache=True)
@no_type_check
def _insert(squared, idx, distance, row):
    """Put a neighbour at its place in the ascending list (distance, then row) and drop the last one."""
    place = len(idx) - 1
    while place > 0 and (
        distance < squared[place - 1] or (distance == squared[place - 1] and row < idx[place - 1])
    ):
        squared[place], idx[place] = squared[place - 1], idx[place - 1]
        place -= 1
    squared[place], idx[place] = distance, row


@njit(cache=True)
@no_type_check
def _search(queries, first, last, xyz, rows, boxes, nodes, levels, squared, idx):  # noqa: PLR0913 - plain arrays are what a kernel takes
    """Fill the lists of the queries first..last. Nodes wait on a stack, at most one for each level."""
    end = idx.shape[1] - 1
    px, py, pz = xyz[0], xyz[1], xyz[2]
    stack, stack_squared = np.empty(levels + 1, np.int32), np.empty(levels + 1, queries.dtype)
    for q in range(first, last):
        x, y, z = queries[q, 0], queries[q, 1], queries[q, 2]
        if levels == 0 or not (np.isfinite(x) and np.isfinite(y) and np.isfinite(z)):
            continue
        own_squared, own_idx = squared[q], idx[q]
        worst = own_squared[end]
        stack[0], stack_squared[0] = 0, 0
        height = 1
        while height > 0:
            height -= 1
            node, reach = stack[height], stack_squared[height]
            # Equal distances may still win by their row.
            while reach <= worst and nodes[node, 0]:
                near = nodes[node, 0]
                far = near + 1
                reach = _distance_to_box(boxes[near], x, y, z)
                reach_far = _distance_to_box(boxes[far], x, y, z)
                if reach_far < reach:
                    near, far, reach, reach_far = far, near, reach_far, reach
                if reach_far <= worst:
                    stack[height], stack_squared[height] = far, reach_far
                    height += 1
                node = near
            if reach <= worst:
                for i in range(nodes[node, 1], nodes[node, 2]):
                    dx, dy, dz = px[i] - x, py[i] - y, pz[i] - z
                    distance = (dx * dx + dy * dy) + dz * dz
                    if distance < worst or (distance == worst and rows[i] < own_idx[end]):
                        _insert(own_squared, own_idx, distance, rows[i])
                        worst = own_squared[end]


@njit(cache=True, parallel=True)
@no_type_check
def _every_sample(queries, query_starts, points, point_starts, squared, idx):
    for sample in prange(len(point_starts) - 1):
        xyz, rows, boxes, nodes, levels = _build(points, point_starts[sample], point_starts[sample + 1])
        first, last = query_starts[sample], query_starts[sample + 1]
        _search(queries, first, last, xyz, rows, boxes, nodes, levels, squared, idx)


@njit(cache=True, parallel=True)
@no_type_check
def _one_sample(queries, first, last, points, start, stop, squared, idx):
    xyz, rows, boxes, nodes, levels = _build(points, start, stop)
    for task in prange((last - first + _QUERIES_PER_TASK - 1) // _QUERIES_PER_TASK):
        begin = first + task * _QUERIES_PER_TASK
        end = min(begin + _QUERIES_PER_TASK, last)
        _search(queries, begin, end, xyz, rows, boxes, nodes, levels, squared, idx)


def knn(
    queries: Tensor, query_starts: Tensor, points: Tensor, point_starts: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    squared = queries.new_full((len(queries), k), torch.inf)
    idx = torch.full((len(queries), k), -1, dtype=torch.int64)
    query_array, point_array = queries.contiguous().numpy(), points.contiguous().numpy()
    query_spans, point_spans = query_starts.numpy(), point_starts.numpy()
    squared_array, idx_array = squared.numpy(), idx.numpy()
    # A thread takes a sample; fewer samples than threads are searched one by one, with blocks of queries.
    if sync_threads() < len(point_spans):
        _every_sample(query_array, query_spans, point_array, point_spans, squared_array, idx_array)
        return squared, idx
    for sample in range(len(point_spans) - 1):
        first, last = query_spans[sample], query_spans[sample + 1]
        start, stop = point_spans[sample], point_spans[sample + 1]
        _one_sample(query_array, first, last, point_array, start, stop, squared_array, idx_array)
    return squared, idx
