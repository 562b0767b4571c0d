"""Record one key frame of a drive, and the sweeps that lead up to it, into a folder laid out as nuScenes'."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geom3d import boxes, transforms
from geom3d.nuscenes import boxes_to_nuscenes
from jaxtyping import Float, Float64
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets3d.depth.pictures import picture_of, write_depth_picture
from datasets3d.nuscenes.channels import LIDAR
from datasets3d.nuscenes.lidar import write_lidar
from datasets3d.nuscenes.radar import write_radar
from datasets3d.nuscenes.records.record import Pose
from datasets3d.synth.layouts._nuscenes_tables import AnnotationEntry, FileEntry, KeyFrameEntry
from datasets3d.synth.layouts._writing import write_png
from datasets3d.synth.layouts.ade20k import ade20k_ids
from datasets3d.synth.layouts.labels import measure_visibility
from datasets3d.synth.nuscenes_config import NuscenesSynthConfig
from datasets3d.synth.sensors.camera import CameraView, render
from datasets3d.synth.sensors.lidar import LidarScan, scan
from datasets3d.synth.sensors.moving_caster import MovingCaster, SplitScene
from datasets3d.synth.sensors.radar import simulate_radar
from datasets3d.synth.sensors.rays import RayCaster
from datasets3d.synth.sensors.rig import RADAR_CHANNELS, RigSensor, nuscenes_rig
from datasets3d.synth.world.drive import Drive, build_drive
from datasets3d.synth.world.scene import Scene

_MARGIN_S = 0.1
"""The drive begins and ends so long before and after the key frames; no sensor is off by more."""
_ANNOTATED_M = 80.0
"""Objects farther from the car are not labelled (our choice; nuScenes labels as far as points reach)."""
_MOVING_M_S = 0.2
_JPEG = {"format": "JPEG", "quality": 92, "subsampling": 0}
_VEHICLES = {"Car": "vehicle.car", "Van": "vehicle.car", "Truck": "vehicle.truck"}
_CATEGORIES = {**_VEHICLES, "Pedestrian": "human.pedestrian.adult", "Cyclist": "vehicle.bicycle"}
_SWEEP_STREAM, _GLOBAL_STREAM = 1, 2
"""Keep the random numbers of different purposes apart."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One scene: a drive, the sensors on the car, and where in the world it takes place."""

    config: NuscenesSynthConfig
    seed: int
    number: int
    """Of the scene in the data set."""
    drive: Drive
    split: SplitScene
    rig: dict[str, RigSensor]
    global_from_world: Float64[np.ndarray, "4 4"]

    def moment(self, time_s: float) -> tuple[Scene, RayCaster]:
        """The world at a time."""
        scene = self.drive.scene_at(time_s)
        return scene, MovingCaster(self.split, scene)

    def sensor_velocity(self, sensor: RigSensor, time_s: float) -> Float64[np.ndarray, "3"]:
        """Metres per second, world frame; the car's turning included."""
        before, after = (
            sensor.world_from_sensor(self.drive.world_from_ego(time_s + step))[:3, 3]
            for step in (-1e-3, 1e-3)
        )
        return (after - before) / 2e-3

    def generator(self, channel: str, time_us: int) -> np.random.Generator:
        """The random numbers of one file, whoever writes it and whatever was written before."""
        return np.random.default_rng([self.seed, self.number, _SWEEP_STREAM, time_us, *channel.encode()])


def build_world(config: NuscenesSynthConfig, *, seed: int, number: int) -> World:
    """Scene `number` of the data set `seed`: depends on these and the config only."""
    duration_s = 2 * _MARGIN_S + (config.key_frames - 1) * config.key_interval_s
    drive = build_drive(config, np.random.default_rng([seed, number]), duration_s)
    split = SplitScene(drive.scene_at(0.0), np.array([t.speed_mps > 0 for t in drive.tracks], dtype=bool))
    rng = np.random.default_rng([seed, number, _GLOBAL_STREAM])
    global_from_world = np.eye(4)
    global_from_world[:3, :3] = transforms.rotation_z(float(rng.uniform(-np.pi, np.pi)))[:3, :3]
    global_from_world[:2, 3] = rng.uniform(300, 1800, 2)
    return World(config, seed, number, drive, split, nuscenes_rig(config), global_from_world)


def record_key_frame(root: Path, world: World, index: int, *, logfile: str, start_us: int) -> KeyFrameEntry:
    """Write the files of key frame `index` and of the sweeps after the key frame before it.

    Args:
        start_us: What time 0 of the drive is on the clock, microseconds since 1970.
    """
    recorder = _Recorder(root, world, logfile, start_us)
    key_us = round(1e6 * (_MARGIN_S + index * world.config.key_interval_s))
    files = [recorder.sweep(channel, us) for channel, us in _sweep_times(world, key_us) if index > 0]
    lidar_file, lidar, points = recorder.lidar(key_us, is_key_frame=True)
    radars = [
        recorder.radar(channel, key_us + round(1e6 * world.rig[channel].time_offset_s), is_key_frame=True)
        for channel in RADAR_CHANNELS
    ]
    scene = world.drive.scene_at(key_us / 1e6)
    counts = np.stack(
        [_counts(scene, points), sum((_counts(scene, p) for _, p in radars), np.zeros(len(scene.actors)))]
    )
    ego = world.drive.world_from_ego(key_us / 1e6)[:3, 3]
    near = np.hypot(*(scene.boxes_lidar[:, :2] - ego[:2]).T) <= _ANNOTATED_M
    labelled = np.flatnonzero(near & (counts.sum(axis=0) > 0))
    shares = np.zeros((len(labelled), 2))
    cameras = []
    for channel in world.config.cameras:
        file, seen = recorder.camera(channel, key_us, labelled, lidar)
        cameras.append(file)
        shares += seen
    annotations = _annotations(world, scene, key_us / 1e6, labelled, counts.astype(int), shares)
    files += [lidar_file, *cameras, *(file for file, _ in radars)]
    return KeyFrameEntry(timestamp_us=start_us + key_us, files=tuple(files), annotations=annotations)


def _sweep_times(world: World, key_us: int) -> list[tuple[str, int]]:
    """Channels and times of the sweeps before a key frame, evenly spread since the one before it."""
    interval_us = 1e6 * world.config.key_interval_s
    sweeps = {LIDAR: world.config.lidar_sweeps} | dict.fromkeys(RADAR_CHANNELS, world.config.radar_sweeps)
    return [
        (channel, key_us + round(1e6 * world.rig[channel].time_offset_s - back * interval_us / (count + 1)))
        for channel, count in sweeps.items()
        for back in range(count, 0, -1)
    ]


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Writes one scene's files; times are microseconds since the drive began."""

    root: Path
    world: World
    logfile: str
    start_us: int

    def _entry(self, channel: str, time_us: int, suffix: str, *, is_key_frame: bool) -> FileEntry:
        world = self.world
        timestamp = self.start_us + time_us
        folder = "samples" if is_key_frame else "sweeps"
        return FileEntry(
            channel=channel,
            timestamp_us=timestamp,
            is_key_frame=is_key_frame,
            filename=f"{folder}/{channel}/{self.logfile}__{channel}__{timestamp}.{suffix}",
            ego_pose=_pose(world.global_from_world @ world.drive.world_from_ego(time_us / 1e6)),
        )

    def sweep(self, channel: str, time_us: int) -> FileEntry:
        """A LiDAR or radar file between key frames."""
        if channel == LIDAR:
            return self.lidar(time_us, is_key_frame=False)[0]
        return self.radar(channel, time_us, is_key_frame=False)[0]

    def lidar(
        self, time_us: int, *, is_key_frame: bool
    ) -> tuple[FileEntry, LidarScan, Float[np.ndarray, "n 3"]]:
        """Also returns the points of the file in the world."""
        world, time_s = self.world, time_us / 1e6
        entry = self._entry(LIDAR, time_us, "pcd.bin", is_key_frame=is_key_frame)
        pose = world.rig[LIDAR].world_from_sensor(world.drive.world_from_ego(time_s))
        turn = scan(
            *world.moment(time_s),
            world.config.lidar,
            rng=world.generator(LIDAR, time_us),
            world_from_lidar=pose,
        )
        points = turn.nuscenes_points
        write_lidar(self.root / entry.filename, points)
        return entry, turn, transforms.apply(pose, points[:, :3].astype(np.float64))

    def radar(
        self, channel: str, time_us: int, *, is_key_frame: bool
    ) -> tuple[FileEntry, Float[np.ndarray, "n 3"]]:
        """Also returns the places of the returns in the world."""
        world, time_s = self.world, time_us / 1e6
        entry = self._entry(channel, time_us, "pcd", is_key_frame=is_key_frame)
        sensor = world.rig[channel]
        pose = sensor.world_from_sensor(world.drive.world_from_ego(time_s))
        returns = simulate_radar(
            *world.moment(time_s),
            world.config.radar,
            world_from_radar=pose,
            sensor_velocity=world.sensor_velocity(sensor, time_s),
            actor_velocities=world.drive.actor_velocities(time_s),
            rng=world.generator(channel, time_us),
        ).returns
        write_radar(self.root / entry.filename, returns)
        return entry, transforms.apply(pose, returns[:, :3].astype(np.float64))

    def camera(
        self, channel: str, key_us: int, labelled: np.ndarray, lidar: LidarScan
    ) -> tuple[FileEntry, Float64[np.ndarray, "k 2"]]:
        """A picture with its masks; also how much of each labelled actor it shows.

        Returns:
            The file, and per actor the visible and the whole area of its image box in pixels.
        """
        world = self.world
        sensor = world.rig[channel]
        time_us = key_us + round(1e6 * sensor.time_offset_s)
        entry = self._entry(channel, time_us, "jpg", is_key_frame=True)
        scene, caster = world.moment(time_us / 1e6)
        camera = sensor.camera(world.drive.world_from_ego(time_us / 1e6))
        view = render(scene, caster, camera, world.config.camera, rng=world.generator(channel, time_us))
        self._write_pictures(entry, view, ade20k_ids(view, scene))
        areas = np.zeros((len(labelled), 2))
        for row, actor in enumerate(labelled):
            seen = measure_visibility(scene, int(actor), view=view, scan=lidar, camera=camera)
            u0, v0, u1, v1 = seen.box
            areas[row] = np.array([seen.visible_share, 1.0]) * (u1 - u0) * (v1 - v0)
        return entry, areas

    def _write_pictures(self, entry: FileEntry, view: CameraView, classes: np.ndarray) -> None:
        Image.fromarray(view.image).save(self.root / entry.filename, **_JPEG)
        write_png(picture_of(self.root / "seg_mask", entry.filename), classes)
        depth = np.where(np.isfinite(view.depth), view.depth, np.float32(0))
        write_depth_picture(picture_of(self.root / "depth", entry.filename, channel=entry.channel), depth)


def _counts(scene: Scene, points: Float[np.ndarray, "n 3"]) -> Float64[np.ndarray, " k"]:
    """Points in each actor's box, all in the world."""
    return boxes.contains(points, scene.boxes_lidar).sum(axis=0).astype(np.float64)


def _annotations(
    world: World,
    scene: Scene,
    time_s: float,
    labelled: np.ndarray,
    counts: np.ndarray,
    areas: Float64[np.ndarray, "k 2"],
) -> tuple[AnnotationEntry, ...]:
    placed = boxes.transform(world.global_from_world[None], scene.boxes_lidar[labelled])
    columns = zip(*(c.tolist() for c in boxes_to_nuscenes(placed)), strict=True)
    speeds = np.linalg.norm(world.drive.actor_velocities(time_s), axis=1)
    entries = []
    for actor, (centre, size, turn), (shown, whole) in zip(
        labelled.tolist(), columns, areas.tolist(), strict=True
    ):
        name, speed = scene.actors[actor].name, float(speeds[actor])
        entries.append(
            AnnotationEntry(
                actor=actor,
                category=_CATEGORIES[name],
                attribute=_attribute(name, speed, ever_moves=world.drive.tracks[actor].speed_mps > 0),
                visibility=visibility_level(shown / whole if whole > 0 else 0.0),
                translation=tuple(centre),
                size_wlh=tuple(size),
                rotation=tuple(turn),
                num_lidar_pts=int(counts[0, actor]),
                num_radar_pts=int(counts[1, actor]),
            )
        )
    return tuple(entries)


def _attribute(name: str, speed_m_s: float, *, ever_moves: bool) -> str:
    moves = speed_m_s > _MOVING_M_S
    if name == "Pedestrian":
        return "pedestrian.moving" if moves else "pedestrian.standing"
    if name == "Cyclist":
        return "cycle.with_rider"
    if moves:
        return "vehicle.moving"
    return "vehicle.stopped" if ever_moves else "vehicle.parked"


def visibility_level(share: float) -> int:
    """NuScenes' 1..4 for the visible share of an object over all cameras.

    Example:
        >>> [visibility_level(share) for share in (0.0, 0.4, 0.5, 0.7, 1.0)]
        [1, 1, 2, 3, 4]
    """
    return 1 + sum(share > limit for limit in (0.4, 0.6, 0.8))


def _pose(matrix: Float64[np.ndarray, "4 4"]) -> Pose:
    x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
    return Pose.of(matrix[:3, 3].tolist(), (w, x, y, z))
