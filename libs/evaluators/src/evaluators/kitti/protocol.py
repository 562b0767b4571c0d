"""The KITTI object protocol as data: classes, neighbours, overlaps, levels, and what tools do differently.

Source of every number: the official development kit (`evaluate_object.cpp`: MIN_OVERLAP, MIN_HEIGHT,
MAX_OCCLUSION, MAX_TRUNCATION, N_SAMPLE_PTS); the loose overlaps and the extra classes are those of the
second table that papers print (SECOND, OpenPCDet). The rules of a `Protocol` were read in the sources that it
names and checked by running them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from evaluators._validation import named, require_choice

Metric: TypeAlias = Literal["2d", "aos", "bev", "3d"]
"""Image boxes, orientation similarity on image boxes, bird's eye view, 3D boxes."""

METRICS: Final[tuple[Metric, ...]] = ("2d", "aos", "bev", "3d")
RECALL_POSITIONS: Final = 41
"""Entries of every curve: recall 0, 1/40, ..., 1."""

PROTOCOL_NAME: Final = "kitti-object"
PROTOCOL_VERSION: Final = "devkit-2017"
"""The current official kit: ground truth whose height equals the minimum is too small."""


DontCareRule: TypeAlias = Literal["any case", "exact"]
"""Which names mark a region to forgive in: DontCare in any letter case, or spelled exactly so."""
EvaluatedRule: TypeAlias = Literal["box", "location", "always"]
"""Which classes a metric scores: those of which a detection has x1 >= 0 (2d) or a complete box (bev, 3d);
those of which one has x1 >= 0 (2d), an x (bev), a y (3d); all."""
OrientationRule: TypeAlias = Literal["all detections", "first detection", "any detection"]
"""When orientation is scored: every detection has an alpha; the very first one has; one has, and so does the
first ground truth of a frame. An alpha of -10 is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What public evaluators do differently; everything else they share."""

    name: str
    tool: str
    minimum_height_counts: bool
    """True: ground truth exactly as high as the minimum counts; False: it is too small."""
    dont_care: DontCareRule
    evaluated: EvaluatedRule
    orientation: OrientationRule


KITTI_DEVKIT: Final = Protocol(
    name="kitti-devkit",
    tool="the official development kit (evaluate_object.cpp, 2017 and later)",
    minimum_height_counts=False,
    dont_care="any case",
    evaluated="box",
    orientation="all detections",
)
PRCLIBO: Final = Protocol(
    name="prclibo",
    tool="the old offline forks of the kit (prclibo/kitti_eval, evaluate_object_3d_offline.cpp)",
    minimum_height_counts=True,
    dont_care="any case",
    evaluated="location",
    orientation="all detections",
)
"""These forks print R11 only, from a float32 sum, and score just the frames that have a detection file."""
OPENPCDET: Final = Protocol(
    name="openpcdet",
    tool="OpenPCDet (pcdet/datasets/kitti/kitti_object_eval_python/eval.py)",
    minimum_height_counts=False,
    dont_care="exact",
    evaluated="always",
    orientation="first detection",
)
"""The tool computes overlaps in float32 and loses those of identical boxes; here they are exact."""
MMDET3D: Final = Protocol(
    name="mmdet3d",
    tool="mmdetection3d (mmdet3d/evaluation/functional/kitti_utils/eval.py)",
    minimum_height_counts=False,
    dont_care="exact",
    evaluated="always",
    orientation="any detection",
)
"""Overlaps as for OpenPCDet. The tool stops at a frame without ground truth; here it is passed over."""
ProtocolName: TypeAlias = Literal["kitti-devkit", "prclibo", "openpcdet", "mmdet3d"]
PROTOCOLS: Final = {item.name: item for item in (KITTI_DEVKIT, PRCLIBO, OPENPCDET, MMDET3D)}


def protocol_named(protocol: str | Protocol) -> Protocol:
    """Return the protocol of that name, or the protocol itself.

    Raises:
        ValueError: The name is not in `PROTOCOLS`.

    Example:
        >>> protocol_named("openpcdet").dont_care
        'exact'
    """
    return named(protocol, PROTOCOLS, name="protocol", kind="a Protocol")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """Which ground truth counts at one level; what fails a limit is ignored, neither hit nor miss."""

    name: str
    min_height_px: float
    """Ground truth must be higher than this in the image, a detection at least as high (see `Protocol`)."""
    max_occlusion: int
    """0 visible, 1 partly, 2 largely occluded, 3 unknown; the limit itself counts."""
    max_truncation: float
    """Share outside the image, 0 to 1; the limit itself counts."""
    depth_m: tuple[float, float] = (-math.inf, math.inf)
    """Range bin on camera z, upper end excluded; objects and detections outside are ignored."""

    def __post_init__(self) -> None:
        if not self.depth_m[0] < self.depth_m[1]:
            raise ValueError(f"Difficulty.depth_m must be (near, far) with near < far, got {self.depth_m}")


EASY: Final = Difficulty(name="easy", min_height_px=40.0, max_occlusion=0, max_truncation=0.15)
MODERATE: Final = Difficulty(name="moderate", min_height_px=25.0, max_occlusion=1, max_truncation=0.30)
HARD: Final = Difficulty(name="hard", min_height_px=25.0, max_occlusion=2, max_truncation=0.50)
DIFFICULTIES: Final = (EASY, MODERATE, HARD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRule:
    """One evaluated class: its name, its look-alikes and the overlaps a hit must exceed."""

    name: str
    """Compared without regard to letter case, as the official kit does."""
    neighbours: tuple[str, ...] = ()
    """Ground truth of these classes is ignored: finding it is neither right nor wrong."""
    overlap_2d: float
    """Intersection over union in the image that a hit must exceed (strictly); also for aos."""
    overlap_bev: float
    overlap_3d: float

    def __post_init__(self) -> None:
        if self.name.lower() == "dontcare" or not self.name:
            raise ValueError(
                f"ClassRule.name must be a real class, got {self.name!r}; DontCare marks regions"
            )
        for field in ("overlap_2d", "overlap_bev", "overlap_3d"):
            value: float = getattr(self, field)
            if not 0.0 <= value < 1.0:
                raise ValueError(f"ClassRule.{field} of {self.name} must lie in [0, 1), got {value}")

    def min_overlap(self, metric: Metric) -> float:
        """Return the overlap that a hit must exceed in `metric`."""
        return {"2d": self.overlap_2d, "aos": self.overlap_2d, "bev": self.overlap_bev}.get(
            metric, self.overlap_3d
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapTable:
    """A named set of class rules. Make one for other classes or overlaps.

    Example:
        >>> car_half = replace(CAR, overlap_3d=0.5)
        >>> OverlapTable(name="car at half", classes=(car_half,)).class_names
        ('Car',)
    """

    name: str
    classes: tuple[ClassRule, ...]

    def __post_init__(self) -> None:
        names = [rule.name.lower() for rule in self.classes]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"OverlapTable {self.name!r} needs at least one class, each once; got {names}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in table order."""
        return tuple(rule.name for rule in self.classes)


def _rule(name: str, overlap: float, *neighbours: str) -> ClassRule:
    return ClassRule(
        name=name, neighbours=neighbours, overlap_2d=overlap, overlap_bev=overlap, overlap_3d=overlap
    )


CAR: Final = _rule("Car", 0.7, "Van")
PEDESTRIAN: Final = _rule("Pedestrian", 0.5, "Person_sitting")
CYCLIST: Final = _rule("Cyclist", 0.5)
VAN: Final = _rule("Van", 0.7)
PERSON_SITTING: Final = _rule("Person_sitting", 0.5)
TRUCK: Final = _rule("Truck", 0.7)


def _loose(rule: ClassRule) -> ClassRule:
    low = min(rule.overlap_3d, 0.5 if rule.overlap_3d >= 0.7 else 0.25)
    return replace(rule, overlap_bev=low, overlap_3d=low)


_OFFICIAL = (CAR, PEDESTRIAN, CYCLIST)
_EXTENDED = (*_OFFICIAL, VAN, PERSON_SITTING, TRUCK)
STRICT: Final = OverlapTable(name="strict", classes=_OFFICIAL)
LOOSE: Final = OverlapTable(name="loose", classes=tuple(map(_loose, _OFFICIAL)))
STRICT_EXTENDED: Final = OverlapTable(name="strict-extended", classes=_EXTENDED)
LOOSE_EXTENDED: Final = OverlapTable(name="loose-extended", classes=tuple(map(_loose, _EXTENDED)))

TABLES: Final = {table.name: table for table in (STRICT, LOOSE, STRICT_EXTENDED, LOOSE_EXTENDED)}


def overlap_table(overlaps: str | OverlapTable) -> OverlapTable:
    """Return the table of that name, or the table itself.

    Raises:
        ValueError: The name is not in `TABLES`.

    Example:
        >>> overlap_table("loose").classes[0].overlap_3d
        0.5
    """
    return named(overlaps, TABLES, name="overlaps", kind="an OverlapTable")


KITTI_NAMES: Final = (*(rule.name for rule in _EXTENDED), "Tram", "Misc", "DontCare")
"""Every name of the official label files."""
OWN_CLASS_OVERLAP: Final = 0.5
"""The overlap that a hit must exceed for classes that KITTI does not score, unless another one is given."""
_KNOWN: Final = {rule.name.lower(): rule for rule in _EXTENDED}
_NONE: Final[Mapping[str, float]] = MappingProxyType({})


def table_of_classes(
    names: Sequence[str],
    overlaps: str = "strict",
    *,
    min_overlaps: Mapping[str, float] = _NONE,
) -> OverlapTable:
    """Return the table for these classes, KITTI's or your own, in this order.

    The six classes of "strict-extended" keep their overlaps and neighbours; any other class has
    `OWN_CLASS_OVERLAP` and no neighbours.

    Args:
        overlaps: "strict", or "loose", which lowers BEV and 3D to 0.5 for classes at 0.7 and more, to 0.25
            for others above that.
        min_overlaps: By class: the overlap that a hit must exceed in the image, in BEV and in 3D instead.

    Raises:
        ValueError: No names, a name twice, DontCare, an overlap outside [0, 1), another word for `overlaps`,
            or an overlap for a class that is not among the names.

    Example:
        >>> table = table_of_classes(["Car", "Bus", "Sign"], min_overlaps={"Sign": 0.3})
        >>> tuple((rule.name, rule.overlap_3d) for rule in table.classes)
        (('Car', 0.7), ('Bus', 0.5), ('Sign', 0.3))
        >>> table_of_classes(("Car", "Pedestrian", "Cyclist")) == STRICT
        True
    """
    require_choice(overlaps, Literal["strict", "loose"], name="overlaps")
    if strangers := sorted(set(min_overlaps) - set(names)):
        raise ValueError(
            f"min_overlaps names {', '.join(strangers)}, which is not among the classes {', '.join(names)};"
            " spell both alike"
        )
    rules = [_rule_of(name, min_overlaps.get(name)) for name in names]
    return OverlapTable(name=overlaps, classes=tuple(map(_loose, rules) if overlaps == "loose" else rules))


def _rule_of(name: str, overlap: float | None) -> ClassRule:
    known = _KNOWN.get(name.lower(), _rule(name, OWN_CLASS_OVERLAP))
    if overlap is None:
        return replace(known, name=name)
    return replace(known, name=name, overlap_2d=overlap, overlap_bev=overlap, overlap_3d=overlap)
