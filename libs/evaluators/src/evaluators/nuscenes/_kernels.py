"""The compiled loop of the nuScenes protocol. Import on first use only: this loads numba.

The kernel carries `no_type_check` because a run-time type check inside a compiled function cannot be
compiled. All numbers are float64, indices int64.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit


@njit(cache=True)
@no_type_check
def matches(gt_xy, group_starts, pred_xy, pred_groups, thresholds):
    """Return, per threshold and detection, the ground truth it takes, or -1 [t, p].

    Detections come in the order in which they choose; a group is one class in one sample, its ground truth
    lies between two entries of `group_starts`. Each takes the nearest one that is still free (the first of
    equals) if that is nearer than the threshold.
    """
    taken = np.zeros((thresholds.size, gt_xy.shape[0]), np.bool_)
    chosen = np.full((thresholds.size, pred_groups.size), -1, np.int64)
    for pred in range(pred_groups.size):
        group = pred_groups[pred]
        for at in range(thresholds.size):
            nearest = np.inf
            best = -1
            for gt in range(group_starts[group], group_starts[group + 1]):
                if not taken[at, gt]:
                    dx = pred_xy[pred, 0] - gt_xy[gt, 0]
                    dy = pred_xy[pred, 1] - gt_xy[gt, 1]
                    # With the root: distances that differ in the last bits only are ties, as in the kit.
                    distance = np.sqrt(dx * dx + dy * dy)
                    if distance < nearest:
                        nearest = distance
                        best = gt
            if nearest < thresholds[at]:
                taken[at, best] = True
                chosen[at, pred] = best
    return chosen
