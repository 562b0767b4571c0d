"""Complete surfaces of objects: the targets for models that generate points.

A scan sees one side of a car. Its target is its own points, mirrored where the class is symmetric, completed
by the points of other objects of the class whose visible part fits best. On disk:
`object_shapes/<source_id>.npy`, float32 [n, 3], metres, in the object's own frame (origin box centre, yaw 0).
Synthetic worlds write the same format from the complete meshes.

Source: the "multi find best fit" targets of BtcDet, as ImagePG and PG-RCNN use them. Donors come from the
database alone, so a database of the training split leaks nothing from the validation split.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from geom3d import boxes
from jaxtyping import Float32
from tqdm import tqdm

from datasets3d import _atomic, _completion
from datasets3d._completion import CompletionConfig
from datasets3d.database.store import DatabaseEntry, ObjectDatabase
from datasets3d.frame import Frame
from datasets3d.kitti._tree import SHAPES_FOLDER

COMPLETION_BY_CLASS: Mapping[str, CompletionConfig] = {
    "Car": CompletionConfig(),
    "Cyclist": CompletionConfig(min_donor_cells=5, coverage_weight=5.0, min_distance_m=0.05),
    "Pedestrian": CompletionConfig(mirror=False, min_donor_cells=5, coverage_weight=5.0, min_distance_m=0.05),
}
"""The published parameters; classes not named here get no target."""


@dataclass(frozen=True, slots=True)
class ObjectShapes:
    """The dense targets of a folder, read when asked for; a folder or file that is missing means no target.

    Example:
        >>> ObjectShapes(Path("object_shapes")).load("000000_0") is None
        True
    """

    folder: Path

    @classmethod
    def read(cls, root: Path | str) -> "ObjectShapes":
        """Return the targets under `<root>/training/object_shapes`.

        Raises:
            ValueError: The folder is unfinished.
        """
        folder = Path(root) / SHAPES_FOLDER
        if folder.exists():
            _atomic.refuse_incomplete(folder)
        return cls(folder)

    def load(self, source_id: str) -> Float32[np.ndarray, "n 3"] | None:
        """Read one target in the object's own frame; None if there is none.

        Raises:
            ValueError: The file is damaged or holds something else.
        """
        path = self.folder / f"{source_id}.npy"
        if not path.is_file():
            return None
        try:
            points = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"datasets3d.shapes: {path} is no readable array ({error}); make it again"
            ) from error
        if points.dtype != np.float32 or points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(
                f"datasets3d.shapes: {path}: expected float32 of shape (n, 3), got {points.dtype} "
                f"{points.shape}"
            )
        return points


def add_dense_points(frame: Frame, shapes: ObjectShapes) -> Frame:
    """Give each object its complete surface, placed in the frame: `dense_points` x y z and object index.

    Works for the frame's own and for pasted objects (by `Objects.source_id`); call it after pasting and
    before geometric augmentation, which then moves the dense points along. Objects without a target have no
    points here.
    """
    objects = frame.objects
    if objects is None or objects.source_id is None:
        return frame
    parts = [np.zeros((0, 4))]
    for i, source_id in enumerate(objects.source_id):
        local = shapes.load(source_id)
        if local is not None:
            xyz = boxes.from_canonical(local.astype(np.float64), objects.boxes_lidar[i].astype(np.float64))
            parts.append(np.column_stack([xyz, np.full(len(xyz), i)]))
    return replace(frame, dense_points=np.concatenate(parts).astype(np.float32))


def build_shapes(
    database: ObjectDatabase,
    out_dir: Path | str,
    *,
    completion: Mapping[str, CompletionConfig] = COMPLETION_BY_CLASS,
    progress: bool = True,
) -> int:
    """Write the completed shape of every object of the named classes; an older folder is replaced at the end.

    Cost: some tenths of a second an object where there are hundreds of donors (an hour for KITTI's 14 000
    cars).

    Returns:
        How many shapes were written.
    """
    written = 0
    with _atomic.atomic_folder(Path(out_dir)) as folder:
        for class_name, config in completion.items():
            entries = [
                database.entries[i] for i in database.by_class.get(class_name, np.zeros(0, int)).tolist()
            ]
            if not entries:
                continue
            clouds = [_canonical_points(database, entry) for entry in entries]
            sizes = np.array([entry.box_lidar[3:6] for entry in entries])
            shapes = _completion.complete(clouds, sizes, config)
            bar = tqdm(
                shapes, total=len(entries), desc=f"shapes {class_name}", unit="object", disable=not progress
            )
            for entry, shape in zip(entries, bar, strict=True):
                if len(shape):
                    np.save(folder / f"{entry.source_id}.npy", shape.astype(np.float32), allow_pickle=False)
                    written += 1
    return written


def _canonical_points(database: ObjectDatabase, entry: DatabaseEntry) -> np.ndarray:
    """Return an object's points [n, 3] in its own frame."""
    about_centre = np.array([0, 0, 0, *entry.box_lidar[3:7]], np.float64)
    return boxes.to_canonical(database.points(entry)[:, :3].astype(np.float64), about_centre)
