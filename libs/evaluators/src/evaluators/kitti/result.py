"""What an evaluation returns: curves, counts, notes, and their forms for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from evaluators._report import JsonValue, fields_json, finite_json
from evaluators.kitti import _text
from evaluators.kitti.protocol import (
    METRICS,
    PROTOCOL_NAME,
    PROTOCOL_VERSION,
    Difficulty,
    Metric,
    OverlapTable,
    Protocol,
)
from evaluators.page import Section

Recall = Literal[11, 40]
CurveKey = tuple[str, Metric, str]
"""Class name, metric, name of the level."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KittiCurve:
    """One class, metric and level. The four columns [k] belong to the first k recall positions."""

    evaluated: bool
    """False: no detection of the class has what the metric compares; the average precision is then 0."""
    n_class_pred: int
    """Detections of the class, those that are ignored at this level too."""
    n_gt: int
    """Ground truth that counts."""
    n_gt_ignored: int
    n_pred: int
    """Detections of the class that count."""
    n_pred_ignored: int
    """Detections of any class that are ignored at this level."""
    thresholds: Float64[np.ndarray, " k"]
    tp: Int64[np.ndarray, " k"]
    fp: Int64[np.ndarray, " k"]
    fn: Int64[np.ndarray, " k"]
    curve: Float64[np.ndarray, " 41"]
    """Precision (aos: orientation similarity) at recalls 0, 1/40, ..., 1, non-increasing, 0 to 1."""

    @property
    def measured(self) -> bool:
        """Whether there were detections and objects to compare, so that 0 means that none was found."""
        return self.evaluated and self.n_gt > 0

    def ap(self, recall: Recall = 40) -> float:
        """Return the average precision in percent over 40 recall positions (0 left out) or 11.

        Raises:
            ValueError: `recall` is neither 40 nor 11.
        """
        if recall == 40:
            return 100.0 / 40.0 * float(self.curve[1:].sum())
        if recall == 11:
            return 100.0 / 11.0 * float(self.curve[::4].sum())
        raise ValueError(f"recall must be 40 or 11, got {recall!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KittiCounts:
    """How much was evaluated, and what was set aside."""

    n_frames: int
    n_gt: int
    """Objects in the label files, DontCare regions left out."""
    n_dont_care: int
    n_pred: int
    n_dropped_gt: int
    """Invalid rows left out because `on_invalid` was "drop"."""
    n_dropped_pred: int
    n_missing: int
    """Frames without predictions, taken as empty."""
    n_tied_scores: int
    """Detections that share their score with another one of their frame; the earlier line goes first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KittiResult:
    """The evaluation of one set of frames under one overlap table."""

    protocol: Protocol
    overlaps: OverlapTable
    difficulties: tuple[Difficulty, ...]
    curves: Mapping[CurveKey, KittiCurve]
    """Every class, metric and level; the aos entries are absent if orientation was not evaluated."""
    counts: KittiCounts
    strange_gt: Mapping[str, int]
    """Objects whose name neither the table nor KITTI knows, by name: no figure takes note of them."""
    strange_pred: Mapping[str, int]
    """The same of detections."""

    def ap(self, cls: str, metric: Metric, level: str, *, recall: Recall = 40) -> float | None:
        """Return the average precision in percent; None for aos if orientation was not evaluated.

        Raises:
            ValueError: Unknown class, metric, level or number of recall positions.
        """
        _require(cls, self.overlaps.class_names, "class")
        _require(metric, METRICS, "metric")
        _require(level, tuple(item.name for item in self.difficulties), "level")
        curve = self.curves.get((cls, metric, level))
        return None if curve is None else curve.ap(recall)

    def mean(self, metric: Metric, level: str, *, recall: Recall = 40) -> float | None:
        """Return the plain mean of the classes' average precisions in percent ("mAP")."""
        values = [self.ap(name, metric, level, recall=recall) for name in self.overlaps.class_names]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    def notes(self) -> list[str]:
        """Return what a reader must know before believing the figures, one sentence each."""
        return _text.notes(self)

    def table(self) -> str:
        """Return the figures as text: average precision over 40 and 11 recall positions, then the notes."""
        return _text.table(self)

    def sections(self) -> list[Section]:
        """Return the figures as tables and charts for a page: one chart per class and metric."""
        return _text.sections(self)

    def explain(self, cls: str, metric: Metric, level: str) -> str:
        """Return the thresholds and counts behind one figure, and how they lead to it.

        Raises:
            ValueError: Unknown class, metric or level, or orientation was not evaluated.
        """
        if self.ap(cls, metric, level) is None:
            raise ValueError(
                "aos was not evaluated; alphas are -10 (not given), or aos='never' was asked for"
            )
        return _text.explain(self, cls, metric, level)

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as built-in types that `json.dumps` takes; what is not a number is None."""
        classes: dict[str, JsonValue] = {
            rule.name: {
                "neighbours": list(rule.neighbours),
                "min_overlap": {metric: rule.min_overlap(metric) for metric in METRICS},
            }
            for rule in self.overlaps.classes
        }
        levels: dict[str, JsonValue] = {
            level.name: {
                "min_height_px": level.min_height_px,
                "max_occlusion": level.max_occlusion,
                "max_truncation": level.max_truncation,
                "depth_m": finite_json(level.depth_m),
            }
            for level in self.difficulties
        }
        return {
            "protocol": {
                "name": PROTOCOL_NAME,
                "version": PROTOCOL_VERSION,
                "rules": asdict(self.protocol),
                "overlaps": self.overlaps.name,
            },
            "classes": classes,
            "levels": levels,
            "counts": fields_json(self.counts),
            "strange_names": {"gt": dict(self.strange_gt), "pred": dict(self.strange_pred)},
            "notes": list(self.notes()),
            "results": {"/".join(key): _curve_json(curve) for key, curve in self.curves.items()},
        }


def _curve_json(curve: KittiCurve) -> dict[str, JsonValue]:
    figures: dict[str, JsonValue] = {"evaluated": curve.evaluated, "R40": curve.ap(40), "R11": curve.ap(11)}
    return figures | fields_json(curve)


def _require(value: str, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise ValueError(f"no {what} {value!r} in this result; it has {', '.join(known)}")
