"""Making dense targets from scans: each object completed by its mirror image and by other objects' points.

A scan sees one side of a car. Its target is its own points, mirrored where the class is symmetric, completed
by the points of other objects of the class whose visible part fits best. Donors come from the object database
alone, so a database of the training split leaks nothing from the validation split.

Source: the "multi find best fit" targets of BtcDet, as ImagePG and PG-RCNN use them (`train_mirror_target`).

Cost, in time of one core: 14 357 synthetic cars, as many as KITTI has (570 points each on average once
mirrored), take 22 s to prepare and then 17 ms each, five minutes in all; `processes` divides the 17 ms. Real
clouds are distributed otherwise, and KITTI itself was not measured.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from geom3d import boxes
from tqdm import tqdm

from datasets3d import _atomic
from datasets3d._sources import changed
from datasets3d._validate import check_class_names
from datasets3d.database import DatabaseEntry, ObjectDatabase
from datasets3d.kitti.labels import KITTI_CLASSES
from datasets3d.surfaces.completion import Completer, CompletionConfig
from datasets3d.surfaces.object_shapes import read_recipe

COMPLETION_BY_CLASS: Mapping[str, CompletionConfig] = {
    "Car": CompletionConfig(),
    "Cyclist": CompletionConfig(min_donor_cells=5, coverage_weight=5.0, min_distance_m=0.05),
    "Pedestrian": CompletionConfig(mirror=False, min_donor_cells=5, coverage_weight=5.0, min_distance_m=0.05),
}
"""The published parameters."""
OTHER_CLASSES = CompletionConfig(min_donor_cells=5, coverage_weight=5.0, min_distance_m=0.05)
"""For classes without published ones: those of cyclists, which suit any size, with mirror image."""
_OBJECTS_AT_ONCE = 16


def completion_of(
    database: ObjectDatabase, classes: Sequence[str] | None = None
) -> dict[str, CompletionConfig]:
    """Return the parameters of these classes, `OTHER_CLASSES` where none are published.

    Args:
        classes: None: those with published parameters, and the database's that KITTI does not have.

    Raises:
        ValueError: A class that the database does not hold and that has no published parameters; names the
            nearest one.
    """
    if classes is None:
        classes = (*COMPLETION_BY_CLASS, *sorted(set(database.by_class) - set(KITTI_CLASSES)))
    check_class_names(tuple(classes), known=(*COMPLETION_BY_CLASS, *database.by_class))
    return {name: COMPLETION_BY_CLASS.get(name, OTHER_CLASSES) for name in classes}


def build_shapes(
    database: ObjectDatabase,
    out_dir: Path | str,
    *,
    completion: Mapping[str, CompletionConfig] = COMPLETION_BY_CLASS,
    processes: int = 1,
    progress: bool = True,
) -> int:
    """Write the completed shape of every object of the named classes; an older folder is replaced at the end.

    An interrupted run goes on when it is repeated with the same database and parameters, and gives the same
    files. Objects of which only ground was seen, and that find no donor, get no file.

    Returns:
        How many shapes the folder holds.

    Raises:
        FileExistsError: Another living process writes the same folder.
        ValueError: The unfinished folder belongs to another database or other parameters.
    """
    if processes < 1:
        raise ValueError(f"build_shapes: processes must be at least 1, got {processes}")
    digest = _digest(database)
    recipe = {
        "format": "datasets3d.object_shapes",
        "version": 1,
        "split": database.split,
        "database_sha256": digest,
        "sources": dict(database.sources),
        "parameters": {name: asdict(config) for name, config in completion.items()},
    }
    with _atomic.resumable_folder(Path(out_dir), recipe) as partial:
        for class_name, config in completion.items():
            entries = database.of_class(class_name)
            missing = [i for i, e in enumerate(entries) if not (partial / f"{e.source_id}.npy").exists()]
            bar = tqdm(
                total=len(entries),
                initial=len(entries) - len(missing),
                desc=f"shapes {class_name}",
                unit="object",
                disable=not progress,
            )
            with bar:
                job = (database.folder, digest, class_name, config, partial)
                for done in _run(job, missing, processes=processes):
                    bar.update(done)
        return len(list(partial.glob("*.npy")))


def is_stale(folder: Path, root: Path, database: ObjectDatabase | None) -> bool:
    """Return whether targets were made of other objects than those of the database (None: of the labels).

    Targets that do not say what they were made from are taken as they are.

    Raises:
        ValueError: The labels of exact targets have changed; those cannot be made from scans.
    """
    recipe = read_recipe(folder, root)
    made_of = recipe.get("database_sha256")
    if made_of is not None and database is not None:
        return made_of != _digest(database)
    found = changed(root, recipe.get("sources", {}))
    if found and made_of is None:
        raise ValueError(
            f"datasets3d.surfaces: {folder} holds exact targets of a synthetic world, and {root / found[0]} "
            "has changed since; write the world anew, or delete the folder to have them made from its scans"
        )
    return bool(found)


def completed_classes(folder: Path, root: Path, database: ObjectDatabase) -> Sequence[str] | None:
    """Return the classes that a folder holds targets of and that the database can give; None if unknown."""
    names = read_recipe(folder, root).get("parameters", {})
    return [name for name in names if name in COMPLETION_BY_CLASS or name in database.by_class] or None


def _digest(database: ObjectDatabase) -> str:
    return hashlib.sha256((database.folder / "index.json").read_bytes()).hexdigest()


_Job = tuple[Path, str, str, CompletionConfig, Path]
"""Database folder, digest of its index, class, parameters, where to write."""


def _run(job: _Job, indices: list[int], *, processes: int) -> Iterator[int]:
    """Complete these objects of the class; yield now and then how many more are done."""
    chunks = [indices[i : i + _OBJECTS_AT_ONCE] for i in range(0, len(indices), _OBJECTS_AT_ONCE)]
    with ExitStack() as stack:
        if processes == 1 or len(chunks) < 2:
            # The clouds of a whole class are not kept for the rest of the process.
            stack.callback(_class_of.cache_clear)
            yield from (_complete(job, chunk) for chunk in chunks)
            return
        pool = ProcessPoolExecutor(min(processes, len(chunks)), mp_context=get_context("spawn"))
        stack.callback(pool.shutdown, cancel_futures=True)
        for running in [pool.submit(_complete, job, chunk) for chunk in chunks]:
            yield running.result()


def _complete(job: _Job, indices: list[int]) -> int:
    entries, completer = _class_of(*job[:4])
    for index in indices:
        shape = completer.completed(index)
        if len(shape):
            buffer = io.BytesIO()
            np.save(buffer, shape.astype(np.float32), allow_pickle=False)
            _atomic.write_bytes(job[4] / f"{entries[index].source_id}.npy", buffer.getvalue())
    return len(indices)


@lru_cache(maxsize=1)
def _class_of(
    database_folder: Path, digest: str, class_name: str, config: CompletionConfig
) -> tuple[list[DatabaseEntry], Completer]:
    """Read the objects of a class; the digest tells a database that was written anew from the old one."""
    database = ObjectDatabase.read(database_folder)
    entries = database.of_class(class_name)
    sizes = np.array([entry.box_lidar[3:6] for entry in entries], np.float64).reshape(-1, 3)
    return entries, Completer([_canonical_points(database, entry) for entry in entries], sizes, config)


def _canonical_points(database: ObjectDatabase, entry: DatabaseEntry) -> np.ndarray:
    """Return an object's points [n, 3] in its own frame."""
    about_centre = np.array([0, 0, 0, *entry.box_lidar[3:7]], np.float64)
    return boxes.to_canonical(database.points(entry)[:, :3].astype(np.float64), about_centre)
