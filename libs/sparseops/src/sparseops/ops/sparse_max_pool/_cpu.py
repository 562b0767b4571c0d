"""Sparse max pooling on the CPU, in parallel over tiles of rows."""

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops.ops.sparse_max_pool import _kernels


def sparse_max_pool(
    features: Tensor, pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, rows_out: int
) -> tuple[Tensor, Tensor]:
    """Maximum over the pairs of every output row, and the input row it came from: the first one."""
    wide = _wide(features)
    best = torch.full((rows_out, features.shape[1]), -torch.inf, dtype=wide.dtype)
    source = torch.full(best.shape, -1, dtype=torch.int32)
    plan = segments.numpy(), pairs_in.numpy(), pairs_out.numpy()
    counter = np.zeros(1, np.int64)
    _kernels.maximum(sync_threads(), counter, *plan, wide.numpy(), best.numpy(), source.numpy())
    return best.to(features.dtype), source


def grad_to_first(
    grad_out: Tensor, source: Tensor, back_in: Tensor, back_out: Tensor, back_segments: Tensor, rows_in: int
) -> Tensor:
    """Give every output's gradient to the input row it came from."""
    wide = _wide(grad_out)
    grad = torch.zeros((rows_in, wide.shape[1]), dtype=wide.dtype)
    plan = back_segments.numpy(), back_in.numpy(), back_out.numpy()
    counter = np.zeros(1, np.int64)
    _kernels.grad_to_first(sync_threads(), counter, *plan, wide.numpy(), source.numpy(), grad.numpy())
    return grad.to(grad_out.dtype)


def grad_to_all(
    grad_out: Tensor, features: Tensor, out: Tensor, back_in: Tensor, back_out: Tensor, back_segments: Tensor
) -> Tensor:
    """Give every output's gradient to all input rows equal to it."""
    wide = _wide(grad_out)
    grad = torch.zeros(features.shape, dtype=wide.dtype)
    plan = back_segments.numpy(), back_in.numpy(), back_out.numpy()
    values = wide.numpy(), _wide(features).numpy(), _wide(out).numpy()
    _kernels.grad_to_all(sync_threads(), np.zeros(1, np.int64), *plan, *values, grad.numpy())
    return grad.to(grad_out.dtype)


def _wide(tensor: Tensor) -> Tensor:
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.to(dtype).contiguous()
