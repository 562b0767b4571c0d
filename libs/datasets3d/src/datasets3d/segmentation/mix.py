"""Mixing of two scans for training: LaserMix or PolarMix, drawn for every sample.

Source: mmdetection3d's recipes for SPVCNN and MinkUNet, `*-laser-polar-mix-3x_semantickitti.py`. They put no
limit on the voxels of a sample, of which mixed scans have more: `SamplingConfig(max_voxels=None)`.
"""

from dataclasses import dataclass, field

import numpy as np

from datasets3d._validate import check_within
from datasets3d.segmentation.laser_mix import LaserMixConfig, laser_mix
from datasets3d.segmentation.polar_mix import PolarMixConfig, polar_mix
from datasets3d.segmentation.scan import LabelledScan


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """How often scans are mixed, and how.

    Raises:
        ValueError: A probability outside 0..1.
    """

    polar: PolarMixConfig
    """PolarMix, which has to be told the classes it copies."""
    laser: LaserMixConfig = field(default_factory=LaserMixConfig)
    probability: float = 1.0
    """Chance that a sample is mixed at all. Source: the recipes, `prob=1` of both."""
    laser_probability: float = 0.5
    """Chance that LaserMix does it, PolarMix otherwise. Source: the recipes, `RandomChoice` with
    `prob=[0.5, 0.5]`."""

    def __post_init__(self) -> None:
        """Check the probabilities."""
        check_within(self, (0, 1), "probability", "laser_probability")


def mix(scan: LabelledScan, other: LabelledScan, config: MixConfig, rng: np.random.Generator) -> LabelledScan:
    """Mix `other` into `scan` by `laser_mix` or `polar_mix`, or return `scan` itself.

    To be done before `augment`. Draws whether and which whatever happens, then what that draws.

    Raises:
        ValueError: A scan without classes, or scans of different columns.

    Example:
        >>> points = np.array([[10, 0, 0, 0.5], [10, 0, -3, 0.5]], np.float32)
        >>> scan = LabelledScan(frame_id="a", points=points, classes=np.array([1, 2], np.uint8))
        >>> other = LabelledScan(frame_id="b", points=points, classes=np.array([3, 4], np.uint8))
        >>> config = MixConfig(
        ...     polar=PolarMixConfig(paste_classes=()),
        ...     laser=LaserMixConfig(bands=(2,)),
        ...     laser_probability=1.0,
        ... )
        >>> mix(scan, other, config, np.random.default_rng(0)).classes.tolist()
        [1, 4]
    """
    mix_draw, laser_draw = rng.random(), rng.random()
    if mix_draw >= config.probability:
        return scan
    if laser_draw < config.laser_probability:
        return laser_mix(scan, other, config.laser, rng)
    return polar_mix(scan, other, config.polar, rng)
