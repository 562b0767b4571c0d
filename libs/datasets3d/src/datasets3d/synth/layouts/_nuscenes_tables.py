"""The 13 tables of nuScenes from what is known about the scenes; nothing here touches a disk."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets3d.nuscenes.records.record import Pose
from datasets3d.nuscenes.tables import TABLES
from datasets3d.synth.sensors.rig import RigSensor

CATEGORIES = (
    *("human.pedestrian.adult", "human.pedestrian.child", "human.pedestrian.wheelchair"),
    *("human.pedestrian.stroller", "human.pedestrian.personal_mobility"),
    *("human.pedestrian.police_officer", "human.pedestrian.construction_worker", "animal"),
    *("vehicle.car", "vehicle.motorcycle", "vehicle.bicycle", "vehicle.bus.bendy", "vehicle.bus.rigid"),
    *("vehicle.truck", "vehicle.construction", "vehicle.emergency.ambulance", "vehicle.emergency.police"),
    *("vehicle.trailer", "movable_object.barrier", "movable_object.trafficcone"),
    *("movable_object.pushable_pullable", "movable_object.debris", "static_object.bicycle_rack"),
)
"""All 23 of nuScenes, whether they occur here or not."""
ATTRIBUTES = (
    *("vehicle.moving", "vehicle.stopped", "vehicle.parked", "cycle.with_rider", "cycle.without_rider"),
    *("pedestrian.sitting_lying_down", "pedestrian.standing", "pedestrian.moving"),
)
VISIBILITIES = ("v0-40", "v40-60", "v60-80", "v80-100")
"""Levels of the visible share in percent; their tokens are "1" to "4"."""
MAP_FILE = "maps/synthetic.png"
VEHICLE = "n000"
LOCATION = "synthetic-street"

_CONSTANT = ("category", "attribute", "visibility", "sensor", "map")

Tables = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One sensor file (`sample_data`)."""

    channel: str
    timestamp_us: int
    is_key_frame: bool
    filename: str
    ego_pose: Pose
    """The car in the global frame at that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationEntry:
    """One object in one key frame (`sample_annotation`)."""

    actor: int
    """The same in every key frame of the scene."""
    category: str
    attribute: str
    visibility: int
    """1..4, index into `VISIBILITIES` plus 1."""
    translation: tuple[float, float, float]
    """Geometric centre, global frame."""
    size_wlh: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    num_lidar_pts: int
    num_radar_pts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFrameEntry:
    """A key frame (`sample`) with its own files and the sweeps that lead up to it."""

    timestamp_us: int
    files: tuple[FileEntry, ...]
    annotations: tuple[AnnotationEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneEntry:
    """One scene with the log it was cut from."""

    name: str
    description: str
    logfile: str
    date: str
    """YYYY-MM-DD."""
    rig: Mapping[str, RigSensor]
    key_frames: tuple[KeyFrameEntry, ...]


def build_tables(scenes: Sequence[SceneEntry], *, seed: int) -> Tables:
    """Return every table as the list of its records. Tokens are hashes of the seed and what they stand for.

    Sweeps point to the key frame that follows them, as nuScenes' schema has it.
    """
    tables: Tables = _constant_tables(scenes, seed)
    for scene in scenes:
        _add_scene(tables, scene, seed)
    return tables


def _token(*parts: object) -> str:
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def _constant_tables(scenes: Sequence[SceneEntry], seed: int) -> Tables:
    channels = {c: s for scene in scenes for c, s in scene.rig.items()}
    return {
        "category": [
            {"token": _token(seed, "category", name), "name": name, "description": ""} for name in CATEGORIES
        ],
        "attribute": [
            {"token": _token(seed, "attribute", name), "name": name, "description": ""} for name in ATTRIBUTES
        ],
        "visibility": [
            {
                "token": str(number),
                "level": level,
                "description": f"visibility of whole object is between {level[1:].replace('-', ' and ')}%",
            }
            for number, level in enumerate(VISIBILITIES, 1)
        ],
        "sensor": [
            {"token": _token(seed, "sensor", channel), "channel": channel, "modality": _modality(channel)}
            for channel in channels
        ],
        "map": [
            {
                "token": _token(seed, "map"),
                "category": "semantic_prior",
                "filename": MAP_FILE,
                "log_tokens": [_token(seed, "log", scene.name) for scene in scenes],
            }
        ],
        **{name: [] for name in TABLES if name not in _CONSTANT},
    }


def _modality(channel: str) -> str:
    return {"CAM": "camera", "LID": "lidar", "RAD": "radar"}[channel[:3]]


def _add_scene(tables: Tables, scene: SceneEntry, seed: int) -> None:
    samples = [_token(seed, scene.name, "sample", k) for k in range(len(scene.key_frames))]
    tables["log"].append(
        {
            "token": _token(seed, "log", scene.name),
            "logfile": scene.logfile,
            "vehicle": VEHICLE,
            "date_captured": scene.date,
            "location": LOCATION,
        }
    )
    tables["scene"].append(
        {
            "token": _token(seed, scene.name),
            "log_token": _token(seed, "log", scene.name),
            "nbr_samples": len(samples),
            "first_sample_token": samples[0],
            "last_sample_token": samples[-1],
            "name": scene.name,
            "description": scene.description,
        }
    )
    tables["sample"] += _chained(
        {"token": token, "timestamp": frame.timestamp_us, "scene_token": _token(seed, scene.name)}
        for token, frame in zip(samples, scene.key_frames, strict=True)
    )
    tables["calibrated_sensor"] += [
        {
            "token": _token(seed, scene.name, channel),
            "sensor_token": _token(seed, "sensor", channel),
            "translation": list(sensor.calibration.translation),
            "rotation": list(sensor.calibration.rotation),
            "camera_intrinsic": [list(row) for row in sensor.intrinsic or ()],
        }
        for channel, sensor in scene.rig.items()
    ]
    for channel, sensor in scene.rig.items():
        _add_files(tables, scene, sensor, samples, prefix=(seed, scene.name, channel))
    _add_annotations(tables, scene, samples, prefix=(seed, scene.name))


def _add_files(
    tables: Tables, scene: SceneEntry, sensor: RigSensor, samples: list[str], *, prefix: tuple[int, str, str]
) -> None:
    files = sorted(
        (
            (entry, sample)
            for frame, sample in zip(scene.key_frames, samples, strict=True)
            for entry in frame.files
            if entry.channel == sensor.channel
        ),
        key=lambda pair: pair[0].timestamp_us,
    )
    width, height = sensor.size_wh or (0, 0)
    tables["ego_pose"] += [
        {
            "token": _token(*prefix, entry.timestamp_us),
            "timestamp": entry.timestamp_us,
            "rotation": list(entry.ego_pose.rotation),
            "translation": list(entry.ego_pose.translation),
        }
        for entry, _ in files
    ]
    tables["sample_data"] += _chained(
        {
            # As in nuScenes, a file and its pose share a token.
            "token": _token(*prefix, entry.timestamp_us),
            "sample_token": sample,
            "ego_pose_token": _token(*prefix, entry.timestamp_us),
            "calibrated_sensor_token": _token(*prefix),
            "timestamp": entry.timestamp_us,
            "fileformat": "jpg" if sensor.size_wh else "pcd",
            "is_key_frame": entry.is_key_frame,
            "height": height,
            "width": width,
            "filename": entry.filename,
        }
        for entry, sample in files
    )


def _add_annotations(
    tables: Tables, scene: SceneEntry, samples: list[str], *, prefix: tuple[int, str]
) -> None:
    seed = prefix[0]
    by_actor: dict[int, list[tuple[AnnotationEntry, str]]] = {}
    for frame, sample in zip(scene.key_frames, samples, strict=True):
        for entry in frame.annotations:
            by_actor.setdefault(entry.actor, []).append((entry, sample))
    for actor, seen in sorted(by_actor.items()):
        instance = _token(*prefix, "instance", actor)
        records = _chained(
            {
                "token": _token(instance, sample),
                "sample_token": sample,
                "instance_token": instance,
                "visibility_token": str(entry.visibility),
                "attribute_tokens": [_token(seed, "attribute", entry.attribute)],
                "translation": list(entry.translation),
                "size": list(entry.size_wlh),
                "rotation": list(entry.rotation),
                "num_lidar_pts": entry.num_lidar_pts,
                "num_radar_pts": entry.num_radar_pts,
            }
            for entry, sample in seen
        )
        tables["sample_annotation"] += records
        tables["instance"].append(
            {
                "token": instance,
                "category_token": _token(seed, "category", seen[0][0].category),
                "nbr_annotations": len(records),
                "first_annotation_token": records[0]["token"],
                "last_annotation_token": records[-1]["token"],
            }
        )


def _chained(records: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records with `prev` and `next`, "" at the ends."""
    chain = list(records)
    tokens = ["", *(record["token"] for record in chain), ""]
    return [
        {**record, "prev": before, "next": after}
        for record, before, after in zip(chain, tokens, tokens[2:], strict=False)
    ]
