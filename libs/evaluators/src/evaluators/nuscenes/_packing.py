"""From boxes to what is scored: filtered rows as plain numbers, and how many were set aside."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from evaluators.nuscenes.boxes import NuscenesBoxes, NuscenesSample
from evaluators.nuscenes.protocol import NuscenesProtocol

COUNT_COLUMNS: Final = (
    "n_gt",
    "n_gt_out_of_range",
    "n_gt_without_points",
    "n_gt_in_racks",
    "n_pred",
    "n_pred_out_of_range",
    "n_pred_without_points",
    "n_pred_in_racks",
    "n_dropped_gt",
    "n_dropped_pred",
    "n_missing",
)
VALUE_COLUMNS: Final = 9
"""x y, width length height, yaw, vx vy, score (-1 for ground truth)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedSample:
    """The rows of one sample that count."""

    gt_codes: np.ndarray
    """Class and attribute (-1 for none), int64 [n, 2]."""
    gt_values: np.ndarray
    """float64 [n, 9], see `VALUE_COLUMNS`."""
    pred_codes: np.ndarray
    pred_values: np.ndarray
    counts: np.ndarray
    """int64, in the order of `COUNT_COLUMNS`."""


class Packer:
    """Filters boxes in the order of the official kit and turns them into numbers."""

    def __init__(self, protocol: NuscenesProtocol) -> None:
        self._ranges = np.array([rule.range_m for rule in protocol.classes])
        self._racked = np.array([rule.dropped_in_racks for rule in protocol.classes])
        self._class_codes = {name: code for code, name in enumerate(protocol.class_names)}
        self._attribute_codes = {"": -1} | {name: code for code, name in enumerate(protocol.attribute_names)}

    def pack(self, sample: NuscenesSample, gt: NuscenesBoxes, pred: NuscenesBoxes | None) -> PackedSample:
        """Return the rows of `gt` and `pred` (both checked) that count in `sample`."""
        det = NuscenesBoxes.empty() if pred is None else pred
        gt_codes, gt_values, gt_counts = self._filtered(gt, sample)
        pred_codes, pred_values, pred_counts = self._filtered(det, sample)
        counts = np.array([*gt_counts, *pred_counts, 0, 0, pred is None], dtype=np.int64)
        return PackedSample(
            gt_codes=gt_codes,
            gt_values=gt_values,
            pred_codes=pred_codes,
            pred_values=pred_values,
            counts=counts,
        )

    def _filtered(
        self, boxes: NuscenesBoxes, sample: NuscenesSample
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int, int]]:
        codes = np.empty((len(boxes), 2), dtype=np.int64)
        codes[:, 0] = [self._class_codes[name] for name in boxes.names]
        codes[:, 1] = [self._attribute_codes[name] for name in boxes.attributes]
        offset = boxes.translation[:, :2] - sample.ego_translation[:2]
        distance = np.sqrt(offset[:, 0] * offset[:, 0] + offset[:, 1] * offset[:, 1])
        near = distance < self._ranges[codes[:, 0]]
        seen = near & (boxes.num_pts != 0)
        kept = seen
        if len(sample.racks):
            kept = seen & ~(self._racked[codes[:, 0]] & _inside_any(boxes.translation, sample.racks))
        totals = [len(boxes), *(int(np.count_nonzero(rows)) for rows in (near, seen, kept))]
        values = np.empty((len(boxes), VALUE_COLUMNS))
        values[:, 0:2] = boxes.translation[:, :2]
        values[:, 2:5] = boxes.size_wlh
        values[:, 5] = _yaw(boxes.rotation)
        values[:, 6:8] = boxes.velocity
        values[:, 8] = -1.0 if boxes.score is None else boxes.score
        out_of_range, without_points, in_racks = (a - b for a, b in pairwise(totals))
        return codes[kept], values[kept], (totals[0], out_of_range, without_points, in_racks)


def _yaw(rotation: np.ndarray) -> np.ndarray:
    """Return the angle [n] in the ground plane of where each quaternion turns the x axis to."""
    w, x, y, z = rotation.T
    return np.arctan2(2.0 * (x * y + w * z), w * w + x * x - y * y - z * z)


def _inside_any(points: np.ndarray, racks: np.ndarray) -> np.ndarray:
    """Return whether each point [n, 3] lies in any rack [r, 10]; faces belong to the rack."""
    turns = _rotation_matrices(racks[:, 6:])
    local = np.einsum("rij,nri->nrj", turns, points[:, None] - racks[:, :3])
    half = racks[:, [4, 3, 5]] / 2
    return (np.abs(local) <= half).all(axis=2).any(axis=1)


def _rotation_matrices(quaternions: np.ndarray) -> np.ndarray:
    """Return [r, 3, 3] of quaternions w x y z [r, 4] of any length but zero."""
    w, x, y, z = (quaternions / np.sqrt((quaternions**2).sum(axis=1, keepdims=True))).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
