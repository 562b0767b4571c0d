"""Settings of a synthetic world that is written in nuScenes' layout."""

from dataclasses import dataclass, field

from datasets3d._validate import check_least, check_positive
from datasets3d.nuscenes.channels import CAMERAS
from datasets3d.synth.config import CameraConfig, LidarConfig, StreetConfig, _require
from datasets3d.synth.sensors.radar import RadarConfig


def _city() -> StreetConfig:
    """Busier than KITTI's streets: nuScenes was recorded in Boston and Singapore."""
    return StreetConfig(
        cars_per_frame=5.0,
        vans_per_frame=0.6,
        trucks_per_frame=0.6,
        pedestrians_per_frame=2.6,
        cyclists_per_frame=0.5,
        crowding=2.0,
    )


@dataclass(frozen=True, kw_only=True)
class NuscenesSynthConfig:
    """Everything about the world, the car's sensors and their rhythm."""

    street: StreetConfig = field(default_factory=_city)
    lidar: LidarConfig = field(default_factory=LidarConfig.hdl32)
    """The beams; where the sensor stands is the rig's business, `height_m` does not count here."""
    camera: CameraConfig = field(default_factory=lambda: CameraConfig(width=1600, height=900))
    """All six; the field of view stays nuScenes' for any size."""
    radar: RadarConfig = field(default_factory=RadarConfig)
    cameras: tuple[str, ...] = CAMERAS
    """Channels of the cameras that the car carries."""
    key_frames: int = 40
    """Per scene (nuScenes: 40, that is 20 s)."""
    key_interval_s: float = 0.5
    """nuScenes annotates at 2 Hz."""
    lidar_sweeps: int = 9
    """Scans between two key frames, evenly spread (nuScenes: 9, that is 20 Hz)."""
    radar_sweeps: int = 5
    """Of each radar between two key frames (nuScenes: 5 or 6, that is 13 Hz)."""

    def __post_init__(self) -> None:
        unknown = [c for c in self.cameras if c not in CAMERAS]
        _require(
            not unknown and len(set(self.cameras)) == len(self.cameras),
            f"NuscenesSynthConfig.cameras must be different ones of {CAMERAS}, got {self.cameras}",
        )
        check_least(self, 1, "key_frames")
        check_positive(self, "key_interval_s")
        check_least(self, 0, "lidar_sweeps", "radar_sweeps")
