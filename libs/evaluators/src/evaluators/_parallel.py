"""Gather frames in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

from evaluators.state import Evaluator

Progress: TypeAlias = Callable[[Sequence[str]], Iterable[str]]
"""Wraps the frame names while they are read, for example `tqdm.tqdm`."""

_E = TypeVar("_E", bound=Evaluator)
_CHUNK = 32


def gather(
    frame_ids: Sequence[str],
    collect: Callable[[Sequence[str]], _E],
    *,
    processes: int = 1,
    progress: Progress = iter,
) -> _E:
    """Return one evaluator that holds what `collect` gathered from every chunk of the frames.

    Args:
        frame_ids: At least one.
        collect: Takes some of the frame names, returns an evaluator with them in it. With several processes
            it is pickled: give a module-level function or a `functools.partial` of one.
        processes: 1 reads in this process. More are started anew, so a script that asks for them needs the
            usual `if __name__ == "__main__":`.

    Raises:
        ValueError: No frames, or fewer than one process. What `collect` raises comes through as it is.
    """
    if not frame_ids:
        raise ValueError("no frames to evaluate")
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    chunks = [frame_ids[start : start + _CHUNK] for start in range(0, len(frame_ids), _CHUNK)]
    if processes == 1:
        return _joined(map(collect, chunks), frame_ids, progress)
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # Not fork: a forked child may inherit locks that threads of this process hold.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(chunks)), mp_context=context) as pool:
        return _joined(pool.map(collect, chunks), frame_ids, progress)


def _joined(parts: Iterable[_E], frame_ids: Sequence[str], progress: Progress) -> _E:
    waiting = iter(parts)
    joined: _E | None = None
    for position, _ in enumerate(progress(frame_ids)):
        if position % _CHUNK == 0:
            part = next(waiting)
            if joined is None:
                joined = part
            else:
                joined.merge(part)
    assert joined is not None
    return joined
