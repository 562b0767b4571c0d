"""Records of a split in a JSON file of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets3d import _atomic, _sources
from datasets3d.nuscenes import _json_array
from datasets3d.nuscenes.records.record import Pose, SampleRecord, SensorRecord
from datasets3d.nuscenes.tables import finite_numbers

FORMAT = "datasets3d.nuscenes_records"
VERSION = 1


def write_records(
    path: Path | str, records: Sequence[SampleRecord], *, sources: Mapping[str, str] | None = None
) -> None:
    """Write records atomically: a JSON list, first the format and its version, then a key frame a line.

    Args:
        sources: Hashes of the tables that they were built from, by path below the root of the data set.
    """
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION, "samples": len(records)}
    if sources:
        header["sources"] = dict(sources)
    _json_array.write_records(Path(path), _elements(header, records))


def read_records(path: Path | str, *, root: Path | str | None = None) -> list[SampleRecord]:
    """Read a file that `write_records` wrote.

    Args:
        root: Of the data set; the tables are compared with those that the records were built from, which
            takes as long as reading their bytes. None, or a root without tables: they are not compared.

    Raises:
        FileNotFoundError: No such file; names the command that writes it.
        ValueError: Not our format, another version of it, damaged, or built from other tables; names the file
            and the key frame.
    """
    path = Path(path)
    cure = "write it with `python -m datasets3d prepare nuscenes --root ... --split ... --out ...`"
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d.nuscenes: no {path}; {cure}")
    elements = _json_array.read_records(path)
    header = next(elements, {})
    _atomic.check_format(header, path, format=FORMAT, version=VERSION, cure=cure)
    sources = header.get("sources", {})
    if not isinstance(sources, dict):
        raise ValueError(f"datasets3d.nuscenes: {path} is damaged: sources must be an object; {cure}")
    if root is not None:
        _sources.refuse_changed(path, Path(root), sources, cure=cure)
    records = []
    for element in elements:
        try:
            records.append(_from_json(element))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(
                f"datasets3d.nuscenes: {path}: key frame {len(records)} is damaged ({error!r}); {cure}"
            ) from None
    if len(records) != header.get("samples"):
        raise ValueError(
            f"datasets3d.nuscenes: {path} holds {len(records)} of {header.get('samples')} key frames; {cure}"
        )
    return records


def _elements(header: dict[str, Any], records: Sequence[SampleRecord]) -> Iterator[dict[str, Any]]:
    yield header
    for record in records:
        sensors = [[_sensor_json(sensor) for sensor in sweeps] for sweeps in record.sensors.values()]
        yield {
            "token": record.token,
            "scene_token": record.scene_token,
            "scene_name": record.scene_name,
            "timestamp_us": record.timestamp_us,
            "sensors": sensors,
        }


def _sensor_json(sensor: SensorRecord) -> dict[str, Any]:
    content: dict[str, Any] = {
        "channel": sensor.channel,
        "filename": sensor.filename,
        "token": sensor.token,
        "timestamp_us": sensor.timestamp_us,
        "calibration": [*sensor.calibration.translation, *sensor.calibration.rotation],
        "ego_pose": [*sensor.ego_pose.translation, *sensor.ego_pose.rotation],
    }
    if sensor.intrinsic is not None:
        content["intrinsic"] = sensor.intrinsic
    if sensor.size_wh is not None:
        content["size_wh"] = sensor.size_wh
    return content


def _from_json(content: dict[str, Any]) -> SampleRecord:
    sweeps = [tuple(_sensor_from_json(sensor) for sensor in sensors) for sensors in content["sensors"]]
    return SampleRecord(
        token=str(content["token"]),
        scene_token=str(content["scene_token"]),
        scene_name=str(content["scene_name"]),
        timestamp_us=int(content["timestamp_us"]),
        sensors={sensors[0].channel: sensors for sensors in sweeps},
    )


def _sensor_from_json(content: dict[str, Any]) -> SensorRecord:
    rows, size = content.get("intrinsic"), content.get("size_wh")
    return SensorRecord(
        channel=str(content["channel"]),
        filename=str(content["filename"]),
        token=str(content["token"]),
        timestamp_us=int(content["timestamp_us"]),
        calibration=_pose_from_json(content["calibration"]),
        ego_pose=_pose_from_json(content["ego_pose"]),
        intrinsic=None if rows is None else tuple((float(a), float(b), float(c)) for a, b, c in rows),
        size_wh=None if size is None else (int(size[0]), int(size[1])),
    )


def _pose_from_json(numbers: Any) -> Pose:
    found = finite_numbers(numbers, 7)
    if found is None:
        raise ValueError("a pose must be 7 finite numbers")
    return Pose.of(found[:3], found[3:])
