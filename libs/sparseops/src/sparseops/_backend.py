"""Which back end serves a call, and how many threads the compiled kernels take."""

import contextlib
import functools
import importlib.util
import os
import sys
import warnings
from typing import Literal

import torch
from torch import Tensor

Backend = Literal["reference", "cpu", "triton"]
_HAS_TRITON = importlib.util.find_spec("triton") is not None


def backend_for(op: str, tensor: Tensor) -> Backend:
    """Return the back end that computes `op` for inputs on the device of `tensor`.

    CPU tensors take the compiled kernels ("cpu"), CUDA tensors the Triton kernels ("triton"); an operator
    without kernels of a kind runs its PyTorch reference there. Other devices take the reference, with one
    warning per operator and device. `SPARSEOPS_BACKEND` set to `reference` or `triton` overrides this for
    all tensors; `triton` on CPU tensors needs Triton's interpreter (`TRITON_INTERPRET=1`, for tests).

    Raises:
        ValueError: `SPARSEOPS_BACKEND` holds something else.
    """
    forced = os.environ.get("SPARSEOPS_BACKEND", "")
    if forced not in ("", "reference", "triton"):
        raise ValueError(f"SPARSEOPS_BACKEND must be unset, 'reference' or 'triton', got {forced!r}")
    if forced == "reference" or forced == "triton":
        return forced
    if tensor.device.type == "cpu":
        return "cpu"
    if tensor.device.type == "cuda" and _HAS_TRITON:
        return "triton"
    _warn_slow_path(op, tensor.device.type)
    return "reference"


@functools.cache
def _warn_slow_path(op: str, device_type: str) -> None:
    warnings.warn(
        f"sparseops.{op}: no compiled kernels for {device_type} (on CUDA they need the package triton), "
        "the slower PyTorch reference runs",
        RuntimeWarning,
        stacklevel=2,
    )


_threads_lost = False


def _look_for_threads() -> None:
    """In a process that was just forked: note whether numba's threads ran on GNU OpenMP before."""
    global _threads_lost
    if "numba" in sys.modules:
        from numba.np.ufunc.parallel import threading_layer

        with contextlib.suppress(ValueError):  # no threads so far
            if threading_layer() == "omp":
                from numba.np.ufunc import omppool  # pyright: ignore[reportAttributeAccessIssue] compiled

                _threads_lost = omppool.openmp_vendor == "GNU"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_look_for_threads)


def _most_threads() -> int:
    from numba.core import config

    return config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue] numba sets it at import


def sync_threads() -> int:
    """Give the numba kernels as many threads as PyTorch uses, and return that number.

    Call it before every parallel kernel.

    Raises:
        RuntimeError: This process was forked from one whose threads GNU OpenMP runs, which would end it here.
    """
    import numba

    if _threads_lost:
        raise RuntimeError(
            "sparseops: this process was forked after a parallel kernel had run, and GNU OpenMP has no"
            " threads in it; start workers with 'spawn' or 'forkserver', for example"
            " DataLoader(..., multiprocessing_context='spawn'), or run no such kernel before the fork"
        )
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, _most_threads()))
    # Where numba runs on OpenMP it may share PyTorch's runtime, and then its start changes PyTorch's number.
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return numba.get_num_threads()
