"""Objects cut out of labelled scans, to paste into others: rare classes are seen more often.

An object is kept upright and as its sensor saw it: x points away from the sensor, z up, the origin is under
its middle, at the height of its lowest point. It is pasted at the distance that it had, turned about the
sensor only, so that its side, its density and its intensities are those that a sensor would see there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from datasets3d import _atomic, _sources
from datasets3d._validate import check_array, check_class_names, check_least
from datasets3d.frame import POINT_COLUMNS
from datasets3d.segmentation.scan import LabelledScan

FORMAT, VERSION = "datasets3d.instances", 1
_CURE = "make it with `python -m datasets3d prepare semantickitti`"


@dataclass(frozen=True, eq=False, kw_only=True)
class InstanceStore:
    """Objects with points, class and distance; the points of object i are `points[starts[i]:starts[i + 1]]`.

    Raises:
        TypeError: An array has another dtype than stated here.
        ValueError: The arrays do not fit together.
    """

    classes: tuple[str, ...]
    """Names of all classes, in the order of the class indices."""
    points: Float32[np.ndarray, "p 4"]
    """x y z intensity of all objects, each in its own upright frame, metres."""
    starts: Int64[np.ndarray, " _"]
    """k + 1 rows of `points`."""
    labels: UInt8[np.ndarray, " k"]
    """Class index of every object."""
    ranges_m: Float32[np.ndarray, " k"]
    """Distance of its middle from the sensor, along the ground."""
    source_ids: tuple[str, ...]
    """`<frame id>#<instance>`: where it was cut out."""
    split: str = ""
    """What the scans were; who uses the store can tell a leak by it."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the label files that it was cut out with, by path below the root; may be empty."""

    def __post_init__(self) -> None:
        """Check that the arrays fit together."""
        count = len(self.source_ids)
        check_array("InstanceStore.points", self.points, np.float32, (None, 4))
        check_array("InstanceStore.starts", self.starts, np.int64, (count + 1,))
        check_array("InstanceStore.labels", self.labels, np.uint8, (count,))
        check_array("InstanceStore.ranges_m", self.ranges_m, np.float32, (count,))
        ends = (int(self.starts[0]), int(self.starts[-1]))
        if ends != (0, len(self.points)) or not (np.diff(self.starts) > 0).all():
            raise ValueError("InstanceStore.starts: expected rows from 0 to the number of points, increasing")
        if count and self.labels.max() >= len(self.classes):
            raise ValueError(
                f"InstanceStore.labels: expected 0..{len(self.classes) - 1}, got {self.labels.max()}"
            )
        if not (np.isfinite(self.points).all() and np.isfinite(self.ranges_m).all()):
            raise ValueError("InstanceStore: NaN or infinite numbers")

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.source_ids)

    def points_of(self, index: int) -> Float32[np.ndarray, "n 4"]:
        """Return the points of one object."""
        return self.points[self.starts[index] : self.starts[index + 1]]

    def of_class(self, name: str) -> Int64[np.ndarray, " m"]:
        """Return the objects of a class; none for a class that the store does not know."""
        index = self.classes.index(name) if name in self.classes else -1
        return np.flatnonzero(self.labels == index).astype(np.int64)

    def class_counts(self) -> dict[str, int]:
        """Count the objects of every class that has some."""
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return {name: count for name, count in zip(self.classes, counts, strict=True) if count}

    def save(self, path: Path | str) -> None:
        """Write the store as one `.npz` file, whole or not at all."""
        header = {
            "format": FORMAT,
            "version": VERSION,
            "classes": self.classes,
            "split": self.split,
            "source_ids": self.source_ids,
            "sources": dict(self.sources),
        }
        content = io.BytesIO()
        np.savez_compressed(
            content,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            **{name: getattr(self, name) for name in ("points", "starts", "labels", "ranges_m")},
        )
        _atomic.write_bytes(Path(path), content.getvalue())

    @classmethod
    def load(cls, path: Path | str, *, root: Path | str | None = None) -> InstanceStore:
        """Read a store.

        Args:
            path: The `.npz` file.
            root: Folder of the data set; then the label files are compared with those that the store was cut
                out with, which reads them all. None compares nothing.

        Raises:
            FileNotFoundError: No such file; names the command that writes it.
            ValueError: Not ours, of another version, damaged, or made of labels that have changed since.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"datasets3d: no instance store {path}; {_CURE}")
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                found: dict[str, Any] = {name: arrays[name] for name in arrays.files}
            header = dict(json.loads(found.pop("header").tobytes()))
        except Exception as error:  # what a damaged archive raises in the decoders differs by the damage
            raise ValueError(f"datasets3d: {path} is no instance store ({error!r}); {_CURE}") from None
        _atomic.check_format(header, path, format=FORMAT, version=VERSION, cure=_CURE)
        try:
            store = cls(
                classes=tuple(header["classes"]),
                source_ids=tuple(header["source_ids"]),
                split=header["split"],
                sources=dict(header["sources"]),
                **found,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"datasets3d: {path} is damaged ({error!r}); {_CURE}") from None
        if root is not None:
            _sources.refuse_changed(path, Path(root), store.sources, cure=_CURE)
        return store


@dataclass(frozen=True, slots=True, kw_only=True)
class PasteConfig:
    """How many objects are pasted, and where there is room for one.

    Raises:
        ValueError: A negative count or distance, or no try.
    """

    counts: Mapping[str, int]
    """Objects of every class that are tried in a scan; those without room are left out."""
    ground: tuple[str, ...] = ("road", "parking", "sidewalk", "other-ground", "terrain")
    """Classes on which objects stand; those that the store does not know are passed over."""
    tries: int = 10
    """Places for an object."""
    clearance_m: float = 0.3
    """Room around an object, and above it."""
    ground_m: float = 1.0
    """The ground is what lies within this distance of the place."""
    step_m: float = 0.3
    """What rises so little above the ground is not in the way."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_least(self, 1, "tries")
        check_least(self, 0, "clearance_m", "ground_m", "step_m")
        if any(count < 0 for count in self.counts.values()):
            raise ValueError(f"PasteConfig.counts must be at least 0, got {dict(self.counts)}")


def paste(
    scan: LabelledScan, store: InstanceStore, rng: np.random.Generator, config: PasteConfig
) -> LabelledScan:
    """Return a scan with objects of the store standing on its ground, their points behind its own.

    Every object keeps its distance from the sensor and its side towards it; where it stands, a point of the
    ground at that distance decides. It is left out if that place is taken in all tries. Points that a pasted
    object would hide stay. New objects have instances above those that there are; a scan without instances
    gets none. In the spirit of instance augmentation in published training recipes; the rules are ours.

    Args:
        scan: Points x y z intensity and classes; the classes must be those of the store.
        store: What is pasted.
        rng: For every class in the order of `counts`: the objects, then for each its places.
        config: How many, and where.

    Raises:
        ValueError: A scan without classes or with other columns, or a class that the store does not know.
    """
    if scan.classes is None or scan.point_columns != POINT_COLUMNS:
        raise ValueError(
            f"paste: scan {scan.frame_id} needs classes and the columns {' '.join(POINT_COLUMNS)}, it has "
            f"{'no classes' if scan.classes is None else ' '.join(scan.point_columns)}"
        )
    check_class_names(tuple(config.counts), known=store.classes)
    scene = _Scene(scan, store, config)
    for name, count in config.counts.items():
        pool = store.of_class(name)
        for index in rng.choice(pool, size=min(count, len(pool)), replace=False).tolist():
            scene.try_to_paste(index, rng)
    return scene.result(scan)


def turned(xy: np.ndarray, angle_rad: float) -> np.ndarray:
    """Return places on the ground [n, 2], turned counter-clockwise about the origin."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return xy @ np.array([[cos, sin], [-sin, cos]])


def _within(points: np.ndarray, middle: np.ndarray, radius_m: float) -> np.ndarray:
    """Mark the points so near to a place, seen from above."""
    return ((points[:, :2] - middle) ** 2).sum(axis=1) < radius_m**2


@dataclass(frozen=True, slots=True)
class _Places:
    """Points x y z, with their distances from the sensor along the ground."""

    xyz: np.ndarray
    ranges_m: np.ndarray

    @classmethod
    def of(cls, xyz: np.ndarray) -> _Places:
        return cls(xyz, np.hypot(xyz[:, 0], xyz[:, 1]))

    def at_range(self, range_m: float, margin_m: float) -> np.ndarray:
        """Return the points at a distance, give or take: all that can be so near to a place there."""
        return self.xyz[np.abs(self.ranges_m - range_m) < margin_m]


class _Scene:
    """A scan while objects are pasted into it."""

    def __init__(self, scan: LabelledScan, store: InstanceStore, config: PasteConfig) -> None:
        assert scan.classes is not None
        self._store, self._config = store, config
        is_ground = np.zeros(256, np.bool_)
        is_ground[[store.classes.index(name) for name in config.ground if name in store.classes]] = True
        on_ground = is_ground[scan.classes]
        self._ground = _Places.of(scan.points[on_ground, :3])
        self._obstacles = _Places.of(scan.points[~on_ground, :3])
        self._new: list[np.ndarray] = []
        self._labels: list[int] = []

    def try_to_paste(self, index: int, rng: np.random.Generator) -> None:
        """Paste an object at the first place that has room for it."""
        points, range_m = self._store.points_of(index), float(self._store.ranges_m[index])
        radius = float(np.hypot(points[:, 0], points[:, 1]).max()) + self._config.clearance_m
        ground = self._ground.at_range(range_m, self._config.ground_m)
        if not len(ground):
            return
        others = [self._obstacles.at_range(range_m, radius), *(new[:, :3] for new in self._new)]
        obstacles = np.concatenate(others)
        for place in rng.integers(len(ground), size=self._config.tries).tolist():
            angle = float(np.arctan2(ground[place, 1], ground[place, 0]))
            middle = range_m * np.array([np.cos(angle), np.sin(angle)], np.float32)
            near = ground[_within(ground, middle, self._config.ground_m), 2]
            if not len(near):
                continue
            height = float(np.median(near))
            above = obstacles[_within(obstacles, middle, radius), 2] - height
            too_high = float(points[:, 2].max()) + self._config.clearance_m
            if ((above > self._config.step_m) & (above < too_high)).any():
                continue
            moved = points.astype(np.float64)
            moved[:, :2] = turned(moved[:, :2] + [range_m, 0.0], angle)
            moved[:, 2] += height
            self._new.append(moved.astype(np.float32))
            self._labels.append(int(self._store.labels[index]))
            return

    def result(self, scan: LabelledScan) -> LabelledScan:
        """Return the scan with what was pasted."""
        if not self._new or scan.classes is None:
            return scan
        lengths = [len(points) for points in self._new]
        classes = np.repeat(np.array(self._labels, np.uint8), lengths)
        instances = scan.instances
        if instances is not None:
            first = int(instances.max(initial=0)) + 1
            added = np.repeat(np.arange(first, first + len(lengths), dtype=np.int32), lengths)
            instances = np.concatenate([instances, added])
        return replace(
            scan,
            points=np.concatenate([scan.points, *self._new]),
            classes=np.concatenate([scan.classes, classes]),
            instances=instances,
        )
