"""Radar files of nuScenes: one sweep of an ARS 408, `.pcd` with binary records."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from datasets3d import _atomic
from datasets3d._validate import check_array

_COLUMNS = (
    *(("x", "F4"), ("y", "F4"), ("z", "F4"), ("dyn_prop", "I1"), ("id", "I2"), ("rcs", "F4")),
    *(("vx", "F4"), ("vy", "F4"), ("vx_comp", "F4"), ("vy_comp", "F4")),
    *(("is_quality_valid", "I1"), ("ambig_state", "I1"), ("x_rms", "I1"), ("y_rms", "I1")),
    *(("invalid_state", "I1"), ("pdh0", "I1"), ("vx_rms", "I1"), ("vy_rms", "I1")),
)
RADAR_FIELDS = tuple(name for name, _ in _COLUMNS)
"""Names of the columns, in the order of the file.

x y z: metres, radar frame (x forward, y left, z up; z is always 0). vx vy: m/s, along the line of sight; the
`_comp` ones are freed of the car's own motion. rcs: dBsm. The others are codes of the sensor's maker.
"""
VALID_STATES = (0,)
"""Of `invalid_state`: 0 is valid. Source: the official kit's default filter."""
DYNAMIC_PROPERTIES = (0, 1, 2, 3, 4, 5, 6)
"""Of `dyn_prop`: all but 7 (stopped). Source: the official kit's default filter."""
AMBIGUITY_STATES = (3,)
"""Of `ambig_state`: 3 is an unambiguous speed. Source: the official kit's default filter."""

_KIND = {"F4": "<f4", "I1": "<i1", "I2": "<i2"}
_RECORD = np.dtype([(name, _KIND[kind]) for name, kind in _COLUMNS])
_HEADER_OF_RECORD = {
    "FIELDS": " ".join(RADAR_FIELDS),
    "SIZE": " ".join(kind[1] for _, kind in _COLUMNS),
    "TYPE": " ".join(kind[0] for _, kind in _COLUMNS),
    "COUNT": " ".join("1" for _ in _COLUMNS),
    "HEIGHT": "1",
}
_LONGEST_HEADER = 4096
_PADDING = 3726
"""Zeros after the last record, as many as in the official files; the official kit needs at least one."""


def read_radar(path: Path | str) -> Float32[np.ndarray, "n 18"]:
    """Read every return of a radar file, columns as in `RADAR_FIELDS`; n may be 0.

    Exactly WIDTH records are read: what follows them is padding. NaN in the first record means that the sweep
    is empty. Nothing is left out: see `filter_states`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another header than nuScenes', WIDTH 0, a file that ends before its last record, or a
            return whose place is not finite. The message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d.nuscenes: no radar file {path}; expected the official tree")
    content = path.read_bytes()
    width, start = _header(path, content)
    needed = start + width * _RECORD.itemsize
    if len(content) < needed:
        raise ValueError(
            f"datasets3d.nuscenes: {path} is cut short: {width} returns of {_RECORD.itemsize} bytes need "
            f"{needed} bytes, it has {len(content)}; copy it again"
        )
    records = np.frombuffer(content, _RECORD, count=width, offset=start)
    returns = np.stack([records[name].astype(np.float32) for name in RADAR_FIELDS], axis=1)
    if np.isnan(returns[0]).any():
        return returns[:0]
    lost = int((~np.isfinite(returns[:, :3]).all(axis=1)).sum())
    if lost:
        raise ValueError(f"datasets3d.nuscenes: {path}: {lost} of {width} returns have no finite place")
    return returns


def filter_states(
    returns: Float32[np.ndarray, "n 18"],
    *,
    invalid_states: Collection[int] = VALID_STATES,
    dyn_props: Collection[int] = DYNAMIC_PROPERTIES,
    ambig_states: Collection[int] = AMBIGUITY_STATES,
) -> Float32[np.ndarray, "k 18"]:
    """Keep the returns whose codes are among the named ones, in their order; the official filter by default.

    Raises:
        TypeError: The returns are no float32 array.
        ValueError: They have other columns than `RADAR_FIELDS`.

    Example:
        >>> filter_states(np.zeros((2, 18), np.float32)).shape  # ambig_state 0
        (0, 18)
        >>> filter_states(np.zeros((2, 18), np.float32), ambig_states=range(5)).shape
        (2, 18)
    """
    check_array("filter_states: returns", returns, np.float32, (None, len(RADAR_FIELDS)))
    keep = np.ones(len(returns), bool)
    for name, codes in (
        ("invalid_state", invalid_states),
        ("dyn_prop", dyn_props),
        ("ambig_state", ambig_states),
    ):
        keep &= np.isin(returns[:, RADAR_FIELDS.index(name)], list(codes))
    return returns[keep]


def write_radar(path: Path | str, returns: Float32[np.ndarray, "n 18"]) -> None:
    """Write a radar file as the official ones are, byte for byte; no returns become one record of NaN.

    Raises:
        TypeError: The returns are no float32 array.
        ValueError: They have other columns than `RADAR_FIELDS`, numbers that are not finite, or codes that
            are not whole or do not fit the file.
    """
    check_array("write_radar: returns", returns, np.float32, (None, len(RADAR_FIELDS)))
    if not np.isfinite(returns).all():
        raise ValueError("write_radar: returns hold NaN or infinite numbers")
    records = np.zeros(max(len(returns), 1), _RECORD)
    for index, name in enumerate(RADAR_FIELDS):
        column, kind = returns[:, index], _RECORD[name]
        if len(returns) == 0:
            records[name] = np.nan if kind.kind == "f" else 0
            continue
        if kind.kind == "i":
            limits = np.iinfo(kind)
            if ((column != np.floor(column)) | (column < limits.min) | (column > limits.max)).any():
                raise ValueError(
                    f"write_radar: {name} must be whole numbers {limits.min}..{limits.max}, "
                    f"got {column.min():g}..{column.max():g}"
                )
        records[name] = column
    header = (
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        *(f"{key} {_HEADER_OF_RECORD[key]}" for key in ("FIELDS", "SIZE", "TYPE", "COUNT")),
        f"WIDTH {len(records)}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {len(records)}",
        "DATA binary",
    )
    text = "".join(f"{line}\n" for line in header)
    _atomic.write_bytes(Path(path), text.encode() + records.tobytes() + bytes(_PADDING))


def _header(path: Path, content: bytes) -> tuple[int, int]:
    """Return the number of returns, and where the first one starts."""
    head, found, _ = content[:_LONGEST_HEADER].partition(b"DATA binary\n")
    if not found:
        raise ValueError(f"datasets3d.nuscenes: {path} is no binary .pcd file: no line `DATA binary`")
    words = [line.split() for line in head.decode("latin1").splitlines()]
    header = {line[0]: " ".join(line[1:]) for line in words if line}
    for key, expected in _HEADER_OF_RECORD.items():
        if header.get(key) != expected:
            raise ValueError(
                f"datasets3d.nuscenes: {path} is no nuScenes radar file: expected {key} {expected}, "
                f"got {header.get(key, 'none')[:120]}"
            )
    return _width(path, header.get("WIDTH", "")), len(head) + len(found)


def _width(path: Path, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"datasets3d.nuscenes: {path}: WIDTH must be a number of returns, got {text[:40]!r}")
    if int(text) == 0:
        raise ValueError(
            f"datasets3d.nuscenes: {path} has WIDTH 0; an empty sweep is written as one return of NaN: "
            "copy the file again, or make it anew with write_radar"
        )
    return int(text)
