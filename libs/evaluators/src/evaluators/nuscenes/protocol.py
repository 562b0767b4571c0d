"""The nuScenes detection protocol as data: classes, ranges, attributes, thresholds, weights.

Source of every number: the official development kit (nuscenes-devkit 1.2.0), configuration
`detection_cvpr_2019` (ranges, distances, minimum recall and precision, boxes per sample, weight), `constants`
(attributes), `utils` (categories, attributes per class), `evaluate` (errors that are not scored) and `algo`
(period of a barrier, 101 recall positions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from evaluators._validation import require_choice

Accepts: TypeAlias = Literal["valid", "devkit"]
"""valid: predictions as the format is described. devkit: also what the official kit scores none the less. A
velocity with a NaN is left out of the velocity error; an attribute of another class is a wrong attribute; a
quaternion of any length but 0 is taken as its direction."""

TpError: TypeAlias = Literal["trans_err", "scale_err", "orient_err", "vel_err", "attr_err"]
"""Errors of hits: place (m), size (1 - overlap), yaw (radians), velocity (m/s), attribute (0 or 1)."""

TP_ERRORS: Final[tuple[TpError, ...]] = get_args(TpError)
MEAN_NAMES: Final[dict[TpError, str]] = {
    "trans_err": "mATE",
    "scale_err": "mASE",
    "orient_err": "mAOE",
    "vel_err": "mAVE",
    "attr_err": "mAAE",
}
"""What the means over classes are called in papers."""

RECALL_POSITIONS: Final = 101
"""Entries of every curve: recall 0, 0.01, ..., 1."""

PROTOCOL_NAME: Final = "nuscenes-detection"
PROTOCOL_VERSION: Final = "nuscenes-devkit-1.2.0"

RACK_CATEGORY: Final = "static_object.bicycle_rack"
"""Bicycles and motorcycles whose centre lies in an annotation of this category do not count."""

MAX_VELOCITY_GAP_S: Final = 1.5
"""A velocity needs its neighbours within this time, twice as much if there are two of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NuscenesClass:
    """One evaluated class."""

    name: str
    range_m: float
    """Boxes of this distance from the vehicle (xy) and beyond do not count."""
    attributes: tuple[str, ...] = ()
    """What its attribute can be; none: any known attribute is let through and not looked at."""
    unscored: tuple[TpError, ...] = ()
    """Errors that mean nothing for this class and stay out of the means."""
    half_turn_symmetric: bool = False
    """Front and back look the same: yaw counts modulo half a turn."""
    dropped_in_racks: bool = False

    def __post_init__(self) -> None:
        if not self.range_m > 0:
            raise ValueError(f"NuscenesClass.range_m of {self.name!r} must be positive, got {self.range_m}")
        wrong = [error for error in self.unscored if error not in TP_ERRORS]
        if wrong:
            raise ValueError(f"NuscenesClass.unscored knows {', '.join(TP_ERRORS)}, got {wrong}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NuscenesProtocol:
    """A named set of classes and thresholds. Make one for other ranges, distances or classes.

    Example:
        >>> from dataclasses import replace
        >>> near = replace(DETECTION_CVPR_2019, name="near", dist_thresholds_m=(0.5, 2.0))
        >>> near.class_names[:3]
        ('car', 'truck', 'bus')
    """

    name: str
    classes: tuple[NuscenesClass, ...]
    dist_thresholds_m: tuple[float, ...]
    """A hit is nearer than this (xy, strictly); AP is the mean over all."""
    tp_threshold_m: float
    """Errors are measured on the hits at this distance, one of `dist_thresholds_m`."""
    min_recall: float
    """Recall positions up to this one are left out."""
    min_precision: float
    """Precision below this counts as 0; what is above is scaled to 0..1."""
    max_boxes_per_sample: int
    mean_ap_weight: float
    """Weight of mAP in NDS; every error has weight 1."""
    accepts: Accepts = "valid"
    """Which predictions are scored."""

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.class_names)) != len(self.classes):
            raise ValueError(f"NuscenesProtocol needs at least one class, each once; got {self.class_names}")
        if self.tp_threshold_m not in self.dist_thresholds_m:
            raise ValueError(
                f"NuscenesProtocol.tp_threshold_m {self.tp_threshold_m} must be one of dist_thresholds_m"
                f" {self.dist_thresholds_m}"
            )
        if len(set(self.dist_thresholds_m)) != len(self.dist_thresholds_m):
            raise ValueError(
                f"NuscenesProtocol.dist_thresholds_m holds a value twice: {self.dist_thresholds_m}"
            )
        require_choice(self.accepts, Accepts, name="NuscenesProtocol.accepts")
        if not (0.0 <= self.min_recall <= 0.99 and 0.0 <= self.min_precision < 1.0):
            raise ValueError(
                "NuscenesProtocol needs min_recall in [0, 0.99] and min_precision in [0, 1), got"
                f" {self.min_recall} and {self.min_precision}"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of `classes`."""
        return tuple(rule.name for rule in self.classes)

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """All attributes of all classes, sorted."""
        return tuple(sorted({name for rule in self.classes for name in rule.attributes}))


_VEHICLE = ("vehicle.moving", "vehicle.parked", "vehicle.stopped")
_CYCLE = ("cycle.with_rider", "cycle.without_rider")
_PEDESTRIAN = ("pedestrian.moving", "pedestrian.sitting_lying_down", "pedestrian.standing")


def _cycle(name: str) -> NuscenesClass:
    return NuscenesClass(name=name, range_m=40.0, attributes=_CYCLE, dropped_in_racks=True)


DETECTION_CVPR_2019: Final = NuscenesProtocol(
    name="detection_cvpr_2019",
    classes=(
        *(
            NuscenesClass(name=name, range_m=50.0, attributes=_VEHICLE)
            for name in ("car", "truck", "bus", "trailer", "construction_vehicle")
        ),
        NuscenesClass(name="pedestrian", range_m=40.0, attributes=_PEDESTRIAN),
        _cycle("motorcycle"),
        _cycle("bicycle"),
        NuscenesClass(name="traffic_cone", range_m=30.0, unscored=("attr_err", "vel_err", "orient_err")),
        NuscenesClass(
            name="barrier", range_m=30.0, unscored=("attr_err", "vel_err"), half_turn_symmetric=True
        ),
    ),
    dist_thresholds_m=(0.5, 1.0, 2.0, 4.0),
    tp_threshold_m=2.0,
    min_recall=0.1,
    min_precision=0.1,
    max_boxes_per_sample=500,
    mean_ap_weight=5.0,
)
"""The official configuration since 2019, that of the leaderboard."""

CLASS_OF_CATEGORY: Final = {
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "movable_object.barrier": "barrier",
    "movable_object.trafficcone": "traffic_cone",
    "vehicle.bicycle": "bicycle",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.car": "car",
    "vehicle.construction": "construction_vehicle",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.trailer": "trailer",
    "vehicle.truck": "truck",
}
"""Category of the tables -> class of the task; annotations of other categories do not count."""
