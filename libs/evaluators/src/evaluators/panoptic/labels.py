"""The two forms in which labels come: packed as in the files, or class and instance apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64, Integer, UInt, UInt8, UInt32

from evaluators.panoptic._matching import ScanCounts, Side, count_scan
from evaluators.panoptic.files import require_32_bits
from evaluators.panoptic.protocol import Packing, PanopticProtocol
from evaluators.semantickitti.protocol import LabelMap, Unknown


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanopticLabels:
    """Class and instance of every point of a scan, apart. Points with both in common are one segment.

    Raises:
        ValueError: Lengths differ, or a number does not lie in 0..4294967295.

    Example:
        >>> PanopticLabels(semantic=np.array([1, 1, 9]), instance=np.array([1, 2, 0]))
        PanopticLabels(semantic=array([1, 1, 9]), instance=array([1, 2, 0]))
    """

    semantic: Integer[np.ndarray, " n"]
    """Class ids: train ids of the protocol's label map, which includes those of the ignored class."""
    instance: Integer[np.ndarray, " m"]
    """Ids that count within their class; stuff needs one constant id (normally 0), or it falls to pieces."""

    def __post_init__(self) -> None:
        require_32_bits(self.semantic, "semantic")
        require_32_bits(self.instance, "instance")
        if len(self.semantic) != len(self.instance):
            raise ValueError(
                f"expected one class and one instance per point, got {len(self.semantic)} classes and"
                f" {len(self.instance)} instances"
            )


Labels: TypeAlias = Integer[np.ndarray, " _"] | PanopticLabels
"""Packed labels as the protocol's files hold them (any integer type, 0..4294967295), or both parts."""


def count_labels(
    gt: Labels, pred: Labels | None, protocol: PanopticProtocol, *, unknown: Unknown, where: str
) -> tuple[ScanCounts, int]:
    """Return what one scan adds, and how many of its labels were unknown; `pred` None: all unlabeled.

    Raises:
        ValueError: Different numbers of points; unknown categories or classes; numbers beyond 32 bits, or
            no whole numbers.
    """
    gt_side = _Reader(
        gt, protocol.gt_label_map or protocol.label_map, protocol.packing, f"{where}, ground truth"
    )
    pred_side = (
        None if pred is None else _Reader(pred, protocol.label_map, protocol.packing, f"{where}, predictions")
    )
    gt_keys = gt_side.keys
    pred_keys = np.zeros_like(gt_keys) if pred_side is None else pred_side.keys
    if len(gt_keys) != len(pred_keys):
        raise ValueError(
            f"{where}: {len(pred_keys)} predicted labels for {len(gt_keys)} points; labels must belong to the"
            " same scan, in the order of its points"
        )
    from evaluators.panoptic import _kernels

    width = np.promote_types(gt_keys.dtype, pred_keys.dtype)
    gt_pairs, pred_pairs, points = _kernels.count_pairs(  # pyright: ignore[reportUnknownMemberType] - numba
        gt_keys.astype(width, copy=False), pred_keys.astype(width, copy=False)
    )
    gt_classes, n_unknown = gt_side.classes(gt_pairs, points, unknown)
    if pred_side is None:
        pred_classes = np.full(len(points), protocol.label_map.unlabeled)
    else:
        pred_classes, more = pred_side.classes(pred_pairs, points, unknown)
        n_unknown += more
    ignored = np.zeros(len(protocol.label_map.classes), dtype=bool)
    ignored[list(protocol.label_map.ignored)] = True
    counts = count_scan(
        Side(classes=gt_classes, segments=gt_pairs),
        Side(classes=pred_classes, segments=pred_pairs),
        points,
        ignored=ignored,
        min_points=protocol.min_points,
    )
    return counts, n_unknown


class _Reader:
    """One side: a number per point that identifies the segment exactly, and the class of such numbers."""

    def __init__(self, labels: Labels, label_map: LabelMap, packing: Packing, where: str) -> None:
        self._map, self._packing, self._where = label_map, packing, where
        self._packed = not isinstance(labels, PanopticLabels)
        if isinstance(labels, PanopticLabels):
            semantic, instance = labels.semantic.astype(np.uint64), labels.instance.astype(np.uint64)
            self.keys: UInt[np.ndarray, " n"] = (semantic << np.uint64(32)) | instance
        else:
            require_32_bits(labels, where)
            self.keys = np.ascontiguousarray(labels, dtype=np.uint32)

    def classes(
        self, pairs: UInt[np.ndarray, " p"], points: Int64[np.ndarray, " p"], unknown: Unknown
    ) -> tuple[Int64[np.ndarray, " p"], int]:
        """Return the class id of every key, and the number of points whose category is unknown."""
        if not self._packed:
            return self._checked_ids((pairs >> np.uint64(32)).astype(np.int64)), 0
        raw = self._categories(pairs)
        strange = self._map.lookup[raw] == len(self._map.classes)
        if unknown == "error" and strange.any():
            # Once more over all points, for an error that counts them.
            self._map.train_ids(self._categories(self.keys), where=self._where)
        train: UInt8[np.ndarray, " p"] = self._map.train_ids(raw, unknown="unlabeled")
        return train.astype(np.int64), int(points[strange].sum())

    def _categories(self, labels: UInt[np.ndarray, " p"]) -> UInt32[np.ndarray, " p"]:
        if self._packing == "low-16-bits":
            return (labels & labels.dtype.type(0xFFFF)).astype(np.uint32)
        categories = labels // labels.dtype.type(1000)
        if categories.size and categories.max() > 0xFFFF:
            raise ValueError(
                f"{self._where}: no label 1000 * category + instance can be {labels.max()}; other packing?"
            )
        return categories.astype(np.uint32)

    def _checked_ids(self, classes: Int64[np.ndarray, " p"]) -> Int64[np.ndarray, " p"]:
        n = len(self._map.classes)
        if classes.size and classes.max() >= n:
            raise ValueError(
                f"{self._where}: class ids must lie in 0..{n - 1} ({self._map.name}), got {classes.max()};"
                " are these raw ids? Pass packed labels then"
            )
        return classes
