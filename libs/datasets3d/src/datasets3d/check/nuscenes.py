"""What is off in a data set laid out as nuScenes', and the cure: `python -m datasets3d check ROOT`."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets3d._files import read_image, read_image_size
from datasets3d._point_files import count_points
from datasets3d.check.nuscenes_report import MASK_FOLDER, ChannelCheck, NuscenesCheckReport, VersionCheck
from datasets3d.nuscenes.annotations import read_annotations
from datasets3d.nuscenes.channels import CAMERAS, LIDAR, RADARS
from datasets3d.nuscenes.key_frames import read_key_frames
from datasets3d.nuscenes.lidar import LIDAR_FIELDS, read_lidar
from datasets3d.nuscenes.radar import read_radar
from datasets3d.nuscenes.records.from_tables import build_records
from datasets3d.nuscenes.tables import TABLES, Row, stream

_REFERENCES = {
    "calibrated_sensor": {"sensor_token": "sensor"},
    "instance": {
        "category_token": "category",
        "first_annotation_token": "sample_annotation",
        "last_annotation_token": "sample_annotation",
    },
    "map": {"log_tokens": "log"},
    "sample": {"scene_token": "scene", "prev": "sample", "next": "sample"},
    "sample_annotation": {
        "sample_token": "sample",
        "instance_token": "instance",
        "visibility_token": "visibility",
        "attribute_tokens": "attribute",
        "prev": "sample_annotation",
        "next": "sample_annotation",
    },
    "sample_data": {
        "sample_token": "sample",
        "ego_pose_token": "ego_pose",
        "calibrated_sensor_token": "calibrated_sensor",
        "prev": "sample_data",
        "next": "sample_data",
    },
    "scene": {"log_token": "log", "first_sample_token": "sample", "last_sample_token": "sample"},
}
"""By table: its fields that hold tokens, and the tables these are of."""
_MAY_BE_EMPTY = ("prev", "next", "visibility_token")
_SHOWN = 5
"""Damaged files named one by one, a channel."""


def find_versions(root: Path | str) -> list[str]:
    """Return the names of the folders with tables under a root; none if the layout is another.

    Example:
        >>> find_versions("nowhere")
        []
    """
    names = {"sample.json", "sample_data.json", "scene.json"}
    return sorted({path.parent.name for path in Path(root).glob("*/*.json") if path.name in names})


def check_nuscenes(
    root: Path | str, *, split: str | Sequence[str] | None = None, progress: bool = False
) -> NuscenesCheckReport:
    """Check every table of every version folder, and the files that they name.

    Tables must be there, every token lead somewhere, and `NuscenesDataset` take them. Files of key frames and
    all radar files are read whole, which takes an hour for the 34 000 key frames of the whole data set; of
    other LiDAR files the size is checked, of other pictures the header. What is missing or damaged ends up in
    the report, it raises nothing.

    Args:
        split: Only files of this split, as for `build_records`; None takes all files.

    Raises:
        FileNotFoundError: No version folder.
        ValueError: No version folder knows the split, or has all its scenes.
    """
    root = Path(root)
    versions = find_versions(root)
    if not versions:
        raise FileNotFoundError(
            f"datasets3d.nuscenes: no folder with tables under {root}; expected such as {root}/v1.0-mini"
        )
    wanted = dict.fromkeys(versions) if split is None else _wanted(root, versions, split)
    return NuscenesCheckReport(
        root=str(root),
        versions=tuple(
            _check_version(root, version, split, tokens, progress=progress)
            for version, tokens in wanted.items()
        ),
    )


def _wanted(
    root: Path, versions: Sequence[str], split: str | Sequence[str]
) -> dict[str, Container[str] | None]:
    """Return the key frames of a split for every version that has it."""
    found: dict[str, Container[str] | None] = {}
    errors: list[Exception] = []
    for version in versions:
        try:
            found[version] = read_key_frames(root / version, split).tokens
        except (OSError, ValueError) as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def _check_version(
    root: Path,
    version: str,
    split: str | Sequence[str] | None,
    wanted: Container[str] | None,
    *,
    progress: bool,
) -> VersionCheck:
    folder = root / version
    problems: list[str] = []
    tokens: dict[str, set[int]] = {}
    for name in TABLES:
        try:
            tokens[name] = _tokens(folder, name, problems, progress=progress)
        except (OSError, ValueError) as error:
            problems.append(str(error))
    for name, fields in _REFERENCES.items():
        if name in tokens:
            problems += _dangling(folder, name, fields, tokens, progress=progress)
    channels: dict[str, ChannelCheck] = {}
    if {"sample_data", "calibrated_sensor", "sensor"} <= tokens.keys():
        channels = _check_files(root, folder, wanted, progress=progress)
    if not problems:
        problems += _refused_by_the_loader(root, version, split, tuple(channels), progress=progress)
    return VersionCheck(
        version=version,
        counts={name: len(known) for name, known in tokens.items()},
        table_problems=tuple(problems),
        channels=tuple(channels[name] for name in sorted(channels)),
    )


def _check_files(
    root: Path, folder: Path, wanted: Container[str] | None, *, progress: bool
) -> dict[str, ChannelCheck]:
    channels: dict[str, ChannelCheck] = {}
    for row, channel, modality in _files(folder, progress=progress):
        if wanted is None or str(row.record.get("sample_token")) in wanted:
            found = channels.setdefault(channel, ChannelCheck(channel=channel))
            _check_file(root, row, modality, found)
    for found in channels.values():
        if found.damaged > _SHOWN:
            found.problems.append(f"{found.channel}: {found.damaged - _SHOWN} more files are damaged")
    return channels


def _refused_by_the_loader(
    root: Path, version: str, split: str | Sequence[str] | None, present: Container[str], *, progress: bool
) -> list[str]:
    """Return what keeps records and boxes from being made of tables whose tokens all lead somewhere."""
    channels = [channel for channel in (LIDAR, *CAMERAS, *RADARS) if channel in present]
    try:
        if channels:
            build_records(root, version=version, split=split, channels=channels, sweeps={}, progress=progress)
        read_annotations(root / version, read_key_frames(root / version, split), progress=progress)
    except (OSError, ValueError) as error:
        return [str(error)]
    return []


def _tokens(folder: Path, name: str, problems: list[str], *, progress: bool) -> set[int]:
    """Return the hashes of the tokens of a table: numbers take a third of the room of texts."""
    found: set[int] = set()
    for row in stream(folder, name, progress=progress):
        if hash(row.token) in found:
            problems.append(f"{row.path}: two records have token {row.token!r}; unpack it anew")
        found.add(hash(row.token))
    return found


def _dangling(
    folder: Path, name: str, fields: dict[str, str], tokens: dict[str, set[int]], *, progress: bool
) -> Iterator[str]:
    count, first = dict.fromkeys(fields, 0), {}
    known = {fieldname: tokens[target] for fieldname, target in fields.items() if target in tokens}
    for row in stream(folder, name, progress=progress):
        for fieldname, targets in known.items():
            for value in _asked(row, fieldname):
                if not isinstance(value, str) or hash(value) not in targets:
                    count[fieldname] += 1
                    first.setdefault(fieldname, f"{row} has {str(value)[:80]!r}")
    for fieldname, example in first.items():
        yield (
            f"{folder / name}.json: {count[fieldname]} {fieldname} lead nowhere in {fields[fieldname]}.json "
            f"(first: {example}); unpack both tables from the same archive"
        )


def _asked(row: Row, fieldname: str) -> list[Any]:
    value = row.record.get(fieldname)
    if fieldname.endswith("_tokens") and isinstance(value, list):
        return value
    return [] if value == "" and fieldname in _MAY_BE_EMPTY else [value]


def _files(folder: Path, *, progress: bool) -> Iterator[tuple[Row, str, str]]:
    """Yield every record of `sample_data` with channel and modality; dangling ones are reported elsewhere."""
    kinds = {row.token: row.record for row in stream(folder, "sensor")}
    mounts = {row.token: row.record.get("sensor_token") for row in stream(folder, "calibrated_sensor")}
    for row in stream(folder, "sample_data", progress=progress):
        kind = kinds.get(str(mounts.get(str(row.record.get("calibrated_sensor_token")))))
        if kind is not None:
            yield row, str(kind.get("channel")), str(kind.get("modality"))


def _check_file(root: Path, row: Row, modality: str, found: ChannelCheck) -> None:
    is_key = row.record.get("is_key_frame") is True
    found.files += 1
    found.key_files += is_key
    try:
        path = root / row.text("filename")
        if modality == "radar":
            read_radar(path)
        elif modality == "lidar":
            if is_key:
                read_lidar(path)
            else:
                count_points(path, LIDAR_FIELDS)
        else:
            found.masks += is_key and (root / MASK_FOLDER / f"{path.stem}.png").is_file()
            _check_size(path, row)
            if is_key:
                read_image(path)
    except FileNotFoundError as error:
        found.absent += 1
        if found.absent == 1:
            found.problems.append(f"{found.channel}: files are absent; unpack its archive; first: {error}")
    except (OSError, ValueError) as error:
        found.damaged += 1
        if found.damaged <= _SHOWN:
            found.problems.append(str(error).splitlines()[0])


def _check_size(path: Path, row: Row) -> None:
    size, stated = read_image_size(path), (row.whole("width"), row.whole("height"))
    if min(stated) > 0 and size != stated:
        raise ValueError(
            f"datasets3d.nuscenes: {path} has {size[0]}x{size[1]} pixels, the tables say "
            f"{stated[0]}x{stated[1]}"
        )
