"""The depth protocols as data: which figures a tool reports, in which units, on which pixels.

Sources: `kitti-devkit` is the KITTI depth development kit (`evaluate_depth`, its figures and its rule for
holes); `sparse-beats-dense` is `eval.py` of megvii-research/Sparse-Beats-Dense; `nlspn` is
`src/metric/nlspnmetric.py` of zzangjinsun/NLSPN_ECCV20, the pattern of many completion code bases. It never
refuses a prediction: the inverse of zero or less is 0, and a negative depth even passes its delta limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Aggregate: TypeAlias = Literal["image", "pixel"]
"""image: a value per image, then their plain mean; pixel: all pixels of all images pooled."""

Fill: TypeAlias = Literal["none", "kitti"]
"""What happens to pixels without prediction; see `fill_kitti`."""

ProtocolName: TypeAlias = Literal["kitti-devkit", "sparse-beats-dense", "nlspn"]

DELTAS: Final = (1.25, 1.25**2, 1.25**3, 1.02, 1.05, 1.10)
"""Limits of max(g / p, p / g), exclusive."""

RANGE_EDGES_M: Final = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0)
"""Upper ends of the range table's bins; what is farther forms one more bin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthMetric:
    """One figure; g is the true depth, p the predicted one, both in metres."""

    name: str
    """With its unit: m, per_km, or none for a ratio."""
    formula: str
    leaderboard: str
    """Name and unit in the printed table, those of the KITTI leaderboard."""
    leaderboard_scale: float
    """Factor from the unit of `name` to that of the table."""


def _metric(name: str, formula: str, leaderboard: str, scale: float = 1.0) -> DepthMetric:
    return DepthMetric(name=name, formula=formula, leaderboard=leaderboard, leaderboard_scale=scale)


METRICS: Final = (
    _metric("mae_m", "mean |g - p|", "MAE mm", 1000.0),
    _metric("rmse_m", "sqrt(mean (g - p)^2)", "RMSE mm", 1000.0),
    _metric("imae_per_km", "mean |1/g - 1/p|", "iMAE 1/km"),
    _metric("irmse_per_km", "sqrt(mean (1/g - 1/p)^2)", "iRMSE 1/km"),
    _metric("log_mae", "mean |ln g - ln p|", "logMAE"),
    _metric("log_rmse", "sqrt(mean (ln g - ln p)^2)", "logRMSE"),
    _metric("silog", "standard deviation of ln g - ln p", "SILog x100", 100.0),
    _metric("abs_rel", "mean |g - p| / g", "absRel %", 100.0),
    _metric("sq_rel_kitti", "mean (g - p)^2 / g^2", "sqRel %", 100.0),
    _metric("sq_rel_eigen_m", "mean (g - p)^2 / g", "sqRel/g m"),
    _metric("delta_1_25", "share with max(g/p, p/g) < 1.25", "d<1.25 %", 100.0),
    _metric("delta_1_25_2", "share with max(g/p, p/g) < 1.25^2", "d<1.25^2 %", 100.0),
    _metric("delta_1_25_3", "share with max(g/p, p/g) < 1.25^3", "d<1.25^3 %", 100.0),
    _metric("delta_1_02", "share with max(g/p, p/g) < 1.02", "d<1.02 %", 100.0),
    _metric("delta_1_05", "share with max(g/p, p/g) < 1.05", "d<1.05 %", 100.0),
    _metric("delta_1_10", "share with max(g/p, p/g) < 1.10", "d<1.10 %", 100.0),
)
METRIC_NAMES: Final = tuple(metric.name for metric in METRICS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthProtocol:
    """What one public tool computes."""

    name: str
    version: str
    metrics: tuple[str, ...]
    """Names of `METRICS`, in the order of the table."""
    caps_m: tuple[float, ...]
    """Largest true depths that count, the cap included; infinity is no cap."""
    min_gt_m: float = 0.0
    """True depths up to this one do not count."""
    epsilon: float = 0.0
    """Added to every depth in a denominator."""
    min_pred_m: float = 0.0
    """Predictions up to this one have inverse depth 0, if `epsilon` is positive."""

    @property
    def needs_positive(self) -> bool:
        """True if a prediction of zero or less leaves one of the figures undefined."""
        return self.epsilon == 0.0 and any(name.startswith(("i", "log", "silog")) for name in self.metrics)


PROTOCOLS: Final = {
    protocol.name: protocol
    for protocol in (
        DepthProtocol(
            name="kitti-devkit", version="depth devkit 2017", metrics=METRIC_NAMES, caps_m=(math.inf,)
        ),
        DepthProtocol(
            name="sparse-beats-dense",
            version="eval.py 2024",
            metrics=("mae_m", "rmse_m"),
            caps_m=(50.0, 70.0, 80.0),
        ),
        DepthProtocol(
            name="nlspn",
            version="nlspnmetric.py 2020",
            metrics=(
                *("rmse_m", "mae_m", "irmse_per_km", "imae_per_km"),
                *("abs_rel", "delta_1_25", "delta_1_25_2", "delta_1_25_3"),
            ),
            caps_m=(math.inf,),
            min_gt_m=1e-4,
            epsilon=1e-8,
            min_pred_m=1e-4,
        ),
    )
}


def cap_name(cap_m: float) -> str:
    """Return "80 m", or "all" without a cap.

    Example:
        >>> cap_name(80.0), cap_name(float("inf"))
        ('80 m', 'all')
    """
    return "all" if cap_m == float("inf") else f"{cap_m:g} m"


def metric(name: str) -> DepthMetric:
    """Return the figure of that name.

    Raises:
        ValueError: There is none.

    Example:
        >>> metric("imae_per_km").formula
        'mean |1/g - 1/p|'
    """
    if name not in METRIC_NAMES:
        raise ValueError(f"no figure {name!r}; there are {', '.join(METRIC_NAMES)}")
    return METRICS[METRIC_NAMES.index(name)]
