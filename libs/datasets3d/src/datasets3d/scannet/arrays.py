"""Scans that others prepared as arrays of NumPy, one file for each thing.

Two preparations look alike. That of mmdetection3d and DSPDet3D has `<scan>_{vert, aligned_bbox,
unaligned_bbox, axis_align_matrix}.npy`: the vertices are not aligned, the boxes of `aligned_bbox` are.
That of VoteNet and BackToReality has `<scan>_{vert, bbox}.npy`: both are aligned.

Boxes are centre, sizes and the stored number of the class. To take one kind for the other turns every room
by the yaw of its scan against its boxes; so the kind is known by the files, and boxes without points are
refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from geom3d import transforms
from jaxtyping import Float

from datasets3d.indoor.labels import LabelSet
from datasets3d.indoor.room import Room, RoomObjects

_LEAST_INSIDE = 0.5
"""Share of the boxes that must hold a vertex."""


def read_arrays(folder: Path | str, name: str, label_set: LabelSet, *, with_labels: bool = True) -> Room:
    """Read the scan `name` from arrays in `folder` into the aligned frame.

    Files `<scan>_sem_label.npy` and `<scan>_ins_label.npy` (0: no object), if there, become classes and
    instances of the points. Boxes of other classes than those of the label set are left out.

    Raises:
        FileNotFoundError: An array that the kind needs is missing.
        ValueError: Arrays that do not fit together, class numbers beyond those of the label set, or boxes
            that lie beside the points.
    """
    folder = Path(folder)
    vertices = _load(folder / f"{name}_vert.npy", columns=6)
    is_aligned = not (folder / f"{name}_axis_align_matrix.npy").is_file()
    matrix = np.eye(4) if is_aligned else _load(folder / f"{name}_axis_align_matrix.npy", columns=4)
    points = transforms.apply(matrix, vertices[:, :3].astype(np.float64)).astype(np.float32)
    if not np.isfinite(points).all():
        raise ValueError(
            f"scannet: {folder / name}_vert.npy holds vertices that are not finite; make it anew"
        )
    objects = None
    if with_labels:
        boxes = _load(folder / f"{name}_{'bbox' if is_aligned else 'aligned_bbox'}.npy", columns=7)
        objects = _objects(boxes, label_set, f"{folder / name}_*bbox.npy")
        _check_fit(points, objects, f"{folder / name}")
    semantic = _labels(folder / f"{name}_sem_label.npy", len(points))
    instances = _labels(folder / f"{name}_ins_label.npy", len(points))
    return Room(
        name=name,
        points=points,
        colors=vertices[:, 3:6].clip(0, 255).astype(np.uint8),
        classes=None if semantic is None else label_set.from_ids(semantic),
        instances=None if instances is None else instances.astype(np.int32) - 1,
        objects=objects,
        aligned_from_scan=None if is_aligned else matrix.astype(np.float64),
    )


def _objects(boxes: Float[np.ndarray, "m 7"], label_set: LabelSet, where: str) -> RoomObjects:
    ids = boxes[:, 6].astype(np.int64)
    # one number beyond the classes stands for everything else
    foreign = np.unique(ids[ids > max(label_set.ids) + 1])
    if len(foreign):
        raise ValueError(
            f"scannet: {where}: classes {', '.join(map(str, foreign[:5]))} are beyond those of the label set "
            f"{label_set.name!r} ({min(label_set.ids)} to {max(label_set.ids)}); name that of the file"
        )
    classes = label_set.from_ids(ids)
    return RoomObjects(
        names=tuple(label_set.classes[number] for number in classes[classes >= 0]),
        boxes=boxes[classes >= 0, :6].astype(np.float32),
    )


def _check_fit(points: Float[np.ndarray, "n 3"], objects: RoomObjects, where: str) -> None:
    """Raise if most boxes hold no point: then points and boxes lie in different frames."""
    if not len(objects) or not len(points):
        return
    low = objects.boxes[:, :3] - objects.boxes[:, 3:] / 2 - 1e-3
    high = objects.boxes[:, :3] + objects.boxes[:, 3:] / 2 + 1e-3
    pairs = zip(low, high, strict=True)
    held = np.array([((points >= a) & (points <= b)).all(axis=1).any() for a, b in pairs])
    if held.mean() < _LEAST_INSIDE:
        raise ValueError(
            f"scannet: {where}: {int((~held).sum())} of {len(held)} boxes hold no vertex: vertices and boxes "
            "lie in different frames; do not mix aligned and unaligned arrays of different preparations"
        )


def _load(path: Path, *, columns: int) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"scannet: no file {path}")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"scannet: {path} cannot be read ({error}); make it anew") from None
    if found.ndim != 2 or found.shape[1] != columns or found.dtype.kind not in "fiu":
        raise ValueError(
            f"scannet: {path}: expected numbers [n, {columns}], got {found.dtype} {found.shape}; make it anew"
        )
    return found


def _labels(path: Path, count: int) -> np.ndarray | None:
    if not path.is_file():
        return None
    found = np.load(path, allow_pickle=False)
    if found.shape != (count,):
        raise ValueError(f"scannet: {path}: expected a label for each of {count} vertices, got {found.shape}")
    return found.astype(np.int64)
