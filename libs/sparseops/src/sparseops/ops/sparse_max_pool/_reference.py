"""Sparse max pooling in plain PyTorch, on any device."""

import torch
from torch import Tensor

from sparseops.ops.kernel_map._reference import offset_of_pairs


def sparse_max_pool(
    features: Tensor, pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, rows_out: int
) -> tuple[Tensor, Tensor]:
    """Maximum over the pairs of every output row, and the input row it came from: the first one."""
    best = features.new_full((rows_out, features.shape[1]), -torch.inf)
    source = torch.full(best.shape, -1, dtype=torch.int32, device=features.device)
    offset = offset_of_pairs(segments)
    for k in range(segments.shape[1]):
        rows_in, rows_to = pairs_in[offset == k], pairs_out[offset == k]
        value, old = features[rows_in], best[rows_to]
        wins = (value > old) | (source[rows_to] < 0) | (value.isnan() & ~old.isnan())
        best[rows_to] = torch.where(wins, value, old)
        source[rows_to] = torch.where(wins, rows_in[:, None], source[rows_to])
    return best, source


def grad_to_first(
    grad_out: Tensor, source: Tensor, back_in: Tensor, back_out: Tensor, back_segments: Tensor, rows_in: int
) -> Tensor:
    """Give every output's gradient to the input row it came from."""
    picked = (source[back_in] == back_out[:, None]).to(grad_out.dtype)
    grad = grad_out.new_zeros(rows_in, grad_out.shape[1])
    return grad.index_add_(0, back_out, grad_out[back_in] * picked)


def grad_to_all(
    grad_out: Tensor, features: Tensor, out: Tensor, back_in: Tensor, back_out: Tensor, back_segments: Tensor
) -> Tensor:
    """Give every output's gradient to all input rows equal to it."""
    picked = (features[back_out] == out[back_in]).to(grad_out.dtype)
    return torch.zeros_like(features).index_add_(0, back_out, grad_out[back_in] * picked)
