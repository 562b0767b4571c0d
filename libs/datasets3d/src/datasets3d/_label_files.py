"""Label files as SemanticKITTI has them: a uint32 a point, semantic id below, instance above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer, UInt32

from datasets3d import _atomic, _recognise
from datasets3d._validate import check_array


def read_labels(path: Path | str) -> UInt32[np.ndarray, " n"]:
    """Read a label file: a little-endian uint32 a point, semantic id in the lower half, instance above.

    An empty file belongs to a scan of zero points.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Its size is no multiple of 4 bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"datasets3d: no label file {path}; every labelled scan has one of its own name"
        )
    content = path.read_bytes()
    if len(content) % 4:
        raise ValueError(
            f"datasets3d: {path} has {len(content)} bytes, no multiple of 4 (a uint32 a "
            f"point){looks_like(content)}; copy it again"
        )
    return np.frombuffer(content, "<u4").astype(np.uint32)


def write_labels(path: Path | str, raw: UInt32[np.ndarray, " n"]) -> None:
    """Write a label file, whole or not at all; missing folders are made.

    Raises:
        TypeError: The labels are no uint32: of class indices, `LabelTable.raw_ids` makes raw ids.
    """
    check_array("write_labels: raw", raw, np.uint32, (None,))
    _atomic.write_bytes(Path(path), raw.astype("<u4").tobytes())


def check_label_count(path: Path, count: int, scan: Path, points: int) -> None:
    """Raise unless a scan has as many labels as points.

    Raises:
        ValueError: Naming both files and both numbers.
    """
    if count != points:
        content = path.read_bytes() if path.is_file() else b""
        raise ValueError(
            f"datasets3d: {path} has {count} labels, {scan} has {points} points"
            f"{looks_like(content)}; one of them is cut short or of another scan: copy both again"
        )


def split_labels(
    raw: UInt32[np.ndarray, " n"],
) -> tuple[UInt32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
    """Return semantic ids and instances (0 where there is none).

    Example:
        >>> semantic, instances = split_labels(np.array([40, 10 + (3 << 16)], np.uint32))
        >>> semantic.tolist(), instances.tolist()
        ([40, 10], [0, 3])
    """
    return raw & np.uint32(0xFFFF), (raw >> np.uint32(16)).astype(np.int32)


def join_labels(
    semantic: UInt32[np.ndarray, " n"], instances: Integer[np.ndarray, " n"]
) -> UInt32[np.ndarray, " n"]:
    """Return labels of semantic ids and instances, the inverse of `split_labels`.

    Raises:
        ValueError: A number beyond 0..65535, or different lengths.

    Example:
        >>> join_labels(np.array([10], np.uint32), np.array([3])).tolist()
        [196618]
    """
    if semantic.shape != instances.shape:
        raise ValueError(f"join_labels: {semantic.shape} semantic ids and {instances.shape} instances")
    for name, values in (("semantic", semantic), ("instances", instances)):
        if values.size and not (values.min() >= 0 and values.max() <= 0xFFFF):
            raise ValueError(f"join_labels: {name} must lie in 0..65535, got {values.min()}..{values.max()}")
    return semantic | (instances.astype(np.uint32) << np.uint32(16))


def looks_like(content: bytes) -> str:
    """Return `; it is text`, and the like, of bytes that are no labels; nothing if they may be."""
    kind = _recognise.kind(content[:4096])
    return f"; it is {kind}" if kind else ""
