"""Sums along a kernel map in plain PyTorch, on any device."""

from torch import Tensor


def pool_sum(
    features: Tensor, pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, rows_out: int
) -> Tensor:
    """Sum of the inputs of every output row, in the order of the pairs. [rows_out, c]."""
    return features.new_zeros(rows_out, features.shape[1]).index_add_(0, pairs_out, features[pairs_in])
