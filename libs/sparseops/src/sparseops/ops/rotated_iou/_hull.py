"""Area of the convex hull of two rectangles, in plain PyTorch, any device; differentiable."""

import torch
from jaxtyping import Float64
from torch import Tensor

_MOST_DENTS = 5
"""Of eight corners at least three are on the hull."""


def hull_area(corners: Float64[Tensor, "n 8 2"]) -> Float64[Tensor, " n"]:
    """Return the area of the convex hull of the corners of two rectangles.

    In order around their middle the corners are a polygon without crossings; then the vertex that is dented
    most goes, until none is. Rounding can keep or lose a vertex on a straight edge, which costs no digits.
    """
    # Corners in one place share their gradient, as equal boxes must.
    together = (corners[..., None, :] == corners[..., None, :, :]).all(-1).to(corners)
    corners = (together @ corners) / together.sum(-1, keepdim=True)
    middle = corners.mean(-2, keepdim=True)
    from_middle = (corners - middle).detach()
    order = torch.atan2(from_middle[..., 1], from_middle[..., 0]).argsort(dim=-1)
    points = corners.gather(-2, order[..., None].expand_as(corners)) - middle
    place = torch.arange(8, device=corners.device).expand(points.shape[:-1])
    following, previous = place.roll(-1, -1), place.roll(1, -1)
    kept = torch.ones_like(place, dtype=torch.bool)
    fixed = points.detach()
    for _ in range(_MOST_DENTS):
        turn = _cross(fixed - _at(fixed, previous), _at(fixed, following) - fixed)
        dent, where = torch.where(kept, turn, torch.inf).min(-1, keepdim=True)
        goes = dent <= 0
        before, after = previous.gather(-1, where), following.gather(-1, where)
        kept = kept & ~((place == where) & goes)
        following = torch.where((place == before) & goes, after, following)
        previous = torch.where((place == after) & goes, before, previous)
    return torch.where(kept, _cross(points, _at(points, following)), 0.0).sum(-1) / 2


def _at(points: Tensor, place: Tensor) -> Tensor:
    return points.gather(-2, place[..., None].expand_as(points))


def _cross(first: Tensor, second: Tensor) -> Tensor:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
