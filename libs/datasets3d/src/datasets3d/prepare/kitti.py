"""What training wants besides the official files: infos, object database, dense targets."""

from dataclasses import dataclass
from pathlib import Path

from datasets3d.database import build_database
from datasets3d.kitti import KittiDataset, write_infos
from datasets3d.kitti._tree import SHAPES_FOLDER
from datasets3d.surfaces import published
from datasets3d.surfaces.build import build_shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `prepare_kitti` wrote."""

    infos: Path
    database: Path
    class_counts: dict[str, int]
    """Objects in the database, by class."""
    shapes: Path
    num_shapes: int
    """Dense targets made; 0 if complete ones were there already."""

    def table(self) -> str:
        """Return the summary for people."""
        counts = ", ".join(f"{name} {count}" for name, count in self.class_counts.items()) or "no objects"
        made = f"{self.num_shapes} dense targets" if self.num_shapes else "dense targets kept as they were"
        return f"{self.infos}\n{self.database}: {counts}\n{self.shapes}: {made}"


def prepare_kitti(root: Path | str, split: str, *, processes: int = 1, progress: bool = True) -> Prepared:
    """Write `kitti_infos_<split>.json`, `gt_database/` and `training/object_shapes/` under the root.

    Every step replaces what an earlier run wrote, at its end; an interrupted run is simply repeated. Dense
    targets that are there already are kept: a synthetic world comes with exact ones, which completed scans
    must not replace, and the published ones (`train_mirror_target/`) need no others. Delete the folder to
    have them made again. Use the training split only, or validation objects leak into training.

    Raises:
        FileNotFoundError: Not a KITTI tree or no such split.
        ValueError: Damaged files, or a split without labels.
    """
    dataset = KittiDataset(root, split)
    infos = write_infos(dataset, progress=progress)
    database = build_database(dataset, dataset.root / "gt_database", progress=progress)
    shapes = dataset.root / SHAPES_FOLDER
    kept = shapes.exists() or published.find_folders(dataset.root)
    num_shapes = 0 if kept else build_shapes(database, shapes, processes=processes, progress=progress)
    return Prepared(
        infos=infos,
        database=database.folder,
        class_counts=database.class_counts(),
        shapes=shapes,
        num_shapes=num_shapes,
    )
