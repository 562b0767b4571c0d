"""What every benchmark of the evaluators records beside its figures: the machine and the versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from evaluators._report import JsonValue, write_json


def write_record(path: Path, report: Mapping[str, JsonValue], *, packages: tuple[str, ...]) -> None:
    """Write `report` with the machine and the versions of `packages`, and print it."""
    machine: dict[str, JsonValue] = {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**report, "machine": machine})
    print(path.read_text())


def cpu_model() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
