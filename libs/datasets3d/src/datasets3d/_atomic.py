"""Writing so that a crash, a kill or a full disk never leaves half a file under its final name."""

import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

INCOMPLETE_MARKER = ".incomplete"


@contextmanager
def atomic_output(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` for writing bytes; rename it to `path` when the block ends well.

    An existing file stays untouched until then; on any error the temporary file is removed.

    Raises:
        OSError: As the operating system reports it (disk full, no permission); nothing was changed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_output(path) as handle:
        handle.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole UTF-8 file atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN is refused."""
    write_text(path, json.dumps(content, allow_nan=False) + "\n")


def read_json(path: Path, *, cure: str) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        ValueError: It is none, as after damage; names the file and the cure.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"datasets3d: {path} is no JSON ({error}); {cure}") from None
    if not isinstance(content, dict):
        raise ValueError(f"datasets3d: {path} is no JSON object, it holds {str(content)[:40]!r}; {cure}")
    return content


def check_format(header: Mapping[str, Any], path: Path, *, format: str, version: int, cure: str) -> None:
    """Raise unless a JSON object says that it is of our format, in this version.

    Raises:
        ValueError: Another format or version; names the file and the cure.
    """
    if header.get("format") != format or header.get("version") != version:
        raise ValueError(
            f"datasets3d: {path} is {header.get('format')!r} version {header.get('version')!r}, expected "
            f"{format!r} version {version}; {cure}"
        )


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield `<folder>.partial` to fill; it becomes `folder` when the block ends well, replacing an older one.

    While it is being filled it holds a marker file that `refuse_incomplete` recognises. After an error or a
    kill the partial folder stays for inspection; the next writer removes it and starts anew.

    Raises:
        FileExistsError: Another living process of this machine is writing the same folder.
    """
    folder = Path(folder)
    partial = _partial_of(folder)
    if partial.exists():
        _read_marker(partial)
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    _write_marker(partial, None)
    yield partial
    _finish(partial, folder)


@contextmanager
def resumable_folder(folder: Path, recipe: Mapping[str, Any]) -> Iterator[Path]:
    """Yield `<folder>.partial` as `atomic_folder` does, with what an interrupted writer left in it.

    The block writes whole files (`write_bytes`) and leaves out those that are there. The finished folder
    holds the recipe as `recipe.json`.

    Args:
        folder: What the partial folder becomes.
        recipe: All that the content depends on, plain JSON values. A partial folder begun with another one is
            refused, so that two recipes never mix.

    Raises:
        FileExistsError: Another living process of this machine is writing the same folder.
        ValueError: The partial folder was begun with another recipe.
    """
    folder = Path(folder)
    partial = _partial_of(folder)
    recipe = json.loads(json.dumps(recipe))
    begun = _read_marker(partial) if partial.exists() else {}
    if begun and begun.get("recipe") != recipe:
        raise ValueError(
            f"datasets3d: the unfinished {partial} was begun with other data or other parameters; repeat "
            "that command to finish it, or delete it to begin anew"
        )
    partial.mkdir(parents=True, exist_ok=True)
    _write_marker(partial, recipe)
    for leftover in partial.glob(".*.tmp"):
        leftover.unlink()
    yield partial
    write_json(partial / "recipe.json", recipe)
    _finish(partial, folder)


def refuse_incomplete(root: Path) -> None:
    """Raise if `root` is, or should have become, a folder whose writer did not finish.

    Raises:
        ValueError: The folder carries the marker of an unfinished writer.
        FileNotFoundError: There is no such folder, only its unfinished `.partial` twin.
    """
    root = Path(root)
    if (root / INCOMPLETE_MARKER).exists():
        raise ValueError(
            f"datasets3d: {root} is incomplete: its writer was interrupted or is still at work "
            f"(marker {INCOMPLETE_MARKER}); run the command that writes it again"
        )
    partial = _partial_of(root) if root.name else root
    if not root.exists() and (partial / INCOMPLETE_MARKER).exists():
        raise FileNotFoundError(
            f"datasets3d: there is no {root}, only the unfinished {partial}: its writer was interrupted "
            "or is still at work; run the command that writes it again"
        )


def _partial_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


def _write_marker(partial: Path, recipe: Any) -> None:
    content = {"pid": os.getpid(), "host": socket.gethostname(), "recipe": recipe}
    write_json(partial / INCOMPLETE_MARKER, content)


def _read_marker(partial: Path) -> dict[str, Any]:
    """Return what the writer of a partial folder said about itself; raise if it is alive, or nobody did."""
    marker = partial / INCOMPLETE_MARKER
    if not marker.exists() and any(path.suffix != ".tmp" for path in partial.iterdir()):
        raise FileExistsError(f"datasets3d: {partial} exists and is not ours; move it away")
    # A writer killed at the very start leaves an empty marker.
    is_written = marker.exists() and marker.stat().st_size > 0
    writer = read_json(marker, cure=f"delete {partial} to begin anew") if is_written else {}
    if writer.get("host") == socket.gethostname() and _is_alive(writer.get("pid")):
        raise FileExistsError(
            f"datasets3d: process {writer['pid']} is writing {partial}; wait for it, or stop it and run again"
        )
    return writer


def _is_alive(pid: int | None) -> bool:
    if pid is None or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _finish(partial: Path, folder: Path) -> None:
    _swap(partial, folder)
    # Only now is it whole: a kill before this line leaves a folder that readers refuse.
    (folder / INCOMPLETE_MARKER).unlink()


def _swap(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    # Two renames: a reader sees the old folder, for an instant none, then the new one, but never a mixture.
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old)
