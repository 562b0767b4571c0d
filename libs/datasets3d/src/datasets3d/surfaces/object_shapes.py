"""Complete surfaces of objects: the targets for models that generate points.

On disk: `training/object_shapes/<source_id>.npy`, float32 [n, 3], metres, in the object's own frame (origin
box centre, yaw 0). `datasets3d.surfaces.build` makes them from scans; synthetic worlds write those of the
complete meshes. The published files of BtcDet, PG-RCNN and ImagePG are read as they are, from
`train_mirror_target/bm_50maxdist_2num_Car` and its like.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from geom3d import boxes
from jaxtyping import Float32

from datasets3d import _atomic, _sources
from datasets3d.frame import Frame
from datasets3d.surfaces import published

SHAPES_FOLDER = "training/object_shapes"
"""Under the root of a data set."""
RECIPE = "recipe.json"
"""What the targets were made from: in their folder, or under the root of a synthetic world."""


@dataclass(frozen=True, slots=True)
class ObjectShapes:
    """The dense targets of a tree, read when asked for; an object without a file has no target.

    Example:
        >>> ObjectShapes((Path("object_shapes"),)).load("000000_0") is None
        True
    """

    folders: tuple[Path, ...]
    """The folder of our files, or those of the published ones, one a class."""

    @classmethod
    def read(
        cls, root: Path | str, *, classes: Sequence[str] = tuple(published.COVERAGE_BY_CLASS)
    ) -> "ObjectShapes":
        """Return the targets under `<root>/training/object_shapes`, else the published ones.

        Args:
            root: Folder with training/.
            classes: Classes whose published folder must be there; those that were never published need none.

        Raises:
            FileNotFoundError: Neither is there, or a class's published folder is missing; names the cure.
            ValueError: The folder is unfinished, or the labels have changed since it was made.
        """
        root = Path(root)
        ours = root / SHAPES_FOLDER
        if ours.exists():
            _atomic.refuse_incomplete(ours)
            _refuse_changed(ours, root)
            return cls((ours,))
        found = published.find_folders(root)
        wanted = [name for name in classes if name in published.COVERAGE_BY_CLASS]
        missing = [published.folder_name(name) for name in wanted if name not in found]
        if found and not missing:
            for parent in sorted({folder.parent for folder in found.values()}):
                _refuse_changed(parent, root)
            return cls(tuple(found.values()))
        _atomic.refuse_incomplete(ours)
        looked = f"and no {published.PARENT}/{{{','.join(missing)}}}" if missing else ""
        raise FileNotFoundError(
            f"datasets3d.surfaces: no dense targets under {root}: no {SHAPES_FOLDER} {looked}; make them "
            f"with `python -m datasets3d complete kitti --root {root}`"
        )

    def find(self, source_id: str) -> Path | None:
        """Return the file of one target; None if there is none."""
        names = (f"{source_id}.npy", published.file_name(source_id))
        paths = (folder / name for folder in self.folders for name in names if name is not None)
        return next((path for path in paths if path.is_file()), None)

    def load(self, source_id: str) -> Float32[np.ndarray, "n 3"] | None:
        """Read one target in the object's own frame; None if there is none.

        Raises:
            ValueError: The file is damaged or holds something else; nothing in it is ever executed.
        """
        path = self.find(source_id)
        if path is None:
            return None
        return published.read_points(path) if path.suffix == ".pkl" else _read_npy(path)


def read_recipe(folder: Path, root: Path) -> dict[str, Any]:
    """Return what targets were made from, as their folder or else the root says; nothing if neither does.

    Raises:
        ValueError: The recipe is damaged.
    """
    path = next((p for p in (folder / RECIPE, root / RECIPE) if p.is_file()), None)
    if path is None:
        return {}
    cure = f"delete {folder} to have the dense targets made again"
    recipe = _atomic.read_json(path, cure=cure)
    if not all(isinstance(recipe.get(key, {}), dict) for key in ("sources", "parameters")):
        raise ValueError(f"datasets3d.surfaces: {path} is damaged; {cure}")
    return recipe


def _refuse_changed(folder: Path, root: Path) -> None:
    cure = (
        f"make the dense targets anew with `python -m datasets3d prepare kitti --root {root}`; delete those "
        "of a synthetic world or an export first"
    )
    _sources.refuse_changed(folder, root, read_recipe(folder, root).get("sources", {}), cure=cure)


def _read_npy(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as handle:
            points = np.lib.format.read_array(handle, allow_pickle=False)
    except Exception as error:  # what a damaged header raises is not documented and differs by the damage
        raise ValueError(
            f"datasets3d.surfaces: {path} is no readable array ({error}); make it again"
        ) from error
    if points.dtype != np.float32 or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(
            f"datasets3d.surfaces: {path}: expected float32 of shape (n, 3), got {points.dtype} "
            f"{points.shape}"
        )
    if not np.isfinite(points).all():
        raise ValueError(
            f"datasets3d.surfaces: {path} holds NaN or infinite numbers; make the dense targets again"
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
