"""Weighted sum of rows in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def weighted_sum(features: Tensor, idx: Tensor, weights: Tensor) -> Tensor:
    """Return [N, C]: the sum over j of weights[:, j] * features[idx[:, j]], without rows out of range."""
    rows, shares = _present(idx, weights, len(features))
    padded = _with_row_of_zeros(features, weights.dtype)
    out = weights.new_zeros(len(idx), features.shape[1])
    for row, share in zip(rows.T, shares.T, strict=True):
        out = out + share[:, None] * padded[row]
    return out.to(features.dtype)


def weighted_sum_backward_features(grad: Tensor, idx: Tensor, weights: Tensor, rows: int) -> Tensor:
    """Return [rows, C]: weights times upstream gradients, added up by row in the order of (n, j)."""
    row, share = _present(idx, weights, rows)
    products = share[..., None] * grad.to(weights.dtype)[:, None]
    total = weights.new_zeros(rows + 1, grad.shape[1]).index_add(0, row.flatten(), products.flatten(0, 1))
    return total[:-1].to(grad.dtype)


def weighted_sum_backward_weights(grad: Tensor, features: Tensor, idx: Tensor) -> Tensor:
    """Return [N, K]: the scalar products of upstream gradients and rows, 0 for rows out of range."""
    working = torch.float64 if features.dtype == torch.float64 else torch.float32
    row, _ = _present(idx, torch.zeros_like(idx), len(features))
    return (grad.to(working)[:, None] * _with_row_of_zeros(features, working)[row]).sum(2)


def _present(idx: Tensor, weights: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Return rows and weights with row `rows` and weight 0 in place of rows out of range."""
    absent = (idx < 0) | (idx >= rows)
    return idx.masked_fill(absent, rows), weights.masked_fill(absent, 0)


def _with_row_of_zeros(features: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.cat([features, features.new_zeros(1, features.shape[1])]).to(dtype)
