"""Grouping: every (sample, channel) is owned by one thread, forward and backward."""

from typing import no_type_check

import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._checks import FLOATS
from sparseops._numba import njit, prange
from sparseops.ops.group import _reference


@njit(cache=True, parallel=True)
@no_type_check
def _gather(features, idx, out):
    channels = features.shape[1]
    for bc in prange(features.shape[0] * channels):
        b, c = bc // channels, bc % channels
        for k in range(idx.shape[1]):
            out[b, c, k] = features[b, c, idx[b, k]]


@njit(cache=True, parallel=True)
@no_type_check
def _scatter_add(grad, idx, out):
    channels = grad.shape[1]
    for bc in prange(grad.shape[0] * channels):
        b, c = bc // channels, bc % channels
        out[b, c, :] = 0
        for k in range(idx.shape[1]):
            out[b, c, idx[b, k]] += grad[b, c, k]


def group(features: Tensor, idx: Tensor) -> Tensor:
    """Same results as the reference, bit for bit; half precision takes it."""
    if features.dtype not in FLOATS:
        return _reference.group(features, idx)
    out = torch.empty(*features.shape[:2], *idx.shape[1:], dtype=features.dtype)
    sync_threads()
    _gather(features.contiguous().numpy(), idx.flatten(1).numpy(), out.flatten(2).numpy())
    return out


def group_backward(grad: Tensor, idx: Tensor, rows: int) -> Tensor:
    """Same results as the reference, bit for bit; half precision takes it."""
    if grad.dtype not in FLOATS:
        return _reference.group_backward(grad, idx, rows)
    out = torch.empty(*grad.shape[:2], rows, dtype=grad.dtype)
    sync_threads()
    _scatter_add(grad.flatten(2).contiguous().numpy(), idx.flatten(1).numpy(), out.numpy())
    return out
