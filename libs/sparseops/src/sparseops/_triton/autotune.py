"""Choice among kernel configurations by measurement, kept on disk for later processes.

A configuration changes the speed and the order of sums, never what is computed; with a given configuration
results are deterministic. `SPARSEOPS_AUTOTUNE=0` always takes the first candidate.
"""

import functools
import json
import os
import re
import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import torch
import triton
from triton.runtime.errors import OutOfResources

from sparseops._triton.blocks import interpreted

Config = TypeVar("Config", bound=Any)
"""A frozen dataclass of numbers."""

REPEATS = 7


def choose(
    key: str, candidates: Sequence[Config], run: Callable[[Config], object], *, device: torch.device
) -> Config:
    """Return the fastest candidate for a key: known from memory or disk, else measured now.

    Nothing is measured in the interpreter, with `SPARSEOPS_AUTOTUNE=0`, or while a CUDA graph is captured; an
    unknown key then gets the first candidate. Measuring waits for the device, once per key and machine.
    """
    if len(candidates) == 1 or interpreted() or os.environ.get("SPARSEOPS_AUTOTUNE") == "0":
        return candidates[0]
    with torch.cuda.device(device):
        tuner = _tuner(torch.cuda.get_device_name())
        return tuner.choose(key, candidates, run, measure=not torch.cuda.is_current_stream_capturing())


class Tuner:
    """The chosen configurations of one device model, and the file that they are kept in."""

    def __init__(self, path: Path, timer: Callable[[Callable[[], object]], float]) -> None:
        self.path, self.timer = path, timer
        self._chosen: dict[str, Any] = {}
        """Configurations of this process, as the candidates that they were."""
        self._stored = _read(path)

    def choose(
        self,
        key: str,
        candidates: Sequence[Config],
        run: Callable[[Config], object],
        *,
        measure: bool = True,
    ) -> Config:
        """Return the configuration for a key; an unknown one is measured if `measure`, else the first."""
        if key in self._chosen:
            return self._chosen[key]
        for candidate in candidates:
            # What is no candidate any more, after an update or by hand, is measured anew.
            if asdict(candidate) == self._stored.get(key):
                self._chosen[key] = candidate
                return candidate
        if not measure:
            return candidates[0]
        best = self._chosen[key] = self._fastest(candidates, run)
        self._stored[key] = asdict(best)
        self._write()
        return best

    def _fastest(self, candidates: Sequence[Config], run: Callable[[Config], object]) -> Config:
        best, least = candidates[0], float("inf")
        for candidate in candidates:
            try:
                taken = self.timer(functools.partial(run, candidate))
            except (OutOfResources, torch.cuda.OutOfMemoryError):
                continue
            if taken < least:
                best, least = candidate, taken
        return best

    def _write(self) -> None:
        # Other processes tune at the same time: keep what they found, and show only whole files.
        content = {**_read(self.path), **self._stored}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self.path.parent, prefix=self.path.name, suffix=".tmp", delete=False
            ) as file:
                json.dump(content, file, indent=1, sort_keys=True)
            Path(file.name).replace(self.path)
        except OSError as error:
            warnings.warn(
                f"sparseops: the kernel configurations could not be kept in {self.path} ({error}); "
                "set SPARSEOPS_CACHE_DIR to a folder that can be written",
                RuntimeWarning,
                stacklevel=2,
            )


def time_on_device(run: Callable[[], object]) -> float:
    """Median milliseconds of a call on the current CUDA device, after two calls to warm up."""
    run()
    run()
    times = []
    for _ in range(REPEATS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def cache_path(device_name: str) -> Path:
    """File of a device model: under `SPARSEOPS_CACHE_DIR`, else under the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("SPARSEOPS_CACHE_DIR") or Path(home) / "sparseops")
    try:
        version = metadata.version("fusion3d-sparseops")
    except metadata.PackageNotFoundError:
        version = "source"
    device = re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")
    return folder / f"{device}-sparseops-{version}-triton-{triton.__version__}.json"


@functools.cache
def _tuner(device_name: str) -> Tuner:
    return Tuner(cache_path(device_name), time_on_device)


def _read(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        content = error
    if isinstance(content, dict):
        return content
    warnings.warn(
        f"sparseops: {path} holds no kernel configurations ({content}); they are measured anew",
        RuntimeWarning,
        stacklevel=2,
    )
    return {}
