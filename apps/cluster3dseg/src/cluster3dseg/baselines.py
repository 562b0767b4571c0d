"""What costs nothing: the class that is most frequent at the height of a point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from datasets3d.segmentation import IGNORED, LabelledScan
from evaluators.semantickitti import SemanticKittiResult
from jaxtyping import Float, Int64, UInt8

from cluster3dseg.data import SegmentationData
from cluster3dseg.evaluation import make_evaluator

HEIGHT = "most frequent class at the height"
BIN_M = 0.1
LOWEST_M, HIGHEST_M = -3.0, 5.0


@dataclass(frozen=True, slots=True)
class HeightHistogram:
    """How often every class is met at every height."""

    counts: Int64[np.ndarray, "bins classes"]

    def classes(self, points: Float[np.ndarray, "n c"]) -> UInt8[np.ndarray, " n"]:
        """Return the most frequent class at the height of every point, or of all where none was met."""
        overall = int(self.counts.sum(axis=0).argmax())
        best = np.where(self.counts.any(axis=1), self.counts.argmax(axis=1), overall)
        return best[_bins(points)].astype(np.uint8)


def height_histogram(scans: Iterable[LabelledScan], *, class_count: int) -> HeightHistogram:
    """Count the classes of labelled scans by z in the LiDAR frame, in steps of 10 cm; the ends take the rest.

    Example:
        >>> points = np.array([[5, 0, -1.7, 0], [5, 0, 1.0, 0], [6, 0, 1.01, 0]], np.float32)
        >>> scan = LabelledScan(frame_id="0", points=points, classes=np.array([8, 12, 12], np.uint8))
        >>> height_histogram([scan], class_count=19).classes(points).tolist()
        [8, 12, 12]
    """
    counts = np.zeros((_count(), class_count), np.int64)
    for scan in scans:
        assert scan.classes is not None, "training scans have labels"
        known = scan.classes != IGNORED
        np.add.at(counts, (_bins(scan.points[known]), scan.classes[known]), 1)
    return HeightHistogram(counts)


def baselines(data: SegmentationData) -> dict[str, SemanticKittiResult]:
    """Return what no network is needed for, by name, on the scans that `test` evaluates.

    Raises:
        ValueError: These scans have no labels.
    """
    table = data.reading.table
    histogram = height_histogram(data.source(data.train_split), class_count=len(table.classes))
    evaluator, scans = make_evaluator(table), data.source(data.test_split)
    for frame_id in scans.frame_ids:
        truth, points = scans.raw_labels(frame_id), scans.points(frame_id)
        if truth is None:
            raise ValueError(f"baselines: split {data.test_split!r} has no labels")
        evaluator.update(frame_id, truth, table.raw_ids(histogram.classes(points)), points)
    return {HEIGHT: evaluator.compute()}


def _count() -> int:
    return round((HIGHEST_M - LOWEST_M) / BIN_M)


def _bins(points: Float[np.ndarray, "n c"]) -> Int64[np.ndarray, " n"]:
    return np.clip(np.floor((points[:, 2] - LOWEST_M) / BIN_M), 0, _count() - 1).astype(np.int64)
