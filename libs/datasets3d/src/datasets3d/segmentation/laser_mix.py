"""LaserMix: two scans exchange every second band of inclination, and the beams of each stay whole.

Source: Kong et al., "LaserMix for Semi-Supervised LiDAR Semantic Segmentation", CVPR 2023, arXiv 2207.00026,
in the supervised form of mmdetection3d's recipes for SPVCNN and MinkUNet
(`*-laser-polar-mix-3x_semantickitti.py`), which mixes two labelled scans. Mixing comes before turning and
scaling, as there.
"""

from dataclasses import dataclass

import numpy as np

from datasets3d.segmentation._joining import check_pair, join, select
from datasets3d.segmentation.scan import LabelledScan


@dataclass(frozen=True, kw_only=True)
class LaserMixConfig:
    """Bands of LaserMix.

    Raises:
        ValueError: No number of bands, fewer than one band, or a range that is reversed.
    """

    bands: tuple[int, ...] = (3, 4, 5, 6)
    """Numbers of bands, one of which is drawn. Source: mmdetection3d, `num_areas`."""
    inclination_deg: tuple[float, float] = (-25.0, 3.0)
    """Lower and upper end of the bands, seen from the sensor, 0 level; for a HDL-64E. Source: mmdetection3d,
    `pitch_angles`."""

    def __post_init__(self) -> None:
        """Check the bands."""
        if not self.bands or min(self.bands) < 1:
            raise ValueError(f"LaserMixConfig.bands must hold numbers of at least 1, got {self.bands}")
        if not self.inclination_deg[0] < self.inclination_deg[1]:
            raise ValueError(
                f"LaserMixConfig.inclination_deg must be (lower, upper), got {self.inclination_deg}"
            )


def laser_mix(
    scan: LabelledScan, other: LabelledScan, config: LaserMixConfig, rng: np.random.Generator
) -> LabelledScan:
    """Mix two labelled scans by `mix_bands`; draws the number of bands, one number from `rng`.

    Raises:
        ValueError: A scan without classes, or scans of different columns.
    """
    bands = int(rng.choice(config.bands))
    return mix_bands(scan, other, bands=bands, inclination_deg=config.inclination_deg)


def mix_bands(
    scan: LabelledScan, other: LabelledScan, *, bands: int, inclination_deg: tuple[float, float]
) -> LabelledScan:
    """Take the highest band, the third, ... from `scan` and the second, fourth, ... from `other`.

    Bands are equally high; a point on an edge belongs to the lower one. Points above or below the range
    belong to the highest and the lowest band, so that `mix_bands(a, b)` and `mix_bands(b, a)` together have
    every point of both once. Points of `scan` come first, each scan's in their old order, with their labels;
    instances of `other` are renumbered, and there are none unless both scans have them. The mixed scan is
    called `<scan>+<other>` and has no pose and no time.

    Raises:
        ValueError: A scan without classes, scans of different columns, or fewer than one band.

    Example:
        >>> points = np.array([[10, 0, 0, 0.5], [10, 0, -3, 0.5]], np.float32)
        >>> scan = LabelledScan(frame_id="a", points=points, classes=np.array([1, 2], np.uint8))
        >>> other = LabelledScan(frame_id="b", points=points, classes=np.array([3, 4], np.uint8))
        >>> mixed = mix_bands(scan, other, bands=2, inclination_deg=(-25.0, 3.0))
        >>> mixed.frame_id, mixed.classes.tolist()
        ('a+b', [1, 4])
    """
    check_pair("mix_bands", scan, other)
    if bands < 1:
        raise ValueError(f"mix_bands: bands must be at least 1, got {bands}")
    in_scan, in_other = (_bands_of(one.points, bands, inclination_deg) for one in (scan, other))
    parts = [select(scan, in_scan % 2 == 0), select(other, in_other % 2 == 1)]
    return join(f"{scan.frame_id}+{other.frame_id}", parts)


def _bands_of(points: np.ndarray, bands: int, inclination_deg: tuple[float, float]) -> np.ndarray:
    """Band of every point, int64 [n], counted from the highest, which is 0."""
    low, high = inclination_deg
    x, y, z = np.ascontiguousarray(points[:, :3].T, np.float64)
    inclination = np.degrees(np.arctan2(z, np.hypot(x, y)))
    edges = np.linspace(high, low, bands + 1)[1:-1]
    return np.searchsorted(-edges, -inclination, side="right")
