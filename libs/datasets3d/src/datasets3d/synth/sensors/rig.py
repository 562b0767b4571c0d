"""The nuScenes car: a LiDAR, six cameras and five radars, where they stand and when they record.

The numbers are typical ones, rounded; no real car's calibration.
"""

from dataclasses import dataclass

import numpy as np
from geom3d import transforms
from geom3d.cameras import PinholeCamera
from jaxtyping import Float

from datasets3d.nuscenes.channels import LIDAR
from datasets3d.nuscenes.records.record import Pose
from datasets3d.synth.nuscenes_config import NuscenesSynthConfig

FULL_SIZE_WH = (1600, 900)

RADAR_CHANNELS = (
    "RADAR_FRONT",
    "RADAR_FRONT_LEFT",
    "RADAR_FRONT_RIGHT",
    "RADAR_BACK_LEFT",
    "RADAR_BACK_RIGHT",
)

_Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RigSensor:
    """One sensor on the car."""

    channel: str
    calibration: Pose
    """The sensor in the ego frame (x forward, y left, z up, origin on the ground under the rear axle). The
    LiDAR's own axes are x right, y forward, z up; a camera's x right, y down, z forward; a radar's x forward,
    y left, z up."""
    intrinsic: tuple[tuple[float, float, float], ...] | None
    """3x3 camera matrix in pixels of `size_wh`; None for other sensors."""
    size_wh: tuple[int, int] | None
    time_offset_s: float
    """Recorded this long after the LiDAR's key frame; negative: before."""

    def world_from_sensor(self, world_from_ego: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
        """Return where the sensor is while the car is at `world_from_ego`."""
        return world_from_ego @ self.calibration.matrix

    def camera(self, world_from_ego: Float[np.ndarray, "4 4"]) -> PinholeCamera:
        """Return the camera that `render` takes for a scene in the world frame.

        Raises:
            ValueError: The sensor is no camera.
        """
        if self.intrinsic is None or self.size_wh is None:
            raise ValueError(f"RigSensor.camera: {self.channel} has no intrinsic, it is no camera")
        return PinholeCamera(
            image_from_cam=np.hstack([np.array(self.intrinsic), np.zeros((3, 1))]),
            cam_from_lidar=transforms.invert(self.world_from_sensor(world_from_ego)),
            width=self.size_wh[0],
            height=self.size_wh[1],
        )


@dataclass(frozen=True, slots=True)
class _Mount:
    """Place in metres, direction of view in degrees: left and upwards positive; lean to the right."""

    x: float
    y: float
    z: float
    yaw: float
    pitch: float = 0.0
    roll: float = 0.0
    time_offset_s: float = 0.0


# A turn of the LiDAR sweeps clockwise over the cameras and ends behind; each camera is triggered when the
# beam passes its centre, so all of them record before the time stamp of the finished turn.
_CAMERAS = {
    "CAM_FRONT": (_Mount(1.70, 0.02, 1.51, 0.3, -0.3, 0.1, -0.035), 1266.0, (816.0, 491.0)),
    "CAM_FRONT_RIGHT": (_Mount(1.55, -0.49, 1.50, -56.0, -0.7, 0.4, -0.028), 1261.0, (808.0, 495.0)),
    "CAM_BACK_RIGHT": (_Mount(1.01, -0.48, 1.56, -110.5, -0.9, 0.5, -0.020), 1260.0, (807.0, 501.0)),
    "CAM_BACK": (_Mount(0.03, 0.00, 1.58, 180.0, 0.9, 0.2, -0.010), 809.0, (829.0, 482.0)),
    "CAM_BACK_LEFT": (_Mount(1.03, 0.48, 1.59, 108.5, -0.9, -0.3, -0.001), 1257.0, (792.0, 493.0)),
    "CAM_FRONT_LEFT": (_Mount(1.52, 0.49, 1.51, 55.0, 0.1, -0.2, -0.043), 1272.0, (826.0, 480.0)),
}
"""Mount, focal length and principal point in pixels of 1600 x 900."""

_LIDAR = _Mount(0.94, 0.0, 1.84, -90.0, -0.3, -1.1)

# The radars run at 13 Hz on their own clocks; the nearest record to a key frame lies within 40 ms of it.
_RADARS = {
    "RADAR_FRONT": _Mount(3.41, 0.0, 0.50, 0.0, time_offset_s=0.012),
    "RADAR_FRONT_LEFT": _Mount(2.42, 0.80, 0.75, 90.0, time_offset_s=-0.021),
    "RADAR_FRONT_RIGHT": _Mount(2.42, -0.80, 0.75, -90.0, time_offset_s=0.027),
    "RADAR_BACK_LEFT": _Mount(-0.56, 0.62, 0.53, 176.0, time_offset_s=-0.008),
    "RADAR_BACK_RIGHT": _Mount(-0.56, -0.62, 0.53, -176.0, time_offset_s=0.034),
}

_CAMERA_AXES: _Quaternion = (0.5, -0.5, 0.5, -0.5)
"""A camera that looks along +x: its x is -y, its y is -z."""


def nuscenes_rig(config: NuscenesSynthConfig) -> dict[str, RigSensor]:
    """Return the sensors by channel: LIDAR_TOP, the cameras of the config in its order, five radars.

    Example:
        >>> rig = nuscenes_rig(NuscenesSynthConfig(cameras=("CAM_FRONT",)))
        >>> len(rig), rig["CAM_FRONT"].intrinsic[0]
        (7, (1266.0, 0.0, 816.0))
        >>> np.round(rig["LIDAR_TOP"].calibration.matrix[:3, 1]).tolist()  # its y axis points forward
        [1.0, 0.0, -0.0]
    """
    rig = {LIDAR: _sensor(LIDAR, _LIDAR)}
    width, height = config.camera.width, config.camera.height
    scale_x, scale_y = width / FULL_SIZE_WH[0], height / FULL_SIZE_WH[1]
    for channel in config.cameras:
        mount, focal, (centre_u, centre_v) = _CAMERAS[channel]
        intrinsic = (
            (focal * scale_x, 0.0, centre_u * scale_x),
            (0.0, focal * scale_y, centre_v * scale_y),
            (0.0, 0.0, 1.0),
        )
        rig[channel] = RigSensor(
            channel=channel,
            calibration=_pose(mount, _CAMERA_AXES),
            intrinsic=intrinsic,
            size_wh=(width, height),
            time_offset_s=mount.time_offset_s,
        )
    return rig | {channel: _sensor(channel, mount) for channel, mount in _RADARS.items()}


def _sensor(channel: str, mount: _Mount) -> RigSensor:
    """A sensor without a picture."""
    return RigSensor(
        channel=channel,
        calibration=_pose(mount, (1.0, 0.0, 0.0, 0.0)),
        intrinsic=None,
        size_wh=None,
        time_offset_s=mount.time_offset_s,
    )


def _pose(mount: _Mount, axes: _Quaternion) -> Pose:
    """Turn the sensor's axes by roll about x, pitch about y, yaw about z, then put it in its place."""
    yaw, pitch, roll = np.deg2rad([mount.yaw, -mount.pitch, mount.roll]) / 2
    turn: _Quaternion = (float(np.cos(yaw)), 0.0, 0.0, float(np.sin(yaw)))
    for part in (
        (float(np.cos(pitch)), 0.0, float(np.sin(pitch)), 0.0),
        (float(np.cos(roll)), float(np.sin(roll)), 0.0, 0.0),
        axes,
    ):
        turn = _product(turn, part)
    return Pose(translation=(mount.x, mount.y, mount.z), rotation=turn)


def _product(a: _Quaternion, b: _Quaternion) -> _Quaternion:
    """The rotation b, then a; quaternions w x y z."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
