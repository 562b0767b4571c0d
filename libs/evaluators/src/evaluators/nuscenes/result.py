"""What an evaluation returns: curves, counts, notes, and their forms for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from evaluators._report import JsonValue, fields_json, finite_json
from evaluators._validation import require_choice
from evaluators.nuscenes import _text
from evaluators.nuscenes.protocol import (
    PROTOCOL_NAME,
    PROTOCOL_VERSION,
    RECALL_POSITIONS,
    TP_ERRORS,
    NuscenesProtocol,
    TpError,
)
from evaluators.page import Section

CurveKey = tuple[str, float]
"""Class name and distance threshold in metres."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NuscenesCurve:
    """One class at one distance threshold. Entry k of a curve belongs to recall k / 100."""

    n_gt: int
    n_pred: int
    n_tp: int
    precision: Float64[np.ndarray, " 101"]
    """Linear between hits, 0 beyond the recall that was reached; not made monotone."""
    confidence: Float64[np.ndarray, " 101"]
    """Score at which the recall is reached; 0 beyond."""
    errors: Mapping[TpError, Float64[np.ndarray, " 101"]]
    """Mean error of all hits down to that confidence; 1 everywhere without hits."""

    @classmethod
    def without_hits(cls, *, n_gt: int, n_pred: int) -> NuscenesCurve:
        """Return the curve of a class of which nothing was found."""
        nothing = np.zeros(RECALL_POSITIONS)
        worst: dict[TpError, np.ndarray] = {name: np.ones(RECALL_POSITIONS) for name in TP_ERRORS}
        return cls(n_gt=n_gt, n_pred=n_pred, n_tp=0, precision=nothing, confidence=nothing, errors=worst)

    @property
    def evaluated(self) -> bool:
        """False: there is no ground truth of the class; its average precision is then 0 by definition."""
        return self.n_gt > 0

    def ap(self, *, min_recall: float, min_precision: float) -> float:
        """Return the average precision, 0 to 1."""
        above = np.maximum(self.precision[_first(min_recall) :] - min_precision, 0.0)
        return float(above.mean()) / (1.0 - min_precision)

    def mean_error(self, error: TpError, *, min_recall: float) -> float:
        """Return the mean error up to the recall that was reached; 1 if that is not above `min_recall`."""
        # A score of exactly 0 looks like recall that was not reached, here as in the official kit.
        reached = np.flatnonzero(self.confidence)
        last = int(reached[-1]) if len(reached) else 0
        first = _first(min_recall)
        return 1.0 if last < first else float(self.errors[error][first : last + 1].mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class NuscenesCounts:
    """How much was evaluated, and what was set aside; the filters work in this order."""

    n_frames: int
    n_gt: int
    """Ground truth boxes of the classes, before filtering."""
    n_gt_out_of_range: int
    n_gt_without_points: int
    n_gt_in_racks: int
    """Bicycles and motorcycles in bicycle racks."""
    n_pred: int
    n_pred_out_of_range: int
    n_pred_without_points: int
    """Detections that say of themselves to hold 0 points."""
    n_pred_in_racks: int
    n_dropped_gt: int
    """Invalid rows left out because `on_invalid` was "drop"."""
    n_dropped_pred: int
    n_missing: int
    """Samples without predictions, taken as empty."""
    n_tied_scores: int
    """Counted detections that share their score with another one of their class; the later goes first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NuscenesResult:
    """The evaluation of one set of samples. Everything is a fraction; nothing is in percent."""

    protocol: NuscenesProtocol
    curves: Mapping[CurveKey, NuscenesCurve]
    counts: NuscenesCounts

    def curve(self, cls: str, dist_m: float | None = None) -> NuscenesCurve:
        """Return the curve of a class at a distance threshold, by default that of the errors.

        Raises:
            ValueError: Unknown class or threshold.
        """
        threshold = self.protocol.tp_threshold_m if dist_m is None else dist_m
        if (cls, threshold) not in self.curves:
            raise ValueError(
                f"no curve of class {cls!r} at {threshold} m; there are"
                f" {', '.join(self.protocol.class_names)}"
                f" at {', '.join(map(str, self.protocol.dist_thresholds_m))} m"
            )
        return self.curves[cls, threshold]

    def ap(self, cls: str, dist_m: float | None = None) -> float:
        """Return the average precision of a class at one distance threshold, or the mean over all.

        Raises:
            ValueError: Unknown class or threshold.
        """
        thresholds = self.protocol.dist_thresholds_m if dist_m is None else (dist_m,)
        options = {"min_recall": self.protocol.min_recall, "min_precision": self.protocol.min_precision}
        return float(np.mean([self.curve(cls, threshold).ap(**options) for threshold in thresholds]))

    @property
    def mean_ap(self) -> float:
        """mAP: mean over all classes, also those without ground truth, and distances."""
        return float(np.mean([self.ap(name) for name in self.protocol.class_names]))

    def tp_error(self, cls: str, error: TpError) -> float | None:
        """Return a mean error of the hits of a class; None if it is not scored for the class.

        Raises:
            ValueError: Unknown class or error.
        """
        require_choice(error, TpError, name="error")
        curve = self.curve(cls)
        rule = next(rule for rule in self.protocol.classes if rule.name == cls)
        if error in rule.unscored:
            return None
        return curve.mean_error(error, min_recall=self.protocol.min_recall)

    @property
    def tp_errors(self) -> dict[TpError, float]:
        """Mean over classes of each error that any class scores (mATE, mASE, mAOE, mAVE, mAAE)."""
        means: dict[TpError, float] = {}
        for error in TP_ERRORS:
            values = [self.tp_error(name, error) for name in self.protocol.class_names]
            known = [value for value in values if value is not None]
            if known:
                means[error] = float(np.mean(known))
        return means

    @property
    def nds(self) -> float:
        """NDS: weighted mean of mAP and of 1 - error (at least 0) for each error."""
        scores = [max(0.0, 1.0 - error) for error in self.tp_errors.values()]
        weight = self.protocol.mean_ap_weight
        return float(weight * self.mean_ap + np.sum(scores)) / float(weight + len(scores))

    def notes(self) -> list[str]:
        """Return what a reader must know before believing the figures, one sentence each."""
        return _text.notes(self)

    def table(self) -> str:
        """Return the figures as text: the means, one line per class, then the notes."""
        return _text.table(self)

    def sections(self) -> list[Section]:
        """Return the figures as tables and charts for a page."""
        return _text.sections(self)

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as built-in types that `json.dumps` takes; what is not a number is None.

        The figures have the names that the official kit gives them in `metrics_summary.json`, the curves
        those of `metrics_details.json`.
        """
        protocol, names = self.protocol, self.protocol.class_names
        distances = protocol.dist_thresholds_m
        report: dict[str, JsonValue] = {
            "protocol": {
                "name": PROTOCOL_NAME,
                "version": PROTOCOL_VERSION,
                "config": protocol.name,
                "accepts": protocol.accepts,
            },
            "cfg": {
                "class_range": {rule.name: rule.range_m for rule in protocol.classes},
                "dist_fcn": "center_distance",
                "dist_ths": list(distances),
                "dist_th_tp": protocol.tp_threshold_m,
                "min_recall": protocol.min_recall,
                "min_precision": protocol.min_precision,
                "max_boxes_per_sample": protocol.max_boxes_per_sample,
                "mean_ap_weight": protocol.mean_ap_weight,
            },
            "counts": fields_json(self.counts),
            "notes": list(self.notes()),
            "mean_ap": self.mean_ap,
            "nd_score": self.nds,
            "tp_errors": {**self.tp_errors},
            "tp_scores": {error: max(0.0, 1.0 - value) for error, value in self.tp_errors.items()},
            "mean_dist_aps": {name: self.ap(name) for name in names},
            "label_aps": {
                name: {str(dist): self.ap(name, dist) for dist in protocol.dist_thresholds_m}
                for name in names
            },
            "label_tp_errors": {
                name: {error: self.tp_error(name, error) for error in TP_ERRORS} for name in names
            },
            "evaluated": {name: self.curve(name).evaluated for name in names},
            "curves": {f"{name}:{dist}": _curve_json(curve) for (name, dist), curve in self.curves.items()},
        }
        return {key: finite_json(value) for key, value in report.items()}


def _curve_json(curve: NuscenesCurve) -> dict[str, JsonValue]:
    return {
        "n_gt": curve.n_gt,
        "n_pred": curve.n_pred,
        "n_tp": curve.n_tp,
        "precision": curve.precision.tolist(),
        "confidence": curve.confidence.tolist(),
        **{error: values.tolist() for error, values in curve.errors.items()},
    }


def _first(min_recall: float) -> int:
    """Return the first recall position above `min_recall`."""
    return round(100 * min_recall) + 1
