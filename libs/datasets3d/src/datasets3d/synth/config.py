"""Settings of the synthetic street world; names carry the units."""

import math
from dataclasses import dataclass, field

from datasets3d._validate import check_least, check_positive, check_within


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetConfig:
    """What stands and drives in the street, as expected numbers of *labelled* objects per frame.

    The defaults are KITTI's training labels (28742 Car, 2914 Van, 1094 Truck, 4487 Pedestrian, 1627
    Cyclist) over 7481 frames. They are aims: placement is random, and objects hidden by others are not
    labelled.
    """

    cars_per_frame: float = 3.84
    vans_per_frame: float = 0.39
    trucks_per_frame: float = 0.15
    pedestrians_per_frame: float = 0.60
    cyclists_per_frame: float = 0.22
    crowding: float = 0.8
    """Shape of the gamma factor on all numbers of a frame: small means some frames full, many empty."""
    street_weight: float = 0.6
    intersection_weight: float = 0.25
    highway_weight: float = 0.15
    """Relative frequency of the three layouts (our choice: KITTI does not publish such a split)."""
    terrain_slope: float = 0.008
    """Standard deviation of the ground's slope (metres per metre), per axis; 0 makes a flat world."""
    length_m: float = 125.0
    """Half length of the modelled road, ahead of and behind the sensor."""

    def __post_init__(self) -> None:
        kinds = ("cars", "vans", "trucks", "pedestrians", "cyclists")
        check_within(self, (0, 40), *(f"{kind}_per_frame" for kind in kinds))
        weights = (self.street_weight, self.intersection_weight, self.highway_weight)
        _require(
            min(weights) >= 0 and sum(weights) > 0,
            f"StreetConfig weights must not be negative and not all zero, got {weights}",
        )
        check_positive(self, "crowding")
        check_within(self, (0, 0.05), "terrain_slope")
        check_least(self, 60, "length_m")


def _hdl64_elevations_deg() -> tuple[float, ...]:
    upper = [2.0 - i / 3.0 for i in range(32)]
    lower = [-8.83 - 0.5 * i for i in range(32)]
    return tuple(round(e, 4) for e in upper + lower)


def _hdl32_elevations_deg() -> tuple[float, ...]:
    return tuple(round(10.67 - 41.33 * i / 31, 4) for i in range(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class LidarConfig:
    """A spinning LiDAR: KITTI's Velodyne HDL-64E by default; `LidarConfig.hdl32()` for 32 beams."""

    elevations_deg: tuple[float, ...] = field(default_factory=_hdl64_elevations_deg)
    """One elevation per beam, upwards positive, in the order the rings are written. HDL-64E: +2 to -8.33 by
    1/3 degree, then -8.83 to -24.33 by 1/2 degree (Velodyne HDL-64E S2 manual)."""
    azimuth_step_deg: float = 0.1728
    """0.09 degrees at 5 Hz, 0.1728 at KITTI's 10 Hz: 2083 shots per turn and beam."""
    height_m: float = 1.73
    """Sensor above the ground (KITTI set-up page: 1.73 m)."""
    range_noise_m: float = 0.02
    """Standard deviation of the range, along the ray (data sheet: under 2 cm)."""
    min_range_m: float = 1.0
    max_range_m: float = 120.0
    range_at_10_percent_m: float = 50.0
    """Range at which a surface of 10 % reflectivity, hit head-on, gives a return half of the time (data
    sheet: 50 m for pavement, 120 m for cars and foliage)."""
    dropout: float = 0.02
    """Share of returns lost for no reason that the simulator models."""
    glass_dropout: float = 0.85
    """Share of shots lost on window glass hit head-on; more at grazing angles (our estimate)."""

    def __post_init__(self) -> None:
        _require(
            len(self.elevations_deg) > 0, "LidarConfig.elevations_deg must hold at least one beam, got none"
        )
        _require(
            all(-90 < e < 90 for e in self.elevations_deg),
            f"LidarConfig.elevations_deg must lie between -90 and 90, got {self.elevations_deg}",
        )
        _require(
            0 < self.azimuth_step_deg <= 30,
            f"LidarConfig.azimuth_step_deg must lie in (0, 30], got {self.azimuth_step_deg}",
        )
        check_within(self, (0, 1), "dropout", "glass_dropout")
        check_least(self, 0, "range_noise_m")
        _require(
            0 <= self.min_range_m < self.max_range_m,
            "LidarConfig needs 0 <= min_range_m < max_range_m, "
            f"got {self.min_range_m} and {self.max_range_m}",
        )
        check_positive(self, "height_m", "range_at_10_percent_m")

    @classmethod
    def hdl32(cls) -> "LidarConfig":
        """HDL-32E as on the nuScenes car: 32 beams from +10.67 to -30.67 degrees (data sheet)."""
        return cls(
            elevations_deg=_hdl32_elevations_deg(), azimuth_step_deg=0.332, height_m=1.84, max_range_m=100.0
        )

    @property
    def azimuth_count(self) -> int:
        """Shots of one beam in one turn."""
        return math.floor(360.0 / self.azimuth_step_deg)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraConfig:
    """The colour camera. Focal length and centre scale with the size: the field of view stays KITTI's."""

    width: int = 1242
    height: int = 375
    noise: float = 0.012
    """Standard deviation of the sensor noise at mid grey (full scale 1)."""
    shadows: bool = True
    """Cast shadow rays to the sun. Off: flat light, about a quarter faster."""

    def __post_init__(self) -> None:
        _require(
            16 <= self.width <= 8192 and 16 <= self.height <= 8192,
            f"CameraConfig.width and height must lie in 16..8192 pixels, got {self.width} x {self.height}",
        )
        check_within(self, (0, 0.5), "noise")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """Where objects stop being labelled, and where the occlusion classes part.

    KITTI's devkit names the classes (0 fully visible, 1 partly occluded, 2 largely occluded, 3 unknown) but
    not the limits; annotators judged by eye. The limits here are ours.
    """

    occlusion_limits: tuple[float, float, float] = (0.85, 0.5, 0.2)
    """Visible share of the object's pixels from which on it is 0, 1, 2; below the last it is 3."""
    min_visible: float = 0.05
    """An object with a smaller visible share becomes DontCare."""
    min_height_px: float = 12.0
    """An object whose 2D box is lower becomes DontCare. At 375 rows; scaled with the image height."""
    max_range_m: float = 80.0
    """An object farther away becomes DontCare (KITTI labels within the scanner's reach)."""
    min_points: int = 2
    """An object with fewer LiDAR points in its box becomes DontCare."""
    max_truncation: float = 0.95
    """An object cut more than this becomes DontCare."""
    shape_points: int = 1024
    """Surface samples per object in `object_shapes/`."""

    def __post_init__(self) -> None:
        a, b, c = self.occlusion_limits
        _require(
            1 >= a > b > c > 0,
            f"LabelConfig.occlusion_limits must fall within (0, 1], got {self.occlusion_limits}",
        )
        check_within(self, (0, c), "min_visible")
        check_least(self, 0, "min_points")
        check_positive(self, "shape_points", "max_range_m")
        _require(
            0 < self.max_truncation <= 1,
            f"LabelConfig.max_truncation must lie in (0, 1], got {self.max_truncation}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthConfig:
    """Everything `write_kitti` can be told about the world and its sensors."""

    street: StreetConfig = field(default_factory=StreetConfig)
    lidar: LidarConfig = field(default_factory=LidarConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)
    val_share: float = 0.25
    """Share of the frames listed in `ImageSets/val.txt`: every 4th by default."""

    def __post_init__(self) -> None:
        _require(0 <= self.val_share < 1, f"SynthConfig.val_share must lie in [0, 1), got {self.val_share}")
