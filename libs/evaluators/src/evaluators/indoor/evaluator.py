"""The evaluation itself: one call on arrays, or a class that collects frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from evaluators._evaluator import FrameEvaluator
from evaluators._pairs import update_all
from evaluators._validation import Missing, OnInvalid, require_choice
from evaluators.indoor._matching import LAYOUT, Scene, join, match_scene, pooled_curves, split
from evaluators.indoor.boxes import IndoorBoxes
from evaluators.indoor.protocol import (
    PROTOCOL_VERSION,
    THRESHOLDS,
    ClassTable,
    MeanOver,
    Protocol,
    checked_thresholds,
    class_table,
)
from evaluators.indoor.result import IndoorResult
from evaluators.state import State


def evaluate(
    gt: Mapping[str, IndoorBoxes],
    pred: Mapping[str, IndoorBoxes],
    *,
    classes: str | ClassTable = "scannet",
    thresholds: Sequence[float] = THRESHOLDS,
    mean_over: MeanOver = "gt",
    protocol: Protocol = "mmdet3d",
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
) -> IndoorResult:
    """Return average precision and recall of `pred` against `gt`, both by frame name.

    Per class, all frames together: predictions go by descending score (ties: frame name, then row). Each
    looks at the object of its frame and class that it overlaps most (the first on ties), taken or not; it is
    a hit if that overlap exceeds the threshold (strictly) and the object is still free. Average precision is
    the area under the precision envelope over recall, all points. float64 throughout. Cost: about a tenth of
    a second for 312 frames with 600 predictions each.

    Args:
        classes: "scannet" (18), "sunrgbd" (10), "scannet-md40" (22), "to-scene" (70), or a table of your own.
        thresholds: Overlaps in [0, 1) that a hit must exceed.
        mean_over: Which classes enter the means: "gt" those with ground truth, "listed" all, "reference" as
            VoteNet and mmdet3d (NaN if a class is predicted that has no ground truth).
        protocol: "mmdet3d", exact overlaps, or "votenet", VoteNet's own, faulty where edges coincide.
        missing: What to do with frames of `gt` that `pred` lacks.
        on_invalid: What to do with a row that holds a NaN or a size that is not positive.

    Raises:
        ValueError: No frames; frames that `gt` lacks; missing frames; labels outside the table; invalid rows;
            predictions without scores.

    Example:
        >>> boxes = [[0, 0, 0.5, 1, 1, 1], [3, 0, 0.5, 1, 1, 1]]
        >>> truth = IndoorBoxes(boxes, labels=["chair", "sofa"])
        >>> found = IndoorBoxes(boxes[:1], labels=["chair"], scores=[0.9])
        >>> result = evaluate({"scene0000_00": truth}, {"scene0000_00": found})
        >>> result.ap("chair", 0.25), result.ap("bed", 0.25), result.mean_ap(0.25)
        (1.0, None, 0.5)
    """
    evaluator = IndoorEvaluator(classes=classes, protocol=protocol, on_invalid=on_invalid)
    nothing = "give IndoorBoxes.empty() where nothing was found"
    update_all(evaluator, gt, pred, missing=missing, nothing=nothing)
    return evaluator.compute(thresholds=thresholds, mean_over=mean_over)


class IndoorEvaluator(FrameEvaluator):
    """Collects frames, on one process or many, and evaluates them together.

    A frame is matched when it comes in; what stays are label, score, best object and overlap of every
    prediction (32 bytes each) and the labels of the ground truth. Scenes are put in the order of their names
    before anything is counted: neither the order of updates nor the split over processes changes a digit.
    Instances can be pickled.

    Example:
        >>> evaluator = IndoorEvaluator(classes="sunrgbd")
        >>> evaluator.update("000001", IndoorBoxes.empty(), IndoorBoxes.empty())
        >>> evaluator.compute().mean_ap(0.25) is None
        True
    """

    def __init__(
        self,
        *,
        classes: str | ClassTable = "scannet",
        protocol: Protocol = "mmdet3d",
        on_invalid: OnInvalid = "error",
    ) -> None:
        require_choice(protocol, Protocol, name="protocol")
        require_choice(on_invalid, OnInvalid, name="on_invalid")
        self._classes = class_table(classes)
        self._protocol: Protocol = protocol
        self._on_invalid: OnInvalid = on_invalid
        self.reset()

    def update(self, frame_id: str, gt: IndoorBoxes, pred: IndoorBoxes | None) -> None:
        """Add one frame; `pred` None is a frame without predictions, counted as missing and taken as empty.

        Raises:
            ValueError: The frame is there already; predictions without scores; a label outside the class
                table; an invalid row (policy "error"); VoteNet's overlap fails (protocol "votenet").
        """
        self._require_new(frame_id)
        if pred is not None and pred.scores is None:
            raise ValueError(f"frame {frame_id!r}: predictions have no scores; give IndoorBoxes scores=...")
        self._frames[frame_id] = match_scene(
            frame_id, gt, pred, table=self._classes, protocol=self._protocol, on_invalid=self._on_invalid
        )

    def reset(self) -> None:
        """Forget all frames."""
        self._frames: dict[str, Scene] = {}

    def state(self) -> dict[str, np.ndarray]:
        """Return everything gathered so far, as arrays of numbers and text."""
        return {"settings": np.array(self._settings()), **join(self._frames)}

    def merge_state(self, state: State) -> None:
        """Add what the `state()` of an evaluator with the same settings holds.

        Raises:
            ValueError: Not such a state, other settings, or a frame that is there already.
        """
        self._checked_frames(state, LAYOUT)
        self._frames.update(split(state, n_classes=len(self._classes.classes)))

    def compute(
        self, *, thresholds: Sequence[float] = THRESHOLDS, mean_over: MeanOver = "gt"
    ) -> IndoorResult:
        """Return the figures of all frames so far, at any thresholds.

        Raises:
            ValueError: No frames, a threshold outside [0, 1), or an unknown rule for means.
        """
        require_choice(mean_over, MeanOver, name="mean_over")
        values = checked_thresholds(thresholds)
        self._require_frames()
        ordered = [self._frames[name] for name in sorted(self._frames)]
        curves, counts = pooled_curves(ordered, self._classes, values)
        return IndoorResult(
            classes=self._classes,
            thresholds=values,
            protocol=self._protocol,
            mean_over=mean_over,
            curves=curves,
            counts=counts,
        )

    def _settings(self) -> str:
        table = self._classes
        subsets = {subset.name: subset.classes for subset in table.subsets}
        return json.dumps(
            [PROTOCOL_VERSION, self._protocol, self._on_invalid, table.name, table.classes, subsets]
        )
