r"""Score, read, check and write submissions: the JSON files that the evaluation server takes.

To have the official kit score the same file, give it an environment of its own (it needs NumPy below 2):

    python -m venv kit && kit/bin/pip install nuscenes-devkit
    kit/bin/python -m nuscenes.eval.detection.evaluate results_nusc.json --eval_set val \
        --dataroot /data/nuscenes --version v1.0-trainval --output_dir kit_scores --plot_examples 0

`kit_scores/metrics_summary.json` then holds the figures under the names of `NuscenesResult.to_json`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np

from evaluators._pairs import require_pairs
from evaluators._report import replacing
from evaluators._validation import Missing, OnInvalid, first_names
from evaluators.nuscenes._checks import check_names, checked
from evaluators.nuscenes.boxes import NuscenesBoxes
from evaluators.nuscenes.evaluator import check_count, evaluate
from evaluators.nuscenes.protocol import DETECTION_CVPR_2019, NuscenesProtocol
from evaluators.nuscenes.result import NuscenesResult
from evaluators.nuscenes.tables import read_ground_truth

Invalid: TypeAlias = Literal["error", "keep"]
"""Rows with bad numbers: refuse them, or hand them on to a caller that drops and counts them."""

_WIDTHS: Final = {"translation": 3, "size": 3, "rotation": 4, "velocity": 2}
_NUMBERS = struct.Struct("<13d")
_NAMES: Final = ("sample_token", "detection_name", "attribute_name")
_Row: TypeAlias = tuple[str, str, str, int, bytes]
"""sample_token, detection_name, attribute_name, num_pts, numbers; small, as files hold a million boxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NuscenesMeta:
    """What the detector looked at; the server asks for it, the scores do not depend on it."""

    use_camera: bool = False
    use_lidar: bool = False
    use_radar: bool = False
    use_map: bool = False
    use_external: bool = False
    """Data sets or models from elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NuscenesSubmission:
    """A submission as read from its file."""

    meta: NuscenesMeta
    boxes: Mapping[str, NuscenesBoxes]
    """By sample token, in the order of the file, which decides between equal scores."""


def evaluate_submission(
    gt_dir: str | Path,
    pred_file: str | Path,
    *,
    version: str = "v1.0-mini",
    split: str | Sequence[str] | None = None,
    protocol: NuscenesProtocol = DETECTION_CVPR_2019,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
) -> NuscenesResult:
    """Return the scores of the submission `pred_file`, as the official kit computes them.

    `gt_dir` is the folder of the data set (`dataroot`); `split` names its samples, which are the frames.

    See `evaluate` for the protocol and the policies, `read_ground_truth` and `read_submission` for the files
    and their errors. Samples of the file must be those of the split; `missing="empty"` lets it lack some.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is broken, or what `evaluate` refuses.

    Example:
        >>> evaluate_submission(
        ...     "/data/nuscenes", "results_nusc.json", version="v1.0-trainval", split="val"
        ... )  # doctest: +SKIP
    """
    gt = read_ground_truth(gt_dir, version=version, split=split)
    invalid = "error" if on_invalid == "error" else "keep"
    found = read_submission(pred_file, protocol=protocol, invalid=invalid)
    return evaluate(gt, found.boxes, protocol=protocol, missing=missing, on_invalid=on_invalid)


def read_submission(
    path: str | Path,
    *,
    protocol: NuscenesProtocol = DETECTION_CVPR_2019,
    frames: Collection[str] | None = None,
    invalid: Invalid = "error",
) -> NuscenesSubmission:
    """Return the boxes of a submission, checked as strictly as the format is described.

    The file is an object with `meta` (use_camera, use_lidar, use_radar, use_map, use_external, all true or
    false) and `results`: sample token -> list of boxes. A box has sample_token, translation [x, y, z], size
    [w, l, h], rotation [w, x, y, z], velocity [vx, vy], detection_name, detection_score, attribute_name;
    other fields are ignored, but for num_pts: boxes with 0 do not count, as in the official kit. Cost: some
    ten seconds for the validation split, most of it parsing.

    Args:
        frames: Sample tokens, or ground truth by token; the samples of the file must then be exactly these.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not JSON or not such an object; a key twice; a box without a field or with a
            wrong one; a box under another sample's token; too many boxes; bad numbers (see `evaluate`); other
            samples. The message names file, sample and row (from 1).
    """
    data = _parsed(Path(path))
    if not isinstance(data, dict) or not {"meta", "results"} <= data.keys():
        raise ValueError(f"{path}: expected an object with 'meta' and 'results'; is this a submission?")
    meta = _meta(data["meta"], path)
    results: Any = data["results"]  # pyright: ignore[reportUnknownVariableType] - from JSON
    if not isinstance(results, dict):
        raise ValueError(f"{path}: results must be an object, sample token -> list of boxes")
    boxes: dict[str, NuscenesBoxes] = {}
    for token, rows in cast("dict[str, Any]", results).items():
        where = f"{path}, sample {token!r}"
        found = _boxes(rows, token, where=where)
        check_count(found, protocol, where=where)
        check_names(found, protocol, where=where, is_gt=False)
        boxes[token] = (
            checked(found, "error", where=where, accepts=protocol.accepts) if invalid == "error" else found
        )
    if frames is not None:
        require_pairs(
            set(frames),
            boxes.keys(),
            missing="error",
            nothing="give an empty list where nothing was found",
            what=f"{path} must hold the samples of the split: its results",
        )
    return NuscenesSubmission(meta=meta, boxes=boxes)


def write_submission(
    path: str | Path,
    boxes: Mapping[str, NuscenesBoxes],
    *,
    meta: NuscenesMeta,
    protocol: NuscenesProtocol = DETECTION_CVPR_2019,
) -> None:
    """Write a submission, complete or not at all; what `read_submission` would refuse is not written.

    Every sample of the split must be in `boxes`, with `NuscenesBoxes.empty()` where nothing was found; boxes
    are in the global frame. Numbers are written so that reading gives the same float64.

    Raises:
        ValueError: Too many boxes, unknown names, bad numbers, detections without score.
        FileNotFoundError: The folder of `path` does not exist.
    """
    flags = {field.name: getattr(meta, field.name) for field in fields(NuscenesMeta)}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'{{"meta": {json.dumps(flags)}, "results": {{')
        for at, (token, found) in enumerate(boxes.items()):
            where = f"sample {token!r}"
            if found.score is None:
                raise ValueError(f"{where}: boxes have no score; build them with NuscenesBoxes.predictions")
            check_count(found, protocol, where=where)
            check_names(found, protocol, where=where, is_gt=False)
            checked(found, "error", where=where)
            file.write(f"{',' if at else ''}\n{json.dumps(token)}: {json.dumps(_records(token, found))}")
        file.write("}}\n")


def _records(token: str, boxes: NuscenesBoxes) -> list[dict[str, Any]]:
    assert boxes.score is not None
    columns = (boxes.translation, boxes.size_wlh, boxes.rotation, boxes.velocity, boxes.score)
    return [
        {
            "sample_token": token,
            "translation": translation,
            "size": size,
            "rotation": rotation,
            "velocity": velocity,
            "detection_name": name,
            "detection_score": score,
            "attribute_name": attribute,
        }
        for name, attribute, translation, size, rotation, velocity, score in zip(
            boxes.names, boxes.attributes, *(column.tolist() for column in columns), strict=True
        )
    ]


def _parsed(path: Path) -> Any:
    try:
        # Decoded first, so that only one copy of half a gigabyte is there while parsing.
        return json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_new_object_hook())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text ({error.reason} at byte {error.start})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error or 'nested too deeply'}; is this a complete JSON file?") from None


def _new_object_hook() -> Callable[[list[tuple[str, Any]]], Any]:
    """Return a hook that packs good boxes while the file is parsed, and leaves all else as it is."""
    memo: dict[str, str] = {}

    def packed(pairs: list[tuple[str, Any]]) -> Any:
        record = dict(pairs)
        if len(record) != len(pairs):
            names = [name for name, _ in pairs]
            twice = {name for name in names if names.count(name) > 1}
            raise ValueError(f"the key {first_names(twice)} is there twice in one object")
        return _row(record, memo) if "detection_name" in record else record

    return packed


def _row(record: dict[str, Any], memo: dict[str, str]) -> _Row | dict[str, Any]:
    """Return the box in little space, or the record itself for `_complain` if anything is wrong with it."""
    # Spelled out field by field: this runs a million times per file.
    try:
        place, size, turn, speed = (
            record["translation"],
            record["size"],
            record["rotation"],
            record["velocity"],
        )
        token, name, mark = record["sample_token"], record["detection_name"], record["attribute_name"]
        num_pts = record.get("num_pts", -1)
        numbers = _NUMBERS.pack(*place, *size, *turn, *speed, record["detection_score"])
        widths_fit = len(place) == 3 and len(size) == 3 and len(turn) == 4
        if widths_fit and type(token) is type(name) is type(mark) is str and isinstance(num_pts, int):
            keep = memo.setdefault
            return keep(token, token), keep(name, name), keep(mark, mark), -(num_pts != 0), numbers
    except (KeyError, TypeError, struct.error, OverflowError):
        pass
    return record


def _boxes(rows: Any, token: str, *, where: str) -> NuscenesBoxes:
    if not isinstance(rows, list):
        raise ValueError(f"{where}: expected a list of boxes, got {type(rows).__name__}")
    items = cast("list[Any]", rows)
    for at, item in enumerate(items, start=1):
        if not isinstance(item, tuple):
            _complain(item, where=f"{where}, row {at}")
        if item[0] != token:
            raise ValueError(f"{where}, row {at}: the box says sample_token {item[0]!r}; file it under that")
    good = cast("list[_Row]", items)
    numbers = np.frombuffer(b"".join([row[4] for row in good]), dtype="<f8").reshape(len(good), 13)
    values = numbers.astype(np.float64)
    return NuscenesBoxes(
        names=tuple([row[1] for row in good]),
        translation=values[:, 0:3],
        size_wlh=values[:, 3:6],
        rotation=values[:, 6:10],
        velocity=values[:, 10:12],
        attributes=tuple([row[2] for row in good]),
        num_pts=np.array([row[3] for row in good], dtype=np.int64),
        score=values[:, 12],
    )


def _complain(record: Any, *, where: str) -> None:
    """Raise for the first thing that is wrong with a box."""
    if not isinstance(record, dict):
        raise ValueError(f"{where}: expected a box as an object, got {type(record).__name__}")
    box = cast("dict[str, Any]", record)
    absent = {*_NAMES, *_WIDTHS, "detection_score"} - box.keys()
    if absent:
        raise ValueError(f"{where}: the box has no {first_names(absent)}")
    for name in _NAMES:
        if not isinstance(box[name], str):
            raise ValueError(f"{where}: {name} must be text, got {str(box[name])[:40]!r}")
    for name, width in _WIDTHS.items():
        if not _is_numbers(box[name], width):
            raise ValueError(f"{where}: {name} must be {width} numbers, got {str(box[name])[:80]}")
    if not _is_numbers([box["detection_score"]], 1):
        raise ValueError(
            f"{where}: detection_score must be a number, got {str(box['detection_score'])[:40]!r}"
        )
    raise ValueError(f"{where}: num_pts must be a whole number, got {str(box.get('num_pts'))[:40]!r}")


def _is_numbers(values: Any, width: int) -> bool:
    if not isinstance(values, list) or len(cast("list[Any]", values)) != width:
        return False
    try:
        _NUMBERS.pack(*cast("list[Any]", values), *[0.0] * (13 - width))
    except (TypeError, struct.error, OverflowError):
        return False
    return True


def _meta(meta: Any, path: str | Path) -> NuscenesMeta:
    names = [field.name for field in fields(NuscenesMeta)]
    flags = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
    wrong = [name for name in names if not isinstance(flags.get(name), bool)]
    if wrong:
        raise ValueError(
            f"{path}: meta must say true or false for {', '.join(names)};"
            f" wrong or missing: {', '.join(wrong)}"
        )
    return NuscenesMeta(**{name: flags[name] for name in names})
