"""What a depth completion model gets: `DepthBatch`, made from samples by `collate_depth`."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets3d.depth.sample import DepthSample
from jaxtyping import Bool, Float, Int
from sparseops import TensorFields
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthBatch(TensorFields):
    """Samples joined into tensors. Depth: metres along the camera's z. Pixels: rows h, columns w."""

    frame_ids: tuple[str, ...]
    image: Float[Tensor, "b 3 h w"]
    """BGR, 0..255, not normalised. Source: dataset.py of Sparse Beats Dense."""
    radar: Float[Tensor, "b 1 h w"]
    """Depth of the radar return that fills the pixel, 0 = none."""
    points: Float[Tensor, "b p 3"]
    """Radar returns, camera frame (x right, y down, z forward), zero padded."""
    counts: Int[Tensor, " b"]
    """How many of `points` are returns."""
    label: Float[Tensor, "b 1 h w"] | None = None
    """The depth target; 0 or less where unknown."""
    radar_classes: Bool[Tensor, "b 1 h w"] | None = None
    """Where the picture shows what radar can hit."""
    true_depth: Float[Tensor, "b 1 h w"] | None = None
    """Depth of every pixel where a synthetic world knows it, 0 for the sky; no loss reads it."""

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.frame_ids)


def collate_depth(samples: Sequence[DepthSample], *, max_points: int = 200, seed: int = 0) -> DepthBatch:
    """Join samples of one image size into a batch on the CPU.

    Of more than `max_points` radar returns that many are drawn without replacement and keep their order, as
    in the released dataset.py. The draw depends on the frame's id, its returns and `seed`, not on the place
    in the batch.

    Raises:
        ValueError: No samples; images of several sizes; some samples have a label, classes or true depth and
            others not.

    Example:
        >>> blank = np.zeros((2, 3), np.float32)
        >>> sample = DepthSample(
        ...     frame_id="a",
        ...     image=np.full((2, 3, 3), (255, 0, 7), np.uint8),
        ...     radar_points=np.ones((1, 3), np.float32),
        ...     radar_map=blank,
        ... )
        >>> batch = collate_depth([sample])
        >>> batch.image[0, :, 0, 0].tolist(), batch.points.shape, batch.counts.tolist()
        ([7.0, 0.0, 255.0], torch.Size([1, 200, 3]), [1])
    """
    if not samples:
        raise ValueError("collate_depth: expected at least one sample, got none")
    if max_points < 1:
        raise ValueError(f"collate_depth: max_points must be at least 1, got {max_points}")
    sizes = {sample.frame_id: sample.image.shape[:2] for sample in samples}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"collate_depth: images of one batch must have one size, got {sizes}")
    drawn = [_drawn(sample, max_points, seed) for sample in samples]
    points = np.zeros((len(samples), max_points, 3), np.float32)
    for row, returns in zip(points, drawn, strict=True):
        row[: len(returns)] = returns
    images = np.stack([sample.image[:, :, ::-1].transpose(2, 0, 1) for sample in samples])
    return DepthBatch(
        frame_ids=tuple(sample.frame_id for sample in samples),
        image=torch.from_numpy(images).to(torch.float32),
        radar=torch.from_numpy(np.stack([sample.radar_map for sample in samples]))[:, None],
        points=torch.from_numpy(points),
        counts=torch.tensor([len(returns) for returns in drawn], dtype=torch.int64),
        label=_stacked("lidar_map", samples),
        radar_classes=_stacked("radar_classes", samples),
        true_depth=_stacked("true_depth", samples),
    )


def _drawn(sample: DepthSample, max_points: int, seed: int) -> np.ndarray:
    returns = sample.radar_points
    if len(returns) <= max_points:
        return returns
    digest = zlib.crc32(np.ascontiguousarray(returns).tobytes(), zlib.crc32(sample.frame_id.encode()))
    chosen = np.random.default_rng((digest, seed)).choice(len(returns), max_points, replace=False)
    return returns[np.sort(chosen)]


def _stacked(name: str, samples: Sequence[DepthSample]) -> Tensor | None:
    """Return one map of all samples [b, 1, h, w], None if none has it; raise if only some have."""
    maps = [getattr(sample, name) for sample in samples]
    without = [sample.frame_id for sample, found in zip(samples, maps, strict=True) if found is None]
    if len(without) == len(samples):
        return None
    if without:
        raise ValueError(
            f"collate_depth: samples {without} have no {name}, the others do; do not mix them in a batch"
        )
    return torch.from_numpy(np.stack(maps))[:, None]
