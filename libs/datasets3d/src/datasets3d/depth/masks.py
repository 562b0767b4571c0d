"""Where a picture shows what radar can hit: pictures of ADE20K classes, and the authors' tar of them."""

from __future__ import annotations

import gzip
import lzma
import re
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, UInt8
from tqdm import tqdm

from datasets3d import _atomic
from datasets3d.depth.pictures import decoded

RADAR_CLASSES = {
    0: "wall",
    1: "building",
    4: "tree",
    12: "person",
    20: "car",
    32: "fence",
    80: "bus",
    83: "truck",
    93: "pole",
    102: "van",
    116: "minibike",
    127: "bicycle",
}
"""ADE20K's 150 classes, numbered from 0, that count as target. Source: released `dataset.py`."""
CLASS_COUNT = 150
_RADAR_IDS = np.isin(np.arange(256), list(RADAR_CLASSES))
_SAFE_NAME = re.compile(r"[A-Za-z0-9_+@=,.-]+\.png")


def radar_classes(class_ids: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Mark the pixels of classes that radar can hit.

    Example:
        >>> radar_classes(np.array([[0, 2, 20]], np.uint8)).tolist()  # wall, sky, car
        [[True, False, True]]
    """
    return _RADAR_IDS[class_ids]


def read_class_ids(path: Path | str) -> UInt8[np.ndarray, "h w"]:
    """Read a picture of class ids: PNG of 8 bits and one channel, grey or with a palette.

    A missing file is an error, never a picture of zeros: 0 is a class, and one that counts.

    Raises:
        FileNotFoundError: No such file; says how to get it.
        ValueError: Not a picture, cut short, of several channels, or with ids that ADE20K does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"datasets3d.depth: no mask {path}; unpack the authors' seg_mask.tar with "
            "`datasets3d.depth.masks.unpack_masks`, make masks with a segmentation model for ADE20K, or read "
            "without masks (mask_folder null) and train without the mask decoder"
        )
    mode, ids = decoded(path)
    if mode not in ("L", "P"):
        raise ValueError(
            f"datasets3d.depth: {path} has mode {mode}; a mask is a PNG of 8 bits and one channel whose "
            "values are ADE20K class ids, not colours"
        )
    if ids.size and ids.max() >= CLASS_COUNT:
        raise ValueError(
            f"datasets3d.depth: {path} holds class {ids.max()}; ADE20K's ids are 0 (wall) to 149 (flag)"
        )
    return ids


def unpack_masks(tar_path: Path | str, folder: Path | str, *, progress: bool = True) -> int:
    """Unpack the PNG files of a tar, such as the authors' `seg_mask.tar`, into one flat folder.

    Folders inside the tar do not matter: a member lands under its base name. Members that are no plain files
    or no `.png`, and the resource forks of macOS (`._x.png`), are passed over. Every file is written whole or
    not at all, and one of the same size that is there already is kept, so a stopped run goes on when it is
    repeated.

    Args:
        folder: `<root>/seg_mask` for `DepthReading.mask_folder`.

    Returns:
        How many masks the tar holds.

    Raises:
        FileNotFoundError: No such tar.
        ValueError: Not a tar, cut short, without any PNG, or with two masks of one name or an odd name.
    """
    tar_path, folder = Path(tar_path), Path(folder)
    if not tar_path.is_file():
        raise FileNotFoundError(f"datasets3d.depth: no {tar_path}")
    seen: set[str] = set()
    try:
        with tarfile.open(tar_path) as tar, tqdm(desc="masks", unit="file", disable=not progress) as bar:
            for member in tar:
                name = _mask_name(member)
                if name is None:
                    continue
                if name in seen:
                    raise ValueError(f"datasets3d.depth: {tar_path} holds two masks named {name}")
                seen.add(name)
                _unpack(tar, member, folder / name)
                bar.update()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"datasets3d.depth: {tar_path} is no readable tar ({error}); copy it again"
        ) from error
    if not seen:
        raise ValueError(f"datasets3d.depth: {tar_path} holds no .png file")
    return len(seen)


def _mask_name(member: tarfile.TarInfo) -> str | None:
    name = PurePosixPath(member.name).name
    if not member.isfile() or not name.lower().endswith(".png") or name.startswith("._"):
        return None
    if not _SAFE_NAME.fullmatch(name):
        raise ValueError(f"datasets3d.depth: odd name in the tar: {member.name[:120]!r}")
    return name


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if path.is_file() and path.stat().st_size == member.size:
        return
    handle = tar.extractfile(member)
    content = b"" if handle is None else handle.read()
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} is cut short")
    _atomic.write_bytes(path, content)
