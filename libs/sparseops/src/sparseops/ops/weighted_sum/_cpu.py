"""Weighted sum of rows: forward a thread owns output rows, backward it owns rows of the features."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange


@njit(cache=True, parallel=True)
@no_type_check
def _forward(features, idx, weights, out):
    for n in prange(idx.shape[0]):
        target = out[n]
        target[:] = 0
        for j in range(idx.shape[1]):
            if idx[n, j] >= 0:
                source, weight = features[idx[n, j]], weights[n, j]
                for c in range(target.shape[0]):
                    target[c] += weight * source[c]


@njit(cache=True)
@no_type_check
def _entries_by_row(idx, rows):
    """Counting sort of the entries (n, j) by their row; stable. Returns entries and the first of each row."""
    first = np.zeros(rows + 1, np.int64)
    for row in idx:
        if row >= 0:
            first[row + 1] += 1
    for row in range(rows):
        first[row + 1] += first[row]
    place = first[:-1].copy()
    entries = np.empty(first[rows], np.int64)
    for entry in range(len(idx)):
        row = idx[entry]
        if row >= 0:
            entries[place[row]] = entry
            place[row] += 1
    return entries, first


@njit(cache=True, parallel=True)
@no_type_check
def _backward_features(grad, idx, weights, out):
    k = idx.shape[1]
    flat_weights = weights.reshape(-1)
    entries, first = _entries_by_row(idx.reshape(-1), out.shape[0])
    for row in prange(out.shape[0]):
        target = out[row]
        target[:] = 0
        for i in range(first[row], first[row + 1]):
            source, weight = grad[entries[i] // k], flat_weights[entries[i]]
            for c in range(target.shape[0]):
                target[c] += weight * source[c]


# The sum over channels may be reordered into vector lanes; the order is fixed by the compiled code.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _dot(a, b):
    total = a.dtype.type(0)
    for c in range(a.shape[0]):
        total += a[c] * b[c]
    return total


@njit(cache=True, parallel=True)
@no_type_check
def _backward_weights(grad, features, idx, out):
    for n in prange(idx.shape[0]):
        for j in range(idx.shape[1]):
            out[n, j] = _dot(grad[n], features[idx[n, j]]) if idx[n, j] >= 0 else 0


def weighted_sum(features: Tensor, idx: Tensor, weights: Tensor) -> Tensor:
    """Same results as the reference, bit for bit."""
    out = weights.new_empty(len(idx), features.shape[1])
    sync_threads()
    _forward(_array(features, weights.dtype), idx.contiguous().numpy(), _array(weights), out.numpy())
    return out.to(features.dtype)


def weighted_sum_backward_features(grad: Tensor, idx: Tensor, weights: Tensor, rows: int) -> Tensor:
    """Same results as the reference, bit for bit."""
    out = weights.new_empty(rows, grad.shape[1])
    sync_threads()
    _backward_features(_array(grad, weights.dtype), idx.contiguous().numpy(), _array(weights), out.numpy())
    return out.to(grad.dtype)


def weighted_sum_backward_weights(grad: Tensor, features: Tensor, idx: Tensor) -> Tensor:
    """Same results as the reference up to rounding."""
    working = torch.float64 if features.dtype == torch.float64 else torch.float32
    out = grad.new_empty(idx.shape, dtype=working)
    sync_threads()
    _backward_weights(_array(grad, working), _array(features, working), idx.contiguous().numpy(), out.numpy())
    return out


def _array(tensor: Tensor, dtype: torch.dtype | None = None) -> np.ndarray:
    return tensor.detach().to(dtype or tensor.dtype).contiguous().numpy()
