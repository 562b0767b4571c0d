"""The Waymo Open Dataset 3D detection protocol as data.

Source: waymo-research/waymo-open-dataset, `src/waymo_open_dataset/metrics`: the configuration of
`tools/compute_detection_metrics_main.cc`, the defaults of `protos/metrics.proto`, `iou.cc` and
`breakdown_generator.cc`. The leaderboard samples its score cut-offs from the submitted scores instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Level: TypeAlias = Literal["LEVEL_1", "LEVEL_2"]
"""LEVEL_1 does not count misses of hard objects; LEVEL_2 counts all."""

Metric: TypeAlias = Literal["ap", "aph"]
"""Average precision, and the same with hits weighted by the accuracy of their heading."""

LEVELS: Final[tuple[Level, ...]] = ("LEVEL_1", "LEVEL_2")
PROTOCOL_NAME: Final = "waymo-3d-detection"
PROTOCOL_VERSION: Final = "waymo-open-dataset 1.6"

LEVEL_2_MAX_POINTS: Final = 5
"""Objects without annotated difficulty are hard up to this many LiDAR points."""
RECALL_STEP: Final = 0.05
"""Wider gaps between recalls are filled with the precision at the higher recall."""
MIN_SIZE_M: Final = 0.01
"""Boxes with an edge up to this overlap nothing."""
RANGE_EDGES_M: Final = (30.0, 50.0)
"""Limits of the range breakdown, lower end included, on the distance of the centre from the vehicle."""
RANGES: Final = ("all", "[0, 30)", "[30, 50)", "[50, inf)")
"""Names of the range breakdown, "all" first."""
SCORE_CUTOFFS: Final = (*(index * 0.01 for index in range(100)), 1.0)
"""Predictions with at least this score take part; compared in float32, as the protocol stores scores."""

HEADING_UNIT: Final = 2.0**-36
"""Heading accuracies (0 to 1) are summed as whole multiples of this: such sums are exact in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectType:
    """One evaluated type."""

    name: str
    code: int
    """Number in the data set's labels."""
    min_overlap: float
    """3D intersection over union from which a match is possible (inclusive, in float32)."""


TYPES: Final = (
    ObjectType(name="VEHICLE", code=1, min_overlap=0.7),
    ObjectType(name="PEDESTRIAN", code=2, min_overlap=0.5),
    ObjectType(name="SIGN", code=3, min_overlap=0.5),
    ObjectType(name="CYCLIST", code=4, min_overlap=0.5),
)
TYPE_NAMES: Final = tuple(item.name for item in TYPES)
MEAN_TYPES: Final = ("VEHICLE", "PEDESTRIAN", "CYCLIST")
"""The mean over types leaves signs out (ALL_NS of the leaderboard)."""
