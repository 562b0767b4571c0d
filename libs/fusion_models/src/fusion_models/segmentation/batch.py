"""What a segmentation network gets: `SegmentationBatch`, made from samples by `collate_segmentation`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets3d.segmentation import SegmentationSample
from jaxtyping import Float, Int, Int32, Int64
from sparseops import TensorFields
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationBatch(TensorFields):
    """The voxels of several scans joined into tensors: v voxels in all, of n raw points.

    Classes are indices into the class names of the network, 255 where a class is not known or not asked for.
    """

    frame_ids: tuple[str, ...]
    features: Float[Tensor, "v c"]
    """Of the point that stands for the voxel: x y z in metres as augmentation left them, then what else is
    measured (the intensity)."""
    coords_bzyx: Int32[Tensor, "v 4"]
    """Scan and cell of every voxel; no two are equal, none is negative."""
    inverse: Int64[Tensor, " n"]
    """Row of every raw point's voxel, scan after scan; -1 where the voxel was not drawn in training."""
    point_counts: tuple[int, ...]
    """Raw points of every scan."""
    classes: Int64[Tensor, " v"] | None = None
    """Class of the point that stands for the voxel; None without labels."""
    point_classes: Int64[Tensor, " n"] | None = None
    """Class of every raw point; None without labels."""

    def __len__(self) -> int:
        """Count the scans."""
        return len(self.frame_ids)


def collate_segmentation(samples: Sequence[SegmentationSample]) -> SegmentationBatch:
    """Join samples into a batch on the CPU; rows of voxels and points keep their order, scan after scan.

    A scan without points is fine.

    Raises:
        ValueError: No samples; features of different widths; some samples have labels and others not.

    Example:
        >>> sample = SegmentationSample(
        ...     frame_id="08/000000",
        ...     features=np.zeros((2, 4), np.float32),
        ...     cells_xyz=np.array([[0, 0, 5], [1, 2, 3]], np.int32),
        ...     inverse=np.array([1, 0, 1]),
        ... )
        >>> batch = collate_segmentation([sample, sample])
        >>> batch.coords_bzyx.tolist(), batch.inverse.tolist()
        ([[0, 5, 0, 0], [0, 3, 2, 1], [1, 5, 0, 0], [1, 3, 2, 1]], [1, 0, 1, 3, 2, 3])
    """
    if not samples:
        raise ValueError("collate_segmentation: expected at least one sample, got none")
    widths = {sample.frame_id: sample.features.shape[1] for sample in samples}
    if len(set(widths.values())) > 1:
        raise ValueError(
            f"collate_segmentation: samples of one batch must have as many columns of features, got {widths}"
        )
    coords, inverse, voxels = [], [], 0
    for number, sample in enumerate(samples):
        coords.append(np.insert(sample.cells_xyz[:, ::-1], 0, number, axis=1))
        inverse.append(np.where(sample.inverse >= 0, sample.inverse + voxels, -1))
        voxels += len(sample.features)
    return SegmentationBatch(
        frame_ids=tuple(sample.frame_id for sample in samples),
        features=torch.from_numpy(np.concatenate([sample.features for sample in samples])),
        coords_bzyx=torch.from_numpy(np.concatenate(coords)),
        inverse=torch.from_numpy(np.concatenate(inverse)),
        point_counts=tuple(len(sample.inverse) for sample in samples),
        classes=_joined("classes", samples),
        point_classes=_joined("point_classes", samples),
    )


def _joined(name: str, samples: Sequence[SegmentationSample]) -> Int[Tensor, " rows"] | None:
    """Return the labels of all samples, None if none has them; raise if only some have."""
    parts = [getattr(sample, name) for sample in samples]
    without = [sample.frame_id for sample, part in zip(samples, parts, strict=True) if part is None]
    if len(without) == len(samples):
        return None
    if without:
        raise ValueError(
            f"collate_segmentation: samples {without} have no {name}, the others do; do not mix them in a "
            "batch"
        )
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
