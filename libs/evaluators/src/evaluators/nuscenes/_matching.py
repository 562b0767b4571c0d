"""From packed samples to curves: matching, interpolation over recall, running means of the errors."""

# The compiled kernel carries no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluators import _columns
from evaluators.nuscenes._packing import VALUE_COLUMNS, PackedSample
from evaluators.nuscenes.protocol import RECALL_POSITIONS, TP_ERRORS, NuscenesClass, NuscenesProtocol, TpError
from evaluators.nuscenes.result import CurveKey, NuscenesCurve

_RECALLS = np.linspace(0.0, 1.0, RECALL_POSITIONS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Matched:
    """All rows, ground truth by class and sample, detections of each class in the order of their choice."""

    gt_codes: np.ndarray
    gt_values: np.ndarray
    pred_codes: np.ndarray
    pred_values: np.ndarray
    pred_starts: np.ndarray
    """Class c owns the detections from pred_starts[c] to pred_starts[c + 1]."""
    chosen: np.ndarray
    """Row of the ground truth that a detection takes, or -1 [thresholds, detections]."""


def curves(samples: Sequence[PackedSample], protocol: NuscenesProtocol) -> dict[CurveKey, NuscenesCurve]:
    """Return the curve of every class and distance threshold; of equal scores the later row goes first."""
    matched = _match(samples, protocol)
    n_gt = np.bincount(matched.gt_codes[:, 0], minlength=len(protocol.classes)).tolist()
    found: dict[CurveKey, NuscenesCurve] = {}
    for code, rule in enumerate(protocol.classes):
        rows = slice(int(matched.pred_starts[code]), int(matched.pred_starts[code + 1]))
        for at, threshold in enumerate(protocol.dist_thresholds_m):
            # Boxes of astronomic size have no volume; their size error is then not a number.
            with np.errstate(over="ignore", invalid="ignore"):
                curve = _curve(matched, rule, rows, matched.chosen[at, rows], n_gt[code])
            found[rule.name, threshold] = curve
    return found


def count_ties(samples: Sequence[PackedSample]) -> int:
    """Return how many detections share their score with another one of their class."""
    codes, scores = _stack_codes([s.pred_codes for s in samples])[:, 0], _stack_values(samples)[:, 8]
    return _columns.count_ties(scores, codes)


def _match(samples: Sequence[PackedSample], protocol: NuscenesProtocol) -> _Matched:
    from evaluators.nuscenes import _kernels

    n_frames, n_classes = len(samples), len(protocol.classes)
    gt_codes = _stack_codes([sample.gt_codes for sample in samples])
    gt_values = np.concatenate([np.empty((0, VALUE_COLUMNS)), *(sample.gt_values for sample in samples)])
    gt_groups = gt_codes[:, 0] * n_frames + _sample_of([len(sample.gt_codes) for sample in samples])
    gt_order = np.argsort(gt_groups, kind="stable")
    gt_codes, gt_values = gt_codes[gt_order], gt_values[gt_order]
    group_starts = np.searchsorted(gt_groups[gt_order], np.arange(n_frames * n_classes + 1))

    pred_codes = _stack_codes([sample.pred_codes for sample in samples])
    pred_values = _stack_values(samples)
    pred_groups = pred_codes[:, 0] * n_frames + _sample_of([len(sample.pred_codes) for sample in samples])
    # Reversed ascending stable order: high scores first and, of equals, the later row first, as in the kit.
    pred_order = np.lexsort((pred_values[:, 8], -pred_codes[:, 0]))[::-1]
    pred_codes, pred_values = pred_codes[pred_order], pred_values[pred_order]
    chosen = _kernels.matches(
        np.ascontiguousarray(gt_values[:, :2]),
        group_starts.astype(np.int64),
        np.ascontiguousarray(pred_values[:, :2]),
        pred_groups[pred_order],
        np.array(protocol.dist_thresholds_m, dtype=np.float64),
    )
    return _Matched(
        gt_codes=gt_codes,
        gt_values=gt_values,
        pred_codes=pred_codes,
        pred_values=pred_values,
        pred_starts=np.searchsorted(pred_codes[:, 0], np.arange(n_classes + 1)),
        chosen=chosen,
    )


def _stack_codes(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty((0, 2), dtype=np.int64), *parts])


def _stack_values(samples: Sequence[PackedSample]) -> np.ndarray:
    return np.concatenate([np.empty((0, VALUE_COLUMNS)), *(sample.pred_values for sample in samples)])


def _sample_of(lengths: Sequence[int]) -> np.ndarray:
    return np.repeat(np.arange(len(lengths)), lengths)


def _curve(
    matched: _Matched, rule: NuscenesClass, rows: slice, chosen: np.ndarray, n_gt: int
) -> NuscenesCurve:
    hit = chosen >= 0
    n_tp = int(np.count_nonzero(hit))
    if n_tp == 0:
        return NuscenesCurve.without_hits(n_gt=n_gt, n_pred=len(chosen))
    scores = matched.pred_values[rows, 8]
    tp = np.cumsum(hit).astype(np.float64)
    recall = tp / float(n_gt)
    precision = np.interp(_RECALLS, recall, tp / np.arange(1.0, len(hit) + 1.0), right=0)
    confidence = np.interp(_RECALLS, recall, scores, right=0)
    hit_rows = np.flatnonzero(hit) + rows.start
    errors = _errors(matched, rule, hit_rows, chosen[hit])
    at_hits = matched.pred_values[hit_rows, 8]
    # np.interp wants rising positions; confidence falls.
    sampled: dict[TpError, np.ndarray] = {
        name: np.interp(confidence[::-1], at_hits[::-1], _running_mean(errors[name])[::-1])[::-1]
        for name in TP_ERRORS
    }
    return NuscenesCurve(
        n_gt=n_gt, n_pred=len(hit), n_tp=n_tp, precision=precision, confidence=confidence, errors=sampled
    )


def _errors(
    matched: _Matched, rule: NuscenesClass, pred: np.ndarray, gt: np.ndarray
) -> dict[TpError, np.ndarray]:
    """Return the errors of the hits, in the order of their scores; NaN where ground truth does not tell."""
    found, true = matched.pred_values[pred], matched.gt_values[gt]
    shared = np.prod(np.minimum(true[:, 2:5], found[:, 2:5]), axis=1)
    union = np.prod(true[:, 2:5], axis=1) + np.prod(found[:, 2:5], axis=1) - shared
    period = np.pi if rule.half_turn_symmetric else 2.0 * np.pi
    turn = (true[:, 5] - found[:, 5] + period / 2) % period - period / 2
    attribute = matched.gt_codes[gt, 1]
    return {
        "trans_err": _length(found[:, 0:2] - true[:, 0:2]),
        "scale_err": 1.0 - shared / union,
        "orient_err": np.abs(turn),
        "vel_err": _length(found[:, 6:8] - true[:, 6:8]),
        "attr_err": np.where(attribute < 0, np.nan, 1.0 - (attribute == matched.pred_codes[pred, 1])),
    }


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(vectors[:, 0] * vectors[:, 0] + vectors[:, 1] * vectors[:, 1])


def _running_mean(errors: np.ndarray) -> np.ndarray:
    """Return the mean up to each entry without the NaNs: 0 before the first number, 1 if there is none."""
    known = ~np.isnan(errors)
    if not known.any():
        return np.ones(len(errors))
    count = np.cumsum(known)
    return np.divide(np.nancumsum(errors), count, out=np.zeros(len(errors)), where=count != 0)
