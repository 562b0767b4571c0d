"""Balanced assignment of points to clusters by optimal transport (self-labelling, arXiv 1911.05371)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

CHECKED_EVERY = 10
"""Rounds between two looks at whether the scaling still changes. Source: released code."""
MOST_ROUNDS = 1000
"""Rounds after which the assignment is taken as it is; the published tolerance is met after 11 to 61."""


@torch.no_grad()
def balanced_assignment(
    features: Float[Tensor, "n d"],
    centres: Float[Tensor, "k d"],
    *,
    power: float = 25.0,
    tolerance: float = 0.1,
) -> Int64[Tensor, " n"]:
    """Return the cluster of every point, such that all clusters get about as much of the points.

    The softmax over the clusters of the products with their centres is raised to `power` and then scaled row
    by row and column by column, until all clusters have the same sum and all points have; a point belongs to
    the cluster that has most of it, of equal ones the first. Computed in double precision; no gradient flows.

    Args:
        features: Points, usually of unit length; none is fine.
        centres: Clusters, usually of unit length.
        power: How hard the assignment is. Source: released code, 25.
        tolerance: Scaling ends when the relative changes of the points' factors in a round add up to less;
            looked at in the first round and every tenth. Source: released code, 0.1.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.9, 0.1], [0.8, 0.2]])
        >>> balanced_assignment(points, torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist()
        [0, 0, 1, 1]
    """
    count, clusters = len(features), len(centres)
    if count == 0:
        return torch.zeros(0, dtype=torch.int64, device=features.device)
    shares = (features.float() @ centres.float().T).softmax(dim=1).double().T ** power
    of_points = shares.new_full((count,), 1 / count)
    of_clusters = shares.new_empty(clusters)
    for round_ in range(MOST_ROUNDS):
        of_clusters = 1 / clusters / (shares @ of_points)
        scaled = 1 / count / (of_clusters @ shares)
        if round_ % CHECKED_EVERY == 0 and float((of_points / scaled - 1).abs().sum()) <= tolerance:
            of_points = scaled
            break
        of_points = scaled
    return (of_clusters[:, None] * shares * of_points).argmax(dim=0)
