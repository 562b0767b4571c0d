"""Stripes in a predicted depth map: what a network shows that has learned where the beams lie.

A LiDAR hits nearly the same image rows in every frame. A network trained on single sweeps can learn those
rows instead of the scene ("LiDAR distribution leakage"): the prediction then differs between beams and the
gaps between them. Errors measured on LiDAR pixels cannot see that, since they look at the beams alone. The
ratio of vertical to horizontal gradients is no remedy: a road has large vertical gradients of its own.

Both measures below look at inverse depth, which is linear in the pixel coordinates on every plane, and at how
far one row stands out from the straight line between rows above and below. They need no true depth, are the
same for a prediction in other units, and are 0 on roads, walls and all other planes.
"""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Real

STEPS_PX: Final = (1, 2, 4, 8)
"""Distances of the rows that are compared, for stripes from one to about twenty pixels wide."""

_COLUMNS = 256
_TRIMMED = 0.1
_LEAST_BEAM_PIXELS = 100


def row_ripple(pred: Real[np.ndarray, "h w"], *, rows: tuple[int, int] | None = None) -> float:
    """Return how far whole rows stand out from the rows around them, as a share of depth; 0 is none.

    For a step of s rows, a pixel's bend is 2 (q - m) / (q + m), where q is its inverse depth and m the mean
    of those s rows above and below. A row's ripple is the median bend over about 256 evenly spaced columns,
    so that noise and the edges of objects cancel mostly; the figure for the step is the mean of the absolute
    ripples without the largest tenth, which forgives edges that span the image. The largest figure over
    `STEPS_PX` is returned.

    0 for planes, walls, vertical edges, and an edge across the whole image with at least 180 rows.
    Independent noise of relative size e gives about e / 14 in an image of 256 or more columns; depth that
    grows evenly from 5 to 80 m over 375 rows, which is no plane, gives 0.0024. Waves of relative amplitude a
    and 4 to 20 rows long give about 1.1 a, every second row nearer by a share a gives a. Single rows more
    than 25 rows apart are forgiven like edges: for those see `beam_contrast`.

    Args:
        pred: Depth in any unit; pixels that are not above zero are left out.
        rows: First row and the one after the last, for example those that a sensor reaches; all rows if None.

    Returns:
        NaN if no row has a bend in at least half of the columns.

    Example:
        >>> depth = np.full((200, 300), 20.0)
        >>> row_ripple(depth)
        0.0
        >>> depth[::5] *= 1.02
        >>> round(row_ripple(depth), 3)
        0.007
    """
    from evaluators.depth import _kernels

    height, width = pred.shape
    top, bottom = (0, height) if rows is None else rows
    if not 0 <= top <= bottom <= height:
        raise ValueError(f"rows must be (first, end) inside 0 to {height}, got {rows}")
    used = min(width, _COLUMNS)
    depth = pred[:, [index * width // used for index in range(used)]].astype(np.float64)
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape), where=depth > 0)
    values = [_trimmed_mean(_kernels.row_ripples(inverse, top, bottom, step)) for step in STEPS_PX]
    known = [value for value in values if value == value]
    return max(known, default=float("nan"))


def beam_contrast(gt: Real[np.ndarray, "_ _"], pred: Real[np.ndarray, "_ _"]) -> float:
    """Return how far the prediction on the beams stands out from that between them, as a share of depth.

    `gt` only says where the beams lie: where it is above zero. For a beam pixel with the next beam pixels of
    its column two or more rows away above and below, the inverse depth predicted there is compared with the
    straight line between the middles of the two gaps, as in `row_ripple`; the median over all such pixels is
    returned.
    Positive: nearer on the beams than between them. 0 for planes; edges and noise cancel as long as they bend
    less than half of the pixels one way; stripes that put the beams nearer by a share a give about a.

    Returns:
        NaN with fewer than 100 such pixels, as for accumulated, dense true depth.

    Example:
        >>> gt = np.zeros((100, 60)); gt[::10] = 20.0
        >>> pred = np.full((100, 60), 20.0); pred[::10] /= 1.05
        >>> round(beam_contrast(gt, pred), 3)
        0.049
    """
    from evaluators.depth import _kernels

    if gt.shape != pred.shape:
        raise ValueError(f"gt has shape {list(gt.shape)}, pred {list(pred.shape)}; they must be equal")
    contrasts = _kernels.beam_contrasts(
        np.ascontiguousarray(gt, dtype=np.float64), np.ascontiguousarray(pred, dtype=np.float64)
    )
    return float(np.median(contrasts)) if contrasts.size >= _LEAST_BEAM_PIXELS else float("nan")


def _trimmed_mean(ripples: np.ndarray) -> float:
    sizes = np.sort(np.abs(ripples[~np.isnan(ripples)]))
    kept = sizes[: sizes.size - int(np.ceil(_TRIMMED * sizes.size))]
    return float(kept.mean()) if kept.size else float("nan")
