"""What an evaluation returns: curves, means, counts, notes, and their forms for people and programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from evaluators._report import JsonValue, fields_json, finite_json
from evaluators.indoor import _text
from evaluators.indoor.protocol import PROTOCOL_NAME, PROTOCOL_VERSION, ClassTable, MeanOver, Protocol

if TYPE_CHECKING:
    from evaluators.page import Section

CurveKey: TypeAlias = tuple[str, float]
"""Class name, overlap threshold."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndoorCurve:
    """One class at one threshold; the columns [k] go down its predictions by descending score."""

    n_gt: int
    scores: Float64[np.ndarray, " k"]
    tp: Int64[np.ndarray, " k"]
    """Hits among the first 1, 2, ... k predictions."""

    @property
    def evaluated(self) -> bool:
        """False: there is no ground truth of the class, so that no figure is defined."""
        return self.n_gt > 0

    @property
    def n_pred(self) -> int:
        """Predictions of the class."""
        return len(self.scores)

    @property
    def fp(self) -> Int64[np.ndarray, " k"]:
        """False alarms among the first 1, 2, ... k predictions."""
        return np.arange(1, self.n_pred + 1) - self.tp

    @property
    def recall(self) -> Float64[np.ndarray, " k"]:
        """Share of the ground truth that was found; NaN without ground truth."""
        return self.tp / self.n_gt if self.n_gt else np.full(self.n_pred, np.nan)

    @property
    def precision(self) -> Float64[np.ndarray, " k"]:
        """Share of the predictions that are hits."""
        return self.tp / np.arange(1, self.n_pred + 1)

    @property
    def envelope(self) -> Float64[np.ndarray, " k"]:
        """Best precision at this recall or a higher one."""
        return np.maximum.accumulate(self.precision[::-1])[::-1]

    @property
    def hits(self) -> Int64[np.ndarray, " h"]:
        """Positions (from 0) at which recall rises."""
        return np.flatnonzero(np.diff(self.tp, prepend=0))

    def ap(self) -> float | None:
        """Return the area under the envelope over recall, all points, 0 to 1; None without ground truth."""
        if not self.evaluated:
            return None
        # Recall rises by 1 / n_gt at every hit: summing first keeps a perfect detector at exactly 1.
        return float(self.envelope[self.hits].sum()) / self.n_gt

    def final_recall(self) -> float | None:
        """Return the recall of all predictions ("AR"), 0 to 1; None without ground truth."""
        if not self.evaluated:
            return None
        return float(self.tp[-1]) / self.n_gt if self.n_pred else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndoorCounts:
    """What was evaluated and what was set aside."""

    n_frames: int
    n_gt: int
    n_pred: int
    n_dropped_gt: int
    n_dropped_pred: int
    n_missing: int
    """Scenes without predictions that were taken as empty."""
    n_tied_scores: int
    """Predictions that share their score with another one of their class, in any frame."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndoorResult:
    """Average precision and recall per class and threshold, shares from 0 to 1."""

    classes: ClassTable
    thresholds: tuple[float, ...]
    protocol: Protocol
    mean_over: MeanOver
    curves: Mapping[CurveKey, IndoorCurve]
    """Every class of the table at every threshold."""
    counts: IndoorCounts

    def ap(self, cls: str, threshold: float) -> float | None:
        """Return the average precision; None for a class without ground truth.

        Raises:
            ValueError: Unknown class or threshold.
        """
        return self._curve(cls, threshold).ap()

    def recall(self, cls: str, threshold: float) -> float | None:
        """Return the recall of all predictions; None for a class without ground truth.

        Raises:
            ValueError: Unknown class or threshold.
        """
        return self._curve(cls, threshold).final_recall()

    def mean_ap(self, threshold: float, *, subset: str | None = None) -> float | None:
        """Return the mean over classes ("mAP", or "mAP_S" for the subset "S"), by the rule `mean_over`.

        None if no class has ground truth; NaN, as both tools print it, if `mean_over` is "reference" and a
        class that occurs has no ground truth.

        Raises:
            ValueError: Unknown threshold or subset.
        """
        return self._mean(threshold, subset, lambda curve: curve.ap())

    def mean_recall(self, threshold: float, *, subset: str | None = None) -> float | None:
        """Return the mean recall over classes ("mAR"); see `mean_ap`."""
        return self._mean(threshold, subset, lambda curve: curve.final_recall())

    def notes(self) -> list[str]:
        """Return what a reader must know before believing the figures, one sentence each."""
        return _text.notes(self)

    def table(self) -> str:
        """Return the figures as text: one line per class, then the means, then the notes."""
        return _text.table(self)

    def sections(self) -> list[Section]:
        """Return the figures and the precision-recall curves for a page."""
        return _text.sections(self)

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as built-in types that `json.dumps` takes; what is not a number is None.

        A curve is given where recall rises: score, precision and recall at every hit.
        """
        means: dict[str, JsonValue] = {}
        for threshold in self.thresholds:
            for subset in (None, *(item.name for item in self.classes.subsets)):
                name = f"{'' if subset is None else f'_{subset}'}_{threshold:g}"
                means[f"mAP{name}"] = finite_json(self.mean_ap(threshold, subset=subset))
                means[f"mAR{name}"] = finite_json(self.mean_recall(threshold, subset=subset))
        return {
            "protocol": {
                "name": PROTOCOL_NAME,
                "version": PROTOCOL_VERSION,
                "variant": self.protocol,
                "mean_over": self.mean_over,
            },
            "classes": {
                "table": self.classes.name,
                "names": list(self.classes.classes),
                "subsets": {subset.name: list(subset.classes) for subset in self.classes.subsets},
            },
            "thresholds": list(self.thresholds),
            "counts": fields_json(self.counts),
            "notes": list(self.notes()),
            "means": means,
            "results": {f"{name}/{at:g}": _curve_json(curve) for (name, at), curve in self.curves.items()},
        }

    def _curve(self, cls: str, threshold: float) -> IndoorCurve:
        if cls not in self.classes.classes:
            raise ValueError(f"no class {cls!r} in this result; it has {', '.join(self.classes.classes)}")
        if threshold not in self.thresholds:
            raise ValueError(
                f"no threshold {threshold:g} in this result; it has {', '.join(map(str, self.thresholds))}"
            )
        return self.curves[cls, threshold]

    def _mean(
        self, threshold: float, subset: str | None, figure: Callable[[IndoorCurve], float | None]
    ) -> float | None:
        curves = [self._curve(name, threshold) for name in self._names(subset)]
        if self.mean_over == "gt":
            curves = [curve for curve in curves if curve.n_gt]
            if not curves:
                return None
        elif self.mean_over == "reference":
            curves = [curve for curve in curves if curve.n_gt or curve.n_pred]
            if not all(curve.n_gt for curve in curves) or not curves:
                return math.nan
        return math.fsum(figure(curve) or 0.0 for curve in curves) / len(curves)

    def _names(self, subset: str | None) -> tuple[str, ...]:
        if subset is None:
            return self.classes.classes
        for item in self.classes.subsets:
            if item.name == subset:
                return item.classes
        known = ", ".join(item.name for item in self.classes.subsets) or "none"
        raise ValueError(f"no subset {subset!r} in the class table {self.classes.name!r}; it has {known}")


def _curve_json(curve: IndoorCurve) -> dict[str, JsonValue]:
    hits = curve.hits
    return {
        "evaluated": curve.evaluated,
        "ap": curve.ap(),
        "recall": curve.final_recall(),
        "n_gt": curve.n_gt,
        "n_pred": curve.n_pred,
        "n_tp": len(hits),
        "curve": {
            "score": curve.scores[hits].tolist(),
            "precision": curve.precision[hits].tolist(),
            "recall": curve.recall[hits].tolist(),
        },
    }
