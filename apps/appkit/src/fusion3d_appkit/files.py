"""Files that are named on a command line, read and written; nothing heavy is imported."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any


def require_file(path: Path, option: str, *, suffixes: Sequence[str] = ()) -> None:
    """Refuse a file that cannot be what an option asks for, before anything is loaded.

    Args:
        option: How the command line calls it, such as `--points`.
        suffixes: Endings that are read, in lower case; any, if empty.

    Raises:
        FileNotFoundError: There is no such file; the message names those beside it that look alike.
        ValueError: The name has another ending.
    """
    if not path.is_file():
        names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        alike = difflib.get_close_matches(path.name, names, n=3)
        hint = f"; beside it are {', '.join(alike)}" if alike else f", and none like it in {path.parent}"
        raise FileNotFoundError(f"{option} {path}: no such file{hint}")
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} {path}: expected {' or '.join(suffixes)}")


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file of options; of an empty one, nothing.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it holds something else.
    """
    import yaml

    require_file(path, "configuration")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"configuration {path}: no YAML: {' '.join(str(error).split())[:160]}") from None
    if not isinstance(content, dict):
        raise ValueError(f"configuration {path}: expected options with their values, as in configs/")
    return content


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    put_in_place(partial, path)


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a finished file once its content is on the disk: after a power cut it is whole or not there."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def config_file(package: str, name: str) -> Path:
    """Return `configs/<name>.yaml` of an app: inside its installed package, or beside its sources."""
    folder = Path(str(resources.files(package)))
    installed = folder / "configs" / f"{name}.yaml"
    return installed if installed.is_file() else folder.parents[1] / "configs" / f"{name}.yaml"
