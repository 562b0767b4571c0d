"""Losses that the heads share: focal, smooth-L1, heading coding, and the divisor of data-parallel runs."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def sigmoid_focal(
    logits: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, "*shape"]:
    """Return the focal loss of every logit, not reduced.

    With p the sigmoid of the logit and y the target: `(y alpha + (1 - y) (1 - alpha)) m^gamma BCE`, where
    `m = y (1 - p) + (1 - y) p` is the probability mass that is wrong. Targets may be soft.

    Args:
        alpha: Weight of the positives; negatives get 1 - alpha. Source: RetinaNet, section 5; imagepg.yaml.
        gamma: Focusing exponent.

    Example:
        >>> round(sigmoid_focal(torch.zeros(1), torch.ones(1)).item(), 4)  # 0.25 * 0.5**2 * ln 2
        0.0433
    """
    probability = logits.sigmoid()
    wrong = targets * (1 - probability) + (1 - targets) * probability
    weight = targets * alpha + (1 - targets) * (1 - alpha)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return weight * wrong.pow(gamma) * cross_entropy


def smooth_l1(difference: Float[Tensor, "*shape"], *, beta: float = 1.0 / 9.0) -> Float[Tensor, "*shape"]:
    """Return `0.5 d^2 / beta` below beta and `|d| - 0.5 beta` from there on, not reduced.

    Args:
        beta: Where the parabola meets the line, positive. 1/9 is the value of SECOND and its descendants.

    Raises:
        ValueError: beta is not positive.

    Example:
        >>> smooth_l1(torch.tensor([0.0, 0.5, 2.0]), beta=1.0).tolist()
        [0.0, 0.125, 1.5]
    """
    if beta <= 0:
        raise ValueError(
            f"smooth_l1: beta must be positive, got {beta}; for the plain absolute error use abs()"
        )
    size = difference.abs()
    return torch.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


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


def mean_over_ranks(
    count: Float[Tensor, ""] | Int[Tensor, ""], *, at_least: float = 0.0
) -> Float[Tensor, ""]:
    """Return the divisor that makes data-parallel gradients those of one process on the joined batch.

    Data-parallel training averages gradients over W ranks, so a loss `sum / count` over the joined batch must
    be divided on every rank by `max(sum of the counts, at_least) / W`. Without a process group this is
    `max(count, at_least)`. Every rank must call it equally often (it is a collective); no gradient flows
    through.

    Args:
        at_least: Lower bound of the joined count, usually 1 so that an empty batch does not divide by zero.

    Example:
        >>> mean_over_ranks(torch.tensor(0), at_least=1.0).item()
        1.0
    """
    total = count.detach().to(torch.float32).clone()
    world = 1
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        world = dist.get_world_size()
    return total.clamp_min(at_least) / world
