"""Info files in the layout of the release of Sparse Beats Dense: `nuscenes_radar_5sweeps_infos_*.pkl`.

A list of dictionaries, a key frame each: `cam_infos` and `lidar_infos` hold one dictionary a channel,
`radar_infos` a list of them a channel, newest first. Sources: the loaders of the release; spec 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets3d import _inert_pickle
from datasets3d.nuscenes import _json_array
from datasets3d.nuscenes.records.record import Pose, SampleRecord, SensorRecord
from datasets3d.nuscenes.tables import finite_matrix, finite_numbers

_GROUPS = ("cam_infos", "lidar_infos", "radar_infos")


def read_published_infos(path: Path | str, *, progress: bool = False) -> list[SampleRecord]:
    """Read the authors' info file: a pickle, of which nothing is executed, or `.json` of the same shape.

    Calibrations are taken from `calibrated_sensor`, else `sensor2ego_*`, poses from `ego_pose`, else
    `ego2global_*`; file names are cut at `samples/` or `sweeps/`. Sweeps of cameras and LiDAR (`cam_sweeps`,
    `lidar_sweeps`) and annotations are not read. What a file does not say is 0 or "" in the records, but a
    key frame without `sample_token` is called by the name of its first file.

    Args:
        progress: Show a bar: a pickle is looked through before it is loaded, some megabytes a second.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Damaged, not plain data, or a field that is missing or of another type; names file, key
            frame and field.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d.nuscenes: no info file {path}")
    records: list[SampleRecord] = []
    for info in _infos(path, progress=progress):
        try:
            records.append(_sample(info))
        except ValueError as error:
            raise ValueError(f"datasets3d.nuscenes: {path}: key frame {len(records)}: {error}") from None
    return records


def write_published_infos(path: Path | str, records: Iterable[SampleRecord]) -> None:
    """Write records in the authors' layout as JSON, atomically.

    `pickle.dump(json.load(...))` makes of it the file that the released code opens. Of cameras and LiDAR the
    key frame's file is written only.
    """
    _json_array.write_records(Path(path), map(_info, records))


def _infos(path: Path, *, progress: bool) -> Iterator[Any]:
    if path.suffix.lower() == ".json":
        yield from _json_array.read_records(path, progress=progress)
        return
    try:
        infos = _inert_pickle.load(path, progress=progress)
    except ValueError as error:
        raise ValueError(
            f"datasets3d.nuscenes: {path} is no pickled info file ({error}); build the records yourself with "
            "`python -m datasets3d prepare nuscenes`"
        ) from None
    if not isinstance(infos, list):
        raise ValueError(f"datasets3d.nuscenes: {path}: expected a list, got {type(infos).__name__}")
    yield from infos


def _sample(info: Any) -> SampleRecord:
    info = _mapping(info, "it")
    cameras, lidars, radars = (_mapping(info.get(group, {}), group) for group in _GROUPS)
    sensors: dict[str, tuple[SensorRecord, ...]] = {}
    for channel, item in cameras.items():
        sensors[channel] = (_camera(channel, item),)
    for channel, item in lidars.items():
        sensors[channel] = (_sensor(channel, item),)
    for channel, sweeps in radars.items():
        if not isinstance(sweeps, list) or not sweeps:
            raise ValueError(f"{channel} must be a list of sweeps with at least one")
        sensors[channel] = tuple(_sensor(channel, item) for item in sweeps)
    if not sensors:
        raise ValueError(f"none of {', '.join(_GROUPS)} names a sensor")
    first = next(iter(sensors.values()))[0]
    return SampleRecord(
        token=_text(info, "sample_token") or Path(first.filename).stem,
        scene_token=_text(info, "scene_token"),
        scene_name=_text(info, "scene_name"),
        timestamp_us=_whole(info, "timestamp"),
        sensors=sensors,
    )


def _camera(channel: str, item: Any) -> SensorRecord:
    record = _sensor(channel, item)
    calibrated = _mapping(item.get("calibrated_sensor", {}), f"{channel}: calibrated_sensor")
    rows = _inert_pickle.plain(calibrated.get("camera_intrinsic"))
    plain_rows = [_inert_pickle.plain(row) for row in rows] if isinstance(rows, list) else rows
    intrinsic = finite_matrix(plain_rows)
    if intrinsic is None:
        raise ValueError(f"{channel}: calibrated_sensor.camera_intrinsic must be 3 rows of 3 finite numbers")
    size_wh = (_whole(item, "width"), _whole(item, "height"))
    return replace(record, intrinsic=intrinsic, size_wh=size_wh if min(size_wh) > 0 else None)


def _sensor(channel: str, item: Any) -> SensorRecord:
    if not isinstance(channel, str):
        raise ValueError(f"expected names of sensors, got {type(channel).__name__}")
    item = _mapping(item, channel)
    return SensorRecord(
        channel=channel,
        filename=_cut(channel, _text(item, "filename") or _text(item, "data_path")),
        token=_text(item, "sample_data_token") or _text(item, "token"),
        timestamp_us=_whole(item, "timestamp"),
        calibration=_pose(channel, item, "calibrated_sensor", "sensor2ego"),
        ego_pose=_pose(channel, item, "ego_pose", "ego2global"),
    )


def _pose(channel: str, item: dict[str, Any], name: str, prefix: str) -> Pose:
    if name in item:
        where, source, prefix = f"{name}.", _mapping(item[name], f"{channel}: {name}"), ""
    else:
        where, source, prefix = f"{prefix}_", item, f"{prefix}_"
    translation = _numbers(source.get(f"{prefix}translation"), 3)
    rotation = _numbers(source.get(f"{prefix}rotation"), 4)
    if translation is None or rotation is None or not any(rotation):
        raise ValueError(
            f"{channel}: {where}translation and {where}rotation must be 3 and 4 finite numbers (w x y z)"
        )
    return Pose.of(translation, rotation)


def _cut(channel: str, filename: str) -> str:
    found = re.fullmatch(r"(?:.*/)?((?:samples|sweeps)/.+)", filename.replace("\\", "/"))
    if found is None or ".." in found[1].split("/"):
        raise ValueError(f"{channel}: expected a file name with samples/ or sweeps/, got {filename[:120]!r}")
    return found[1]


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a dictionary, got {type(value).__name__}")
    return value


def _text(source: dict[str, Any], field: str) -> str:
    value = source.get(field, "")
    if not isinstance(value, str):
        raise ValueError(f"{field} must be text, got {type(value).__name__}")
    return value


def _whole(source: dict[str, Any], field: str) -> int:
    found = _numbers([source.get(field, 0)], 1)
    if found is None or found[0] != int(found[0]):
        raise ValueError(f"{field} must be a whole number")
    return int(_inert_pickle.plain(source.get(field, 0)))


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    values = _inert_pickle.plain(values)
    if not isinstance(values, list | tuple):
        return None
    return finite_numbers([_inert_pickle.plain(value) for value in values], count)


def _info(record: SampleRecord) -> dict[str, Any]:
    info: dict[str, Any] = {
        "sample_token": record.token,
        "scene_token": record.scene_token,
        "scene_name": record.scene_name,
        "timestamp": record.timestamp_us,
        **{group: {} for group in _GROUPS},
    }
    for channel, sweeps in record.sensors.items():
        if sweeps[0].intrinsic is not None:
            info["cam_infos"][channel] = _key_info(record, sweeps[0])
        elif channel.startswith("RADAR"):
            info["radar_infos"][channel] = _sweep_infos(channel, sweeps)
        else:
            info["lidar_infos"][channel] = _key_info(record, sweeps[0])
    return info


def _key_info(sample: SampleRecord, sensor: SensorRecord) -> dict[str, Any]:
    width, height = sensor.size_wh or (0, 0)
    return {
        "sample_token": sample.token,
        "sample_data_token": sensor.token,
        "timestamp": sensor.timestamp_us,
        "is_key_frame": True,
        "height": height,
        "width": width,
        "filename": sensor.filename,
        "calibrated_sensor": {
            "translation": sensor.calibration.translation,
            "rotation": sensor.calibration.rotation,
            "camera_intrinsic": sensor.intrinsic or (),
        },
        "ego_pose": {"translation": sensor.ego_pose.translation, "rotation": sensor.ego_pose.rotation},
    }


def _sweep_infos(channel: str, sweeps: Sequence[SensorRecord]) -> list[dict[str, Any]]:
    return [
        {
            "data_path": sweep.filename,
            "type": channel,
            "sample_data_token": sweep.token,
            "sensor2ego_translation": sweep.calibration.translation,
            "sensor2ego_rotation": sweep.calibration.rotation,
            "ego2global_translation": sweep.ego_pose.translation,
            "ego2global_rotation": sweep.ego_pose.rotation,
            "timestamp": sweep.timestamp_us,
            "time_lag": (sweeps[0].timestamp_us - sweep.timestamp_us) / 1e6,
        }
        for sweep in sweeps
    ]
