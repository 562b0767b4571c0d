"""What is kept of a frame, and how frames become curves."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluators._columns import count_ties
from evaluators._evaluator import Layout
from evaluators._validation import OnInvalid
from evaluators.indoor.boxes import IndoorBoxes, valid_rows
from evaluators.indoor.protocol import ClassTable, Protocol
from evaluators.indoor.result import CurveKey, IndoorCounts, IndoorCurve
from evaluators.state import State

_FRAME_COLUMNS = ("n_gt", "n_pred", "n_dropped_gt", "n_dropped_pred", "missing")
_ROW_COLUMNS = {"gt_codes": "i", "pred_codes": "i", "scores": "f", "best_gt": "i", "overlaps": "f"}
LAYOUT: Layout = {
    **dict.fromkeys(_FRAME_COLUMNS, ("i", ("frames",))),
    **{name: (kind, ("gt" if name == "gt_codes" else "pred",)) for name, kind in _ROW_COLUMNS.items()},
}
"""Arrays of a state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One frame after matching: enough for every threshold, since a prediction looks at one object only."""

    gt_codes: np.ndarray
    """int64 [g]: class number of every object."""
    pred_codes: np.ndarray
    scores: np.ndarray
    best_gt: np.ndarray
    """int64 [d]: the object of the same class that overlaps most, the first on ties; -1 if none does."""
    overlaps: np.ndarray
    """float64 [d]: its intersection over union."""
    n_dropped_gt: int
    n_dropped_pred: int
    missing: bool


def match_scene(
    name: str,
    gt: IndoorBoxes,
    pred: IndoorBoxes | None,
    *,
    table: ClassTable,
    protocol: Protocol,
    on_invalid: OnInvalid,
) -> Scene:
    """Return what is kept of a frame.

    Raises:
        ValueError: A label outside the table, an invalid row, or a failure of VoteNet's overlap.
    """
    from evaluators.indoor import _kernels

    found = IndoorBoxes.empty() if pred is None else pred
    assert found.scores is not None
    in_gt, in_pred = f"frame {name!r}, ground truth", f"frame {name!r}, predictions"
    gt_kept = valid_rows(gt, on_invalid, where=in_gt)
    pred_kept = valid_rows(found, on_invalid, where=in_pred)
    gt_codes = gt.codes(table, where=in_gt)[gt_kept]
    pred_codes = found.codes(table, where=in_pred)[pred_kept]
    best_gt, overlaps = _kernels.best_matches(
        found.boxes[pred_kept], pred_codes, gt.boxes[gt_kept], gt_codes, protocol == "votenet"
    )
    failed = np.isnan(overlaps)
    if failed.any():
        row = int(np.argmax(failed))
        raise ValueError(
            f"{in_pred}, row {np.flatnonzero(pred_kept)[row] + 1}: VoteNet's overlap with ground truth row"
            f" {np.flatnonzero(gt_kept)[best_gt[row]] + 1} is not a number, because edges of the boxes"
            " coincide (VoteNet stops here); use protocol='mmdet3d', whose overlaps are exact"
        )
    return Scene(
        gt_codes=gt_codes,
        pred_codes=pred_codes,
        scores=found.scores[pred_kept],
        best_gt=best_gt,
        overlaps=overlaps,
        n_dropped_gt=int(np.count_nonzero(~gt_kept)),
        n_dropped_pred=int(np.count_nonzero(~pred_kept)),
        missing=pred is None,
    )


def pooled_curves(
    frames: Sequence[Scene], table: ClassTable, thresholds: Sequence[float]
) -> tuple[dict[CurveKey, IndoorCurve], IndoorCounts]:
    """Return the curve of every class and threshold, and the counts, of frames in their final order."""
    gt_codes = np.concatenate([frame.gt_codes for frame in frames])
    codes = np.concatenate([frame.pred_codes for frame in frames])
    scores = np.concatenate([frame.scores for frame in frames])
    overlaps = np.concatenate([frame.overlaps for frame in frames])
    firsts = np.cumsum([0, *(len(frame.gt_codes) for frame in frames[:-1])])
    best_gt = np.concatenate([s.best_gt + first for s, first in zip(frames, firsts, strict=True)])
    # Stable: by class, then descending score, then frame and row.
    order = np.lexsort((-scores, codes))
    codes, scores, overlaps, best_gt = codes[order], scores[order], overlaps[order], best_gt[order]
    n_gt = np.bincount(gt_codes, minlength=len(table.classes))
    ends = np.searchsorted(codes, np.arange(len(table.classes) + 1))
    curves: dict[CurveKey, IndoorCurve] = {}
    for threshold in thresholds:
        hit = _first_takers(overlaps > threshold, best_gt, len(gt_codes))
        for code, name in enumerate(table.classes):
            rows = slice(ends[code], ends[code + 1])
            curves[name, threshold] = IndoorCurve(
                n_gt=int(n_gt[code]), scores=scores[rows], tp=np.cumsum(hit[rows], dtype=np.int64)
            )
    counts = IndoorCounts(
        n_frames=len(frames),
        n_gt=len(gt_codes),
        n_pred=len(codes),
        n_dropped_gt=sum(frame.n_dropped_gt for frame in frames),
        n_dropped_pred=sum(frame.n_dropped_pred for frame in frames),
        n_missing=sum(frame.missing for frame in frames),
        n_tied_scores=count_ties(scores, codes),
    )
    return curves, counts


def _first_takers(good: np.ndarray, best_gt: np.ndarray, n_gt: int) -> np.ndarray:
    """Return which rows are hits, bool [d]: good enough, and no good row before them has the same object."""
    rows = np.flatnonzero(good)[::-1]
    first = np.full(n_gt, -1)
    # Of several values for one object the last one stays, which is the earliest row.
    first[best_gt[rows]] = rows
    hit = np.zeros(len(good), dtype=np.bool_)
    hit[first[first >= 0]] = True
    return hit


def join(frames: Mapping[str, Scene]) -> dict[str, np.ndarray]:
    """Return frames as flat arrays, in the order of their names."""
    names = sorted(frames)
    ordered = [frames[name] for name in names]

    def flat(column: str, kind: str) -> np.ndarray:
        nothing = np.zeros(0, np.int64 if kind == "i" else np.float64)
        return np.concatenate([nothing, *(getattr(frame, column) for frame in ordered)])

    def counted(values: Iterable[int]) -> np.ndarray:
        return np.array(list(values), dtype=np.int64)

    return {
        "frames": np.array(names, dtype=np.str_),
        "n_gt": counted(len(frame.gt_codes) for frame in ordered),
        "n_pred": counted(len(frame.pred_codes) for frame in ordered),
        "n_dropped_gt": counted(frame.n_dropped_gt for frame in ordered),
        "n_dropped_pred": counted(frame.n_dropped_pred for frame in ordered),
        "missing": counted(frame.missing for frame in ordered),
        **{name: flat(name, kind) for name, kind in _ROW_COLUMNS.items()},
    }


def split(state: State, *, n_classes: int) -> dict[str, Scene]:
    """Return the frames of flat arrays.

    Raises:
        ValueError: Their numbers do not fit together.
    """
    sums = int(state["n_gt"].sum()), int(state["n_pred"].sum())
    counts_fit = sums == (len(state["gt_codes"]), len(state["scores"]))
    negative = any((state[name] < 0).any() for name in _FRAME_COLUMNS)
    if negative or not counts_fit or not _values_fit(state, n_classes):
        raise ValueError(
            "the arrays of the state do not fit together; pass what IndoorEvaluator.state() returned"
        )
    gt_codes = np.split(state["gt_codes"], np.cumsum(state["n_gt"])[:-1])
    columns = [name for name in _ROW_COLUMNS if name != "gt_codes"]
    rows = {name: np.split(state[name], np.cumsum(state["n_pred"])[:-1]) for name in columns}
    frames: list[str] = state["frames"].tolist()
    return {
        frame_id: Scene(
            gt_codes=gt_codes[at].copy(),
            n_dropped_gt=int(state["n_dropped_gt"][at]),
            n_dropped_pred=int(state["n_dropped_pred"][at]),
            missing=bool(state["missing"][at]),
            **{name: rows[name][at].copy() for name in columns},
        )
        for at, frame_id in enumerate(frames)
    }


def _values_fit(state: State, n_classes: int) -> bool:
    codes = np.concatenate([state["gt_codes"], state["pred_codes"]])
    available = np.repeat(state["n_gt"], state["n_pred"])
    best, overlaps = state["best_gt"], state["overlaps"]
    return bool(
        ((codes >= 0) & (codes < n_classes)).all()
        and np.isfinite(state["scores"]).all()
        and ((best >= -1) & (best < available)).all()
        and ((overlaps >= 0) & ((best >= 0) | (overlaps == 0))).all()
    )
