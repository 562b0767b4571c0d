"""PolarMix: a sector of one scan replaces that of another, and objects are copied to other azimuths.

Source: Xiao et al., "PolarMix: A General Data Augmentation Technique for LiDAR Point Clouds", NeurIPS 2022,
arXiv 2208.00223, with the numbers of the released code, which mmdetection3d's recipes for SPVCNN and MinkUNet
share. Mixing comes before turning and scaling, as there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasets3d._validate import check_within
from datasets3d.segmentation._joining import check_pair, join, select
from datasets3d.segmentation.augment import rotate_scale
from datasets3d.segmentation.scan import IGNORED, LabelledScan


@dataclass(frozen=True, kw_only=True)
class PolarMixConfig:
    """What PolarMix exchanges and copies.

    Raises:
        ValueError: A probability outside 0..1, a sector that is none, a class outside 0..254, or a range of
            turns that is reversed.
    """

    paste_classes: tuple[int, ...]
    """Classes whose points are copied: those of things, 0..7 in SemanticKITTI's order. Source: released code,
    `instance_classes`."""
    swap_probability: float = 0.5
    """Chance of exchanging a sector. Source: released code; mmdetection3d, `swap_ratio`."""
    sector_rad: float = math.pi
    """Width of the sector, whose start is drawn from the whole circle. Source: released code, where starts
    lie in one half of the circle, which is the same for scans that are mixed either way round."""
    paste_probability: float = 1.0
    """Chance of copying objects. Source: released code; mmdetection3d, `rotate_paste_ratio`."""
    paste_rotation_rad: tuple[tuple[float, float], ...] = (
        (0.0, 0.0),
        (0.0, 2 * math.pi / 3),
        (2 * math.pi / 3, 4 * math.pi / 3),
    )
    """Least and greatest turn of every copy. Source: released code: one as it stands, two turned."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_within(self, (0, 1), "swap_probability", "paste_probability")
        check_within(self, (0, 2 * math.pi), "sector_rad")
        _check_classes("PolarMixConfig.paste_classes", self.paste_classes)
        if any(not low <= high for low, high in self.paste_rotation_rad):
            raise ValueError(
                "PolarMixConfig.paste_rotation_rad must hold (least, greatest) of every copy, "
                f"got {self.paste_rotation_rad}"
            )


def polar_mix(
    scan: LabelledScan, other: LabelledScan, config: PolarMixConfig, rng: np.random.Generator
) -> LabelledScan:
    """Exchange a sector by `swap_sector` and copy objects by `paste_copies`, each with its chance.

    Draws whatever happens: the chance and the start of the sector, the chance of copying, and a turn for
    every copy. The mixed scan is called `<scan>+<other>`; if nothing happens, it is `scan` itself.

    Where the sector brought objects along, their unturned copies lie upon them, point on point: voxels see no
    difference.

    Raises:
        ValueError: A scan without classes, or scans of different columns.

    Example:
        >>> points = np.array([[5, 0, 0, 0.5], [-5, 0, 0, 0.5]], np.float32)
        >>> scan = LabelledScan(frame_id="a", points=points, classes=np.array([8, 8], np.uint8))
        >>> other = LabelledScan(frame_id="b", points=points, classes=np.array([0, 12], np.uint8))
        >>> mixed = polar_mix(scan, other, PolarMixConfig(paste_classes=(0,)), np.random.default_rng(0))
        >>> mixed.classes[-3:].tolist()
        [0, 0, 0]
    """
    check_pair("polar_mix", scan, other)
    swap_draw, start_rad = rng.random(), rng.uniform(-math.pi, math.pi)
    paste_draw = rng.random()
    turns_rad = [rng.uniform(low, high) for low, high in config.paste_rotation_rad]
    mixed = scan
    if swap_draw < config.swap_probability:
        mixed = swap_sector(mixed, other, start_rad=start_rad, width_rad=config.sector_rad)
    if paste_draw < config.paste_probability:
        mixed = paste_copies(mixed, other, classes=config.paste_classes, turns_rad=turns_rad)
    return scan if mixed is scan else replace(mixed, frame_id=f"{scan.frame_id}+{other.frame_id}")


def swap_sector(
    scan: LabelledScan, other: LabelledScan, *, start_rad: float, width_rad: float
) -> LabelledScan:
    """Take the sector from `other` and everything else from `scan`.

    The sector runs counter-clockwise from azimuth `start_rad` (0 along +x, included) to
    `start_rad + width_rad` (excluded); points on the z axis have azimuth 0. `swap_sector(a, b)` and
    `swap_sector(b, a)` together have every point of both once. Points of `scan` come first, each scan's in
    their old order, with their labels; instances of `other` are renumbered, and there are none unless both
    scans have them. The mixed scan is called `<scan>+<other>` and has no pose and no time.

    Raises:
        ValueError: A scan without classes, or scans of different columns.

    Example:
        >>> points = np.array([[5, 0, 0, 0.5], [-5, 0, 0, 0.5]], np.float32)
        >>> scan = LabelledScan(frame_id="a", points=points, classes=np.array([1, 2], np.uint8))
        >>> other = LabelledScan(frame_id="b", points=points, classes=np.array([3, 4], np.uint8))
        >>> swap_sector(scan, other, start_rad=-1.0, width_rad=2.0).classes.tolist()
        [2, 3]
    """
    check_pair("swap_sector", scan, other)
    inside, inside_other = (_in_sector(one.points, start_rad, width_rad) for one in (scan, other))
    return join(f"{scan.frame_id}+{other.frame_id}", [select(scan, ~inside), select(other, inside_other)])


def paste_copies(
    scan: LabelledScan, other: LabelledScan, *, classes: Sequence[int], turns_rad: Sequence[float]
) -> LabelledScan:
    """Add the points of some classes of `other` to `scan`, once for every turn about z.

    `scan` keeps all its points, nothing makes way for a copy, as released. Copies follow in the order of the
    turns. Instances of every copy get numbers of their own; there are none unless both scans have them. The
    mixed scan is called `<scan>+<other>` and has no pose and no time.

    Raises:
        ValueError: A scan without classes, scans of different columns, or a class outside 0..254.

    Example:
        >>> points = np.array([[5, 0, 0, 0.5], [-5, 0, 0, 0.5]], np.float32)
        >>> scan = LabelledScan(frame_id="a", points=points[:0], classes=np.zeros(0, np.uint8))
        >>> other = LabelledScan(frame_id="b", points=points, classes=np.array([0, 9], np.uint8))
        >>> mixed = paste_copies(scan, other, classes=[0], turns_rad=[0.0, math.pi / 2])
        >>> mixed.points[:, :2].round().tolist()
        [[5.0, 0.0], [0.0, 5.0]]
    """
    _, classes_other = check_pair("paste_copies", scan, other)
    _check_classes("paste_copies: classes", classes)
    things = select(other, np.isin(classes_other, np.array(classes, np.uint8)))
    copies = [rotate_scale(things, turn_rad, 1.0) for turn_rad in turns_rad]
    return join(f"{scan.frame_id}+{other.frame_id}", [scan, *copies])


def _in_sector(points: np.ndarray, start_rad: float, width_rad: float) -> np.ndarray:
    azimuth_rad = np.arctan2(points[:, 1], points[:, 0], dtype=np.float64)
    return np.mod(azimuth_rad - start_rad, 2 * math.pi) < width_rad


def _check_classes(name: str, classes: Sequence[int]) -> None:
    if any(not 0 <= index < IGNORED for index in classes):
        raise ValueError(f"{name} must lie in 0..{IGNORED - 1}, got {tuple(classes)}")
