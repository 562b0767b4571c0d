"""Panoptic protocols as data: label maps, things and stuff, the size from which a segment can be an error.

Sources: PRBonn/semantic-kitti-api `evaluate_panoptic.py` (min_inst_points 50, lists of things and stuff),
`auxiliary/eval_np.py` (PanopticEval: min_points 30), `config/semantic-kitti.yaml`,
`config/semantic-kitti-all.yaml`; nutonomy/nuscenes-devkit `eval/panoptic/evaluate.py` (min_inst_points 15),
`eval/panoptic/README.md` (classes, packing of the labels).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from evaluators._validation import named
from evaluators.semantickitti.protocol import MULTI_SCAN, SINGLE_SCAN, LabelMap, plain_map

Packing: TypeAlias = Literal["low-16-bits", "thousands"]
"""Where a label holds its category: label & 0xFFFF (SemanticKITTI), or label // 1000 (nuScenes)."""

Figure: TypeAlias = Literal["pq", "sq", "rq", "iou"]
Group: TypeAlias = Literal["all", "things", "stuff"]
"""The classes that a mean is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticProtocol:
    """How labels are read and segments are counted. Class ids are the train ids of `label_map`."""

    name: str
    label_map: LabelMap
    """Of the predictions, and of the ground truth unless `gt_label_map` is given."""
    gt_label_map: LabelMap | None = None
    packing: Packing = "low-16-bits"
    things: tuple[str, ...]
    stuff: tuple[str, ...]
    """Names in the means of things, of stuff, and of both; classes in neither have their own figures only."""
    min_points: int
    """Unmatched segments with fewer points are no error."""

    def __post_init__(self) -> None:
        known = set(self.label_map.evaluated_names)
        listed = (*self.things, *self.stuff)
        if not self.things or not self.stuff:
            raise ValueError(
                f"PanopticProtocol {self.name!r}: expected at least one thing and one stuff class"
            )
        if len(set(listed)) != len(listed) or not set(listed) <= known:
            raise ValueError(
                f"PanopticProtocol {self.name!r}: things and stuff must be distinct evaluated classes of the"
                f" label map, got {', '.join(listed)}"
            )
        if self.gt_label_map is not None and (
            self.gt_label_map.classes != self.label_map.classes
            or self.gt_label_map.ignored != self.label_map.ignored
        ):
            raise ValueError(f"PanopticProtocol {self.name!r}: both label maps must have the same classes")
        if self.min_points < 0:
            raise ValueError(f"min_points must be at least 0, got {self.min_points}")


SEMANTIC_KITTI: Final = PanopticProtocol(
    name="semantic-kitti-api",
    label_map=SINGLE_SCAN,
    things=SINGLE_SCAN.things,
    stuff=SINGLE_SCAN.stuff,
    min_points=50,
)
"""The official script and its server: single-scan classes, 50 points."""

SEMANTIC_KITTI_CLASS: Final = replace(SEMANTIC_KITTI, name="semantic-kitti-api-class", min_points=30)
"""The class PanopticEval of the same tool when it is used without the script: 30 points."""

SEMANTIC_KITTI_MULTI: Final = replace(SEMANTIC_KITTI, name="semantic-kitti-api-multi", label_map=MULTI_SCAN)
"""The official script with `semantic-kitti-all.yaml`: moving classes have figures of their own, but the
means of PQ, SQ and RQ over things, stuff and both leave them out (the mean IoU does not)."""

# Category of the ground truth (position) to class; 0 is ignored.
_NUSCENES_CLASS_OF: Final = (
    *(0, 0, 7, 7, 7, 0, 7, 0, 0, 1, 0, 0, 8, 0, 2, 3),
    *(3, 4, 5, 0, 0, 6, 9, 10, 11, 12, 13, 14, 15, 0, 16, 0),
)
_NUSCENES_THINGS: Final = (
    "barrier",
    "bicycle",
    "bus",
    "car",
    "construction_vehicle",
    "motorcycle",
    "pedestrian",
    "traffic_cone",
    "trailer",
    "truck",
)
_NUSCENES_STUFF: Final = (
    "driveable_surface",
    "other_flat",
    "sidewalk",
    "terrain",
    "manmade",
    "vegetation",
)
_NUSCENES_PREDICTED: Final = plain_map(
    ("ignore", *_NUSCENES_THINGS, *_NUSCENES_STUFF),
    ignored=(0,),
    name="nuscenes-challenge",
    things=_NUSCENES_THINGS,
)

NUSCENES: Final = PanopticProtocol(
    name="nuscenes-panoptic",
    label_map=_NUSCENES_PREDICTED,
    gt_label_map=replace(
        _NUSCENES_PREDICTED,
        name="nuscenes-general",
        raw_to_train=tuple(enumerate(_NUSCENES_CLASS_OF)),
        train_to_raw=tuple(_NUSCENES_CLASS_OF.index(train) for train in range(17)),
    ),
    packing="thousands",
    things=_NUSCENES_THINGS,
    stuff=_NUSCENES_STUFF,
    min_points=15,
)
"""Panoptic nuScenes, task segmentation. Ground truth: 1000 * category (32) + instance; predictions: 1000 *
class (16) + instance."""

PROTOCOLS: Final = {
    protocol.name: protocol
    for protocol in (SEMANTIC_KITTI, SEMANTIC_KITTI_CLASS, SEMANTIC_KITTI_MULTI, NUSCENES)
}


def panoptic_protocol(protocol: str | PanopticProtocol, *, min_points: int | None = None) -> PanopticProtocol:
    """Return the protocol of that name, or the given one, with another `min_points` if that is not None.

    Raises:
        ValueError: The name is not in `PROTOCOLS`; `min_points` is negative.

    Example:
        >>> panoptic_protocol("semantic-kitti-api").min_points
        50
        >>> panoptic_protocol(NUSCENES, min_points=1).min_points
        1
    """
    found = named(protocol, PROTOCOLS, name="protocol", kind="a PanopticProtocol")
    return found if min_points is None else replace(found, min_points=min_points)
