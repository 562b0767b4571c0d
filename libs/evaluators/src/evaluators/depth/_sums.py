"""From sums to figures: pooling bands or images, and the value of every metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float64

from evaluators.depth.protocol import METRIC_NAMES

COLUMNS: Final = (
    *("n", "nonpositive", "abs", "square", "error", "inv_abs", "inv_square"),
    *("log_abs", "log_square", "log", "log_spread", "rel", "rel_square", "eigen_square"),
    *("delta_1_25", "delta_1_25_2", "delta_1_25_3", "delta_1_02", "delta_1_05", "delta_1_10"),
)
"""Sums over pixels; log_spread is that of squared differences to the mean difference of logarithms."""

N, NONPOSITIVE = 0, 1
_LOG, _SPREAD = COLUMNS.index("log"), COLUMNS.index("log_spread")


def pooled(sums: Float64[np.ndarray, "parts columns"]) -> Float64[np.ndarray, " columns"]:
    """Return the sums over the union of disjoint parts, added in order."""
    full = sums[sums[:, N] > 0]
    total = full.sum(axis=0)
    if len(full):
        gaps = full[:, _LOG] / full[:, N] - total[_LOG] / total[N]
        total[_SPREAD] += (full[:, N] * gaps**2).sum()
    return total


def figures(sums: Float64[np.ndarray, " columns"], names: Sequence[str]) -> Float64[np.ndarray, " names"]:
    """Return the figures of `names`; NaN where there are no pixels or a figure is undefined."""
    if sums[N] == 0:
        return np.full(len(names), np.nan)
    mean = dict(zip(COLUMNS, (sums / sums[N]).tolist(), strict=True))
    # With a NaN or infinity among the inverse depths, the roots below pass it on.
    values = {
        "mae_m": mean["abs"],
        "rmse_m": mean["square"] ** 0.5,
        "imae_per_km": 1000.0 * mean["inv_abs"],
        "irmse_per_km": 1000.0 * mean["inv_square"] ** 0.5,
        "log_mae": mean["log_abs"],
        "log_rmse": mean["log_square"] ** 0.5,
        "silog": mean["log_spread"] ** 0.5,
        "abs_rel": mean["rel"],
        "sq_rel_kitti": mean["rel_square"],
        "sq_rel_eigen_m": mean["eigen_square"],
        **{name: mean[name] for name in METRIC_NAMES if name.startswith("delta")},
    }
    return np.array([values[name] for name in names])
