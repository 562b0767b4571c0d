"""Losses that every system may use: focal, smooth-L1, and the divisor of data-parallel runs."""

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
