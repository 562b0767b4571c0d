"""From a scan to what a network gets: one point for every occupied voxel.

Source: the released data set of Cluster3DSeg and SPVNAS, specification section 7.2. Nothing is averaged and
nothing is voted on: the first point of a voxel stands for it, with its features and its class.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64, UInt8

from datasets3d._validate import check_array, check_least, check_positive
from datasets3d.segmentation.scan import LabelledScan

_INT32_END = 2**31
_INT64_END = 2**63


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How fine the voxels are, and how many of them training takes.

    Raises:
        ValueError: An edge that is not positive, or fewer than one voxel.
    """

    voxel_m: float = 0.05
    """Edge of a voxel in metres. Source: released `voxel_size`."""
    max_voxels: int | None = 80_000
    """Voxels of one training sample, drawn at random if there are more; None keeps all. Source: released
    `num_points`. Samples made for evaluation keep all, whatever stands here."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_positive(self, "voxel_m")
        if self.max_voxels is not None:
            check_least(self, 1, "max_voxels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Voxels:
    """The occupied voxels of n points."""

    cells_xyz: Int32[np.ndarray, "v 3"]
    """Cells in lexicographic order of x, y, z, each once; the least of every axis is 0."""
    first: Int64[np.ndarray, " v"]
    """Index of the point that stands for the voxel: the smallest of its points' indices."""
    inverse: Int64[np.ndarray, " n"]
    """Row of every point's voxel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationSample:
    """The v voxels of one scan of n points, as a network gets them.

    Raises:
        TypeError: An array has another dtype than stated here.
        ValueError: An array has another shape or length, a cell is negative, or `inverse` points to no row.
    """

    frame_id: str
    features: Float32[np.ndarray, "v c"]
    """The point that stands for the voxel, all its columns: x y z in metres as augmentation left them, not
    relative to anything, then what the scan's `point_columns` name."""
    cells_xyz: Int32[np.ndarray, "v 3"]
    """Cell of every voxel, at least 0, each once."""
    inverse: Int64[np.ndarray, " n"]
    """Row of every raw point's voxel; -1 for points whose voxel was not drawn in training."""
    classes: UInt8[np.ndarray, " v"] | None = None
    """Class of the point that stands for the voxel, or `IGNORED`; None without labels."""
    point_classes: UInt8[np.ndarray, " n"] | None = None
    """Classes of all raw points; None without labels."""

    def __post_init__(self) -> None:
        """Check shapes, dtypes, lengths and rows."""
        check_array("SegmentationSample.features", self.features, np.float32, (None, None))
        check_array("SegmentationSample.inverse", self.inverse, np.int64, (None,))
        voxels, points = len(self.features), len(self.inverse)
        check_array("SegmentationSample.cells_xyz", self.cells_xyz, np.int32, (voxels, 3))
        for name, count in (("classes", voxels), ("point_classes", points)):
            if getattr(self, name) is not None:
                check_array(f"SegmentationSample.{name}", getattr(self, name), np.uint8, (count,))
        if voxels and self.cells_xyz.min() < 0:
            raise ValueError(f"SegmentationSample.cells_xyz must be at least 0, got {self.cells_xyz.min()}")
        if points and not -1 <= self.inverse.min() <= self.inverse.max() < voxels:
            raise ValueError(
                f"SegmentationSample.inverse must lie in -1..{voxels - 1}, "
                f"got {self.inverse.min()}..{self.inverse.max()}"
            )

    def __len__(self) -> int:
        """Count the voxels."""
        return len(self.features)


def make_sample(
    scan: LabelledScan, config: SamplingConfig, *, rng: np.random.Generator | None = None
) -> SegmentationSample:
    """Make the sample of a scan, which is augmented before, not here; a scan without points gives no voxels.

    Voxels are in lexicographic order of x, y, z. In training, a scan with more than `max_voxels` keeps so
    many, drawn without replacement, in the order they were drawn (as released), with cells as they were.

    Args:
        scan: A scan, with labels or without.
        config: Voxels and their number.
        rng: Given in training alone: draws the voxels if there are too many, and nothing otherwise. Without
            it all voxels are kept.

    Raises:
        ValueError: A point holds NaN or infinity, or lies too far out; names the scan.

    Example:
        >>> points = np.array([[1.0, 0, 0, 0.5], [0, 0, 0, 0.1], [1.01, 0, 0, 0.9]], np.float32)
        >>> scan = LabelledScan(frame_id="0", points=points, classes=np.array([3, 4, 5], np.uint8))
        >>> sample = make_sample(scan, SamplingConfig())
        >>> sample.cells_xyz.tolist(), sample.classes.tolist(), sample.inverse.tolist()
        ([[0, 0, 0], [20, 0, 0]], [4, 3], [1, 0, 1])
    """
    try:
        voxels = voxels_of(scan.points, config.voxel_m)
    except ValueError as error:
        raise ValueError(f"scan {scan.frame_id}: {error}") from None
    sample = SegmentationSample(
        frame_id=scan.frame_id,
        features=scan.points[voxels.first],
        cells_xyz=voxels.cells_xyz,
        inverse=voxels.inverse,
        classes=None if scan.classes is None else scan.classes[voxels.first],
        point_classes=scan.classes,
    )
    if rng is None or config.max_voxels is None or len(sample) <= config.max_voxels:
        return sample
    return keep(sample, rng.choice(len(sample), config.max_voxels, replace=False))


def voxels_of(points: Float32[np.ndarray, "n c"], voxel_m: float) -> Voxels:
    """Find the occupied voxels of points, x y z first in metres, and the first point of each.

    A point's cell is round(x / voxel_m), half to even, in float32 as released, minus the least of its axis.

    Raises:
        ValueError: A column of a point holds NaN or infinity, the points spread over more cells than 64 bits
            can number, or the edge is not positive.

    Example:
        >>> voxels = voxels_of(np.array([[0.2, 0, 0], [0, 0, 0], [0.21, 0, 0]], np.float32), 0.05)
        >>> voxels.cells_xyz[:, 0].tolist(), voxels.first.tolist(), voxels.inverse.tolist()
        ([0, 4], [1, 0], [1, 0, 1])
    """
    if not voxel_m > 0:
        raise ValueError(f"voxels_of: voxel_m must be positive, got {voxel_m}")
    cells = _cells_by_axis(points, voxel_m)
    key = _packed(cells, voxel_m)
    # Equal keys stay in the order of their points, so that the first of a run is the first of the scan.
    order = np.argsort(key, kind="stable")
    is_new = np.ones(len(key), bool)
    is_new[1:] = np.diff(key[order]) != 0
    first = order[is_new]
    inverse = np.empty(len(key), np.int64)
    inverse[order] = np.cumsum(is_new) - 1
    cells_xyz = np.ascontiguousarray(cells[:, first].T, np.int32)
    return Voxels(cells_xyz=cells_xyz, first=first, inverse=inverse)


def keep(sample: SegmentationSample, rows: Int[np.ndarray, " k"]) -> SegmentationSample:
    """Keep the voxels at these rows, in this order; points of the others get -1 in `inverse`.

    Raises:
        ValueError: A row that the sample does not have, or one that comes twice.

    Example:
        >>> points = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], np.float32)
        >>> scan = LabelledScan(frame_id="0", points=points, point_columns=("x", "y", "z"))
        >>> kept = keep(make_sample(scan, SamplingConfig()), np.array([2, 0]))
        >>> kept.features[:, 0].tolist(), kept.inverse.tolist()
        ([2.0, 0.0], [1, -1, 0])
    """
    count = len(sample)
    if len(rows) and not 0 <= rows.min() <= rows.max() < count:
        raise ValueError(f"keep: rows must lie in 0..{count - 1}, got {rows.min()}..{rows.max()}")
    # One row more than there are, so that points without a voxel, -1, find -1 again.
    new_row = np.full(count + 1, -1, np.int64)
    new_row[rows] = np.arange(len(rows))
    if np.count_nonzero(new_row >= 0) != len(rows):
        raise ValueError("keep: every row may be named once, some come twice; see numpy.unique")
    return replace(
        sample,
        features=sample.features[rows],
        cells_xyz=sample.cells_xyz[rows],
        inverse=new_row[sample.inverse],
        classes=None if sample.classes is None else sample.classes[rows],
    )


def _cells_by_axis(points: np.ndarray, voxel_m: float) -> np.ndarray:
    """Cells of the points, int64 [3 n], the least of every axis 0; numpy is several times as fast by axis."""
    _check_finite(points)
    if len(points) == 0:
        return np.zeros((3, 0), np.int64)
    xyz = np.ascontiguousarray(points[:, :3].T)
    farthest_m = float(np.abs(xyz).max())
    if farthest_m >= (_INT32_END // 2) * voxel_m:
        raise ValueError(
            f"a coordinate of {farthest_m:.3g} m is too far out for voxels of {voxel_m} m; leave out such "
            "points, or give coordinates in metres from the sensor"
        )
    cells = np.rint(xyz / np.float32(voxel_m)).astype(np.int64)
    return cells - cells.min(axis=1, keepdims=True)


def _check_finite(points: np.ndarray) -> None:
    finite = np.isfinite(points)
    if not finite.all():
        whole = finite.all(axis=1)
        raise ValueError(
            f"{np.count_nonzero(~whole)} of {len(points)} points hold NaN or infinity, the first is number "
            f"{np.argmin(whole)}; leave them out, or set what is no coordinate to 0"
        )


def _packed(cells: np.ndarray, voxel_m: float) -> np.ndarray:
    """Numbers of cells [3 n], int64 [n], in lexicographic order of x, y, z."""
    size_x, size_y, size_z = (int(axis) + 1 for axis in cells.max(axis=1, initial=0))
    if size_x * size_y * size_z >= _INT64_END:
        raise ValueError(
            f"the points spread over {size_x} x {size_y} x {size_z} voxels of {voxel_m} m, more than can be "
            "numbered; leave out points that are far off"
        )
    return (cells[0] * size_y + cells[1]) * size_z + cells[2]
