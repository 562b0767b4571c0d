"""What an evaluation returns: counts and quality per class, means, and their printed forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64

from evaluators._report import JsonValue, fields_json
from evaluators._validation import require_choice
from evaluators.page import Section
from evaluators.panoptic import _text
from evaluators.panoptic._matching import COLUMNS
from evaluators.panoptic.protocol import Figure, Group, PanopticProtocol

_TINY = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticCounts:
    """How much was evaluated, and what was set aside."""

    n_frames: int
    n_points: int
    n_ignored_points: int
    """Points whose ground truth is ignored."""
    n_missing: int
    """Scans without predictions, taken as unlabeled."""
    n_unknown_labels: int
    """Labels of either side, taken as unlabeled because the label map does not list them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanopticResult:
    """Sums over all scans by class id [c], ignored classes included; all figures are fractions, 0 to 1."""

    protocol: PanopticProtocol
    counts: PanopticCounts
    tp: Int64[np.ndarray, " c"]
    """Matched pairs of segments."""
    fp: Int64[np.ndarray, " c"]
    """Unmatched predicted segments of `min_points` or more."""
    fn: Int64[np.ndarray, " c"]
    """Unmatched true segments of `min_points` or more."""
    small_gt: Int64[np.ndarray, " c"]
    """Unmatched true segments below `min_points`: no error."""
    small_pred: Int64[np.ndarray, " c"]
    split_gt: Int64[np.ndarray, " c"]
    """Scans whose ground truth has several segments of the class."""
    split_pred: Int64[np.ndarray, " c"]
    iou_sum: Float64[np.ndarray, " c"]
    """IoU summed over the matched pairs."""
    confusion: Int64[np.ndarray, "c c"]
    """Points; rows prediction, columns ground truth."""

    @property
    def evaluated(self) -> Bool[np.ndarray, " c"]:
        """True where a segment counted. Elsewhere figures are 0, and stay in the means as in the tools."""
        return self.tp + self.fp + self.fn > 0

    @property
    def sq(self) -> Float64[np.ndarray, " c"]:
        """Segmentation quality: mean IoU of the matched pairs."""
        return self.iou_sum / np.maximum(self.tp, _TINY)

    @property
    def rq(self) -> Float64[np.ndarray, " c"]:
        """Recognition quality: the F1 score of the segments."""
        return self.tp / np.maximum(self.tp + 0.5 * self.fp + 0.5 * self.fn, _TINY)

    @property
    def pq(self) -> Float64[np.ndarray, " c"]:
        """Panoptic quality: SQ times RQ."""
        return self.sq * self.rq

    @property
    def iou(self) -> Float64[np.ndarray, " c"]:
        """IoU of the points, instances set aside; points with ignored ground truth do not count."""
        points = self.confusion.copy()
        points[:, list(self.protocol.label_map.ignored)] = 0
        both = points.diagonal()
        return both / np.maximum(points.sum(axis=0) + points.sum(axis=1) - both, _TINY)

    def mean(self, figure: Figure, over: Group = "all") -> float:
        """Return the plain mean of a figure over all evaluated classes of the label map, things, or stuff.

        Raises:
            ValueError: Unknown figure or group.
        """
        require_choice(figure, Figure, name="figure")
        require_choice(over, Group, name="over")
        values: Float64[np.ndarray, " c"] = getattr(self, figure)
        label_map = self.protocol.label_map
        names = {
            "all": label_map.evaluated_names,
            "things": self.protocol.things,
            "stuff": self.protocol.stuff,
        }
        return float(np.mean([values[label_map.classes.index(name)] for name in names[over]]))

    @property
    def pq_dagger(self) -> float:
        """PQ with the IoU of the points in place of the PQ of stuff, mean over things and stuff."""
        return self._mean_of_both(self.mean("pq", "things"), self.mean("iou", "stuff"))

    def scores(self) -> dict[str, float]:
        """Return the eleven scores that the official SemanticKITTI script writes, under its names.

        `iou_mean` is over all evaluated classes of the label map, the other means are over things and stuff.
        """
        found = {"pq_dagger": self.pq_dagger, "iou_mean": self.mean("iou")}
        figures: tuple[Figure, ...] = ("pq", "sq", "rq")
        for figure in figures:
            things, stuff = self.mean(figure, "things"), self.mean(figure, "stuff")
            found[f"{figure}_mean"] = self._mean_of_both(things, stuff)
            found[f"{figure}_things"] = things
            found[f"{figure}_stuff"] = stuff
        return found

    def _mean_of_both(self, things: float, stuff: float) -> float:
        n_things, n_stuff = len(self.protocol.things), len(self.protocol.stuff)
        return (things * n_things + stuff * n_stuff) / (n_things + n_stuff)

    def notes(self) -> list[str]:
        """Return what a reader must know before believing the figures, one sentence each."""
        return _text.notes(self)

    def table(self) -> str:
        """Return the figures in percent as text, then the notes."""
        return _text.table(self)

    def sections(self) -> list[Section]:
        """Return the means, the classes and the confusion matrix for a page."""
        return _text.sections(self)

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as built-in types that `json.dumps` takes; figures are fractions, 0 to 1."""
        label_map = self.protocol.label_map
        columns = (*get_args(Figure), *COLUMNS, "iou_sum", "evaluated")
        values: dict[str, list[JsonValue]] = {name: getattr(self, name).tolist() for name in columns}
        classes: dict[str, JsonValue] = {
            label_map.classes[at]: {"id": at, "kind": self.kind(at)}
            | {name: column[at] for name, column in values.items()}
            for at in label_map.evaluated
        }
        return {
            "protocol": {
                "name": "panoptic",
                "version": self.protocol.name,
                "label_map": label_map.name,
                "min_points": self.protocol.min_points,
            },
            "scores": self.scores(),
            "means_over_all_classes": {name: self.mean(name) for name in get_args(Figure)},
            "classes": classes,
            "counts": fields_json(self.counts),
            "confusion": {
                "classes": list(label_map.classes),
                "rows_prediction_columns_ground_truth": self.confusion.tolist(),
            },
            "notes": list(self.notes()),
        }

    def kind(self, class_id: int) -> str:
        """Return "thing", "stuff", or "other" for a class that is in the means of neither."""
        name = self.protocol.label_map.classes[class_id]
        if name in self.protocol.things:
            return "thing"
        return "stuff" if name in self.protocol.stuff else "other"
