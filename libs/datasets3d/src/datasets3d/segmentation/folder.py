"""Own scans: any folder, or a single file, of point files, with labels beside them or inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geom3d import transforms

from datasets3d._label_files import check_label_count, read_labels, split_labels
from datasets3d._point_files import InvalidPoints
from datasets3d._scan_columns import SUFFIXES, read_columns
from datasets3d._validate import check_positive
from datasets3d.frame import POINT_COLUMNS
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.scan import LabelledScan

INTENSITY_NAMES = ("intensity", "i", "reflectivity", "reflectance", "remission", "scalar_intensity")
LABEL_NAMES = (
    *("label", "labels", "class", "classification", "semantic", "semantic_id"),
    *("scalar_label", "scalar_class", "scalar_classification"),
)
INSTANCE_NAMES = ("instance", "instances", "instance_id", "object", "scalar_instance")
"""What columns are called, in the order in which they are looked for; upper and lower case alike."""

FAR_M = 8192.0
"""Beyond, float32 no longer holds millimetres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReading:
    """How own scan files are read.

    Raises:
        ValueError: An intensity scale that is not positive.
    """

    columns: tuple[str, ...] = POINT_COLUMNS
    """Columns of files that do not name theirs (headerless ones, and plain arrays of NumPy)."""
    label_column: str | None = None
    """Column of the raw ids; None: a `.label` file if there is one, else the first of `LABEL_NAMES`."""
    instance_column: str | None = None
    """Column of the instances; None: the first of `INSTANCE_NAMES`, if there is any."""
    intensity_scale: float | int = 1.0
    """The greatest intensity of the sensor, which becomes 1: 255 or 65535 for whole numbers."""
    missing_intensity: float | int | None = None
    """The intensity of scans that have none; None refuses them."""
    invalid_points: InvalidPoints = "error"
    """Points that are not finite are an error, or are dropped with their labels."""

    def __post_init__(self) -> None:
        """Check the scale."""
        check_positive(self, "intensity_scale")


class ScanFolder:
    """The scans of a folder: `len(scans)`, `scans[i]`; nothing is read until a scan is asked for.

    Files that end as scans do (`SUFFIXES`) are taken, also those in folders below, in the order of their
    names; hidden ones are not. Frame ids are paths below the folder, without the ending. See `read_scan`.

    Args:
        path: A folder, or one scan file.
        table: What the raw ids are; None reads no labels.
        labels: Folder of the `.label` files, called by frame id; None: beside the scan, or in a folder
            `labels` beside the scan's own.
        reading: How the files are read.
        suffixes: Endings of the files that are taken.

    Raises:
        FileNotFoundError: Neither a folder nor a file, or a folder without scans.
        ValueError: Two files with one frame id.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        table: LabelTable | None = None,
        labels: Path | str | None = None,
        reading: ScanReading | None = None,
        suffixes: Sequence[str] = SUFFIXES,
    ) -> None:
        self.path = Path(path)
        self.table = table
        self.reading = reading or ScanReading()
        self._labels = None if labels is None else Path(labels)
        self._files = _list_scans(self.path, tuple(suffixes))
        self.frame_ids: tuple[str, ...] = tuple(self._files)

    def __len__(self) -> int:
        """Count the scans."""
        return len(self.frame_ids)

    def __iter__(self) -> Iterator[LabelledScan]:
        """Read scan by scan."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> LabelledScan:
        """Read one scan; errors as of `read_scan`.

        Raises:
            IndexError: No such index.
        """
        frame_id = self.frame_ids[index]
        labels = None if self._labels is None else self._labels / f"{frame_id}.label"
        return read_scan(
            self.scan_path(frame_id), table=self.table, labels=labels, reading=self.reading, frame_id=frame_id
        )

    def scan_path(self, frame_id: str) -> Path:
        """Return the file of a frame.

        Raises:
            KeyError: No such frame.
        """
        return self._files[frame_id]


def read_scan(
    path: Path | str,
    *,
    table: LabelTable | None = None,
    labels: Path | str | None = None,
    reading: ScanReading | None = None,
    frame_id: str | None = None,
) -> LabelledScan:
    """Read one scan file of any format: x y z intensity, and with a table a class for every point.

    x y z are taken as metres with z up; `segmentation.find_mistakes` tells whether they look like that.
    Scans whose middle lies beyond `FAR_M` metres, in the coordinates of a map, would lose their millimetres
    in float32: they are moved by whole metres so that their middle comes to lie at the origin, and
    `world_from_lidar` says by how much.

    Args:
        path: The scan, of any of `SUFFIXES`. What a file is, its content says, not its name.
        table: What the raw ids are; None reads no labels.
        labels: The `.label` file: a uint32 a point, raw id in the lower, instance in the upper half. None
            looks beside the scan, then in a folder `labels` beside its own, then for a column.
        reading: How the file is read.
        frame_id: None: the name of the file without its ending.

    Raises:
        FileNotFoundError: No such file, or no labels anywhere although there is a table.
        ValueError: A damaged file, one without x y z or intensity, labels that differ in number from the
            points or that the table does not know, points that are not finite; names the file and the cure.
        ImportError: A LAS file, and the reader is not installed.
    """
    path, reading = Path(path), reading or ScanReading()
    columns = read_columns(path, reading.columns)
    points, world_from_lidar = _points(path, columns, reading)
    raw, instances = None, None
    if table is not None:
        raw, instances = _labels_of(path, columns, None if labels is None else Path(labels), reading)
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        if reading.invalid_points == "error":
            raise ValueError(
                f"datasets3d: {path} holds {int((~finite).sum())} of {len(points)} points with NaN or "
                "infinite numbers; repair the file, or read with invalid_points='drop'"
            )
        points = points[finite]
        raw = None if raw is None else raw[finite]
        instances = None if instances is None else instances[finite]
    return LabelledScan(
        frame_id=path.stem if frame_id is None else frame_id,
        points=points,
        classes=None if table is None or raw is None else table.class_indices(raw, where=str(path)),
        instances=instances,
        world_from_lidar=world_from_lidar,
    )


def _list_scans(path: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise FileNotFoundError(f"datasets3d: there is no folder or scan {path}")
    found: dict[str, Path] = {}
    for file in sorted(path.rglob("*")):
        below = file.relative_to(path)
        if file.suffix.lower() not in suffixes or any(part.startswith(".") for part in below.parts):
            continue
        other = found.setdefault(below.with_suffix("").as_posix(), file)
        if other != file:
            raise ValueError(
                f"datasets3d: {other} and {file} would have one frame id; keep one, or name the endings to "
                "take as suffixes="
            )
    if not found:
        raise FileNotFoundError(f"datasets3d: no scans in {path}; expected files {' '.join(suffixes)}")
    return found


def _points(
    path: Path, columns: Mapping[str, np.ndarray], reading: ScanReading
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return x y z intensity, and where the origin was moved to if the scan is far from it."""
    absent = [axis for axis in "xyz" if _find(columns, (axis,)) is None]
    if absent:
        raise ValueError(
            f"datasets3d: {path} has no column {' '.join(absent)}, it has {' '.join(columns) or 'none'}; "
            "rename the columns that hold it"
        )
    xyz = np.stack([columns[str(_find(columns, (axis,)))].astype(np.float64) for axis in "xyz"], axis=1)
    name = _find(columns, INTENSITY_NAMES)
    if name is None and reading.missing_intensity is None:
        raise ValueError(
            f"datasets3d: {path} has no intensity, it has {' '.join(columns)}; give all its points one with "
            "missing_intensity="
        )
    if name is None:
        intensity = np.full(len(xyz), reading.missing_intensity, np.float64)
    else:
        intensity = columns[name].astype(np.float64) / reading.intensity_scale
    origin = _far_origin(xyz)
    with np.errstate(over="ignore"):  # becomes infinite, which is looked for
        points = np.column_stack([xyz - origin, intensity]).astype(np.float32)
    if not origin.any():
        return points, None
    return points, transforms.from_parts(np.eye(3), origin)


def _far_origin(xyz: np.ndarray) -> np.ndarray:
    kept = xyz[np.isfinite(xyz).all(axis=1)]
    middle = np.median(kept, axis=0) if len(kept) else np.zeros(3)
    # What is large itself, such as a scan in millimetres, has its origin at the sensor and keeps it.
    return np.floor(middle) if np.abs(middle).max() > FAR_M else np.zeros(3)


def _labels_of(
    path: Path, columns: Mapping[str, np.ndarray], labels: Path | None, reading: ScanReading
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return raw ids and instances, from the file of labels or from columns."""
    count = len(next(iter(columns.values())))
    if reading.label_column is None:
        beside = [path.with_suffix(".label"), path.parent.parent / "labels" / f"{path.stem}.label"]
        looked = beside if labels is None else [labels]
        file = next((file for file in looked if file.is_file()), None)
        if file is not None:
            found = read_labels(file)
            check_label_count(file, len(found), path, count)
            return split_labels(found)
    else:
        looked = []
    wanted = LABEL_NAMES if reading.label_column is None else (reading.label_column,)
    name = None if labels is not None and looked else _find(columns, wanted)
    if name is None:
        places = ", ".join([*(f"no {file}" for file in looked), f"no column {' or '.join(wanted[:4])}"])
        raise FileNotFoundError(
            f"datasets3d: {path} has no labels: {places}; it has the columns {' '.join(columns)}; name the "
            "one that holds them, or read it without a table"
        )
    instances = _find(columns, (reading.instance_column,) if reading.instance_column else INSTANCE_NAMES)
    raw = _whole(path, name, columns[name], (-32768, 65535)) % 65536
    if instances is None:
        return raw.astype(np.uint32), None
    return raw.astype(np.uint32), _whole(path, instances, columns[instances], (-1, 2**31 - 1)).clip(0).astype(
        np.int32
    )


def _whole(path: Path, name: str, values: np.ndarray, bounds: tuple[int, int]) -> np.ndarray:
    numbers = values.astype(np.float64)
    wrong = ~((numbers >= bounds[0]) & (numbers <= bounds[1]) & (numbers == np.round(numbers)))
    if wrong.any():
        raise ValueError(
            f"datasets3d: {path}: column {name} must hold whole numbers {bounds[0]}..{bounds[1]}, got "
            f"{numbers[wrong][0]:g} ({int(wrong.sum())} of {len(numbers)} points are wrong)"
        )
    return numbers.astype(np.int64)


def _find(columns: Mapping[str, np.ndarray], wanted: Sequence[str]) -> str | None:
    known = {name.lower(): name for name in reversed(list(columns))}
    return next((known[name.lower()] for name in wanted if name.lower() in known), None)
