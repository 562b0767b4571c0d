"""Cutting objects out of labelled scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from datasets3d._validate import check_class_names, check_least
from datasets3d.frame import POINT_COLUMNS
from datasets3d.segmentation.instances import InstanceStore, turned
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.scan import LabelledScan

MAX_EXTENT_M = 20.0
"""Points further apart than the longest vehicle are no single object."""


class InstanceCutter:
    """Cuts the objects of some classes out of scan after scan, and keeps a fair sample of them.

    Args:
        table: What the classes of the scans are.
        classes: Names of the classes to cut; None: all things of the table but the commonest, `car`.
        min_points: Objects of fewer points are left out.
        max_per_class: So many are kept of a class; when there are more, each is kept with the same chance.
        seed: Of that chance.

    Raises:
        ValueError: A class that is none of the table's things, or a number below 1.
    """

    def __init__(
        self,
        table: LabelTable,
        *,
        classes: Sequence[str] | None = None,
        min_points: int = 20,
        max_per_class: int = 1000,
        seed: int = 0,
    ) -> None:
        if classes is None:
            classes = [name for name in table.things if name != "car"]
        check_class_names(tuple(classes), known=table.things)
        self.min_points, self.max_per_class = min_points, max_per_class
        check_least(self, 1, "min_points", "max_per_class")
        self.table = table
        self._indices = [table.index(name) for name in classes]
        self._rng = np.random.default_rng(seed)
        self._kept: dict[int, list[_Cut]] = {index: [] for index in self._indices}
        self._seen = dict.fromkeys(self._indices, 0)

    def add(self, scan: LabelledScan) -> None:
        """Cut the objects of one scan; one without classes or instances has none.

        Raises:
            ValueError: The points have other columns than x y z intensity.
        """
        if scan.point_columns != POINT_COLUMNS:
            raise ValueError(
                f"InstanceCutter: scan {scan.frame_id} has the columns {' '.join(scan.point_columns)}; "
                f"expected {' '.join(POINT_COLUMNS)}: read single sweeps"
            )
        if scan.classes is None or scan.instances is None:
            return
        for index in self._indices:
            rows = np.flatnonzero((scan.classes == index) & (scan.instances != 0))
            for instance in np.unique(scan.instances[rows]).tolist():
                points = scan.points[rows[scan.instances[rows] == instance]]
                if len(points) >= self.min_points and np.ptp(points[:, :3], axis=0).max() <= MAX_EXTENT_M:
                    self._keep(index, _upright(points, f"{scan.frame_id}#{instance}"))

    def store(self, *, split: str = "", sources: Mapping[str, str] | None = None) -> InstanceStore:
        """Return what was kept, class by class, in the order of the sources."""
        cuts = [
            (index, cut)
            for index in sorted(self._kept)
            for cut in sorted(self._kept[index], key=lambda cut: cut.source_id)
        ]
        lengths = [len(cut.points) for _, cut in cuts]
        return InstanceStore(
            classes=self.table.classes,
            points=np.concatenate([np.zeros((0, 4), np.float32), *(cut.points for _, cut in cuts)]),
            starts=np.cumsum([0, *lengths], dtype=np.int64),
            labels=np.array([index for index, _ in cuts], np.uint8),
            ranges_m=np.array([cut.range_m for _, cut in cuts], np.float32),
            source_ids=tuple(cut.source_id for _, cut in cuts),
            split=split,
            sources=dict(sources or {}),
        )

    def _keep(self, index: int, cut: _Cut) -> None:
        """Keep one of a stream that may be longer than what is kept (reservoir sampling)."""
        kept, seen = self._kept[index], self._seen[index]
        self._seen[index] += 1
        if seen < self.max_per_class:
            kept.append(cut)
            return
        place = int(self._rng.integers(seen + 1))
        if place < self.max_per_class:
            kept[place] = cut


@dataclass(frozen=True, slots=True)
class _Cut:
    points: np.ndarray
    range_m: float
    source_id: str


def _upright(points: Float32[np.ndarray, "n 4"], source_id: str) -> _Cut:
    moved = points.astype(np.float64)
    low, high = moved[:, :3].min(axis=0), moved[:, :3].max(axis=0)
    middle = (low + high)[:2] / 2
    range_m = float(np.hypot(*middle))
    moved[:, :2] = turned(moved[:, :2], -float(np.arctan2(middle[1], middle[0]))) - [range_m, 0.0]
    moved[:, 2] -= low[2]
    return _Cut(moved.astype(np.float32), range_m, source_id)
