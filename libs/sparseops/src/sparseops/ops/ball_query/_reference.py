"""Ball query in plain PyTorch, any device. This file decides what is right."""

from itertools import pairwise

import torch
from torch import Tensor

_DISTANCES_AT_ONCE = 1 << 24


def ball_query(
    centres: Tensor, centre_starts: Tensor, points: Tensor, point_starts: Tensor, radius: float, samples: int
) -> tuple[Tensor, Tensor]:
    """Return rows [m, s] of points [n, 3], counted within the sample, and the empty mask [m].

    `centre_starts` and `point_starts` hold the first row of every sample and, last, the number of rows.
    """
    idx = torch.zeros(len(centres), samples, dtype=torch.int64, device=centres.device)
    empty = torch.ones(len(centres), dtype=torch.bool, device=centres.device)
    limit = torch.tensor(radius, dtype=centres.dtype, device=centres.device) ** 2
    spans = zip(pairwise(centre_starts.tolist()), pairwise(point_starts.tolist()), strict=True)
    for (first_centre, last_centre), (first_point, last_point) in spans:
        cloud = points[first_point:last_point]
        if not len(cloud):
            continue
        step = max(1, _DISTANCES_AT_ONCE // len(cloud))
        for start in range(first_centre, last_centre, step):
            part = slice(start, min(start + step, last_centre))
            x, y, z = (cloud[None] - centres[part, None]).unbind(-1)
            hit = (x * x + y * y) + z * z < limit
            rank = hit.cumsum(1)
            centre, point = (hit & (rank <= samples)).nonzero(as_tuple=True)
            rows = torch.full((len(hit), samples), -1, dtype=torch.int64, device=centres.device)
            rows[centre, rank[centre, point] - 1] = point
            rows = torch.where(rows < 0, rows[:, :1], rows)
            idx[part] = rows.clamp(min=0)
            empty[part] = rows[:, 0] < 0
    return idx, empty
