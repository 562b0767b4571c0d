"""A logger that appends one JSON object per line: readable by people, `jq` and every plotting tool."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only


class JsonlLogger(Logger):
    """Append metrics to `<run_dir>/metrics.jsonl` as they come, one line per call.

    Each line has `step`, `time_s` (seconds since the epoch) and the metrics. Numbers that JSON cannot hold
    (NaN, infinities) become null. A resumed run appends to the same file; of lines that share a step the
    last one counts.
    """

    def __init__(self, run_dir: str) -> None:
        super().__init__()
        self.path = Path(run_dir) / "metrics.jsonl"

    @property
    def name(self) -> str:
        """Name of this logger."""
        return "jsonl"

    @property
    def version(self) -> str:
        """No version: a run has one folder."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the resolved configuration is saved beside as `config.yaml`."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "time_s": round(time.time(), 3), **values}) + "\n")


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return every logged series as (step, value) pairs by rising step.

    Args:
        path: A `metrics.jsonl`. A last line cut off by a killed run is left out; so are null values.
    """
    series: dict[str, dict[int, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        step = record.pop("step")
        record.pop("time_s")
        for name, value in record.items():
            if value is not None and step is not None:
                series.setdefault(name, {})[step] = value
    return {name: sorted(points.items()) for name, points in series.items()}
