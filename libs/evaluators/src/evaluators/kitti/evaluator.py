"""The evaluation itself: one call on arrays, or a class that collects frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from evaluators._columns import count_ties
from evaluators._evaluator import FrameEvaluator
from evaluators._pairs import update_all
from evaluators._validation import Missing, OnInvalid, require_choice, require_disjoint, require_settings
from evaluators.kitti import _saved
from evaluators.kitti._checks import checked
from evaluators.kitti._matching import candidates, flags, is_evaluated, match, orientation_is_given
from evaluators.kitti._packing import Packed, pack
from evaluators.kitti._rows import DETECTION_COLUMNS, LABEL_COLUMNS, Rows
from evaluators.kitti.objects import KittiObjects
from evaluators.kitti.protocol import (
    DIFFICULTIES,
    KITTI_NAMES,
    Difficulty,
    DontCareRule,
    Metric,
    OverlapTable,
    Protocol,
    overlap_table,
    protocol_named,
)
from evaluators.kitti.result import CurveKey, KittiCounts, KittiCurve, KittiResult
from evaluators.state import State

AosMode: TypeAlias = Literal["auto", "always", "never"]
"""auto: as the protocol decides; with the official kit, one alpha of -10 ends all orientation scores."""


def evaluate(
    gt: Mapping[str, KittiObjects],
    pred: Mapping[str, KittiObjects],
    *,
    protocol: str | Protocol = "kitti-devkit",
    overlaps: str | OverlapTable = "strict",
    difficulties: Sequence[Difficulty] = DIFFICULTIES,
    missing: Missing = "error",
    aos: AosMode = "auto",
    on_invalid: OnInvalid = "error",
) -> KittiResult:
    """Return the KITTI object scores of `pred` against `gt`, both by frame name.

    Follows the official development kit exactly (see README), or another tool: 2D, orientation, bird's eye
    view and 3D, per class and level. float64 throughout; ties go to the earlier row. Cost: less than a
    second for 3769 frames.

    Args:
        protocol: "kitti-devkit" (official), or the rules of another tool: "prclibo", "openpcdet", "mmdet3d".
            See `Protocol` for what they do differently; overlaps are exact under all of them.
        overlaps: "strict" (official), "loose", "strict-extended", "loose-extended", or a table of your own.
        missing: What to do with frames of `gt` that `pred` lacks.
        on_invalid: What to do with a row that holds a NaN, a size that is not positive (-1 stands for
            absent), or an inverted image box.

    Raises:
        ValueError: No frames; frames that `gt` lacks; missing frames; invalid rows; detections without score.

    Example:
        >>> found = KittiObjects.predictions(
        ...     ["Car"], alpha=[0.1], bbox=[[0, 0, 100, 60]], size_hwl=[[1.5, 1.6, 4.0]],
        ...     location=[[0, 1.6, 20]], rotation_y=[0.1], score=[0.9],
        ... )
        >>> frames = {f"{i:06d}": found for i in range(50)}
        >>> round(evaluate(frames, frames).ap("Car", "3d", "easy"), 6)
        100.0
    """
    evaluator = KittiEvaluator(on_invalid=on_invalid)
    nothing = "give KittiObjects.empty() where nothing was found"
    update_all(evaluator, gt, pred, missing=missing, nothing=nothing)
    return evaluator.compute(protocol=protocol, overlaps=overlaps, difficulties=difficulties, aos=aos)


class KittiEvaluator(FrameEvaluator):
    """Collects frames, on one process or many, and evaluates them together.

    The protocol picks its thresholds from all scores at once, so the objects themselves are the state (about
    6 kB per frame). Frames are put in the order of their names before anything is counted: neither the order
    of updates nor the split over processes changes a digit. Instances can be pickled, to be merged elsewhere;
    `state` gives plain arrays for the same purpose.

    Example:
        >>> evaluator = KittiEvaluator()
        >>> evaluator.update("000001", KittiObjects.empty(), KittiObjects.empty())
        >>> evaluator.compute().ap("Car", "2d", "easy")
        0.0
        >>> other = KittiEvaluator()
        >>> other.merge_state(evaluator.state())
        >>> len(other)
        1
    """

    def __init__(self, *, on_invalid: OnInvalid = "error") -> None:
        require_choice(on_invalid, OnInvalid, name="on_invalid")
        self._on_invalid: OnInvalid = on_invalid
        self.reset()

    @property
    def on_invalid(self) -> OnInvalid:
        """What becomes of invalid rows."""
        return self._on_invalid

    def reset(self) -> None:
        """Forget all frames."""
        # Whether each frame lacks predictions, in the order of the rows in the blocks.
        self._frames: dict[str, bool] = {}
        self._blocks: list[tuple[Rows, Rows]] = []
        self._dropped = np.zeros(2, dtype=np.int64)
        self._packed: dict[DontCareRule, Packed] = {}

    def update(self, frame_id: str, gt: KittiObjects, pred: KittiObjects | None) -> None:
        """Add one frame; `pred` None is a frame without predictions, counted as missing and taken as empty.

        Raises:
            ValueError: The frame is there already; detections without score; an invalid row (policy "error").
        """
        self._require_new(frame_id)
        if pred is not None and pred.score is None:
            raise ValueError(f"frame {frame_id!r}: predictions have no score; build them with score=...")
        self.update_rows(
            {frame_id: pred is None},
            Rows.of_objects([gt], LABEL_COLUMNS),
            Rows.of_objects([KittiObjects.empty() if pred is None else pred], DETECTION_COLUMNS),
        )

    def update_rows(self, frames: Mapping[str, bool], gt: Rows, pred: Rows) -> None:
        """Add new frames as rows, as the folder reader has them; `frames` tells which lack predictions.

        Raises:
            ValueError: An invalid row (policy "error").
        """
        frame_ids = list(frames)
        kept_gt = checked(gt, self._on_invalid, frame_ids=frame_ids, what="ground truth")
        kept_pred = checked(pred, self._on_invalid, frame_ids=frame_ids, what="predictions")
        dropped = [len(gt.codes) - len(kept_gt.codes), len(pred.codes) - len(kept_pred.codes)]
        self._add(frames, [(kept_gt, kept_pred)], np.array(dropped))

    def merge(self, other: KittiEvaluator) -> None:
        """Add all frames of `other`, for example from another process; `other` is left as it is.

        Raises:
            ValueError: Both hold the same frame, or `other` treats invalid rows in another way.
        """
        require_settings(other._settings(), self._settings())
        self._add(other._frames, other._blocks, other._dropped)

    def state(self) -> dict[str, np.ndarray]:
        """Return everything gathered so far as plain arrays; how the frames came in leaves no trace."""
        gt, pred = self._sorted_rows()
        return {
            "settings": np.array(self._settings()),
            "frames": np.array(list(self._frames), dtype=np.str_),
            "missing": np.array(list(self._frames.values()), dtype=np.bool_),
            "dropped": self._dropped.copy(),
            **_saved.arrays_of(gt, "gt"),
            **_saved.arrays_of(pred, "pred"),
        }

    def merge_state(self, state: State) -> None:
        """Add what the `state()` of another evaluator holds.

        Raises:
            ValueError: Both hold the same frame; invalid rows are treated in another way; not such a state.
        """
        frames = self._checked_frames(state, _saved.LAYOUT)
        if (state["dropped"] < 0).any():
            raise ValueError("not what KittiEvaluator.state() returned: dropped holds a negative count")
        other = self.empty()
        # The rows were checked when they came in; a file from elsewhere may hold anything.
        other.update_rows(
            dict(zip(frames, state["missing"].tolist(), strict=True)),
            _saved.rows_of(state, "gt"),
            _saved.rows_of(state, "pred"),
        )
        other._dropped = other._dropped + state["dropped"]
        self.merge(other)

    def compute(
        self,
        *,
        protocol: str | Protocol = "kitti-devkit",
        overlaps: str | OverlapTable = "strict",
        difficulties: Sequence[Difficulty] = DIFFICULTIES,
        aos: AosMode = "auto",
    ) -> KittiResult:
        """Return the scores of all frames so far. A second call with another table reuses the overlaps.

        Raises:
            ValueError: No frames, no levels, or an unknown protocol, table or mode.
        """
        require_choice(aos, AosMode, name="aos")
        rules = protocol_named(protocol)
        table = overlap_table(overlaps)
        levels = tuple(difficulties)
        if not levels or len({level.name for level in levels}) != len(levels):
            raise ValueError(f"difficulties must be at least one level with distinct names, got {levels}")
        self._require_frames()
        if rules.dont_care not in self._packed:
            gt, pred = self._sorted_rows()
            self._packed[rules.dont_care] = pack(gt, pred, rules.dont_care)
        packed = self._packed[rules.dont_care]
        with_aos = aos == "always" or (aos == "auto" and orientation_is_given(packed, rules.orientation))
        curves = _curves(packed, table, levels, rules)
        kept = {key: curve for key, curve in curves.items() if with_aos or key[1] != "aos"}
        strange_gt, strange_pred = (_strange_names(rows, table) for rows in self._sorted_rows())
        return KittiResult(
            protocol=rules,
            overlaps=table,
            difficulties=levels,
            curves=kept,
            counts=self._counts(packed),
            strange_gt=strange_gt,
            strange_pred=strange_pred,
        )

    def _settings(self) -> str:
        return f"on_invalid={self._on_invalid}"

    def _add(
        self, frames: Mapping[str, bool], blocks: Sequence[tuple[Rows, Rows]], dropped: np.ndarray
    ) -> None:
        require_disjoint(self._frames, frames)
        self._frames.update(frames)
        self._blocks += blocks
        self._dropped = self._dropped + dropped
        self._packed.clear()

    def _sorted_rows(self) -> tuple[Rows, Rows]:
        """Join the blocks to one, in the order of the frame names, and return it."""
        if not self._blocks:
            return Rows.of([], [], LABEL_COLUMNS), Rows.of([], [], DETECTION_COLUMNS)
        names = list(self._frames)
        order = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
        if len(self._blocks) > 1 or np.any(np.diff(order) < 0):
            gt, pred = (Rows.joined(parts, order) for parts in zip(*self._blocks, strict=True))
            self._blocks = [(gt, pred)]
            self._frames = dict(sorted(self._frames.items()))
        return self._blocks[0]

    def _counts(self, packed: Packed) -> KittiCounts:
        n_dont_care = int(np.count_nonzero(packed.gt.codes == packed.code("DontCare")))
        return KittiCounts(
            n_frames=len(self._frames),
            n_gt=len(packed.gt.codes) - n_dont_care,
            n_dont_care=n_dont_care,
            n_pred=len(packed.pred.codes),
            n_dropped_gt=int(self._dropped[0]),
            n_dropped_pred=int(self._dropped[1]),
            n_missing=sum(self._frames.values()),
            n_tied_scores=_count_ties(packed),
        )


def _strange_names(rows: Rows, table: OverlapTable) -> dict[str, int]:
    """Return how many rows have each name that neither the table nor KITTI knows."""
    known = {name.lower() for name in (*KITTI_NAMES, *table.class_names)}
    numbers = np.bincount(rows.codes, minlength=len(rows.names)).tolist()
    counted = zip(rows.names, numbers, strict=True)
    return {name: number for name, number in sorted(counted) if number and name.lower() not in known}


def _count_ties(packed: Packed) -> int:
    """Return how many detections share their score with another one of their frame."""
    starts, scores = packed.pred.starts, packed.scores
    frame = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return count_ties(scores, frame)


def _curves(
    packed: Packed, table: OverlapTable, levels: tuple[Difficulty, ...], protocol: Protocol
) -> dict[CurveKey, KittiCurve]:
    curves: dict[CurveKey, KittiCurve] = {}
    matched: tuple[Metric, ...] = ("2d", "bev", "3d")
    for rule in table.classes:
        flagged = {level.name: flags(packed, rule, level, protocol) for level in levels}
        for metric in matched:
            evaluated = is_evaluated(packed, rule, metric, protocol.evaluated)
            pairs = candidates(packed, rule, metric)
            for level, what_counts in flagged.items():
                if evaluated:
                    precision, orientation = match(packed, pairs, what_counts)
                else:
                    precision = orientation = what_counts.no_curve()
                curves[rule.name, metric, level] = precision
                if metric == "2d":
                    curves[rule.name, "aos", level] = orientation
    return curves
