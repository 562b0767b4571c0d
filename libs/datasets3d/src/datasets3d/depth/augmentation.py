"""Random changes of a depth sample for training: zoom, crop and mirroring; colours; blur.

Zoom, crop and mirroring change the picture and its maps as if the camera had other intrinsics, and nothing
else: depths keep their values, though a real zoom would bring things nearer, and the radar points stay where
the sensor saw them. This is the paper's camera intrinsics disruption, which keeps a network from learning on
which rows of the picture the LiDAR's beams lie. Source: the released `dataset.py`, spec section 4.5; there
errors of the augmentation are swallowed, here they are raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import UInt8

from datasets3d._validate import check_positive, check_within
from datasets3d.depth.sample import DepthSample

_MAPS = ("radar_map", "lidar_map", "radar_classes", "true_depth")


@dataclass(frozen=True, kw_only=True)
class IntrinsicsDisruption:
    """Enlarge by a random factor, cut out a random part of the old size, mirror left to right at random.

    Raises:
        ValueError: A range that makes pictures smaller, or a probability outside 0..1.
    """

    zoom: tuple[float, float] = (1.0, 1.3)
    """Least and greatest factor. Source: released `dataset.py`."""
    flip_probability: float = 0.5
    """Source: released `dataset.py`."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.zoom[0] <= self.zoom[1]:
            raise ValueError(
                f"IntrinsicsDisruption.zoom must be (least, greatest), at least 1, got {self.zoom}"
            )
        check_within(self, (0, 1), "flip_probability")


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Random factors of brightness, contrast and saturation, applied in this order as torchvision does.

    Raises:
        ValueError: A range that is reversed or negative.
    """

    brightness: tuple[float, float] = (0.6, 1.4)
    """Least and greatest factor; 1 changes nothing. Source: released `dataset.py`."""
    contrast: tuple[float, float] = (0.6, 1.4)
    """As `brightness`."""
    saturation: tuple[float, float] = (0.6, 1.4)
    """As `brightness`."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("brightness", "contrast", "saturation"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(
                    f"ColourJitter.{name} must be (least, greatest), at least 0, got {(low, high)}"
                )


@dataclass(frozen=True, kw_only=True)
class GaussianBlur:
    """Blur with 3x3 weights, always; the border is mirrored.

    Raises:
        ValueError: A sigma that is not positive.
    """

    sigma_px: float = 0.8
    """Source: torchvision's default for a width of 3, which the released `dataset.py` uses."""

    def __post_init__(self) -> None:
        """Check the range."""
        check_positive(self, "sigma_px")


@dataclass(frozen=True, kw_only=True)
class DepthAugmentation:
    """What is changed at random in training; None leaves a part out."""

    disruption: IntrinsicsDisruption | None = field(default_factory=IntrinsicsDisruption)
    colour: ColourJitter | None = field(default_factory=ColourJitter)
    blur: GaussianBlur | None = field(default_factory=GaussianBlur)


def augment(sample: DepthSample, config: DepthAugmentation, rng: np.random.Generator) -> DepthSample:
    """Mirror, recolour, zoom, cut out and blur a sample, in this order; its size stays, whatever it is.

    Parts that are None draw nothing from `rng`. Depths, and the radar points, are not changed.

    Example:
        >>> image = np.full((4, 6, 3), 100, np.uint8)
        >>> sample = DepthSample(
        ...     frame_id="a",
        ...     image=image,
        ...     radar_points=np.zeros((0, 3), np.float32),
        ...     radar_map=np.eye(4, 6, dtype=np.float32),
        ... )
        >>> mirror = IntrinsicsDisruption(zoom=(1.0, 1.0), flip_probability=1.0)
        >>> config = DepthAugmentation(disruption=mirror, colour=None, blur=None)
        >>> augment(sample, config, np.random.default_rng(0)).radar_map[0].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    """
    disruption = config.disruption
    factor = 1.0
    if disruption is not None:
        factor = rng.uniform(*disruption.zoom)
        if rng.random() < disruption.flip_probability:
            sample = mirrored(sample)
    if config.colour is not None:
        sample = replace(sample, image=_recoloured(sample.image, config.colour, rng))
    if disruption is not None:
        sample = zoomed(sample, factor, rng)
    if config.blur is not None:
        sample = replace(sample, image=blurred(sample.image, config.blur))
    return sample


def mirrored(sample: DepthSample) -> DepthSample:
    """Mirror picture and maps left to right; the radar points stay."""
    return _change(sample, lambda picture: np.ascontiguousarray(picture[:, ::-1]))


def zoomed(sample: DepthSample, factor: float, rng: np.random.Generator) -> DepthSample:
    """Enlarge picture (bicubic) and maps (nearest), then cut a part of the old size out at a random place.

    The shorter side becomes int(shorter * factor), the longer follows. Offsets are whole pixels from 0 to
    enlarged minus old, that bound excluded as in the released code; 0 where both are equal.

    Raises:
        ValueError: A factor below 1.
    """
    if not factor >= 1:
        raise ValueError(f"zoomed: factor must be at least 1, got {factor}")
    height, width = sample.image.shape[:2]
    shorter = min(height, width)
    longer = int(int(shorter * factor) * max(height, width) / shorter)
    size_hw = (int(shorter * factor), longer) if height <= width else (longer, int(shorter * factor))
    row, column = (
        int(rng.integers(0, max(new - old, 1))) for new, old in zip(size_hw, (height, width), strict=True)
    )
    return _change(
        sample,
        lambda p: np.ascontiguousarray(_resized(p, size_hw)[row : row + height, column : column + width]),
    )


def blurred(image: UInt8[np.ndarray, "h w 3"], config: GaussianBlur) -> UInt8[np.ndarray, "h w 3"]:
    """Blur a picture; sums are float32 and rounded half to even."""
    side = np.exp(-0.5 / np.float32(config.sigma_px) ** 2)
    weights = np.array([side, 1, side], np.float32) / np.float32(1 + 2 * side)
    out = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect").astype(np.float32)
    out = weights[0] * (out[:-2] + out[2:]) + weights[1] * out[1:-1]
    out = weights[0] * (out[:, :-2] + out[:, 2:]) + weights[1] * out[:, 1:-1]
    return np.rint(out).astype(np.uint8)


def _change(sample: DepthSample, change: Callable[[np.ndarray], np.ndarray]) -> DepthSample:
    maps = {name: getattr(sample, name) for name in _MAPS}
    changed = {name: change(picture) for name, picture in maps.items() if picture is not None}
    return replace(sample, image=change(sample.image), **changed)


def _recoloured(image: np.ndarray, config: ColourJitter, rng: np.random.Generator) -> np.ndarray:
    from PIL import Image, ImageEnhance

    picture = Image.fromarray(image)
    for enhancer, limits in (
        (ImageEnhance.Brightness, config.brightness),
        (ImageEnhance.Contrast, config.contrast),
        (ImageEnhance.Color, config.saturation),
    ):
        picture = enhancer(picture).enhance(rng.uniform(*limits))
    return np.array(picture)


def _resized(picture: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    if picture.ndim == 3:
        how, given = Image.Resampling.BICUBIC, picture
    else:
        # Pillow's bilevel pictures are packed bits; bytes are simpler and as exact.
        how, given = Image.Resampling.NEAREST, picture.view(np.uint8) if picture.dtype == bool else picture
    return np.array(Image.fromarray(given).resize((size_hw[1], size_hw[0]), how)).astype(
        picture.dtype, copy=False
    )
