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
    require_32_bits(labels, str(path))
    return labels.astype(np.uint32)


def require_32_bits(values: np.ndarray, where: str) -> None:
    """Refuse labels that are not one row of whole numbers in 0..4294967295; names `where`."""
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: expected one row of whole numbers, got {values.dtype} of shape {values.shape}"
        )
    # Small and unsigned types need no look at the values.
    if np.can_cast(values.dtype, np.uint32) or not values.size:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFFFFFF:
        raise ValueError(
            f"{where}: expected numbers in 0..4294967295, got {low}..{high};"
            " labels that were read as int32 are meant as uint32 (use .view(np.uint32))"
        )
