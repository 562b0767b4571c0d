"""What an evaluation returns: curves, counts, notes, and their forms for people and programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from evaluators._report import JsonValue, fields_json
from evaluators._text import cell, recall_chart, set_aside, text
from evaluators.page import Section, Table
from evaluators.waymo.protocol import (
    HEADING_UNIT,
    LEVELS,
    MEAN_TYPES,
    PROTOCOL_NAME,
    PROTOCOL_VERSION,
    RANGES,
    RECALL_STEP,
    SCORE_CUTOFFS,
    TYPE_NAMES,
    Level,
    Metric,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaymoCurve:
    """One type, level and range; the columns belong to `SCORE_CUTOFFS`."""

    n_gt: int
    """Ground truth of the level: hard objects are not counted at LEVEL_1."""
    tp: Int64[np.ndarray, " k"]
    """Matched detections; at LEVEL_1 also those of hard objects."""
    fp: Int64[np.ndarray, " k"]
    fn: Int64[np.ndarray, " k"]
    precision: Float64[np.ndarray, " k"]
    """1 where nothing is found, as in the official tool."""
    precision_heading: Float64[np.ndarray, " k"]
    """The same with every hit weighted by its heading accuracy, 1 down to 0 for opposite."""
    recall: Float64[np.ndarray, " k"]
    ap: float
    aph: float

    @property
    def evaluated(self) -> bool:
        """False if there is no ground truth of the level; both figures are then 0 as in the official tool."""
        return self.n_gt > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaymoCounts:
    """How much was evaluated, and what was set aside."""

    n_frames: int
    n_pred: int
    n_gt_without_points: int
    """Labelled objects without a LiDAR point, left out."""
    n_dropped_gt: int
    n_dropped_pred: int
    n_missing: int
    """Frames without predictions, taken as empty."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaymoResult:
    """The evaluation of one set of frames."""

    curves: Mapping[tuple[str, Level, str], WaymoCurve]
    """By type, level and range."""
    counts: WaymoCounts

    def curve(self, name: str, level: Level, range_name: str = "all") -> WaymoCurve:
        """Return one curve.

        Raises:
            ValueError: There is none of that name.
        """
        if (name, level, range_name) not in self.curves:
            raise ValueError(
                f"no {name!r}, {level!r}, {range_name!r}; types are {', '.join(TYPE_NAMES)}, levels"
                f" {', '.join(LEVELS)}, ranges {', '.join(RANGES)}"
            )
        return self.curves[name, level, range_name]

    def value(self, name: str, metric: Metric, level: Level, *, range_name: str = "all") -> float:
        """Return AP or APH of one type, 0 to 1.

        Raises:
            ValueError: Unknown type, level or range.
        """
        curve = self.curve(name, level, range_name)
        return curve.ap if metric == "ap" else curve.aph

    def mean(self, metric: Metric, level: Level) -> float:
        """Return the mean over vehicle, pedestrian and cyclist ("ALL_NS"); APH at LEVEL_2 ranks entries."""
        return sum(self.value(name, metric, level) for name in MEAN_TYPES) / len(MEAN_TYPES)

    def notes(self) -> list[str]:
        """Return what a reader must know before believing the figures, one sentence each."""
        counts = self.counts
        found = set_aside(counts.n_missing, counts.n_dropped_gt, counts.n_dropped_pred)
        missing = [name for name in TYPE_NAMES if not self.curve(name, "LEVEL_2").evaluated]
        if missing:
            found.append(f"no ground truth, therefore 0: {', '.join(missing)}.")
        if counts.n_gt_without_points:
            found.append(f"{counts.n_gt_without_points} objects without LiDAR points were left out.")
        return found

    def table(self) -> str:
        """Return AP and APH per type, level and range as text, then the notes."""
        head = f"Waymo 3D detection: {self.counts.n_frames} frames, {self.counts.n_pred} predictions."
        return text([head], _scores(self), notes=self.notes())

    def sections(self) -> list[Section]:
        """Return the scores as a table and the precision curves as charts."""
        charts = [
            recall_chart(
                f"Precision, {level}",
                {
                    name: (curve.recall, curve.precision)
                    for name in TYPE_NAMES
                    if (curve := self.curve(name, level)).evaluated
                },
            )
            for level in LEVELS
        ]
        return [_scores(self), *charts]

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as built-in types that `json.dumps` takes."""
        means: dict[str, JsonValue] = {
            level: {"ap": self.mean("ap", level), "aph": self.mean("aph", level)} for level in LEVELS
        }
        return {
            "protocol": {"name": PROTOCOL_NAME, "version": PROTOCOL_VERSION},
            "counts": fields_json(self.counts),
            "notes": list(self.notes()),
            "score_cutoffs": list(SCORE_CUTOFFS),
            "mean": means,
            "results": {
                "/".join(key): {"evaluated": curve.evaluated, **fields_json(curve)}
                for key, curve in self.curves.items()
            },
        }


def summarize(
    counts: Int64[np.ndarray, "types ranges cutoffs 5"],
    n_gt: Int64[np.ndarray, "types ranges 2"],
    *,
    n_frames: int,
    tallies: Mapping[str, int],
) -> WaymoResult:
    """Return the result of counts as `_kernels.count_group` adds them up, and objects per level."""
    curves: dict[tuple[str, Level, str], WaymoCurve] = {}
    for row, name in enumerate(TYPE_NAMES):
        for column, range_name in enumerate(RANGES):
            for index, level in enumerate(LEVELS):
                number = int(n_gt[row, column, index])
                curves[name, level, range_name] = _curve(counts[row, column], index, number)
    return WaymoResult(curves=curves, counts=WaymoCounts(n_frames=n_frames, **tallies))


def _curve(table: np.ndarray, level: int, n_gt: int) -> WaymoCurve:
    tp, fp, fn = table[:, 0], table[:, 1], table[:, 2 + level]
    none = tp == 0
    precision = np.where(none, 1.0, tp / np.maximum(tp + fp, 1))
    heading = np.where(none, 1.0, table[:, 4] * HEADING_UNIT / np.maximum(tp + fp, 1))
    recall = tp / np.maximum(tp + fn, 1)
    return WaymoCurve(
        n_gt=n_gt,
        tp=tp,
        fp=fp,
        fn=fn,
        precision=precision,
        precision_heading=heading,
        recall=recall,
        ap=average_precision(precision, recall),
        aph=average_precision(heading, recall),
    )


def average_precision(precision: Float64[np.ndarray, " k"], recall: Float64[np.ndarray, " k"]) -> float:
    """Return the area under the precision curve as the official tool measures it.

    From the largest recall down, the precision is the best one so far; gaps wider than `RECALL_STEP` get
    points every step, at the precision of the higher recall; recall 0 gets the precision of the lowest recall
    found; then trapezoids. Where several points share a recall, the best precision counts. 0 without any
    recall.

    Example:
        >>> average_precision(np.array([0.5, 1.0]), np.array([1.0, 0.5]))
        0.7625
    """
    best: dict[float, float] = {0.0: 1.0}
    for p, r in zip(precision.tolist(), recall.tolist(), strict=True):
        best[r] = max(best.get(r, 0.0), p)
    points: list[tuple[float, float]] = []
    highest, last = 0.0, 0.0
    for r in sorted(best, reverse=True):
        while last - r > RECALL_STEP + 1e-6:
            last -= RECALL_STEP
            points.append((last, highest))
        highest = max(highest, best[r])
        points.append((r, highest))
        last = r
    if len(points) > 1:
        points[-1] = (0.0, points[-2][1])
    return math.fsum(0.5 * (r1 - r0) * (p1 + p0) for (r1, p1), (r0, p0) in pairwise(points))


def _scores(result: WaymoResult) -> Table:
    names = [f"{metric} {level}" for level in LEVELS for metric in ("AP", "APH")]
    rows: list[list[str]] = []
    for name in TYPE_NAMES:
        for range_name in RANGES:
            curves = [result.curve(name, level, range_name) for level in LEVELS]
            figures = [
                cell(100.0 * value if curve.evaluated else None)
                for curve in curves
                for value in (curve.ap, curve.aph)
            ]
            rows.append([name, range_name, *figures, str(curves[1].n_gt)])
    means = [100.0 * result.mean(metric, level) for level in LEVELS for metric in ("ap", "aph")]
    rows.append(["mean without signs", "all", *(f"{value:.4f}" for value in means), ""])
    return Table(title="Average precision, percent", header=["type", "range", *names, "objects"], rows=rows)
