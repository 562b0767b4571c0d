"""What training wants besides KITTI's official files: object database and dense targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets3d import _atomic
from datasets3d.database import DATABASE_FOLDER, ObjectDatabase, build_database
from datasets3d.kitti import KittiDataset
from datasets3d.surfaces import SHAPES_FOLDER, ObjectShapes, published
from datasets3d.surfaces.build import build_shapes, completed_classes, completion_of, is_stale
from datasets3d.surfaces.object_shapes import RECIPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `prepare_kitti` wrote."""

    database: Path
    class_counts: dict[str, int]
    """Objects in the database, by class."""
    shapes: Path
    num_shapes: int
    """Dense targets made; 0 if those that were there already are of the same objects."""

    def table(self) -> str:
        """Return the summary for people."""
        counts = ", ".join(f"{name} {count}" for name, count in self.class_counts.items()) or "no objects"
        made = f"{self.num_shapes} dense targets" if self.num_shapes else "dense targets kept as they were"
        return f"{self.database}: {counts}\n{self.shapes}: {made}"


def prepare_kitti(
    root: Path | str,
    split: str,
    *,
    classes: Sequence[str] | None = None,
    processes: int = 1,
    progress: bool = True,
) -> Prepared:
    """Write `gt_database/` and `training/object_shapes/` under the root.

    Every step replaces what an earlier run wrote, at its end; an interrupted run is simply repeated. Dense
    targets are kept if they were made of the same objects; a synthetic world comes with exact ones, which
    completed scans must not replace, and the published ones (`train_mirror_target/`) need no others. Delete
    the folder to have them made again. Use the training split only, or validation objects leak into training.

    Args:
        classes: Classes that get dense targets; None: the published ones and those that KITTI does not have.

    Raises:
        FileNotFoundError: Not a KITTI tree or no such split.
        ValueError: Damaged files, a split without labels, an unknown class, or exact targets whose labels
            have changed.
    """
    root = Path(root)
    database = cut_objects(root, split, progress=progress)
    shapes = root / SHAPES_FOLDER
    kept = not is_stale(shapes, root, database) if shapes.exists() else published.find_folders(root)
    if classes is None and shapes.exists():
        classes = completed_classes(shapes, root, database)
    completion = completion_of(database, classes)
    num_shapes = 0
    if not kept:
        num_shapes = build_shapes(
            database, shapes, completion=completion, processes=processes, progress=progress
        )
    return Prepared(
        database=database.folder,
        class_counts=database.class_counts(),
        shapes=shapes,
        num_shapes=num_shapes,
    )


def cut_objects(root: Path | str, split: str, *, progress: bool = True) -> ObjectDatabase:
    """Write `gt_database/` under the root: the objects of whole scans, as the official database has them.

    Raises:
        FileNotFoundError: Not a KITTI tree or no such split.
        ValueError: Damaged files, or a split without labels.
    """
    frames = KittiDataset(root, split, crop_to_image=False)
    return build_database(
        frames, frames.root / DATABASE_FOLDER, split=split, sources=frames.digests(), progress=progress
    )


def complete_kitti(
    root: Path | str,
    *,
    split: str = "train",
    classes: Sequence[str] | None = None,
    processes: int = 1,
    progress: bool = True,
) -> tuple[Path, int]:
    """Write the dense targets of a KITTI tree, `training/object_shapes/`, from its object database.

    The database is cut first where there is none. An interrupted run is simply repeated: it goes on where it
    stopped and gives the same files. Targets that were made of the same objects are kept, and so are those of
    a synthetic world, which are exact: delete the folder to have them made again.

    Args:
        classes: None: the published ones and those that KITTI does not have.

    Returns:
        The folder, and how many targets were made; 0 if they were there already.

    Raises:
        FileNotFoundError: Not a KITTI tree or no such split.
        ValueError: A database of another split (donors would leak), an unfinished folder begun with other
            data or parameters, an unknown class, `processes` below 1, a database or exact targets whose
            labels have changed.
    """
    root = Path(root)
    folder = root / SHAPES_FOLDER
    has_database = (root / DATABASE_FOLDER).exists()
    if folder.exists():
        known = ObjectDatabase.read(root / DATABASE_FOLDER) if has_database else None
        if classes is not None and known is not None:
            completion_of(known, classes)
        if not is_stale(folder, root, known):
            return ObjectShapes.read(root).folders[0], 0
    if not has_database:
        cut_objects(root, split, progress=progress)
    database = ObjectDatabase.read(root / DATABASE_FOLDER)
    if database.split != split:
        raise ValueError(
            f"complete_kitti: {database.folder} was cut out of split {database.split!r}, not {split!r}: its "
            "objects would leak into the targets; cut it anew with `python -m datasets3d prepare kitti "
            f"--root {root} --split {split}`, or say --split {database.split} if that is what you train on"
        )
    completion = completion_of(database, classes)
    count = build_shapes(database, folder, completion=completion, processes=processes, progress=progress)
    return folder, count


def export_published(root: Path | str) -> list[Path]:
    """Write the targets of a KITTI tree once more, in the layout that the released code reads.

    Returns:
        The folders `<root>/train_mirror_target/bm_...`, one a class.

    Raises:
        FileExistsError: There is `train_mirror_target` already.
        FileNotFoundError: No targets, or no object database to tell the classes.
    """
    root = Path(root)
    parent = root / published.PARENT
    if parent.exists():
        raise FileExistsError(f"export_published: {parent} exists; move it away or delete it first")
    database, shapes = ObjectDatabase.read(root / DATABASE_FOLDER), ObjectShapes.read(root)
    with _atomic.atomic_folder(parent) as partial:
        for class_name in published.COVERAGE_BY_CLASS:
            folder = partial / published.folder_name(class_name)
            folder.mkdir()
            for entry in database.of_class(class_name):
                points, name = shapes.load(entry.source_id), published.file_name(entry.source_id)
                if points is not None and name is not None:
                    published.write_points(folder / name, points)
        _atomic.write_json(partial / RECIPE, {"sources": dict(database.sources)})
    return sorted(path for path in parent.iterdir() if path.is_dir())
