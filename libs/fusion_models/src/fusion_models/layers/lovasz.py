"""The Lovasz-softmax loss (Berman et al., CVPR 2018): a smooth stand-in for one minus the mean IoU."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

IGNORED = 255
"""Label of rows that do not count."""


def lovasz_softmax(
    probabilities: Float[Tensor, "n c"],
    labels: Int64[Tensor, " n"],
    *,
    ignored: int = IGNORED,
    classes: Literal["present", "all"] = "present",
) -> Float[Tensor, ""]:
    """Return the mean over the classes of the Lovasz extension of their Jaccard loss.

    For one class the errors |1[label = c] - p_c| of all rows are sorted, largest first; each weighs what the
    Jaccard loss grows by when its row becomes wrong, too. Of equal errors the earlier row comes first. Half
    precision is computed in single. The cost is one sort of n rows for every class.

    Args:
        probabilities: Softmax over c classes.
        labels: Class of every row, or `ignored`.
        classes: Which classes the mean goes over: those that occur among the labels, or all. A class that
            does not occur costs its largest probability.

    Returns:
        0, with a gradient of 0, where no row counts. The reference code returns an empty tensor then, and
        fails for a single row.

    Example:
        >>> sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> tuple(lovasz_softmax(sure, torch.tensor(labels)).item() for labels in ([0, 1], [1, 0]))
        (0.0, 1.0)
    """
    if probabilities.dtype not in (torch.float32, torch.float64):
        probabilities = probabilities.float()
    counts = labels != ignored
    probabilities, labels = probabilities[counts], labels[counts]
    if not len(labels):
        return probabilities.sum()
    wanted = (
        labels.unique()
        if classes == "present"
        else torch.arange(probabilities.shape[1], device=labels.device)
    )
    truth = (labels[:, None] == wanted).to(probabilities.dtype)
    errors, order = (truth - probabilities[:, wanted]).abs().sort(dim=0, descending=True, stable=True)
    return (errors * jaccard_steps(truth.gather(0, order))).sum(dim=0).mean()


def jaccard_steps(truth: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Return what the Jaccard loss grows by when one row after another becomes wrong, for every column.

    Args:
        truth: 1 for rows of the class, 0 for others, in the order in which they become wrong.

    Example:
        >>> jaccard_steps(torch.tensor([[1.0], [0.0], [1.0]])).flatten()
        tensor([0.5000, 0.1667, 0.3333])
    """
    total = truth.sum(dim=0)
    intersection = total - truth.cumsum(dim=0)
    union = total + (1 - truth).cumsum(dim=0)
    loss = 1 - intersection / union
    return torch.cat([loss[:1], loss[1:] - loss[:-1]])
