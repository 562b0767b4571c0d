"""Compiled loops over depth maps. Import on first use only: this loads numba.

Kernels carry `no_type_check` because a run-time type check inside a compiled function cannot be compiled.
Depth maps are float64 [height, width] in metres.
"""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit


@njit(cache=True, error_model="numpy")
@no_type_check
def pixel_sums(gt, pred, edges, deltas, settings):
    """Return the sums behind all figures, per band of true depth [bands, columns of `_sums.COLUMNS`].

    Band i holds true depths in (edges[i - 1], edges[i]], the first one starts above the minimum; the last
    edge is infinity. Sums are built row by row: rounding grows with height + width, not with the pixels.

    Args:
        settings: Minimum true depth (exclusive), epsilon and minimum prediction of the protocol.
    """
    min_gt, epsilon, min_pred = settings
    columns = 14 + deltas.size
    total = np.zeros((edges.size, columns))
    row = np.zeros((edges.size, columns))
    # Differences of logarithms are summed about the first one of the band, so that squares do not cancel.
    shift = np.zeros(edges.size)
    shifted = np.zeros((edges.size, 2))
    for v in range(gt.shape[0]):
        row[:] = 0.0
        for u in range(gt.shape[1]):
            g = gt[v, u]
            if not g > min_gt:
                continue
            p = pred[v, u]
            band = 0
            while g > edges[band]:
                band += 1
            out = row[band]
            error = p - g
            absolute = abs(error)
            if epsilon > 0.0:
                inverse = (0.0 if p <= min_pred else 1.0 / (p + epsilon)) - 1.0 / (g + epsilon)
                ratio = max(g / (p + epsilon), p / (g + epsilon))
            else:
                inverse = 1.0 / p - 1.0 / g
                ratio = max(g / p, p / g) if p > 0.0 else np.inf
            log = np.log(g / p) if p > 0.0 else np.nan
            if total[band, 0] + out[0] == 0.0:
                shift[band] = log
            shifted[band, 0] += log - shift[band]
            shifted[band, 1] += (log - shift[band]) ** 2
            out[0] += 1.0
            out[1] += p <= 0.0
            out[2] += absolute
            out[3] += error * error
            out[4] += error
            out[5] += abs(inverse)
            out[6] += inverse * inverse
            out[7] += abs(log)
            out[8] += log * log
            out[9] += log
            out[11] += absolute / (g + epsilon)
            out[12] += (error / g) ** 2
            out[13] += error * error / g
            for k in range(deltas.size):
                out[14 + k] += ratio < deltas[k]
        total += row
    for band in range(edges.size):
        if total[band, 0] > 0.0:
            spread = shifted[band, 1] - shifted[band, 0] ** 2 / total[band, 0]
            # Comparing a NaN is false: it stays.
            total[band, 10] = 0.0 if spread < 0.0 else spread
    return total


@njit(cache=True)
@no_type_check
def fill_holes(depth):
    """Fill holes (values not above zero) in place by the rule of `fill_kitti`; what is left becomes -1."""
    height, width = depth.shape
    for v in range(height):
        last = -1
        for u in range(width):
            if not depth[v, u] > 0.0:
                continue
            if last < 0:
                depth[v, :u] = depth[v, u]
            else:
                depth[v, last + 1 : u] = min(depth[v, last], depth[v, u])
            last = u
        depth[v, last + 1 :] = depth[v, last] if last >= 0 else -1.0
    # A row is now all depth or all -1, but rows are judged pixel by pixel as in the kit.
    for u in range(width):
        first = 0
        while first < height and not depth[first, u] > 0.0:
            first += 1
        if first == height:
            continue
        depth[:first, u] = depth[first, u]
        last = height - 1
        while not depth[last, u] > 0.0:
            last -= 1
        depth[last + 1 :, u] = depth[last, u]


@njit(cache=True)
@no_type_check
def row_ripples(inverse, top, bottom, step):
    """Return each row's median bend over `step` rows, NaN where it cannot be told [bottom - top].

    Args:
        inverse: Inverse depth [h, columns], 0 for none.
    """
    height, width = inverse.shape
    ripples = np.full(bottom - top, np.nan)
    bends = np.empty(width)
    for v in range(max(top, step), min(bottom, height - step)):
        count = 0
        for u in range(width):
            above, here, below = inverse[v - step, u], inverse[v, u], inverse[v + step, u]
            if above > 0.0 and here > 0.0 and below > 0.0:
                bends[count] = bend(here, 0.5 * (above + below))
                count += 1
        if 2 * count >= width > 0:
            ripples[v - top] = np.median(bends[:count])
    return ripples


@njit(cache=True)
@no_type_check
def beam_contrasts(gt, pred):
    """Return, per pixel on a beam, how far it stands out from the middles of the gaps above and below [n].

    A beam pixel has true depth; the next ones in its column, above and below, are two or more rows away.
    """
    height, width = gt.shape
    contrasts = np.empty(height * width)
    count = 0
    above = np.full(width, -1)
    here = np.full(width, -1)
    for below in range(height):
        for u in range(width):
            if not gt[below, u] > 0.0:
                continue
            if above[u] >= 0 and here[u] - above[u] >= 2 and below - here[u] >= 2:
                a = (above[u] + here[u]) // 2
                b = (here[u] + below + 1) // 2
                if pred[a, u] > 0.0 and pred[here[u], u] > 0.0 and pred[b, u] > 0.0:
                    share = (here[u] - a) / (b - a)
                    between = (1.0 - share) / pred[a, u] + share / pred[b, u]
                    contrasts[count] = bend(1.0 / pred[here[u], u], between)
                    count += 1
            above[u] = here[u]
            here[u] = below
    return contrasts[:count].copy()


@njit(cache=True)
@no_type_check
def bend(here, between):
    """Return the relative difference of two inverse depths, from -2 to 2."""
    return 2.0 * (here - between) / (here + between)
