"""What training reads besides SemanticKITTI's files: points of every class, and objects to paste."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets3d import _atomic, _sources
from datasets3d._point_files import InvalidPoints
from datasets3d.segmentation.cutting import InstanceCutter
from datasets3d.segmentation.instances import InstanceStore
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.scan import IGNORED
from datasets3d.semantickitti import SINGLE_SCAN, SemanticKittiDataset, label_path

FORMAT, VERSION = "datasets3d.semantickitti_statistics", 1
_CURE = "make it with `python -m datasets3d prepare semantickitti`"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStatistics:
    """What a split holds."""

    split: str
    label_table: str
    """Name of the label table."""
    class_counts: Mapping[str, int]
    """Points of every class, in the order of the class indices."""
    ignored: int
    """Points without a class."""
    scans: int
    points: int
    sources: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the label files that were counted, by path below the root."""

    @classmethod
    def read(cls, path: Path | str, *, root: Path | str | None = None) -> SplitStatistics:
        """Read what `prepare_semantickitti` wrote.

        Args:
            path: The `.json` file.
            root: Folder of the data set; then its label files are compared with those that were counted,
                which reads them all. None compares nothing.

        Raises:
            FileNotFoundError: No such file; names the command that writes it.
            ValueError: Not ours, of another version, damaged, or of labels that have changed since.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"datasets3d: no {path}; {_CURE}")
        content = _atomic.read_json(path, cure=_CURE)
        _atomic.check_format(content, path, format=FORMAT, version=VERSION, cure=_CURE)
        try:
            found = cls(
                split=str(content["split"]),
                label_table=str(content["label_table"]),
                class_counts={str(name): int(count) for name, count in content["class_counts"].items()},
                ignored=int(content["ignored"]),
                scans=int(content["scans"]),
                points=int(content["points"]),
                sources={str(name): str(digest) for name, digest in content["sources"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"datasets3d: {path} is damaged ({error!r}); {_CURE}") from None
        if root is not None:
            _sources.refuse_changed(path, Path(root), found.sources, cure=_CURE)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedScans:
    """What `prepare_semantickitti` wrote."""

    statistics_path: Path
    statistics: SplitStatistics
    store_path: Path
    store: InstanceStore

    def table(self) -> str:
        """Return the summary for people."""
        found = self.statistics
        lines = [f"{self.statistics_path}: {found.scans} scans, {found.points} points"]
        rows = [*found.class_counts.items(), ("ignored", found.ignored)]
        lines += [f"  {name:<22} {count:>12} {count / max(1, found.points):>8.3%}" for name, count in rows]
        objects = ", ".join(f"{name} {count}" for name, count in self.store.class_counts().items())
        return "\n".join([*lines, f"{self.store_path}: {objects or 'no objects'}"])


def instances_path(folder: Path | str, split: str) -> Path:
    """Return where the objects of a split lie that `prepare_semantickitti` has cut out."""
    return Path(folder) / f"fusion3d_semantickitti_{split}_instances.npz"


def prepare_semantickitti(
    root: Path | str,
    split: str,
    *,
    out: Path | str | None = None,
    table: LabelTable = SINGLE_SCAN,
    cutter: InstanceCutter | None = None,
    invalid_points: InvalidPoints = "error",
    progress: bool = True,
) -> PreparedScans:
    """Read a split once; write `fusion3d_semantickitti_<split>.json` and `..._<split>_instances.npz`.

    Both files replace older ones at the end; after an interruption the command is simply repeated. They hold
    hashes of the label files that they were made of. Use the training split only, or objects of the
    validation split leak into training. Some 20 ms a scan.

    Args:
        root: The folder with sequences/.
        split: As for `SemanticKittiDataset`.
        out: Folder of the files; None: the root.
        table: What the raw ids are.
        cutter: Cuts the objects, by the same table; None: all things but cars, see `InstanceCutter`.
        invalid_points: As for `SemanticKittiDataset`.
        progress: Show a bar.

    Raises:
        FileNotFoundError: No SemanticKITTI tree, or no sequence of the split.
        ValueError: Damaged files, ids that the table does not know, a split without labels, or a cutter of
            another table.
    """
    dataset = SemanticKittiDataset(root, split, table=table, invalid_points=invalid_points)
    cutter = InstanceCutter(table) if cutter is None else cutter
    if cutter.table != table:
        raise ValueError(
            f"prepare_semantickitti: the cutter has the table {cutter.table.name!r}, the scans {table.name!r}"
        )
    counts = np.zeros(256, np.int64)
    sources: dict[str, str] = {}
    for scan in tqdm(dataset, desc=f"prepare {split}", unit="scan", disable=not progress):
        if scan.classes is None:
            raise ValueError(
                f"prepare_semantickitti: split {split!r} has no labels; take train, or trainval for the test "
                "server"
            )
        counts += np.bincount(scan.classes, minlength=256)
        cutter.add(scan)
        # The file was read just now, so that reading it again costs little.
        sources |= _sources.digests(dataset.root, [label_path(dataset.root, scan.frame_id)])
    statistics = SplitStatistics(
        split=dataset.split,
        label_table=table.name,
        class_counts={name: int(counts[index]) for index, name in enumerate(table.classes)},
        ignored=int(counts[IGNORED]),
        scans=len(dataset),
        points=int(counts.sum()),
        sources=sources,
    )
    folder = dataset.root if out is None else Path(out)
    statistics_path = folder / f"fusion3d_semantickitti_{dataset.split}.json"
    store_path = instances_path(folder, dataset.split)
    store = cutter.store(split=dataset.split, sources=sources)
    store.save(store_path)
    _atomic.write_json(statistics_path, {"format": FORMAT, "version": VERSION, **asdict(statistics)})
    return PreparedScans(
        statistics_path=statistics_path, statistics=statistics, store_path=store_path, store=store
    )
