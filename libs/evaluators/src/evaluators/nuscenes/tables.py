"""Ground truth from the tables of the data set: its JSON files, without the official kit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from evaluators._validation import first_names
from evaluators.nuscenes.boxes import NuscenesBoxes, NuscenesSample
from evaluators.nuscenes.protocol import CLASS_OF_CATEGORY, MAX_VELOCITY_GAP_S, RACK_CATEGORY
from evaluators.nuscenes.splits import SPLITS

_Record: TypeAlias = Mapping[str, Any]
_REFERENCE_CHANNEL = "LIDAR_TOP"
"""Ranges are measured from where the vehicle was at the key frame of this sensor."""
_UNWANTED = object()


def read_ground_truth(
    dataroot: str | Path, *, version: str = "v1.0-mini", split: str | Sequence[str] | None = None
) -> dict[str, NuscenesSample]:
    """Return the ground truth of a split by sample token, in the order of the sample table.

    Read from `dataroot/version`: scene, sample, sensor, calibrated_sensor, sample_data, ego_pose, category,
    instance, attribute, sample_annotation (.json). Velocity is the difference of the places before and after,
    NaN if there are none or they are more than 3 s apart (1.5 s with one of them). Only what the split needs
    is kept; the text of the largest table (sample_data, a gigabyte for trainval) is in memory for a while.

    Args:
        split: A name (a key of `splits.json` in the folder of the tables, which goes first: a synthetic tree
            has a "train" of its own; or "train", "val", "test", "mini_train", "mini_val"), a list of scene
            names, a list of sample tokens, or None for all samples.

    Raises:
        FileNotFoundError: A table is missing.
        ValueError: A table is not a list of records; a record lacks a field or has a wrong one; a token leads
            nowhere; a scene of the split is not in the tables; an annotation has two attributes; there are no
            annotations. The message names table and token.
    """
    folder = Path(dataroot) / version
    scenes = _Table(folder, "scene")
    samples = _Table(folder, "sample")
    chosen, related = _chosen_samples(folder, scenes, samples, split)
    egos = _ego_translations(folder, set(chosen))
    annotations = _Table(
        folder, "sample_annotation", lambda record: _may_be_in(record, "sample_token", related, samples)
    )
    by_sample: dict[str, list[_Record]] = {token: [] for token in chosen}
    for annotation in annotations:
        token = _text(annotations, annotation, "sample_token")
        samples.get(token, asked_by=_name(annotations, annotation))
        if token in by_sample:
            by_sample[token].append(annotation)
    if not any(by_sample.values()):
        raise ValueError(
            f"{annotations.path} holds nothing on the split; the test split has no public labels"
        )
    reader = _BoxReader(folder, samples, annotations)
    return {token: reader.sample(by_sample[token], egos[token]) for token in chosen}


def read_sample_tokens(
    dataroot: str | Path, *, version: str = "v1.0-mini", split: str | Sequence[str] | None = None
) -> list[str]:
    """Return the sample tokens of a split, to check a submission where there are no labels, as for test.

    Reads the tables scene and sample only; arguments and errors as for `read_ground_truth`.
    """
    folder = Path(dataroot) / version
    return _chosen_samples(folder, _Table(folder, "scene"), _Table(folder, "sample"), split)[0]


class _Table:
    """The records of one table that are wanted, by token, in file order."""

    def __init__(
        self, folder: Path, name: str, wanted: Callable[[_Record], bool] = lambda record: True
    ) -> None:
        self.name = name
        self.path = folder / f"{name}.json"
        if not self.path.is_file():
            raise FileNotFoundError(
                f"no table {self.path}; expected the folder of the data set with its metadata unpacked"
            )
        try:
            # Unwanted records are let go while parsing: some tables hold millions.
            rows: Any = json.loads(
                self.path.read_bytes().decode("utf-8-sig"),
                object_hook=lambda record: record if wanted(record) else _UNWANTED,
            )
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.path}: not a JSON file ({error}); unpack the metadata anew") from None
        self._records: dict[str, _Record] = {}
        for row in _listed(rows, self.path):
            is_record, record = isinstance(row, dict), cast("_Record", row)
            if not is_record or not isinstance(record.get("token"), str):
                raise ValueError(f"{self.path}: expected records with a token, got {str(row)[:80]}")
            self._records[record["token"]] = record

    def __iter__(self) -> Iterator[_Record]:
        return iter(self._records.values())

    def __contains__(self, token: object) -> bool:
        return token in self._records

    def get(self, token: str, *, asked_by: str) -> _Record:
        """Return the record with that token; `asked_by` is blamed if there is none."""
        record = self._records.get(token)
        if record is None:
            raise ValueError(f"{self.path}: no record with token {token!r}, which {asked_by} asks for")
        return record


def _text_in(record: _Record, field: str, tokens: Container[str]) -> bool:
    value = record.get(field)
    return isinstance(value, str) and value in tokens


def _may_be_in(record: _Record, field: str, tokens: Container[str], known: Container[str]) -> bool:
    """Return whether the field holds one of the tokens, or nothing that is known and so must be refused."""
    return _text_in(record, field, tokens) or not _text_in(record, field, known)


def _listed(rows: Any, path: Path) -> list[Any]:
    if not isinstance(rows, list):
        raise ValueError(f"{path}: expected a list of records, got {type(rows).__name__}")
    return [row for row in cast("list[Any]", rows) if row is not _UNWANTED]


def _name(table: _Table, record: _Record) -> str:
    return f"{table.name} {record['token']!r}"


def _field(table: _Table, record: _Record, field: str) -> Any:
    if field not in record:
        raise ValueError(f"{table.path}: {_name(table, record)} has no {field}")
    return record[field]


def _text(table: _Table, record: _Record, field: str) -> str:
    value = _field(table, record, field)
    if not isinstance(value, str):
        raise ValueError(f"{table.path}: {field} of {_name(table, record)} must be text, got {value!r}")
    return value


def _numbers(table: _Table, record: _Record, field: str, width: int) -> list[float]:
    """Return `width` finite numbers; width 0 stands for one number that is not in a list."""
    value = _field(table, record, field)
    values = [value] if width == 0 else value
    try:
        numbers = [float(item) for item in values if isinstance(item, int | float)]
        if len(numbers) == len(values) == max(width, 1) and all(map(math.isfinite, numbers)):
            return numbers
    except (TypeError, OverflowError):
        pass
    raise ValueError(
        f"{table.path}: {field} of {_name(table, record)} must be {width or 'a'} finite number(s),"
        f" got {str(value)[:80]}"
    )


def _chosen_samples(
    folder: Path, scenes: _Table, samples: _Table, split: str | Sequence[str] | None
) -> tuple[list[str], set[str]]:
    """Return the sample tokens of the split, and those of all samples of the same scenes."""
    scene_of = {record["token"]: _text(samples, record, "scene_token") for record in samples}
    names = {record["token"]: _text(scenes, record, "name") for record in scenes}
    for token, scene in scene_of.items():
        scenes.get(scene, asked_by=f"sample {token!r}")
    wanted = set(scene_of) if split is None else set(_split_names(folder, split))
    tokens = [token for token in scene_of if token in wanted]
    if not tokens or not wanted <= scene_of.keys():
        absent = wanted - set(names.values())
        if absent:
            raise ValueError(
                f"{folder}: {len(absent)} of {len(wanted)} scenes or samples of the split {_shown(split)} are"
                f" not in the tables: {first_names(absent)}; they hold {first_names(names.values())}"
            )
        tokens = [token for token, scene in scene_of.items() if names[scene] in wanted]
    if not tokens:
        raise ValueError(f"{folder}: no samples to evaluate in the split {_shown(split)}")
    touched = {scene_of[token] for token in tokens}
    return tokens, {token for token, scene in scene_of.items() if scene in touched}


def _shown(split: str | Sequence[str] | None) -> str:
    return repr(split) if isinstance(split, str) else "given"


def _split_names(folder: Path, split: str | Sequence[str]) -> Sequence[str]:
    if not isinstance(split, str):
        return split
    path = folder / "splits.json"
    own: Any = {}
    if path.is_file():
        try:
            own = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not a JSON file ({error})") from None
    names: Any = cast("dict[str, Any]", own).get(split) if isinstance(own, dict) else None
    if names is None and isinstance(own, dict) and split in SPLITS:
        return SPLITS[split]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in cast("list[Any]", names)):
        raise ValueError(
            f"unknown split {split!r}: it is none of {', '.join(SPLITS)}, and {path} does not list its scenes"
        )
    return cast("list[str]", names)


def _ego_translations(folder: Path, samples: set[str]) -> dict[str, np.ndarray]:
    """Return where the vehicle was at the reference key frame of each sample, in the global frame."""
    sensors = _Table(folder, "sensor", lambda record: record.get("channel") == _REFERENCE_CHANNEL)
    channels = {record["token"] for record in sensors}
    mounted = _Table(folder, "calibrated_sensor", lambda record: _text_in(record, "sensor_token", channels))
    mounts = {record["token"] for record in mounted}
    frames = _Table(
        folder,
        "sample_data",
        lambda record: (
            record.get("is_key_frame") is True
            and _text_in(record, "sample_token", samples)
            and _text_in(record, "calibrated_sensor_token", mounts)
        ),
    )
    pose_of = {record["sample_token"]: (_text(frames, record, "ego_pose_token"), record) for record in frames}
    absent = samples - pose_of.keys()
    if absent:
        raise ValueError(
            f"{frames.path}: no {_REFERENCE_CHANNEL} key frame for {len(absent)} samples:"
            f" {first_names(absent)}"
        )
    poses = {pose for pose, _ in pose_of.values()}
    ego = _Table(folder, "ego_pose", lambda record: _text_in(record, "token", poses))
    return {
        sample: np.array(
            _numbers(ego, ego.get(pose, asked_by=_name(frames, record)), "translation", 3), dtype=np.float64
        )
        for sample, (pose, record) in pose_of.items()
    }


class _BoxReader:
    """Turns annotations into boxes; looks up category, attribute and velocity."""

    def __init__(self, folder: Path, samples: _Table, annotations: _Table) -> None:
        self._samples, self._annotations = samples, annotations
        self._instances, self._categories = _Table(folder, "instance"), _Table(folder, "category")
        self._attributes = _Table(folder, "attribute")

    def sample(self, annotations: Sequence[_Record], ego_translation: np.ndarray) -> NuscenesSample:
        """Return the boxes of the evaluated classes and the bicycle racks of one sample."""
        table = self._annotations
        categories = [self._category(record) for record in annotations]
        racks = [
            [value for field, width in _GEOMETRY for value in _numbers(table, record, field, width)]
            for record, category in zip(annotations, categories, strict=True)
            if category == RACK_CATEGORY
        ]
        pairs = zip(annotations, categories, strict=True)
        kept = [(record, CLASS_OF_CATEGORY[name]) for record, name in pairs if name in CLASS_OF_CATEGORY]
        points = [
            sum(_numbers(table, record, field, 0)[0] for field in ("num_lidar_pts", "num_radar_pts"))
            for record, _ in kept
        ]
        boxes = NuscenesBoxes.ground_truth(
            [name for _, name in kept],
            translation=[_numbers(table, record, "translation", 3) for record, _ in kept],
            size_wlh=[_numbers(table, record, "size", 3) for record, _ in kept],
            rotation=[_numbers(table, record, "rotation", 4) for record, _ in kept],
            velocity=[self._velocity(record) for record, _ in kept],
            attributes=[self._attribute(record) for record, _ in kept],
            num_pts=points,
        )
        return NuscenesSample(
            boxes=boxes, ego_translation=ego_translation, racks=np.array(racks).reshape(len(racks), 10)
        )

    def _category(self, annotation: _Record) -> str:
        asked_by = _name(self._annotations, annotation)
        token = _text(self._annotations, annotation, "instance_token")
        instance = self._instances.get(token, asked_by=asked_by)
        category = _text(self._instances, instance, "category_token")
        found = self._categories.get(category, asked_by=_name(self._instances, instance))
        return _text(self._categories, found, "name")

    def _attribute(self, annotation: _Record) -> str:
        asked_by = _name(self._annotations, annotation)
        tokens = _field(self._annotations, annotation, "attribute_tokens")
        if not isinstance(tokens, list) or len(cast("list[Any]", tokens)) > 1:
            raise ValueError(
                f"{self._annotations.path}: {asked_by} must have one attribute or none, got {tokens!r}"
            )
        if not tokens:
            return ""
        record = self._attributes.get(str(cast("list[Any]", tokens)[0]), asked_by=asked_by)
        return _text(self._attributes, record, "name")

    def _velocity(self, annotation: _Record) -> tuple[float, float]:
        """Return vx, vy from the places before and after (or the one there is) and their times."""
        table, asked_by = self._annotations, _name(self._annotations, annotation)
        before, after = (_text(table, annotation, field) for field in ("prev", "next"))
        if not before and not after:
            return math.nan, math.nan
        first = table.get(before, asked_by=asked_by) if before else annotation
        last = table.get(after, asked_by=asked_by) if after else annotation
        seconds = self._time_s(last) - self._time_s(first)
        if not seconds > 0:
            raise ValueError(f"{table.path}: the neighbours of {asked_by} in time are not in order")
        if seconds > MAX_VELOCITY_GAP_S * (2 if before and after else 1):
            return math.nan, math.nan
        x0, y0, _ = _numbers(table, first, "translation", 3)
        x1, y1, _ = _numbers(table, last, "translation", 3)
        return (x1 - x0) / seconds, (y1 - y0) / seconds

    def _time_s(self, annotation: _Record) -> float:
        token = _text(self._annotations, annotation, "sample_token")
        sample = self._samples.get(token, asked_by=_name(self._annotations, annotation))
        return 1e-6 * _numbers(self._samples, sample, "timestamp", 0)[0]


_GEOMETRY = (("translation", 3), ("size", 3), ("rotation", 4))
