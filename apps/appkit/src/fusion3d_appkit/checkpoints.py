"""The checkpoints of a run; `fusion_models.weights.read_checkpoint` reads them."""

from __future__ import annotations

from pathlib import Path


def last_checkpoint(run_dir: str | Path) -> Path | None:
    """Return the newest checkpoint of a run, or None if there is none."""
    found = list(Path(run_dir).glob("checkpoints/*.ckpt"))
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
