"""Records of measured runs: figures with the command, the machine and the versions they belong to.

Benchmarks and experiments write one JSON file each, all in this form, so that a figure in a README can be
traced to the run that gave it.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from fusion3d_appkit.files import write_text


def write_record(path: Path, figures: Mapping[str, Any], *, packages: Sequence[str]) -> str:
    """Write `figures` behind what they depend on, under a temporary name first; return the text written.

    Args:
        path: JSON file; its folder is made.
        figures: Names and values that JSON can hold; NaN and infinities become null. None is called
            `command`, `machine`, `load_at_start` or `versions`.
        packages: Names by which packages are imported or installed; what is not installed is left out.
    """
    content = {
        "command": command(),
        "machine": machine(),
        "load_at_start": None if LOAD_AT_START is None else round(LOAD_AT_START, 1),
        "versions": versions(packages),
        **figures,
    }
    text = json.dumps(_finite(content), indent=1, allow_nan=False) + "\n"
    write_text(path, text)
    return text


def machine() -> dict[str, Any]:
    """Return the processor's name, the number of cores and the system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return {"processor": name, "cores": os.cpu_count(), "system": platform.system()}


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed, by the names given."""
    found = {"python": platform.python_version()}
    distributions = metadata.packages_distributions()
    for name in packages:
        for distribution in (*distributions.get(name, ()), name, f"fusion3d-{name}"):
            try:
                found[name] = metadata.version(distribution)
                break
            except metadata.PackageNotFoundError:
                continue
    return found


def command(arguments: Sequence[str] | None = None) -> str:
    """Return the command line of this program without paths of this machine.

    The script is named from the working folder; of other words that are absolute paths the last part remains.

    Example:
        >>> command([str(Path("tools/time.py").resolve()), "--kit", "/opt/kit/evaluate", "--frames", "20"])
        'python tools/time.py --kit evaluate --frames 20'
    """
    script, *words = sys.argv if arguments is None else arguments
    shown = [Path(word).name if Path(word).is_absolute() else word for word in words]
    return " ".join(["python", os.path.relpath(script), *shown])


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


LOAD_AT_START = _load()
"""Mean number of running jobs in the minute before this module was imported: before any measurement."""
