"""Sparse convolution in plain PyTorch, on any device: gather, multiply and scatter, one offset at a time."""

import torch
from torch import Tensor

from sparseops.ops.kernel_map._reference import offset_of_pairs


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
    out = features.new_zeros(rows_out, weight.shape[2], dtype=wide)
    if bias is not None:
        out += bias.to(wide)
    offset = offset_of_pairs(segments)
    for k in range(weight.shape[0]):
        chosen = offset == k
        rows = features[pairs_in[chosen]].to(wide)
        out.index_add_(0, pairs_out[chosen], rows @ weight[k].to(wide))
    return out.to(features.dtype)


def weight_grad(
    features: Tensor, grad_out: Tensor, pairs_in: Tensor, pairs_out: Tensor, segments: Tensor
) -> Tensor:
    """Sum `features[i] grad_out[o]^T` over the pairs of every offset. [v, cin, cout]."""
    wide = _accumulator(features.dtype)
    offset = offset_of_pairs(segments)
    blocks = [
        features[pairs_in[offset == k]].to(wide).T @ grad_out[pairs_out[offset == k]].to(wide)
        for k in range(segments.shape[1])
    ]
    return torch.stack(blocks).to(features.dtype)


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
