"""Weak pruning, which bounds the voxels of a room in training: the best by an interpolated score stay."""

import torch
from jaxtyping import Bool, Float, Int64
from sparseops import Sites, trilinear_devoxelize, trilinear_weights
from torch import Tensor


@torch.no_grad()
def child_scores(
    scores: Float[Tensor, " n"], sites: Sites, children: Sites, *, ratio: int = 2
) -> Float[Tensor, " m"]:
    """Interpolate scores of coarse cells at the lower corners of finer ones, single precision.

    Trilinear between the eight corners around it, on the coarse grid; a corner that is no site counts as a
    score of 0, and weights are not divided by their sum. Source: released code (`features_at_coordinates`).

    Args:
        sites: Of the scores.
        children: Of the finer grid, whose cells are `ratio` times narrower.

    Example:
        >>> from sparseops import sites_from_coords
        >>> coords = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 3]], dtype=torch.int32)
        >>> fine = sites_from_coords(coords, spatial_shape=(2, 2, 4), batch_size=1)
        >>> coarse = sites_from_coords(coords[:2], spatial_shape=(1, 1, 3), batch_size=1)
        >>> child_scores(torch.tensor([4.0, 8.0]), coarse, fine).tolist()
        [2.0, 4.0, 6.0]
    """
    bzyx = children.coords.float()
    places = torch.cat([bzyx[:, :1], bzyx[:, 1:] / ratio], dim=1)
    idx, weights = trilinear_weights(places, sites, normalize=False)
    return trilinear_devoxelize(scores.float()[:, None], idx, weights)[:, 0]


def weak_prune(
    scores: Float[Tensor, " n"], batch_indices: Int64[Tensor, " n"], limit: int
) -> Bool[Tensor, " n"]:
    """Mark the `limit` rows of every room with the highest scores, all of a room with no more; no gradient.

    Of equal scores the lower rows stay. Rows may be in any order. Does not wait for the device.

    Raises:
        ValueError: A limit below 0.

    Example:
        >>> scores, rooms = torch.tensor([1.0, 3.0, 3.0, 3.0, 0.0]), torch.tensor([0, 0, 0, 0, 1])
        >>> weak_prune(scores, rooms, 2).tolist()
        [False, True, True, False, True]
    """
    if limit < 0:
        raise ValueError(f"weak_prune: limit must not be negative, got {limit}")
    order = scores.detach().argsort(descending=True, stable=True)
    order = order[batch_indices[order].argsort(stable=True)]
    rooms = batch_indices[order]
    rank = torch.arange(len(order), device=order.device) - torch.searchsorted(rooms, rooms)
    return torch.zeros_like(order, dtype=torch.bool).scatter(0, order, rank < limit)
