"""Compiled loops of the KITTI protocol. Import on first use only: this loads numba.

Kernels carry `no_type_check` because a run-time type check inside a compiled function cannot be compiled.
All numbers are float64, indices int64, flags int8 (0 counts, 1 ignored, -1 irrelevant).
"""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit
from geom3d.kernels import rotated_intersection_area


@njit(cache=True)
@no_type_check
def image_intersection(a, b):
    """Return the area shared by two image boxes x1 y1 x2 y2, in square pixels."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0.0 and height > 0.0 else 0.0


@njit(cache=True)
@no_type_check
def image_area(box):
    """Return the area of an image box x1 y1 x2 y2."""
    return (box[2] - box[0]) * (box[3] - box[1])


@njit(cache=True)
@no_type_check
def overlaps_in_space(a, b):
    """Return the overlaps (bev, 3d) of two objects.

    `a` and `b` are x z length width yaw y height; length 0 means no ground box, height 0 no 3D box.
    """
    ground = rotated_intersection_area(a[0], a[1], a[2], a[3], a[4], b[0], b[1], b[2], b[3], b[4])
    if ground <= 0.0:
        return 0.0, 0.0
    bev = ground / (a[2] * a[3] + b[2] * b[3] - ground)
    # y points down: a box reaches from y - height up to its bottom at y.
    tall = min(a[5], b[5]) - max(a[5] - a[6], b[5] - b[6])
    if a[6] <= 0.0 or b[6] <= 0.0 or tall <= 0.0:
        return bev, 0.0
    volume = ground * tall
    return bev, volume / (a[2] * a[3] * a[6] + b[2] * b[3] * b[6] - volume)


@njit(cache=True)
@no_type_check
def overlapping_pairs(gt_starts, pred_starts, gt_image, pred_image, gt_space, pred_space):
    """Return (gt [p], pred [p], overlaps [p, 3]) of all pairs inside a frame that overlap at all.

    Sorted by ground truth, then detection, both in frame and file order.
    """
    capacity = 1024
    pair_gt = np.empty(capacity, np.int64)
    pair_pred = np.empty(capacity, np.int64)
    overlaps = np.empty((capacity, 3), np.float64)
    count = 0
    for frame in range(gt_starts.size - 1):
        for gt in range(gt_starts[frame], gt_starts[frame + 1]):
            a_image, a = gt_image[gt], gt_space[gt]
            for pred in range(pred_starts[frame], pred_starts[frame + 1]):
                b_image, b = pred_image[pred], pred_space[pred]
                shared = image_intersection(a_image, b_image)
                bev, volume = overlaps_in_space(a, b)
                if shared <= 0.0 and bev <= 0.0:
                    continue
                if count == capacity:
                    capacity *= 2
                    pair_gt = np.concatenate((pair_gt, np.empty_like(pair_gt)))
                    pair_pred = np.concatenate((pair_pred, np.empty_like(pair_pred)))
                    overlaps = np.concatenate((overlaps, np.empty_like(overlaps)))
                image = 0.0
                if shared > 0.0:
                    image = shared / (image_area(a_image) + image_area(b_image) - shared)
                pair_gt[count] = gt
                pair_pred[count] = pred
                overlaps[count] = (image, bev, volume)
                count += 1
    return pair_gt[:count].copy(), pair_pred[:count].copy(), overlaps[:count].copy()


@njit(cache=True)
@no_type_check
def covered_shares(gt_starts, pred_starts, gt_image, pred_image, gt_is_region):
    """Return, per detection, the largest share of its image box inside one DontCare region [d]."""
    shares = np.zeros(pred_image.shape[0], np.float64)
    for frame in range(gt_starts.size - 1):
        for gt in range(gt_starts[frame], gt_starts[frame + 1]):
            if not gt_is_region[gt]:
                continue
            for pred in range(pred_starts[frame], pred_starts[frame + 1]):
                box = pred_image[pred]
                shared = image_intersection(gt_image[gt], box)
                if shared > 0.0:
                    shares[pred] = max(shares[pred], shared / image_area(box))
    return shares


@njit(cache=True)
@no_type_check
def matched_scores(pair_gt, pair_pred, gt_flags, pred_flags, scores):
    """Pass 1: return the scores at which ground truth is found.

    Every ground truth takes, in order, the free detection with the highest score (the first of equals); a
    score is recorded if both count. Pairs are those above the minimum overlap, irrelevant ones left out.
    """
    found = np.empty(pair_gt.size, np.float64)
    count = 0
    assigned = np.zeros(pred_flags.size, np.bool_)
    at = 0
    while at < pair_gt.size:
        gt = pair_gt[at]
        best = -1
        while at < pair_gt.size and pair_gt[at] == gt:
            pred = pair_pred[at]
            if not assigned[pred] and (best < 0 or scores[pred] > scores[best]):
                best = pred
            at += 1
        if best >= 0:
            assigned[best] = True
            if gt_flags[gt] == 0 and pred_flags[best] == 0:
                found[count] = scores[best]
                count += 1
    return found[:count].copy()


@njit(cache=True)
@no_type_check
def sampled_thresholds(descending, gt_count):
    """Return the scores, high to low, that come closest to recalls 0, 1/40, 2/40, ... [at most 41]."""
    thresholds = np.empty(descending.size, np.float64)
    count = 0
    # Repeated addition, as in the official kit: its rounding decides borderline cases.
    recall = 0.0
    last = descending.size - 1
    for i in range(descending.size):
        left = (i + 1) / gt_count
        right = (i + 2) / gt_count if i < last else left
        if right - recall < recall - left and i < last:
            continue
        thresholds[count] = descending[i]
        count += 1
        recall += 1.0 / 40.0
    return thresholds[:count].copy()


@njit(cache=True)
@no_type_check
def count_matches(  # noqa: C901, PLR0913 - one loop nest over plain arrays; split, its rule is harder to check
    pair_gt, pair_pred, overlaps, gt_flags, pred_flags, scores, alpha_gaps, forgiven, thresholds
):
    """Pass 2: count, at every threshold, what is found.

    Every ground truth takes, in order, the free detection at or above the threshold with the largest overlap;
    an ignored detection is taken only if nothing else is there, and never beats a counting one.

    Args:
        alpha_gaps: Observation angle of ground truth minus detection, per pair, in radians.
        forgiven: Per detection, True if it can never be a false positive.

    Returns:
        counts [t, 3] int64: true positives; counting ground truth that an ignored detection absorbed; taken
        detections that would otherwise be false positives. similarity [t]: sum of (1 + cos) / 2 over hits.
    """
    counts = np.zeros((thresholds.size, 3), np.int64)
    similarity = np.zeros(thresholds.size, np.float64)
    taken_at = np.full(pred_flags.size, -1, np.int64)
    for k in range(thresholds.size):
        at = 0
        while at < pair_gt.size:
            gt = pair_gt[at]
            best = -1
            best_overlap = 0.0
            while at < pair_gt.size and pair_gt[at] == gt:
                pred = pair_pred[at]
                if taken_at[pred] != k and scores[pred] >= thresholds[k]:
                    if pred_flags[pred] == 0:
                        # Still 0 behind an ignored candidate, so that a counting one always replaces it.
                        if overlaps[at] > best_overlap:
                            best = at
                            best_overlap = overlaps[at]
                    elif best < 0:
                        best = at
                at += 1
            if best < 0:
                continue
            pred = pair_pred[best]
            taken_at[pred] = k
            if pred_flags[pred] == 0 and not forgiven[pred]:
                counts[k, 2] += 1
            if gt_flags[gt] == 0:
                if pred_flags[pred] == 0:
                    counts[k, 0] += 1
                    similarity[k] += 0.5 * (1.0 + np.cos(alpha_gaps[best]))
                else:
                    counts[k, 1] += 1
    return counts, similarity
