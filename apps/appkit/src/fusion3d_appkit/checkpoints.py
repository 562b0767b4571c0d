"""The checkpoints of a run; `fusion_models.weights.read_checkpoint` reads them."""

from __future__ import annotations

from pathlib import Path


def checkpoints(run_dir: str | Path) -> list[Path]:
    """Return the checkpoints of a run, the newest first."""
    found = Path(run_dir).glob("checkpoints/*.ckpt")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def last_checkpoint(run_dir: str | Path) -> Path | None:
    """Return the newest checkpoint of a run, or None if there is none."""
    return next(iter(checkpoints(run_dir)), None)
