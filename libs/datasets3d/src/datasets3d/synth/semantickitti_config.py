"""Settings of a synthetic world that is written in SemanticKITTI's layout."""

from dataclasses import dataclass, field

from datasets3d._validate import check_least, check_positive, check_within
from datasets3d.synth.config import LidarConfig, StreetConfig


def _neighbourhood() -> StreetConfig:
    """More people and lorries than KITTI's labels have, so that a few hundred scans hold all classes."""
    return StreetConfig(
        cars_per_frame=4.0,
        vans_per_frame=0.4,
        trucks_per_frame=0.4,
        pedestrians_per_frame=1.6,
        cyclists_per_frame=0.6,
        crowding=3.0,
        street_weight=0.7,
        intersection_weight=0.3,
        highway_weight=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RareThingsConfig:
    """Expected numbers per 100 m of road of what the other layouts' streets lack (all our choice)."""

    motorcycles_per_100m: float = 1.5
    """Parked at the kerb or on the sidewalk."""
    motorcyclists_per_100m: float = 0.6
    buses_per_100m: float = 0.4
    """Driving."""
    trailers_per_100m: float = 0.6
    """Caravans and carts on the parking lanes."""
    low_signs_per_100m: float = 3.0
    """Traffic signs 1.1 to 2.2 m high: the scanner, whose beams rise by 2 degrees, sees them from near."""
    yards_per_100m: float = 2.0
    """Paved yards between sidewalk and houses."""

    def __post_init__(self) -> None:
        kinds = ("motorcycles", "motorcyclists", "buses", "trailers", "low_signs", "yards")
        check_within(self, (0, 20), *(f"{kind}_per_100m" for kind in kinds))


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticKittiSynthConfig:
    """Everything about the world, the scanner and its rhythm."""

    street: StreetConfig = field(default_factory=_neighbourhood)
    rare: RareThingsConfig = field(default_factory=RareThingsConfig)
    lidar: LidarConfig = field(default_factory=LidarConfig)
    lidar_ahead_m: float = 0.76
    """The scanner before the rear axle (KITTI's set-up page: 0.81 m before the inertial unit, which sits
    0.05 m behind the axle)."""
    scan_interval_s: float = 0.1
    """KITTI's scanner turns at 10 Hz."""
    moving_m_s: float = 0.2
    """A road user that is faster gets the moving class in that scan (our choice)."""

    def __post_init__(self) -> None:
        check_positive(self, "scan_interval_s")
        check_least(self, 0, "moving_m_s")
        check_within(self, (-2, 4), "lidar_ahead_m")
