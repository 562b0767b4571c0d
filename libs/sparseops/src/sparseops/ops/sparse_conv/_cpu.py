"""Sparse convolution on the CPU: tiles of output rows, each summed in registers by one thread."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from sparseops._backend import sync_threads
from sparseops._numba.intrinsics import COLUMNS, DEPTH_ROWS
from sparseops.ops.sparse_conv import _kernels

FEW_THREADS = 4


def sparse_conv(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pairs_in: Tensor,
    pairs_out: Tensor,
    segments: Tensor,
    rows_out: int,
) -> Tensor:
    """Sum `features[i] @ weight[k]` over the pairs (i, o, k) of output row o, plus bias. [rows_out, cout]."""
    wide = _accumulator(features.dtype)
    volume, cin, cout = weight.shape
    columns = -(-cout // COLUMNS) * COLUMNS
    packed = _widen(weight.to(wide), columns).reshape(volume, cin, -1, COLUMNS).transpose(1, 2).contiguous()
    if bias is None:
        target = torch.zeros(rows_out, columns, dtype=wide)
    else:
        target = _widen(bias.to(wide), columns).repeat(rows_out, 1)
    if len(pairs_in) and cin and cout:
        lists = segments.numpy(), pairs_in.numpy(), pairs_out.numpy()
        arrays = features.to(wide).contiguous().numpy(), packed.numpy(), target.numpy()
        _kernels.forward(sync_threads(), np.zeros(1, np.int64), *lists, *arrays)
    return target[:, :cout].to(features.dtype).contiguous()


def weight_grad(
    features: Tensor, grad_out: Tensor, pairs_in: Tensor, pairs_out: Tensor, segments: Tensor
) -> Tensor:
    """Sum `features[i] grad_out[o]^T` over the pairs of every offset. [v, cin, cout]."""
    wide = _accumulator(features.dtype)
    cin, cout = features.shape[1], grad_out.shape[1]
    columns, rows = -(-cout // COLUMNS) * COLUMNS, -(-cin // DEPTH_ROWS) * DEPTH_ROWS
    target = torch.zeros(segments.shape[1], rows, columns, dtype=wide)
    if len(pairs_in) and cin and cout:
        bounds = segments.numpy()
        # The longest lists first, so that no thread is left alone with one of them at the end.
        order = np.argsort(-(bounds[..., 1] - bounds[..., 0]).sum(0), kind="stable")
        grad = _widen(grad_out.to(wide), columns).contiguous()
        arrays = features.to(wide).contiguous().numpy(), grad.numpy(), target.numpy()
        threads, counter = sync_threads(), np.zeros(1, np.int64)
        # Every task reads all rows, so few threads take many channels at a time; sums do not depend on it.
        channels = 64 if threads <= FEW_THREADS else 16
        _kernels.weight_grad(
            threads, counter, channels, order, bounds, pairs_in.numpy(), pairs_out.numpy(), *arrays
        )
    return target[:, :cin, :cout].to(features.dtype).contiguous()


def _widen(tensor: Tensor, columns: int) -> Tensor:
    """Zeros to the right up to `columns`; `pad` copies even when nothing is missing."""
    missing = columns - tensor.shape[-1]
    return pad(tensor, (0, missing)) if missing else tensor


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
