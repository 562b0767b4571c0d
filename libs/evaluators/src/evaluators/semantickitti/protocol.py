"""The SemanticKITTI tasks as data: label maps, splits, range bins, and what tools make of absent classes.

Source of every number: the configuration files and scripts of the official tool PRBonn/semantic-kitti-api
(`semantic-kitti.yaml`, `semantic-kitti-all.yaml`, `semantic-kitti-mos.yaml`: learning_map,
learning_map_inv, learning_ignore, split; `evaluate_semantics_by_distance.py`: DISTANCES).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Integer, UInt8, UInt32

from evaluators._validation import named

Unknown: TypeAlias = Literal["error", "unlabeled"]
"""A raw id that the label map does not list: refuse it, or take it as unlabeled and count it."""

Absent: TypeAlias = Literal["zero", "skip", "one"]
"""The IoU of a class that does not occur: 0 and in the mean, not in the mean, or 1 and in the mean.

"zero" and "skip" speak of classes in neither ground truth nor prediction; "one" of classes without ground
truth, false alarms or not.
"""

ProtocolName: TypeAlias = Literal["semantic-kitti-api", "spvnas", "mmdet3d", "torchmetrics"]
"""Whose rule for absent classes to follow; the first is the official tool."""

PROTOCOL_NAME: Final = "semantic-kitti"
PROTOCOL_VERSION: Final = "semantic-kitti-api"
ABSENT_RULES: Final[dict[ProtocolName, Absent]] = {
    "semantic-kitti-api": "zero",
    "spvnas": "one",
    "mmdet3d": "skip",
    "torchmetrics": "skip",
}

SPLITS: Final = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "valid": ("08",),
    "test": ("11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21"),
}
"""Sequences of every split."""

TEST_SCANS: Final = dict(
    zip(SPLITS["test"], (921, 1061, 3281, 631, 1901, 1731, 491, 1801, 4981, 831, 2721), strict=True)
)
"""Scans of every test sequence, numbered from 000000: those of the KITTI odometry data, 20351 in all."""

RANGES_M: Final = ((1e-8, 10.0), (10.0, 20.0), (20.0, 30.0), (30.0, 40.0), (40.0, 50.0))
"""Bins on the distance to the sensor, in metres; a point on either end belongs to no bin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """Which raw id of the label files is which class. Class numbers ("train ids") index `classes`.

    Example:
        >>> labels = np.array([10, 252 + (7 << 16), 40], dtype=np.uint32)
        >>> SINGLE_SCAN.train_ids(labels).tolist(), MULTI_SCAN.train_ids(labels).tolist()
        ([1, 1, 9], [1, 20, 9])
        >>> SINGLE_SCAN.raw_ids(np.array([1, 9])).tolist()
        [10, 40]
    """

    name: str
    classes: tuple[str, ...]
    """Class names in order of the train ids; at most 255."""
    ignored: tuple[int, ...] = (0,)
    """Train ids whose ground truth is not evaluated."""
    raw_to_train: tuple[tuple[int, int], ...]
    """Every known raw id (0 to 65535) with its train id."""
    train_to_raw: tuple[int, ...]
    """The raw id to write for every train id."""
    things: tuple[str, ...] = ()
    """Names of the classes that have countable instances; the other evaluated classes are stuff."""

    def __post_init__(self) -> None:
        n = len(self.classes)
        train = dict(self.raw_to_train)
        problems = {
            "classes must be 1 to 255 distinct names": not 1 <= n <= 255 or len(set(self.classes)) != n,
            "raw_to_train must list a raw id once": len(train) != len(self.raw_to_train),
            "raw ids must lie in 0..65535": any(not 0 <= raw <= 0xFFFF for raw in train),
            "train ids must index classes": any(not 0 <= i < n for i in (*train.values(), *self.ignored)),
            "train_to_raw must hold a raw id of every class": [train.get(r) for r in self.train_to_raw]
            != list(range(n)),
            "things must be evaluated classes": not set(self.things) <= set(self.evaluated_names),
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(f"LabelMap {self.name!r}: {problem}")

    @property
    def evaluated(self) -> tuple[int, ...]:
        """Train ids that are evaluated."""
        return tuple(i for i in range(len(self.classes)) if i not in self.ignored)

    @property
    def evaluated_names(self) -> tuple[str, ...]:
        """Names of the classes that are evaluated."""
        return tuple(self.classes[i] for i in self.evaluated if i < len(self.classes))

    @property
    def stuff(self) -> tuple[str, ...]:
        """Names of the evaluated classes without countable instances."""
        return tuple(name for name in self.evaluated_names if name not in self.things)

    @property
    def lookup(self) -> UInt8[np.ndarray, " 65536"]:
        """Train id of every 16-bit raw id, read-only; `len(classes)` stands for an unknown one."""
        return _lookup(self)

    def train_ids(
        self, labels: UInt32[np.ndarray, " n"], *, unknown: Unknown = "error", where: str = "labels"
    ) -> UInt8[np.ndarray, " n"]:
        """Return the class of every point; the upper 16 bits (instance) do not matter.

        Args:
            unknown: "unlabeled" takes raw ids that the map does not list as the first ignored class.
            where: Names the array or file in the error.

        Raises:
            ValueError: Unknown raw ids; names them and how many points have them.
        """
        train = self.lookup[labels & 0xFFFF]
        strange = train == len(self.classes)
        if strange.any():
            if unknown == "error":
                raise ValueError(self.unknown_message(labels[strange], where))
            train[strange] = self.unlabeled
        return train

    @property
    def unlabeled(self) -> int:
        """Train id of points without a label: the first ignored one.

        Raises:
            ValueError: The map ignores no class.
        """
        if not self.ignored:
            raise ValueError(f"LabelMap {self.name!r} ignores no class, so nothing can stand for unlabeled")
        return self.ignored[0]

    def raw_ids(self, train_ids: Integer[np.ndarray, " n"]) -> UInt32[np.ndarray, " n"]:
        """Return the raw ids to write for classes, instance 0.

        Raises:
            ValueError: A number that is no train id.
        """
        n = len(self.classes)
        if train_ids.size and not (train_ids.min() >= 0 and train_ids.max() < n):
            raise ValueError(
                f"train ids of LabelMap {self.name!r} must lie in 0..{n - 1}, got"
                f" {train_ids.min()}..{train_ids.max()}; are these raw ids already?"
            )
        return np.array(self.train_to_raw, dtype=np.uint32)[train_ids]

    def unknown_message(self, labels: UInt32[np.ndarray, " n"], where: str) -> str:
        """Return what to say about `labels`, none of which the map lists."""
        ids, counts = np.unique(labels & 0xFFFF, return_counts=True)
        shown = ", ".join(
            f"{raw} ({count} point{'s' * (count > 1)})"
            for raw, count in zip(ids[:5].tolist(), counts[:5].tolist(), strict=True)
        )
        rest = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
        return (
            f"{where}: raw ids that the label map {self.name!r} does not know: {shown}{rest};"
            " label files hold raw ids, not train ids (see LabelMap.raw_ids);"
            " pass unknown='unlabeled' (--unknown unlabeled) to take them as unlabeled"
        )


@functools.cache
def _lookup(label_map: LabelMap) -> UInt8[np.ndarray, " 65536"]:
    table = np.full(1 << 16, len(label_map.classes), dtype=np.uint8)
    for raw, train in label_map.raw_to_train:
        table[raw] = train
    table.flags.writeable = False
    return table


def plain_map(
    classes: tuple[str, ...],
    *,
    ignored: tuple[int, ...] = (),
    name: str = "plain",
    things: tuple[str, ...] = (),
) -> LabelMap:
    """Return a map for labels that are class numbers already, of any data set.

    Example:
        >>> plain_map(("ground", "tree"), ignored=()).evaluated_names
        ('ground', 'tree')
    """
    ids = tuple(range(len(classes)))
    return LabelMap(
        name=name,
        classes=classes,
        ignored=ignored,
        raw_to_train=tuple(zip(ids, ids, strict=True)),
        train_to_raw=ids,
        things=things,
    )


# Class name, raw id to write, all raw ids.
_STATIC: Final = (
    ("unlabeled", 0, (0, 1, 52, 99)),
    ("car", 10, (10,)),
    ("bicycle", 11, (11,)),
    ("motorcycle", 15, (15,)),
    ("truck", 18, (18,)),
    ("other-vehicle", 20, (13, 16, 20)),
    ("person", 30, (30,)),
    ("bicyclist", 31, (31,)),
    ("motorcyclist", 32, (32,)),
    ("road", 40, (40, 60)),
    ("parking", 44, (44,)),
    ("sidewalk", 48, (48,)),
    ("other-ground", 49, (49,)),
    ("building", 50, (50,)),
    ("fence", 51, (51,)),
    ("vegetation", 70, (70,)),
    ("trunk", 71, (71,)),
    ("terrain", 72, (72,)),
    ("pole", 80, (80,)),
    ("traffic-sign", 81, (81,)),
)
_MOVING: Final = (
    ("moving-car", 252, (252,)),
    ("moving-bicyclist", 253, (253,)),
    ("moving-person", 254, (254,)),
    ("moving-motorcyclist", 255, (255,)),
    ("moving-other-vehicle", 259, (256, 257, 259)),
    ("moving-truck", 258, (258,)),
)
_THINGS: Final = tuple(name for name, _, _ in _STATIC[1:9])
_MOVING_NAMES: Final = tuple(name for name, _, _ in _MOVING)


def _label_map(
    name: str, rows: tuple[tuple[str, int, tuple[int, ...]], ...], things: tuple[str, ...] = ()
) -> LabelMap:
    return LabelMap(
        name=name,
        classes=tuple(row[0] for row in rows),
        raw_to_train=tuple((raw, train) for train, row in enumerate(rows) for raw in row[2]),
        train_to_raw=tuple(row[1] for row in rows),
        things=things,
    )


def _single_scan_rows() -> tuple[tuple[str, int, tuple[int, ...]], ...]:
    """Return the static classes, each with the raw ids of its moving twin."""
    moving = {name.removeprefix("moving-"): ids for name, _, ids in _MOVING}
    return tuple((name, raw, ids + moving.get(name, ())) for name, raw, ids in _STATIC)


SINGLE_SCAN: Final = _label_map("single-scan", _single_scan_rows(), _THINGS)
"""19 classes and unlabeled (0, ignored); moving objects count as their static class."""
MULTI_SCAN: Final = _label_map("multi-scan", (*_STATIC, *_MOVING), _THINGS + _MOVING_NAMES)
"""25 classes and unlabeled (0, ignored): moving and static objects apart."""
MOVING: Final = _label_map(
    "moving",
    (
        ("unlabeled", 0, (0, 1)),
        ("static", 9, tuple(sorted({9, 52, 99, *(raw for row in _STATIC for raw in row[2])} - {0, 1}))),
        ("moving", 251, (251, *(raw for row in _MOVING for raw in row[2]))),
    ),
)
"""Moving-object segmentation: unlabeled (0, ignored), static, moving; the score is the IoU of moving."""

LABEL_MAPS: Final = {label_map.name: label_map for label_map in (SINGLE_SCAN, MULTI_SCAN, MOVING)}


def label_map(task: str | LabelMap) -> LabelMap:
    """Return the map of that name ("single-scan", "multi-scan", "moving"), or the map itself.

    Raises:
        ValueError: The name is not in `LABEL_MAPS`.

    Example:
        >>> label_map("moving").classes
        ('unlabeled', 'static', 'moving')
    """
    return named(task, LABEL_MAPS, name="task", kind="a LabelMap")


def absent_rule(protocol: str) -> Absent:
    """Return what the tool of that name does with classes that do not occur.

    Raises:
        ValueError: No such tool.

    Example:
        >>> absent_rule("spvnas")
        'one'
    """
    for name, rule in ABSENT_RULES.items():
        if name == protocol:
            return rule
    raise ValueError(f"protocol must be one of {', '.join(get_args(ProtocolName))}, got {protocol!r}")
