"""Samples of channels-first maps: a thread owns planes, one of which stays in its cache.

Neither forward nor backward makes a copy of the map. Sums run over points and corners in order.
"""

from typing import no_type_check

import numpy as np
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange

_POINTS_PER_TASK = 512


@njit(cache=True, parallel=True)
@no_type_check
def _forward(image, sample, idx, weights, out):
    zero = image.dtype.type(0)
    for c in prange(image.shape[1]):
        for n in range(idx.shape[0]):
            plane = image[sample[n], c]
            total = zero
            for j in range(4):
                # A choice instead of a branch to mispredict; unsigned, so that no index counts from the end.
                share = weights[n, j] * plane[np.uint64(max(idx[n, j], 0))]
                total += share if idx[n, j] >= 0 else zero
            out[c, n] = total


@njit(cache=True, parallel=True)
@no_type_check
def _backward_image(grad, sample, idx, weights, out):
    for c in prange(out.shape[1]):
        out[:, c] = 0
        for n in range(idx.shape[0]):
            plane = out[sample[n], c]
            for j in range(4):
                if idx[n, j] >= 0:
                    plane[idx[n, j]] += weights[n, j] * grad[c, n]


@njit(cache=True, parallel=True)
@no_type_check
def _backward_weights(grad, image, sample, idx, out):
    points = idx.shape[0]
    for task in prange((points + _POINTS_PER_TASK - 1) // _POINTS_PER_TASK):
        first, last = task * _POINTS_PER_TASK, min((task + 1) * _POINTS_PER_TASK, points)
        out[first:last] = 0
        for c in range(image.shape[1]):
            for n in range(first, last):
                plane = image[sample[n], c]
                for j in range(4):
                    if idx[n, j] >= 0:
                        out[n, j] += grad[c, n] * plane[idx[n, j]]


def sample_planes(image: Tensor, sample: Tensor, idx: Tensor, weights: Tensor) -> Tensor:
    """Sum four pixels of maps [B, C, H * W] by weight: [N, C]. Same results as `weighted_sum` of rows."""
    out = image.new_empty(image.shape[1], len(idx))
    sync_threads()
    _forward(_array(image), _array(sample), _array(idx), _array(weights), out.numpy())
    return out.T.contiguous()


def sample_planes_backward_image(
    grad: Tensor, sample: Tensor, idx: Tensor, weights: Tensor, batch_size: int, cells: int
) -> Tensor:
    """Return the gradient to the maps, [batch_size, C, cells]."""
    out = grad.new_empty(batch_size, grad.shape[1], cells)
    sync_threads()
    _backward_image(_array(grad.T), _array(sample), _array(idx), _array(weights), out.numpy())
    return out


def sample_planes_backward_weights(grad: Tensor, image: Tensor, sample: Tensor, idx: Tensor) -> Tensor:
    """Return the gradient to the weights [N, 4], 0 for pixels outside."""
    out = grad.new_empty(idx.shape)
    sync_threads()
    _backward_weights(_array(grad.T), _array(image), _array(sample), _array(idx), out.numpy())
    return out


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
