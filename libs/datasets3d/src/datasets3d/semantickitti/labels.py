"""SemanticKITTI's tables as data: raw ids, label tables of the three tasks, splits, scans of every sequence.

Source: the configuration files of the official tool PRBonn/semantic-kitti-api (`semantic-kitti.yaml`,
`semantic-kitti-all.yaml`, `semantic-kitti-mos.yaml`), which give colours as blue green red; `SPVNAS` is the
table in the code of mit-han-lab/spvnas and of Cluster3DSeg.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.scan import IGNORED

TRAIN: Final = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
VAL: Final = ("08",)
TEST: Final = ("11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21")
SPLITS: Final = {"train": TRAIN, "val": VAL, "trainval": tuple(sorted((*TRAIN, *VAL))), "test": TEST}
"""Sequences of every split; those of `test` come without labels."""

SCANS: Final = {
    **{"00": 4541, "01": 1101, "02": 4661, "03": 801, "04": 271, "05": 2761, "06": 1101, "07": 1101},
    **{"08": 4071, "09": 1591, "10": 1201, "11": 921, "12": 1061, "13": 3281, "14": 631, "15": 1901},
    **{"16": 1731, "17": 491, "18": 1801, "19": 4981, "20": 831, "21": 2721},
}
"""Scans of every official sequence, numbered from 000000: 19130 to train, 4071 to validate, 20351 to test."""


class RawId(NamedTuple):
    """One id of the label files."""

    raw: int
    name: str
    colour_rgb: tuple[int, int, int]
    learned: str
    """Its class when moving and static objects are one (`SINGLE_SCAN`); empty if it is ignored."""


RAW_IDS: Final = (
    RawId(0, "unlabeled", (0, 0, 0), ""),
    RawId(1, "outlier", (255, 0, 0), ""),
    RawId(10, "car", (100, 150, 245), "car"),
    RawId(11, "bicycle", (100, 230, 245), "bicycle"),
    RawId(13, "bus", (100, 80, 250), "other-vehicle"),
    RawId(15, "motorcycle", (30, 60, 150), "motorcycle"),
    RawId(16, "on-rails", (0, 0, 255), "other-vehicle"),
    RawId(18, "truck", (80, 30, 180), "truck"),
    RawId(20, "other-vehicle", (0, 0, 255), "other-vehicle"),
    RawId(30, "person", (255, 30, 30), "person"),
    RawId(31, "bicyclist", (255, 40, 200), "bicyclist"),
    RawId(32, "motorcyclist", (150, 30, 90), "motorcyclist"),
    RawId(40, "road", (255, 0, 255), "road"),
    RawId(44, "parking", (255, 150, 255), "parking"),
    RawId(48, "sidewalk", (75, 0, 75), "sidewalk"),
    RawId(49, "other-ground", (175, 0, 75), "other-ground"),
    RawId(50, "building", (255, 200, 0), "building"),
    RawId(51, "fence", (255, 120, 50), "fence"),
    RawId(52, "other-structure", (255, 150, 0), ""),
    RawId(60, "lane-marking", (150, 255, 170), "road"),
    RawId(70, "vegetation", (0, 175, 0), "vegetation"),
    RawId(71, "trunk", (135, 60, 0), "trunk"),
    RawId(72, "terrain", (150, 240, 80), "terrain"),
    RawId(80, "pole", (255, 240, 150), "pole"),
    RawId(81, "traffic-sign", (255, 0, 0), "traffic-sign"),
    RawId(99, "other-object", (50, 255, 255), ""),
    RawId(252, "moving-car", (100, 150, 245), "car"),
    RawId(253, "moving-bicyclist", (255, 40, 200), "bicyclist"),
    RawId(254, "moving-person", (255, 30, 30), "person"),
    RawId(255, "moving-motorcyclist", (150, 30, 90), "motorcyclist"),
    RawId(256, "moving-on-rails", (0, 0, 255), "other-vehicle"),
    RawId(257, "moving-bus", (100, 80, 250), "other-vehicle"),
    RawId(258, "moving-truck", (80, 30, 180), "truck"),
    RawId(259, "moving-other-vehicle", (0, 0, 255), "other-vehicle"),
)
"""Every id that official label files hold."""

_THINGS: Final = (
    *("car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist"),
)
_BY_NAME: Final = {raw.name: raw for raw in RAW_IDS}
_STATIC: Final = tuple(
    _BY_NAME[name]
    for name in (
        *_THINGS,
        *("road", "parking", "sidewalk", "other-ground", "building", "fence"),
        *("vegetation", "trunk", "terrain", "pole", "traffic-sign"),
    )
)
_MOVING: Final = tuple(
    _BY_NAME[f"moving-{name}"]
    for name in ("car", "bicyclist", "person", "motorcyclist", "other-vehicle", "truck")
)
_FIRST_MOVING: Final = 252


def _table(name: str, classes: tuple[RawId, ...], things: tuple[str, ...]) -> LabelTable:
    """Return a table of classes called as ids are; an id that is no class counts as what it is learned as."""
    names = tuple(raw.name for raw in classes)

    def index(raw: RawId) -> int:
        moving = f"moving-{raw.learned}"
        wanted = moving if raw.raw >= _FIRST_MOVING and moving in names else raw.learned
        return names.index(wanted) if wanted else IGNORED

    return LabelTable(
        name=name,
        classes=names,
        raw_to_class=tuple((raw.raw, index(raw)) for raw in RAW_IDS),
        class_to_raw=tuple(raw.raw for raw in classes),
        colours_rgb=tuple(raw.colour_rgb for raw in classes),
        things=things,
    )


SINGLE_SCAN: Final = _table("single-scan", _STATIC, _THINGS)
"""19 classes, a moving object counts as its static class."""

MULTI_SCAN: Final = _table("multi-scan", (*_STATIC, *_MOVING), (*_THINGS, *(raw.name for raw in _MOVING)))
"""25 classes: those of `SINGLE_SCAN` without what moves, then what moves."""

MOVING: Final = LabelTable(
    name="moving",
    classes=("static", "moving"),
    raw_to_class=(
        *((0, IGNORED), (1, IGNORED), (9, 0), (251, 1)),
        *((raw.raw, int(raw.raw >= _FIRST_MOVING)) for raw in RAW_IDS if raw.raw > 1),
    ),
    class_to_raw=(9, 251),
    colours_rgb=((160, 160, 160), (220, 40, 40)),
)
"""Static and moving points, written as 9 and 251. The colours are ours."""

_NOT_IN_SPVNAS: Final = (13, 16, 60, 256, 257)

SPVNAS: Final = replace(
    SINGLE_SCAN,
    name="spvnas",
    raw_to_class=tuple(
        (raw, IGNORED if raw in _NOT_IN_SPVNAS else index) for raw, index in SINGLE_SCAN.raw_to_class
    ),
    unknown=0,
)
"""The table of the released code, for comparison with it: the classes of `SINGLE_SCAN`, but five ids that the
official evaluator counts are ignored (13, 16, 60, 256, 257), and an id that is not in the table is a car,
because its array starts as zeros. Train with `SINGLE_SCAN`."""

TABLES: Final = {table.name: table for table in (SINGLE_SCAN, MULTI_SCAN, MOVING, SPVNAS)}
"""The tables by name."""
