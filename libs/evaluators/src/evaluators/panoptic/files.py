"""Panoptic label files of nuScenes; those of SemanticKITTI are read by `evaluators.semantickitti`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt32

from evaluators._files import read_npz

SUFFIX = "_panoptic.npz"


def read_panoptic_npz(path: str | Path) -> UInt32[np.ndarray, " n"]:
    """Return the labels of one scan: the array `data` of an .npz file, whole numbers of any type.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not such a file; no array `data`, or not one row of numbers in 0..4294967295.
    """
    arrays = read_npz(path)
    if "data" not in arrays:
        raise ValueError(f"{path}: expected an array named data, got {', '.join(arrays) or 'none'}")
    labels = arrays["data"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: expected one row of whole numbers, got {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and (labels.min() < 0 or labels.max() > 0xFFFFFFFF):
        raise ValueError(f"{path}: expected labels in 0..4294967295, got {labels.min()}..{labels.max()}")
    return labels.astype(np.uint32)
