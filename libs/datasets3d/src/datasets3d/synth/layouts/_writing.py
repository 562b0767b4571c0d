"""What the writers of all layouts share: checks of arguments, the new folder, worker processes, PNG files."""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from datasets3d._atomic import atomic_folder

_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


@contextmanager
def new_folder(out_dir: Path, *, seed: int, workers: int | None, writer: str) -> Iterator[Path]:
    """Check what all writers are told, and yield `<out_dir>.partial`, which becomes `out_dir` at the end.

    Raises:
        FileExistsError: `out_dir` holds something already.
        ValueError: `workers` below 1, or a negative seed.
    """
    if seed < 0:
        raise ValueError(f"{writer}: seed must not be negative, got {seed}")
    if workers is not None and workers < 1:
        raise ValueError(f"{writer}: workers must be at least 1 or None for all cores, got {workers}")
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise FileExistsError(
            f"{writer}: {out_dir} exists and is not an empty folder; choose another folder or remove it first"
        )
    if out_dir.exists():
        out_dir.rmdir()
    with atomic_folder(out_dir) as partial:
        yield partial


def worker_count(workers: int | None, *, frames: int) -> int:
    """Return how many processes to use: all available cores if not told, never more than frames."""
    return min(workers or len(os.sched_getaffinity(0)), frames)


def divide(drives: int, *, frames: int, workers: int) -> list[tuple[int, range]]:
    """Numbers of drives with some consecutive frames of each, in order."""
    # A drive costs seconds before its first frame: it is divided only if workers would be idle.
    parts = -(-workers // drives)
    bounds = np.linspace(0, frames, parts + 1).astype(int).tolist()
    return [
        (drive, range(start, end))
        for drive in range(drives)
        for start, end in pairwise(bounds)
        if end > start
    ]


def run(record: Callable[[_Job], Iterable[_Done]], jobs: Sequence[_Job], *, workers: int) -> Iterator[_Done]:
    """Yield what `record` yields for every job, in order: one worker works in this process."""
    if workers == 1:
        for job in jobs:
            yield from record(job)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for running in [pool.submit(_record_all, record, job) for job in jobs]:
            yield from running.result()


def _record_all(record: Callable[[_Job], Iterable[_Done]], job: _Job) -> list[_Done]:
    return list(record(job))


def write_png(path: Path, image: np.ndarray) -> None:
    """Write with fixed encoder settings and no metadata, so that equal pictures give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=3)
    path.write_bytes(buffer.getvalue())
