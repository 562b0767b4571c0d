"""Which back end serves a call, and how many threads the compiled kernels take."""

import functools
import os
import warnings
from typing import Literal

import torch
from torch import Tensor

Backend = Literal["reference", "cpu"]


def backend_for(op: str, tensor: Tensor) -> Backend:
    """Return the back end that computes `op` for inputs on the device of `tensor`.

    `SPARSEOPS_BACKEND=reference` forces the PyTorch reference everywhere. Devices without compiled kernels
    take the reference as well, with one warning per operator and device.

    Raises:
        ValueError: `SPARSEOPS_BACKEND` holds something else.
    """
    forced = os.environ.get("SPARSEOPS_BACKEND", "")
    if forced not in ("", "reference"):
        raise ValueError(f"SPARSEOPS_BACKEND must be unset or 'reference', got {forced!r}")
    if forced == "reference":
        return "reference"
    if tensor.device.type == "cpu":
        return "cpu"
    _warn_slow_path(op, tensor.device.type)
    return "reference"


@functools.cache
def _warn_slow_path(op: str, device_type: str) -> None:
    warnings.warn(
        f"sparseops.{op}: no compiled kernel for {device_type} yet, the slower PyTorch reference runs",
        RuntimeWarning,
        stacklevel=2,
    )


def _most_threads() -> int:
    from numba.core import config

    return config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue] numba sets it at import


def sync_threads() -> int:
    """Give the numba kernels as many threads as PyTorch uses, and return that number.

    Call it before every parallel kernel.
    """
    import numba

    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, _most_threads()))
    # Where numba runs on OpenMP it may share PyTorch's runtime, and then its start changes PyTorch's number.
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return numba.get_num_threads()
