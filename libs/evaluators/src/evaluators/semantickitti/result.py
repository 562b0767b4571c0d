"""What an evaluation returns: matrices, scores, notes, and their forms for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from evaluators._report import JsonValue, fields_json, finite_json
from evaluators.semantickitti import _text
from evaluators.semantickitti.confusion import SegmentationScores, segmentation_scores
from evaluators.semantickitti.protocol import PROTOCOL_NAME, PROTOCOL_VERSION, LabelMap, absent_rule

if TYPE_CHECKING:
    from evaluators.page import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticKittiCounts:
    """How much was evaluated, and what was set aside."""

    n_frames: int
    n_points: int
    """Points of all scans, those without a label included."""
    n_missing: int
    """Scans without predictions, all points taken as unlabeled."""
    n_unknown_gt: int
    """Points with a raw id that the label map does not know, taken as unlabeled."""
    n_unknown_pred: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SemanticKittiResult:
    """The evaluation of one set of scans under one label map."""

    label_map: LabelMap
    protocol: str
    """Whose rule for classes that do not occur."""
    confusion: Int64[np.ndarray, "c c"]
    """Points by class: rows prediction, columns ground truth, ignored classes included."""
    ranges_m: tuple[tuple[float, float], ...]
    range_confusions: Int64[np.ndarray, "r c c"]
    """The same for the points of every range bin."""
    counts: SemanticKittiCounts

    @property
    def scores(self) -> SegmentationScores:
        """Scores over all points."""
        return self._scored(self.confusion)

    @property
    def range_scores(self) -> tuple[SegmentationScores, ...]:
        """Scores of every range bin."""
        return tuple(map(self._scored, self.range_confusions))

    def iou(self, cls: str) -> float:
        """Return the IoU of the class of that name, 0 to 1; NaN if it was not evaluated.

        Raises:
            ValueError: No such class.
        """
        if cls not in self.label_map.classes:
            known = ", ".join(self.label_map.classes)
            raise ValueError(f"no class {cls!r} in this result; it has {known}")
        return float(self.scores.iou[self.label_map.classes.index(cls)])

    def _scored(self, confusion: Int64[np.ndarray, "c c"]) -> SegmentationScores:
        return segmentation_scores(
            confusion, ignored=self.label_map.ignored, absent=absent_rule(self.protocol)
        )

    def notes(self) -> list[str]:
        """Return what a reader must know before believing the figures, one sentence each."""
        return _text.notes(self)

    def table(self) -> str:
        """Return the figures in percent as text: classes, means, ranges, then the notes."""
        return _text.table(self)

    def sections(self) -> list[Section]:
        """Return the figures as tables, and the confusion matrix as a heat map, for a page."""
        return _text.sections(self)

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as built-in types that `json.dumps` takes; what is not a number is None."""
        names = self.label_map.classes
        ranges: list[JsonValue] = [
            {"near_m": near, "far_m": far, **_json(scores, names), "confusion": matrix.tolist()}
            for (near, far), scores, matrix in zip(
                self.ranges_m, self.range_scores, self.range_confusions, strict=True
            )
        ]
        report: dict[str, JsonValue] = {
            "protocol": {
                "name": PROTOCOL_NAME,
                "version": PROTOCOL_VERSION,
                "tool": self.protocol,
                "absent": absent_rule(self.protocol),
                "task": self.label_map.name,
            },
            "class_names": list(names),
            "ignored": list(self.label_map.ignored),
            "counts": fields_json(self.counts),
            "notes": list(self.notes()),
            **_json(self.scores, names),
            "confusion_rows_pred_cols_gt": self.confusion.tolist(),
            "ranges": ranges,
        }
        return {name: finite_json(value) for name, value in report.items()}


def _json(scores: SegmentationScores, names: tuple[str, ...]) -> Mapping[str, JsonValue]:
    classes: dict[str, JsonValue] = {
        name: {
            "evaluated": scores.evaluated[i],
            "iou": float(scores.iou[i]),
            "tp": int(scores.tp[i]),
            "fp": int(scores.fp[i]),
            "fn": int(scores.fn[i]),
        }
        for i, name in enumerate(names)
    }
    return {
        "iou_mean": scores.miou,
        "accuracy_mean": scores.accuracy,
        "overall_accuracy": scores.overall_accuracy,
        "classes": classes,
    }
