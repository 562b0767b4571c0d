"""Panoptic label files of nuScenes; those of SemanticKITTI are read by `evaluators.semantickitti`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt32

SUFFIX = "_panoptic.npz"


def read_panoptic_npz(path: str | Path) -> UInt32[np.ndarray, " n"]:
    """Return the labels of one scan: the array `data` of an .npz file, whole numbers of any type.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not such a file; no array `data`, or not one row of numbers in 0..4294967295.
    """
    content = io.BytesIO(Path(path).read_bytes())
    try:
        with np.load(content, allow_pickle=False) as archive:
            labels = np.asarray(archive["data"])
    # NumPy, zipfile and zlib raise a dozen unrelated types for broken content.
    except Exception as error:
        raise ValueError(f"{path}: expected an .npz file with one array named data ({error})") from None
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: expected one row of whole numbers, got {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and (labels.min() < 0 or labels.max() > 0xFFFFFFFF):
        raise ValueError(f"{path}: expected labels in 0..4294967295, got {labels.min()}..{labels.max()}")
    return labels.astype(np.uint32)


def list_tokens(folder: str | Path) -> set[str]:
    """Return the tokens that have a file `<token>_panoptic.npz` in `folder`.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no folder {folder}; expected one file <token>{SUFFIX} per scan in it")
    return {path.name.removesuffix(SUFFIX) for path in Path(folder).glob("*" + SUFFIX)}


def npz_path(folder: str | Path, token: str) -> Path:
    """Return where the labels of a scan lie.

    Example:
        >>> npz_path("results", "9d9bf11fb0e144c8b446d54a8a00184f").name
        '9d9bf11fb0e144c8b446d54a8a00184f_panoptic.npz'
    """
    return Path(folder, token + SUFFIX)
