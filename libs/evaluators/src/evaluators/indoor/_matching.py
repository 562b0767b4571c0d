"""What is kept of a scene, and how scenes become curves."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluators._columns import count_ties
from evaluators._validation import OnInvalid
from evaluators.indoor.boxes import IndoorBoxes, valid_rows
from evaluators.indoor.protocol import ClassTable, Protocol
from evaluators.indoor.result import CurveKey, IndoorCounts, IndoorCurve
from evaluators.state import State

_TYPES = {"i": np.int64, "f": np.float64}
_SCENE_COLUMNS = ("n_gt", "n_det", "n_dropped_gt", "n_dropped_det", "missing")
_DET_COLUMNS = {"det_codes": "i", "scores": "f", "best_gt": "i", "overlaps": "f"}
COLUMNS = {"scenes": "U", "gt_codes": "i", **dict.fromkeys(_SCENE_COLUMNS, "i"), **_DET_COLUMNS}
"""Arrays of a state and their kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene after matching: enough for every threshold, since a prediction looks at one object only."""

    gt_codes: np.ndarray
    """int64 [g]: class number of every object."""
    det_codes: np.ndarray
    scores: np.ndarray
    best_gt: np.ndarray
    """int64 [d]: the object of the same class that overlaps most, the first on ties; -1 if none does."""
    overlaps: np.ndarray
    """float64 [d]: its intersection over union."""
    n_dropped_gt: int
    n_dropped_det: int
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
    """Return what is kept of a scene.

    Raises:
        ValueError: A label outside the table, an invalid row, or a failure of VoteNet's overlap.
    """
    from evaluators.indoor import _kernels

    found = IndoorBoxes.empty() if pred is None else pred
    assert found.scores is not None
    in_gt, in_pred = f"scene {name!r}, ground truth", f"scene {name!r}, predictions"
    gt_kept = valid_rows(gt, on_invalid, where=in_gt)
    det_kept = valid_rows(found, on_invalid, where=in_pred)
    gt_codes = gt.codes(table, where=in_gt)[gt_kept]
    det_codes = found.codes(table, where=in_pred)[det_kept]
    best_gt, overlaps = _kernels.best_matches(
        found.boxes[det_kept], det_codes, gt.boxes[gt_kept], gt_codes, protocol == "votenet"
    )
    failed = np.isnan(overlaps)
    if failed.any():
        row = int(np.argmax(failed))
        raise ValueError(
            f"{in_pred}, row {np.flatnonzero(det_kept)[row] + 1}: VoteNet's overlap with ground truth row"
            f" {np.flatnonzero(gt_kept)[best_gt[row]] + 1} is not a number, because edges of the boxes"
            " coincide (VoteNet stops here); use protocol='mmdet3d', whose overlaps are exact"
        )
    return Scene(
        gt_codes=gt_codes,
        det_codes=det_codes,
        scores=found.scores[det_kept],
        best_gt=best_gt,
        overlaps=overlaps,
        n_dropped_gt=int(np.count_nonzero(~gt_kept)),
        n_dropped_det=int(np.count_nonzero(~det_kept)),
        missing=pred is None,
    )


def pooled_curves(
    scenes: Sequence[Scene], table: ClassTable, thresholds: Sequence[float]
) -> tuple[dict[CurveKey, IndoorCurve], IndoorCounts]:
    """Return the curve of every class and threshold, and the counts, of scenes in their final order."""
    gt_codes = np.concatenate([scene.gt_codes for scene in scenes])
    codes = np.concatenate([scene.det_codes for scene in scenes])
    scores = np.concatenate([scene.scores for scene in scenes])
    overlaps = np.concatenate([scene.overlaps for scene in scenes])
    firsts = np.cumsum([0, *(len(scene.gt_codes) for scene in scenes[:-1])])
    best_gt = np.concatenate([s.best_gt + first for s, first in zip(scenes, firsts, strict=True)])
    # Stable: by class, then descending score, then scene and row.
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
        n_scenes=len(scenes),
        n_gt=len(gt_codes),
        n_det=len(codes),
        n_dropped_gt=sum(scene.n_dropped_gt for scene in scenes),
        n_dropped_det=sum(scene.n_dropped_det for scene in scenes),
        n_missing=sum(scene.missing for scene in scenes),
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


def join(scenes: Mapping[str, Scene]) -> dict[str, np.ndarray]:
    """Return scenes as flat arrays, in the order of their names."""
    names = sorted(scenes)
    ordered = [scenes[name] for name in names]

    def flat(column: str, kind: str) -> np.ndarray:
        return np.concatenate([np.zeros(0, _TYPES[kind]), *(getattr(scene, column) for scene in ordered)])

    return {
        "scenes": np.array(names, dtype=np.str_),
        "n_gt": np.array([len(scene.gt_codes) for scene in ordered], dtype=np.int64),
        "n_det": np.array([len(scene.det_codes) for scene in ordered], dtype=np.int64),
        "n_dropped_gt": np.array([scene.n_dropped_gt for scene in ordered], dtype=np.int64),
        "n_dropped_det": np.array([scene.n_dropped_det for scene in ordered], dtype=np.int64),
        "missing": np.array([scene.missing for scene in ordered], dtype=np.int64),
        "gt_codes": flat("gt_codes", "i"),
        **{name: flat(name, kind) for name, kind in _DET_COLUMNS.items()},
    }


def split(state: State, *, n_classes: int) -> dict[str, Scene]:
    """Return the scenes of flat arrays.

    Raises:
        ValueError: An array is missing, or they do not fit together.
    """
    _require_sound(state, n_classes)
    names: list[str] = state["scenes"].tolist()
    gt_ends, det_ends = np.cumsum(state["n_gt"]), np.cumsum(state["n_det"])
    scenes: dict[str, Scene] = {}
    for at, name in enumerate(names):
        gt = slice(gt_ends[at] - state["n_gt"][at], gt_ends[at])
        det = slice(det_ends[at] - state["n_det"][at], det_ends[at])
        scenes[name] = Scene(
            gt_codes=state["gt_codes"][gt].copy(),
            det_codes=state["det_codes"][det].copy(),
            scores=state["scores"][det].copy(),
            best_gt=state["best_gt"][det].copy(),
            overlaps=state["overlaps"][det].copy(),
            n_dropped_gt=int(state["n_dropped_gt"][at]),
            n_dropped_det=int(state["n_dropped_det"][at]),
            missing=bool(state["missing"][at]),
        )
    return scenes


def _require_sound(state: State, n_classes: int) -> None:
    for name, kind in COLUMNS.items():
        if state[name].ndim != 1 or state[name].dtype.kind != kind:
            raise ValueError(f"not what IndoorEvaluator.state() returned: {name} has another shape or type")
    n_scenes, n_gt, n_det = len(state["scenes"]), len(state["gt_codes"]), len(state["scores"])
    lengths_fit = (
        len(set(state["scenes"].tolist())) == n_scenes
        and all(len(state[name]) == n_scenes and (state[name] >= 0).all() for name in _SCENE_COLUMNS)
        and all(len(state[name]) == n_det for name in _DET_COLUMNS)
        and (int(state["n_gt"].sum()), int(state["n_det"].sum())) == (n_gt, n_det)
    )
    if not lengths_fit or not _values_fit(state, n_classes):
        raise ValueError(
            "the arrays of the state do not fit together; pass what IndoorEvaluator.state() returned"
        )


def _values_fit(state: State, n_classes: int) -> bool:
    codes = np.concatenate([state["gt_codes"], state["det_codes"]])
    available = np.repeat(state["n_gt"], state["n_det"])
    best, overlaps = state["best_gt"], state["overlaps"]
    return bool(
        ((codes >= 0) & (codes < n_classes)).all()
        and np.isfinite(state["scores"]).all()
        and ((best >= -1) & (best < available)).all()
        and ((overlaps >= 0) & ((best >= 0) | (overlaps == 0))).all()
    )
