"""Label tables of own data, read from YAML."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from geom3d.text import read_text

from datasets3d._validate import nearest_names
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.scan import IGNORED

_EXAMPLE = "expected such as {classes: [{name: road, ids: [40, 44]}, {name: car, ids: [10]}], ignored: [0]}"
_KEYS = ["name", "classes", "ignored", "unknown"]
_CLASS_KEYS = ["name", "ids", "colour", "thing"]
_GOLDEN_TURN = 0.618


class _MistakeError(Exception):
    """What is wrong with a file, for the error that names it."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which makes plain values alone, but that a key must not come twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, see the class."""
        found: set[Any] = set()
        for key, _ in node.value:
            value = self.construct_object(key, deep=True)
            if not isinstance(value, str):
                raise _MistakeError(f"line {key.start_mark.line + 1}: the key {value!r} is no word")
            if value in found:
                raise _MistakeError(f"line {key.start_mark.line + 1}: the key {value!r} comes twice")
            found.add(value)
        return super().construct_mapping(node, deep)


def read_label_table(path: Path | str) -> LabelTable:
    """Read a label table: names of classes, and the raw ids that are each.

    ```yaml
    name: courtyard            # what errors and reports call it; the name of the file if it is left out
    classes:                   # class indices 0, 1, 2, ... in this order
      - {name: ground, ids: [1, 2], colour: [120, 90, 60]}
      - {name: tree, ids: [3]}                       # written as 3, the first; some colour
      - {name: person, ids: [4, -7], thing: true}    # -7 as a column of signed numbers has it: 65529
    ignored: [0, 255]          # neither train nor count; the first is written for these; 0 if it is left out
    unknown: error             # other ids: error (the default), ignored, or the name of a class
    ```

    Raises:
        FileNotFoundError: No such file.
        ValueError: No YAML, or no such table; names the file, what is wrong and where.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d: no label table {path}; {_EXAMPLE}")
    text = read_text(path)
    try:
        return _table(yaml.load(text, _Loader), path.stem)
    except _MistakeError as mistake:
        raise ValueError(f"datasets3d: label table {path}: {mistake}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"datasets3d: label table {path}: {' '.join(str(error).split())}") from None


def _table(content: Any, stem: str) -> LabelTable:
    if not isinstance(content, dict):
        raise _MistakeError(f"it holds {_shown(content)}; {_EXAMPLE}")
    _check_keys(content, _KEYS, "it")
    rows = content.get("classes")
    if not isinstance(rows, list) or not rows:
        raise _MistakeError(f"classes must list at least one class, got {_shown(rows)}; {_EXAMPLE}")
    names = tuple(_name(row, at) for at, row in enumerate(rows, 1))
    ids = [_ids(row.get("ids"), f"class {name}: ids") for row, name in zip(rows, names, strict=True)]
    known = [(raw, index) for index, of_class in enumerate(ids) for raw in of_class]
    if content.get("ignored") is None:
        ignored = [] if 0 in dict(known) else [0]
    else:
        ignored = _ids(content["ignored"], "ignored", least=0)
    return LabelTable(
        name=_word(content.get("name", stem), "name"),
        classes=names,
        raw_to_class=(*known, *((raw, IGNORED) for raw in ignored)),
        class_to_raw=tuple(of_class[0] for of_class in ids),
        colours_rgb=tuple(_colour(row.get("colour"), names[at], at) for at, row in enumerate(rows)),
        things=tuple(
            name
            for row, name in zip(rows, names, strict=True)
            if _truth(row.get("thing", False), f"class {name}: thing")
        ),
        ignored_raw=ignored[0] if ignored else _free(dict(known)),
        unknown=_unknown(content.get("unknown", "error"), names),
    )


def _name(row: Any, at: int) -> str:
    if not isinstance(row, dict):
        raise _MistakeError(f"class {at} is {_shown(row)}; {_EXAMPLE}")
    _check_keys(row, _CLASS_KEYS, f"class {at}")
    return _word(row.get("name"), f"class {at}: name")


def _check_keys(found: Mapping[str, Any], known: list[str], what: str) -> None:
    strange = next((key for key in found if key not in known), None)
    if strange is not None:
        raise _MistakeError(f"{what} has the key {strange!r}; {nearest_names(strange, known)}")


def _word(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        # An unquoted no or 1 is no word in YAML.
        raise _MistakeError(f"{what} must be a word, got {_shown(value)}; put it in quotes")
    return value


def _ids(value: Any, what: str, least: int = 1) -> list[int]:
    found = [value] if isinstance(value, int) else value
    is_list = isinstance(found, list) and len(found) >= least
    if not is_list or not all(isinstance(raw, int) and not isinstance(raw, bool) for raw in found):
        raise _MistakeError(f"{what} must be whole numbers such as [1, 2], got {_shown(value)}")
    outside = next((raw for raw in found if not -32768 <= raw <= 65535), None)
    if outside is not None:
        raise _MistakeError(f"{what} must lie in 0..65535, or -32768..-1 for signed columns, got {outside}")
    return [raw % 65536 for raw in found]


def _truth(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise _MistakeError(f"{what} must be true or false, got {_shown(value)}")
    return value


def _colour(value: Any, name: str, at: int) -> tuple[int, int, int]:
    if value is None:
        # Successive hues far apart, however many classes there are.
        red, green, blue = colorsys.hsv_to_rgb(at * _GOLDEN_TURN % 1.0, 0.7, 0.95)
        return round(255 * red), round(255 * green), round(255 * blue)
    parts = value if isinstance(value, list) else []
    if len(parts) != 3 or not all(isinstance(v, int) and not isinstance(v, bool) for v in parts):
        raise _MistakeError(
            f"class {name}: colour must be red green blue as [255, 0, 120], got {_shown(value)}"
        )
    return parts[0], parts[1], parts[2]


def _unknown(value: Any, names: Sequence[str]) -> int | Any:
    if value == "error":
        return "error"
    if value == "ignored":
        return IGNORED
    if value in names:
        return names.index(value)
    raise _MistakeError(
        f"unknown must be error, ignored or a class, got {_shown(value)}; "
        f"{nearest_names(str(value), ['error', 'ignored', *names])}"
    )


def _free(known: Mapping[int, int]) -> int:
    return next(raw for raw in range(65536) if raw not in known)


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:60]
