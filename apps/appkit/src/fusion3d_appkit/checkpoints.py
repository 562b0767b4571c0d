"""Reading checkpoints without running code from them, and saying what is wrong when that fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_checkpoint(path: str | Path, *, entries: Sequence[str] = ("state_dict",)) -> dict[str, Any]:
    """Return the content of a checkpoint, on the CPU. Only tensors and plain values are unpickled.

    Args:
        entries: One of these must be in it; the default is what a trainer's checkpoint has.

    Raises:
        FileNotFoundError: There is no such file; the message lists the checkpoints beside it.
        ValueError: The file is truncated, not a checkpoint, or holds objects that would need code to be run.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        beside = sorted(other.name for other in path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        raise FileNotFoundError(
            f"checkpoint {path}: no such file; "
            + (
                f"in that folder are {', '.join(beside)}"
                if beside
                else "there is no checkpoint in that folder"
            )
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise ValueError(
            f"checkpoint {path}: cannot be read ({reason}); it is truncated, corrupt, or holds more than "
            "tensors and plain values; take an older checkpoint or start again without --ckpt_path"
        ) from error
    if not isinstance(content, dict) or not any(entry in content for entry in entries):
        raise ValueError(
            f"checkpoint {path}: expected a checkpoint with the entry {' or '.join(map(repr, entries))}, "
            "found none"
        )
    return content


def last_checkpoint(run_dir: str | Path) -> Path | None:
    """Return the newest checkpoint of a run, or None if there is none."""
    found = list(Path(run_dir).glob("checkpoints/*.ckpt"))
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
