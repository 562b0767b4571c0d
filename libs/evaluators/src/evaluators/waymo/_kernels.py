"""Compiled loops of the Waymo protocol. Import on first use only: this loads numba.

Kernels carry `no_type_check` because a run-time type check inside a compiled function cannot be compiled.
"""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit
from geom3d.kernels import rotated_intersection_area

from evaluators.waymo.protocol import HEADING_UNIT

_WEIGHTS_PER_OVERLAP = np.float32(1e6)


@njit(cache=True)
@no_type_check
def overlap_3d(a, b, min_size):
    """Return the intersection over union of two boxes x y z length width height heading."""
    for k in range(3, 6):
        if a[k] <= min_size or b[k] <= min_size:
            return 0.0
    tall = min(a[2] + 0.5 * a[5], b[2] + 0.5 * b[5]) - max(a[2] - 0.5 * a[5], b[2] - 0.5 * b[5])
    if tall <= 0.0:
        return 0.0
    ground = rotated_intersection_area(a[0], a[1], a[3], a[4], a[6], b[0], b[1], b[3], b[4], b[6])
    common = ground * tall
    return common / (a[3] * a[4] * a[5] + b[3] * b[4] * b[5] - common)


@njit(cache=True)
@no_type_check
def heading_accuracy(a_rad, b_rad):
    """Return 1 for equal headings down to 0 for opposite ones."""
    turn = abs(a_rad - b_rad) % (2.0 * np.pi)
    return 1.0 - min(turn, 2.0 * np.pi - turn) / np.pi


@njit(cache=True)
@no_type_check
def match_weights(gt_boxes, pred_boxes, min_overlap, min_size):
    """Return what a match is worth [predictions, ground truth]: millionths of overlap, 0 if impossible."""
    weights = np.zeros((pred_boxes.shape[0], gt_boxes.shape[0]), np.int64)
    for i in range(pred_boxes.shape[0]):
        for j in range(gt_boxes.shape[0]):
            # The protocol keeps overlaps and limits in float32.
            overlap = np.float32(overlap_3d(pred_boxes[i], gt_boxes[j], min_size))
            if overlap >= np.float32(min_overlap):
                weights[i, j] = np.int64(np.floor(np.float64(overlap * _WEIGHTS_PER_OVERLAP) + 0.5))
    return weights


@njit(cache=True)
@no_type_check
def add_row(weights, row, row_of, row_price, column_price):
    """Add one row to an assignment of largest total weight, which stays largest over the rows added so far.

    Shortest augmenting path (Hungarian method) in whole numbers. Columns beyond those of `weights` are free
    places, one per row, where a row is matched to nothing at weight 0.

    Args:
        row_of: Per column the row it is given to, -1 for none; changed in place, as are the prices.
    """
    n_real, n_columns = weights.shape[1], row_of.size
    distance = np.full(n_columns, np.iinfo(np.int64).max)
    before = np.full(n_columns, -1)
    done = np.zeros(n_columns, np.bool_)
    here = row
    at = -1
    while True:
        nearest = -1
        base = np.int64(0) if at < 0 else distance[at]
        for column in range(n_columns):
            if done[column]:
                continue
            cost = -weights[here, column] if column < n_real else 0
            through = base + cost - row_price[here] - column_price[column]
            if through < distance[column]:
                distance[column] = through
                before[column] = at
            if nearest < 0 or distance[column] < distance[nearest]:
                nearest = column
        done[nearest] = True
        at = nearest
        if row_of[at] < 0:
            break
        here = row_of[at]
    end = distance[at]
    row_price[row] += end
    for column in range(n_columns):
        if done[column] and column != at:
            row_price[row_of[column]] += end - distance[column]
            column_price[column] += distance[column] - end
    while at >= 0:
        source = before[at]
        row_of[at] = row if source < 0 else row_of[source]
        at = source


@njit(cache=True)
@no_type_check
def count_group(weights, accuracies, active, free_of_blame, levels, out):
    """Add the counts of one frame and group to `out` [cut-offs, 5], at every score cut-off.

    Args:
        weights, accuracies: [predictions, ground truth], predictions by falling score; the accuracies in
            multiples of HEADING_UNIT.
        active: Number of predictions at each cut-off, never rising.
        free_of_blame: Per prediction, True if it is no false alarm when unmatched.
        levels: Difficulty of the ground truth, 1 or 2.
        out: true positives, false positives, misses at level 1, at level 2, accuracy of the true positives.
    """
    n_pred, n_gt = weights.shape
    row_of = np.full(n_gt + n_pred, -1)
    row_price = np.zeros(n_pred, np.int64)
    column_price = np.zeros(n_gt + n_pred, np.int64)
    blamed = 0
    added = 0
    for cutoff in range(active.size - 1, -1, -1):
        while added < active[cutoff]:
            if n_gt > 0 and weights[added].max() > 0:
                add_row(weights, added, row_of, row_price, column_price)
            blamed += not free_of_blame[added]
            added += 1
        hits = blamed_hits = missed_1 = missed_2 = 0
        accuracy = np.int64(0)
        for gt in range(n_gt):
            row = row_of[gt]
            if row >= 0 and weights[row, gt] > 0:
                hits += 1
                blamed_hits += not free_of_blame[row]
                accuracy += accuracies[row, gt]
            else:
                missed_1 += levels[gt] <= 1
                missed_2 += 1
        out[cutoff, 0] += hits
        out[cutoff, 1] += blamed - blamed_hits
        out[cutoff, 2] += missed_1
        out[cutoff, 3] += missed_2
        out[cutoff, 4] += accuracy


@njit(cache=True)
@no_type_check
def count_frame(  # noqa: PLR0913 - one frame as plain arrays
    gt_boxes, gt_groups, levels, pred_boxes, pred_groups, scores, free_of_blame, cutoffs, limits, counts
):
    """Add the counts of one frame, of one type, to `counts` [ranges, cut-offs, 5]; range 0 is all.

    Args:
        gt_groups, pred_groups: Ranges 1, 2, ... of the rows.
        scores: float32, falling.
        cutoffs: float32, rising.
        limits: Minimum overlap of the type, and the size up to which boxes overlap nothing.
    """
    weights = match_weights(gt_boxes, pred_boxes, limits[0], limits[1])
    accuracies = np.zeros(weights.shape, np.int64)
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            if weights[i, j] > 0:
                accuracy = heading_accuracy(pred_boxes[i, 6], gt_boxes[j, 6])
                accuracies[i, j] = np.int64(np.floor(accuracy / HEADING_UNIT + 0.5))
    for group in range(counts.shape[0]):
        gt = np.flatnonzero((gt_groups == group) | (group == 0))
        pred = np.flatnonzero((pred_groups == group) | (group == 0))
        kept = scores[pred]
        active = np.zeros(cutoffs.size, np.int64)
        for k in range(cutoffs.size):
            while active[k] < kept.size and kept[active[k]] >= cutoffs[k]:
                active[k] += 1
        count_group(
            weights[pred][:, gt],
            accuracies[pred][:, gt],
            active,
            free_of_blame[pred],
            levels[gt],
            counts[group],
        )
