"""Nearest neighbours in plain PyTorch, any device. This file decides what is right."""

from itertools import pairwise

import torch
from torch import Tensor

_DISTANCES_AT_ONCE = 1 << 24


def knn(
    queries: Tensor, query_starts: Tensor, points: Tensor, point_starts: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Return squared distances [m, k] and rows of points [m, k], counted within the sample.

    `query_starts` and `point_starts` hold the first row of every sample and, last, the number of rows.
    """
    squared = queries.new_full((len(queries), k), torch.inf)
    idx = torch.full((len(queries), k), -1, dtype=torch.int64, device=queries.device)
    spans = zip(pairwise(query_starts.tolist()), pairwise(point_starts.tolist()), strict=True)
    for (first_query, last_query), (first_point, last_point) in spans:
        cloud = points[first_point:last_point]
        found = min(k, len(cloud))
        step = max(1, _DISTANCES_AT_ONCE // max(1, len(cloud)))
        for start in range(first_query, last_query, step):
            part = slice(start, min(start + step, last_query))
            x, y, z = (cloud[None] - queries[part, None]).unbind(-1)
            distances = ((x * x + y * y) + z * z).nan_to_num(nan=torch.inf, posinf=torch.inf)
            # The sort is stable, so the lowest row comes first among equal distances.
            nearest, rows = distances.sort(dim=1, stable=True)
            squared[part, :found] = nearest[:, :found]
            idx[part, :found] = torch.where(nearest[:, :found] < torch.inf, rows[:, :found], -1)
    return squared, idx
