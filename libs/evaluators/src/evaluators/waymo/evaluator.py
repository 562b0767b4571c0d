"""The evaluation itself: one call on arrays, or a class that collects frames."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluators._evaluator import FrameEvaluator, Layout
from evaluators._pairs import update_all
from evaluators._validation import Missing, OnInvalid, require_choice
from evaluators.state import State
from evaluators.waymo.objects import WaymoGroundTruth, WaymoPredictions, checked_rows
from evaluators.waymo.protocol import (
    MIN_SIZE_M,
    PROTOCOL_VERSION,
    RANGE_EDGES_M,
    RANGES,
    SCORE_CUTOFFS,
    TYPES,
)
from evaluators.waymo.result import WaymoResult, summarize

_COUNTS_SHAPE = (len(TYPES), len(RANGES), len(SCORE_CUTOFFS), 5)
_N_GT_SHAPE = (len(TYPES), len(RANGES), 2)
_TALLIES: tuple[str, ...] = ("n_pred", "n_gt_without_points", "n_dropped_gt", "n_dropped_pred", "n_missing")
_LAYOUT: Layout = {
    "counts": ("i", _COUNTS_SHAPE),
    "n_gt": ("i", _N_GT_SHAPE),
    "tallies": ("i", (len(_TALLIES),)),
}


def evaluate(
    gt: Mapping[str, WaymoGroundTruth],
    pred: Mapping[str, WaymoPredictions],
    *,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
) -> WaymoResult:
    """Return Waymo's AP and APH of `pred` against `gt`, both by frame name.

    Follows the official metrics library at the 101 score cut-offs 0, 0.01, ..., 1 of its example tool; the
    figures were compared with its compiled operation. Per type, range and cut-off, detections are assigned to
    ground truth so that the total overlap is largest; equally good assignments are told apart by row order.
    Types vehicle, pedestrian, sign, cyclist; levels 1 and 2; ranges of 0, 30, 50 m.
    Cost: about a millisecond a frame.

    Args:
        missing: What to do with frames of `gt` that `pred` lacks.
        on_invalid: What to do with a row that holds a NaN, a size that is not positive, or a score outside 0
            to 1.

    Raises:
        ValueError: No frames; frames that `gt` lacks; missing frames; invalid rows or arrays.

    Example:
        >>> boxes = np.array([[10.0, 0.0, 1.0, 4.5, 2.0, 1.6, 0.1]])
        >>> gt = WaymoGroundTruth(boxes=boxes, types=np.array([1]), difficulty=np.array([1]))
        >>> pred = WaymoPredictions(boxes=boxes, types=np.array([1]), scores=np.array([0.9]))
        >>> evaluate({"a": gt}, {"a": pred}).value("VEHICLE", "aph", "LEVEL_2")
        1.0
    """
    evaluator = WaymoEvaluator(on_invalid=on_invalid)
    nothing = "give WaymoPredictions.empty() where nothing was found"
    update_all(evaluator, gt, pred, missing=missing, nothing=nothing)
    return evaluator.compute()


class WaymoEvaluator(FrameEvaluator):
    """Collects frames, on one process or many, and evaluates them together.

    Only counts are kept (64 kB in all, and the frame names), in whole numbers: neither the order of updates
    nor the split over processes changes a digit. Can be pickled.

    Example:
        >>> evaluator = WaymoEvaluator()
        >>> none = np.zeros(0, int)
        >>> nothing = WaymoGroundTruth(boxes=np.zeros((0, 7)), types=none, n_points=none)
        >>> evaluator.update("a", nothing, None)
        >>> evaluator.compute().curve("SIGN", "LEVEL_1").evaluated
        False
    """

    def __init__(self, *, on_invalid: OnInvalid = "error") -> None:
        require_choice(on_invalid, OnInvalid, name="on_invalid")
        self._on_invalid: OnInvalid = on_invalid
        self.reset()

    def update(self, frame_id: str, gt: WaymoGroundTruth, pred: WaymoPredictions | None) -> None:
        """Add one frame; `pred` None is a frame without predictions, counted as missing and taken as empty.

        Raises:
            ValueError: The frame is there already, or see `evaluate`.
        """
        self._require_new(frame_id)
        found = WaymoPredictions.empty() if pred is None else pred
        good_gt = checked_rows(gt, self._on_invalid, where=f"frame {frame_id!r}, ground truth")
        good_pred = checked_rows(found, self._on_invalid, where=f"frame {frame_id!r}, predictions")
        levels = gt.levels()
        seen = good_gt & (levels > 0)
        self._frames.add(frame_id)
        self._count(gt, levels, seen, found, good_pred)
        tallies = (good_pred, good_gt & (levels == 0), ~good_gt, ~good_pred, [pred is None])
        self._tallies += np.array([np.count_nonzero(rows) for rows in tallies], dtype=np.int64)

    def reset(self) -> None:
        """Forget all frames."""
        self._frames: set[str] = set()
        self._counts = np.zeros(_COUNTS_SHAPE, dtype=np.int64)
        self._n_gt = np.zeros(_N_GT_SHAPE, dtype=np.int64)
        self._tallies = np.zeros(len(_TALLIES), dtype=np.int64)

    def compute(self) -> WaymoResult:
        """Return the scores of all frames so far.

        Raises:
            ValueError: No frames.
        """
        self._require_frames()
        tallies = {name: int(self._tallies[index]) for index, name in enumerate(_TALLIES)}
        return summarize(self._counts, self._n_gt, n_frames=len(self._frames), tallies=tallies)

    def state(self) -> dict[str, np.ndarray]:
        """Return everything gathered so far: names and settings as text, the rest as whole numbers."""
        return {
            "settings": np.array(self._settings()),
            "frames": np.array(sorted(self._frames), dtype=np.str_),
            "counts": self._counts.copy(),
            "n_gt": self._n_gt.copy(),
            "tallies": self._tallies.copy(),
        }

    def merge_state(self, state: State) -> None:
        """Add what the `state()` of another evaluator holds.

        Raises:
            ValueError: Other settings, a frame that is there already, or not such a state.
        """
        self._frames.update(self._checked_frames(state, _LAYOUT))
        self._counts = self._counts + state["counts"]
        self._n_gt = self._n_gt + state["n_gt"]
        self._tallies = self._tallies + state["tallies"]

    def _settings(self) -> str:
        return f"{PROTOCOL_VERSION}, on_invalid={self._on_invalid}"

    def _count(
        self,
        gt: WaymoGroundTruth,
        levels: np.ndarray,
        seen: np.ndarray,
        pred: WaymoPredictions,
        good_pred: np.ndarray,
    ) -> None:
        from evaluators.waymo import _kernels

        scores = pred.scores.astype(np.float32)
        no_blame = np.zeros(len(pred), np.bool_) if pred.in_no_label_zone is None else pred.in_no_label_zone
        order = np.argsort(-scores, kind="stable")
        for index, kind in enumerate(TYPES):
            rows = np.flatnonzero(seen & (gt.types == kind.code))
            found = order[(good_pred & (pred.types == kind.code))[order]]
            gt_boxes = np.array(gt.boxes[rows], dtype=np.float64, order="C")
            pred_boxes = np.array(pred.boxes[found], dtype=np.float64, order="C")
            ranges = _ranges(gt_boxes)
            for column in range(len(RANGES)):
                inside = levels[rows][(ranges == column) | (column == 0)]
                self._n_gt[index, column] += [np.count_nonzero(inside == 1), inside.size]
            _kernels.count_frame(
                gt_boxes,
                ranges,
                levels[rows],
                pred_boxes,
                _ranges(pred_boxes),
                scores[found],
                no_blame[found],
                np.array(SCORE_CUTOFFS, dtype=np.float32),
                (kind.min_overlap, MIN_SIZE_M),
                self._counts[index],
            )


def _ranges(boxes: np.ndarray) -> np.ndarray:
    """Return the position in RANGES of every box by the distance of its centre."""
    distance: np.ndarray = np.sqrt((boxes[:, :3] ** 2).sum(axis=1))
    inner, outer = RANGE_EDGES_M
    return np.where(distance >= outer, 3, np.where(distance >= inner, 2, 1)).astype(np.int64)
