"""One scan of the official download: mesh, segments, what annotators made of them, alignment.

| file | what is read of it |
| --- | --- |
| `<scan>_vh_clean_2.ply` | vertices x y z in metres, red green blue |
| `<scan>_vh_clean_2.0.010000.segs.json` | `segIndices`: the segment of every vertex |
| `<scan>.aggregation.json` | `segGroups`: objects as lists of segments, with a raw category each |
| `<scan>.txt` | `axisAlignment`: aligned_from_scan; scans without it lie in their own frame |
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from geom3d import scannet, transforms
from jaxtyping import Float, Float32, Float64, Int32

from datasets3d import _atomic, _ply
from datasets3d.indoor.labels import LabelSet
from datasets3d.indoor.room import Room, RoomObjects

_AGAIN = "copy the files of this scan again; they must come from one release"


def read_categories(path: Path | str, label_set: LabelSet) -> dict[str, str]:
    """Read the class of every raw category that has one from `scannetv2-labels.combined.tsv`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The table lacks the column `raw_category` or that of the label set.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"scannet: no label table {path}; it comes with the official download")
    rows = csv.DictReader(io.StringIO(path.read_text("utf-8")), delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = {"raw_category", label_set.column} - set(rows.fieldnames or ())
    if missing:
        raise ValueError(
            f"scannet: {path} has no column {', '.join(sorted(missing)) or '(empty)'}, which the label set "
            f"{label_set.name!r} needs; take the table of the official download"
        )
    cells = dict(zip(label_set.cells or label_set.classes, label_set.classes, strict=True))
    return {row["raw_category"]: cells[c] for row in rows if (c := row[label_set.column] or "") in cells}


def read_raw(
    folder: Path | str, label_set: LabelSet, *, categories: Mapping[str, str], with_labels: bool = True
) -> Room:
    """Read the scan in `scans/<scan>/` into the aligned frame.

    An object is a group of the annotation; its box is that of its vertices in the aligned frame. Groups of
    other categories than `categories` has are instances without a class and without a box. A segment that
    two groups claim belongs to the later one.

    Args:
        categories: Class of the label set by raw category: `read_categories`, or `label_set.raw_categories`.
        with_labels: False for test scans, which have no annotation.

    Raises:
        FileNotFoundError: A file of the scan is missing.
        ValueError: A damaged file, vertices that are not numbers, segments that do not fit the vertices, or a
            group that names segments no vertex has. The message names the file.
    """
    folder = Path(folder)
    mesh = folder / f"{folder.name}_vh_clean_2.ply"
    xyz, colors = _vertices(mesh)
    matrix = _alignment(folder / f"{folder.name}.txt")
    aligned = transforms.apply(matrix, xyz)
    room = Room(
        name=folder.name,
        points=aligned.astype(np.float32),
        colors=colors,
        aligned_from_scan=matrix,
    )
    if not with_labels:
        return room
    segments = _segments(folder / f"{folder.name}_vh_clean_2.0.010000.segs.json", len(xyz))
    groups = _groups(folder / f"{folder.name}.aggregation.json")
    instances = np.full(len(xyz), -1, np.int32)
    for number, (category, wanted) in enumerate(groups):
        rows = np.isin(segments, wanted)
        absent = np.setdiff1d(wanted, segments[rows])
        if len(absent):
            raise ValueError(
                f"scannet: {folder / folder.name}.aggregation.json: object {number} ({category}) names "
                f"segments that no vertex has ({', '.join(map(str, absent[:5]))}); {_AGAIN}"
            )
        instances[rows] = number
    names = [categories.get(category) for category, _ in groups]
    numbers = {name: at for at, name in enumerate(label_set.classes)}
    class_of = np.array([-1 if name is None else numbers[name] for name in names] + [-1], np.int32)
    return Room(
        name=room.name,
        points=room.points,
        colors=colors,
        classes=class_of[instances],
        instances=instances,
        objects=objects_of(aligned, instances, {n: name for n, name in enumerate(names) if name}),
        aligned_from_scan=matrix,
    )


def objects_of(
    points: Float[np.ndarray, "n 3"], instances: Int32[np.ndarray, " n"], names: Mapping[int, str]
) -> RoomObjects:
    """Return the boxes around the points of every instance that has a name and a point.

    Example:
        >>> points = np.array([[0.0, 0, 0], [1, 2, 4], [9, 9, 9]])
        >>> objects_of(points, np.array([5, 5, -1], np.int32), {5: "cup", 6: "bed"}).boxes.tolist()
        [[0.5, 1.0, 2.0, 1.0, 2.0, 4.0]]
    """
    boxes, kept = [], []
    for number in names:
        inside = points[instances == number].astype(np.float64)
        if len(inside):
            low, high = inside.min(axis=0), inside.max(axis=0)
            boxes.append(np.concatenate([(low + high) / 2, high - low]))
            kept.append(number)
    return RoomObjects(
        names=tuple(names[number] for number in kept),
        boxes=np.array(boxes, np.float32).reshape(-1, 6),
        instances=np.array(kept, np.int32),
    )


def _vertices(path: Path) -> tuple[Float32[np.ndarray, "n 3"], np.ndarray | None]:
    if not path.is_file():
        raise FileNotFoundError(f"scannet: no mesh {path}; expected scans/<scan>/<scan>_vh_clean_2.ply")
    columns = _ply.read_vertices(path)
    if not {"x", "y", "z"} <= columns.keys():
        raise ValueError(f"scannet: {path} has no vertices x y z; {_AGAIN}")
    xyz = np.stack([columns[name] for name in "xyz"], axis=1).astype(np.float32)
    wrong = int((~np.isfinite(xyz).all(axis=1)).sum())
    if wrong:
        raise ValueError(f"scannet: {path}: {wrong} of {len(xyz)} vertices are not finite; {_AGAIN}")
    if not {"red", "green", "blue"} <= columns.keys():
        return xyz, None
    return xyz, np.stack([columns[name] for name in ("red", "green", "blue")], axis=1).astype(np.uint8)


def _alignment(path: Path) -> Float64[np.ndarray, "4 4"]:
    """Return aligned_from_scan; the identity for scans that say nothing of it."""
    if not path.is_file():
        raise FileNotFoundError(f"scannet: no file {path}; without its axisAlignment boxes would be oblique")
    if "axisAlignment" not in path.read_text("utf-8", errors="replace"):
        return np.eye(4)
    return scannet.read_axis_alignment(path)


def _segments(path: Path, count: int) -> np.ndarray:
    found = _entry(path, "segIndices")
    segments = np.asarray(found)
    if segments.ndim != 1 or segments.dtype.kind != "i" or len(segments) != count:
        raise ValueError(
            f"scannet: {path}: expected segIndices with one whole number for each of {count} vertices, got "
            f"{len(found)}; {_AGAIN}"
        )
    return segments


def _groups(path: Path) -> list[tuple[str, np.ndarray]]:
    """Return raw category and segments of every object, in file order."""
    groups = []
    for number, group in enumerate(_entry(path, "segGroups")):
        label = group.get("label") if isinstance(group, dict) else None
        segments = np.asarray(group.get("segments") if isinstance(group, dict) else None)
        if not isinstance(label, str) or segments.ndim != 1 or segments.dtype.kind not in "iu":
            raise ValueError(f"scannet: {path}: segGroups[{number}] needs a label and segments; {_AGAIN}")
        groups.append((label, segments))
    return groups


def _entry(path: Path, name: str) -> list[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"scannet: no file {path}; test scans have none: read them without labels")
    found = _atomic.read_json(path, cure=_AGAIN).get(name)
    if not isinstance(found, list):
        raise ValueError(f"scannet: {path}: expected a list {name!r}; {_AGAIN}")
    return found
