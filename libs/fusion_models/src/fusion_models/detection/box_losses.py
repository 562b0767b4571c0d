"""Losses of coded boxes: differences of codes, headings as a sine and a bin (SECOND)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def code_difference(codes: Float[Tensor, "n 7"], targets: Float[Tensor, "n 7"]) -> Float[Tensor, "n 7"]:
    """Return codes - targets with the heading column replaced by the sine of its difference.

    The sine makes headings that differ by pi equal; the direction bin tells them apart (SECOND, section
    3.1.3).

    Example:
        >>> a = torch.tensor([[1.0, 0, 0, 0, 0, 0, torch.pi]])
        >>> code_difference(a, torch.zeros(1, 7)).abs().round(decimals=4).tolist()
        [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    difference = codes - targets
    return torch.cat([difference[:, :6], difference[:, 6:].sin()], dim=1)


def direction_bins(yaw_rad: Float[Tensor, " n"], *, offset_rad: float, bins: int = 2) -> Int[Tensor, " n"]:
    """Return the heading bin `floor(((yaw - offset) mod 2 pi) / (2 pi / bins))`, in 0..bins - 1.

    Example:
        >>> direction_bins(torch.tensor([0.0, 1.0, 4.0]), offset_rad=0.78539).tolist()
        [1, 0, 1]
    """
    turn = 2 * torch.pi
    wrapped = yaw_rad - offset_rad
    wrapped = wrapped - torch.floor(wrapped / turn) * turn
    return torch.floor(wrapped / (turn / bins)).long().clamp(0, bins - 1)


def direction_loss(logits: Float[Tensor, "n bins"], targets: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the cross entropy of every row, not reduced.

    Example:
        >>> round(direction_loss(torch.zeros(1, 2), torch.tensor([1])).item(), 4)
        0.6931
    """
    return F.cross_entropy(logits, targets, reduction="none")
