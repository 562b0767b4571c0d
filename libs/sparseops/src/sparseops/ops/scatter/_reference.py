"""Row reductions in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def scatter_sum(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Return [count, C]: the sums of the rows with each index; negative indices are left out."""
    kept = index >= 0
    return rows.new_zeros(count, rows.shape[1]).index_add(0, index[kept], rows[kept])


def scatter_argmax(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Return [count, C]: the lowest row that holds the maximum, N where no row has the index."""
    kept = index >= 0
    n, channels = rows.shape
    target = index[kept, None].expand(-1, channels)
    largest = rows.new_zeros(count, channels).scatter_reduce(
        0, target, rows[kept], "amax", include_self=False
    )
    candidate = torch.arange(n, device=rows.device)[kept, None].expand(-1, channels)
    value, top = rows[kept], largest[index[kept]]
    candidate = torch.where((value == top) | (value.isnan() & top.isnan()), candidate, n)
    first = torch.full((count, channels), n, device=rows.device)
    return first.scatter_reduce(0, target, candidate, "amin")
