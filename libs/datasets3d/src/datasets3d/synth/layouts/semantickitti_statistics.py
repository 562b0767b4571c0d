"""How often each class occurs in a SemanticKITTI tree, and how far from the scanner."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from datasets3d.semantickitti import RAW_IDS, SINGLE_SCAN

RANGE_EDGES_M = (0.0, 5.0, 10.0, 20.0, 30.0, 50.0, 80.0, np.inf)
"""Of the distance bins, metres from the scanner; lower edges included."""

CLASSES: dict[str, tuple[int, ...]] = {
    name or "ignored": tuple(found.raw for found in RAW_IDS if found.learned == name)
    for name in (*SINGLE_SCAN.classes, "")
}
"""The 19 classes of the single-scan task and what it ignores, with their raw labels (official map)."""

PUBLISHED_SHARE: dict[str, float] = {
    "car": 0.04082 + 0.00179,
    "bicycle": 0.000166,
    "motorcycle": 0.000398,
    "truck": 0.00206 + 0.000102,
    "other-vehicle": 2.8e-5 + 0.00162 + 0.000114 + 4.4e-5,
    "person": 0.000177 + 0.000161,
    "bicyclist": 1.1e-8 + 0.000127,
    "motorcyclist": 5.5e-9 + 3.7e-5,
    "road": 0.19875 + 4.7e-5,
    "parking": 0.01472,
    "sidewalk": 0.14392,
    "other-ground": 0.0039,
    "building": 0.13269,
    "fence": 0.07236,
    "vegetation": 0.26682,
    "trunk": 0.00604,
    "terrain": 0.07814,
    "pole": 0.00286,
    "traffic-sign": 0.00062,
    "ignored": 0.01889 + 0.00029 + 0.0024 + 0.00992,
}
"""Of all points of the real set (`content` of the official list of classes)."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelStatistics:
    """Points of a tree by class and distance."""

    scans: int
    counts: Int64[np.ndarray, "c b"]
    """Points in the order of `CLASSES` and of the bins of `RANGE_EDGES_M`."""

    def table(self) -> str:
        """Return a Markdown table: share of points in percent, the published one, points by distance."""
        bins = [f"{low:g}+ m" for low in RANGE_EDGES_M[:-1]]
        header = ["class", "% of points", "real set", *bins]
        lines = [f"| {' | '.join(header)} |", f"| {' | '.join('---' for _ in header)} |"]
        total = max(int(self.counts.sum()), 1)
        for name, row in zip(CLASSES, self.counts, strict=True):
            shares = (100 * row.sum() / total, 100 * PUBLISHED_SHARE[name])
            cells = [name, *(f"{share:.3f}" for share in shares), *(f"{count}" for count in row.tolist())]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


def measure_labels(root: Path | str) -> LabelStatistics:
    """Count the points of all labelled scans of a tree, synthetic or real, by class and distance.

    Raises:
        FileNotFoundError: There is no labelled scan.
        ValueError: A scan has more or fewer points than labels, or a label that the official list lacks.
    """
    files = sorted(Path(root).glob("sequences/*/labels/*.label"))
    if not files:
        raise FileNotFoundError(
            f"measure_labels: no sequences/*/labels/*.label under {root}; expected SemanticKITTI's tree"
        )
    counts = np.zeros((len(CLASSES), len(RANGE_EDGES_M) - 1), dtype=np.int64)
    class_of_raw = np.full(1 << 16, len(CLASSES))
    for number, raw_labels in enumerate(CLASSES.values()):
        class_of_raw[list(raw_labels)] = number
    for path in files:
        points = np.fromfile(path.parents[1] / "velodyne" / f"{path.stem}.bin", dtype="<f4").reshape(-1, 4)
        raw = np.fromfile(path, dtype="<u4") & np.uint32(0xFFFF)
        if len(raw) != len(points):
            raise ValueError(f"measure_labels: {path} has {len(raw)} labels for {len(points)} points")
        classes = class_of_raw[raw]
        if (classes == len(CLASSES)).any():
            unknown = sorted(set(raw[classes == len(CLASSES)].tolist()))
            raise ValueError(f"measure_labels: {path} has labels {unknown}, which the official list lacks")
        distance = np.linalg.norm(points[:, :3], axis=1)
        bins = np.searchsorted(RANGE_EDGES_M, distance, side="right") - 1
        np.add.at(counts, (classes, bins), 1)
    return LabelStatistics(len(files), counts)
