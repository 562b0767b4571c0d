"""Grouping in plain PyTorch, any device. This file decides what is right."""

from torch import Tensor


def group(features: Tensor, idx: Tensor) -> Tensor:
    """Return [B, C, M, S] with out[b, c, m, s] = features[b, c, idx[b, m, s]]."""
    b, c, _ = features.shape
    flat = idx.reshape(b, 1, -1).expand(-1, c, -1)
    return features.gather(2, flat).reshape(b, c, *idx.shape[1:])


def group_backward(grad: Tensor, idx: Tensor, rows: int) -> Tensor:
    """Return [B, C, rows]: the gradients added up by row, in the order of (m, s)."""
    b, c = grad.shape[:2]
    flat = idx.reshape(b, 1, -1).expand(-1, c, -1)
    return grad.new_zeros(b, c, rows).scatter_add(2, flat, grad.reshape(b, c, -1))
