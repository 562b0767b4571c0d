"""Read and write the boxes of one frame; refuse every file that does not say what it must.

A frame is one file, `<frame>.npz` or `<frame>.json`, with these entries:

| entry | shape | content |
| --- | --- | --- |
| boxes | [n, 6] or [n, 7] | centre x y z, sizes dx dy dz in metres, yaw in radians (0 if left out) |
| labels | [n] | class numbers, or class names as text |
| scores | [n] | predictions only; higher is better |

z points up, the centre is the middle of the box, yaw turns counter-clockwise from x to y seen from above.
Other entries are left alone. A frame in which nothing was found has three empty arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from evaluators._files import read_npz
from evaluators._report import replacing
from evaluators.indoor.boxes import IndoorBoxes

SUFFIXES: Final = (".npz", ".json")


def read_ground_truth(path: str | Path) -> IndoorBoxes:
    """Return the objects of one frame, in file order; see the module for the format.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not an archive or JSON object with the entries boxes and labels; pickled objects; columns
            that do not fit together. The message names the file.
    """
    entries = _entries(Path(path), ("boxes", "labels"))
    return _boxes(Path(path), entries["boxes"], entries["labels"], None)


def read_predictions(path: str | Path) -> IndoorBoxes:
    """Return the predictions of one frame, in file order; as `read_ground_truth`, with scores."""
    entries = _entries(Path(path), ("boxes", "labels", "scores"))
    return _boxes(Path(path), entries["boxes"], entries["labels"], entries["scores"])


def write_boxes(path: str | Path, boxes: IndoorBoxes) -> None:
    """Write ground truth or predictions as .npz, complete or not at all.

    Raises:
        ValueError: `path` does not end in .npz.
        FileNotFoundError: The folder does not exist.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"path must end in .npz, got {path}")
    columns = {"boxes": boxes.boxes, "labels": boxes.labels}
    if boxes.scores is not None:
        columns["scores"] = boxes.scores
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **columns)  # pyright: ignore[reportArgumentType] - numpy's stub


def _boxes(path: Path, boxes: Any, labels: Any, scores: Any) -> IndoorBoxes:
    try:
        return IndoorBoxes(boxes, labels, scores)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _entries(path: Path, names: tuple[str, ...]) -> Mapping[str, Any]:
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected a file ending in {' or '.join(SUFFIXES)}")
    found = read_npz(path) if path.suffix == ".npz" else _read_json(path)
    absent = [name for name in names if name not in found]
    if absent:
        raise ValueError(
            f"{path}: lacks {', '.join(absent)}; expected the entries {', '.join(names)},"
            f" found {', '.join(map(str, found)) or 'none'}"
        )
    for name in names:
        if not isinstance(found[name], list | np.ndarray):
            raise ValueError(f"{path}: expected a list for {name}, got {str(found[name])[:40]!r}")
    return found


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object with boxes and labels")
    return cast("dict[str, Any]", content)
