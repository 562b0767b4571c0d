"""Changes of a labelled scan for training: mirroring, rotation, scaling, noise.

Every function returns a new scan; arrays that do not change are shared with the old one. Classes, instances
and the columns behind x y z stay with their points. The pose is dropped, because it describes the sensor as
it stood.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from geom3d import transforms

from datasets3d._validate import check_least, check_within
from datasets3d.segmentation.scan import LabelledScan


@dataclass(frozen=True, kw_only=True)
class SegmentationAugmentation:
    """Ranges of the random changes; as published, nothing is mirrored and no noise added.

    Raises:
        ValueError: A range that is reversed, a scale that is not positive, a probability outside 0..1, or
            negative noise.
    """

    rotation_rad: tuple[float, float] = (0.0, 2 * math.pi)
    """Least and greatest turn about z. Source: specification section 7.2, released data set."""
    scale: tuple[float, float] = (0.95, 1.05)
    """Least and greatest factor. Source: as `rotation_rad`."""
    flip_probability: float = 0.0
    """Chance of mirroring y. Source: none, released code does not mirror."""
    jitter_m: float = 0.0
    """Standard deviation of the normal noise of every coordinate. Source: none, released code adds none."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_within(self, (0, 1), "flip_probability")
        check_least(self, 0, "jitter_m")
        for name, (low, high) in (("rotation_rad", self.rotation_rad), ("scale", self.scale)):
            if not low <= high:
                raise ValueError(
                    f"SegmentationAugmentation.{name} must be (least, greatest), got {(low, high)}"
                )
        if self.scale[0] <= 0:
            raise ValueError(f"SegmentationAugmentation.scale must be positive, got {self.scale}")


def augment(scan: LabelledScan, config: SegmentationAugmentation, rng: np.random.Generator) -> LabelledScan:
    """Mirror, turn, scale and jitter a scan at random, in this order.

    Draws the turn, the factor and the chance of mirroring whatever happens, then the noise if there is any.

    Example:
        >>> scan = LabelledScan(frame_id="0", points=np.ones((1, 4), np.float32))
        >>> config = SegmentationAugmentation(rotation_rad=(0.0, 0.0), scale=(2.0, 2.0), flip_probability=1.0)
        >>> augment(scan, config, np.random.default_rng(0)).points.tolist()
        [[2.0, -2.0, 2.0, 1.0]]
    """
    yaw_rad, factor, flip_draw = rng.uniform(*config.rotation_rad), rng.uniform(*config.scale), rng.random()
    if flip_draw < config.flip_probability:
        scan = flip_y(scan)
    scan = rotate_scale(scan, yaw_rad, factor)
    return jitter(scan, config.jitter_m, rng) if config.jitter_m > 0 else scan


def rotate_scale(scan: LabelledScan, yaw_rad: float, factor: float) -> LabelledScan:
    """Turn a scan counter-clockwise about the sensor's z axis and enlarge it, rounding once, as released.

    Raises:
        ValueError: The factor is not positive.

    Example:
        >>> scan = LabelledScan(frame_id="0", points=np.array([[1, 0, 3, 0.5]], np.float32))
        >>> rotate_scale(scan, math.pi / 2, 2.0).points.round(4).tolist()
        [[0.0, 2.0, 6.0, 0.5]]
    """
    if not factor > 0:
        raise ValueError(f"rotate_scale: factor must be positive, got {factor}")
    turned = scan.points[:, :3].astype(np.float64) @ transforms.rotation_z(float(yaw_rad)).T
    return _moved(scan, turned * factor)


def flip_y(scan: LabelledScan) -> LabelledScan:
    """Mirror a scan (y -> -y).

    Example:
        >>> flip_y(LabelledScan(frame_id="0", points=np.ones((1, 4), np.float32))).points.tolist()
        [[1.0, -1.0, 1.0, 1.0]]
    """
    return _moved(scan, scan.points[:, :3] * np.array([1, -1, 1], np.float32))


def jitter(scan: LabelledScan, sigma_m: float, rng: np.random.Generator) -> LabelledScan:
    """Add normal noise of this standard deviation to x, y and z of every point.

    Raises:
        ValueError: The deviation is negative.

    Example:
        >>> scan = LabelledScan(frame_id="0", points=np.zeros((1, 4), np.float32))
        >>> moved = jitter(scan, 0.01, np.random.default_rng(0)).points
        >>> bool(0 < np.abs(moved[0, :3]).max() < 0.05), float(moved[0, 3])
        (True, 0.0)
    """
    if not sigma_m >= 0:
        raise ValueError(f"jitter: sigma_m must be at least 0, got {sigma_m}")
    return _moved(scan, scan.points[:, :3] + rng.normal(0.0, sigma_m, (len(scan), 3)))


def _moved(scan: LabelledScan, xyz: np.ndarray) -> LabelledScan:
    points = scan.points.copy()
    points[:, :3] = xyz
    return replace(scan, points=points, world_from_lidar=None)
