"""Registration of the weighted sum of rows and its gradients with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.weighted_sum import _reference

_run = dispatched(_reference.weighted_sum)


def _fake(features: Tensor, idx: Tensor, weights: Tensor, op: str) -> Tensor:
    return features.new_empty(idx.shape[0], features.shape[1])


def _fake_features(grad: Tensor, idx: Tensor, weights: Tensor, rows: int | torch.SymInt) -> Tensor:
    return grad.new_empty(rows, grad.shape[1])


def _fake_weights(grad: Tensor, features: Tensor, idx: Tensor) -> Tensor:
    working = torch.float64 if features.dtype == torch.float64 else torch.float32
    return grad.new_empty(idx.shape, dtype=working)


@operator("sparseops::weighted_sum", fake=_fake)
def weighted_sum(features: Tensor, idx: Tensor, weights: Tensor, op: str) -> Tensor:
    """Weighted sums of rows; `op` is the function that errors name."""
    # On a GPU this would wait for all earlier kernels.
    if idx.device.type == "cpu" and idx.numel() and int(idx.max()) >= len(features):
        raise IndexError(
            f"{op}: idx must be below {len(features)}, the rows of features, got {int(idx.max())}"
        )
    return _run(features, idx, weights)


backward_features = operator(
    "sparseops::weighted_sum_backward_features", fake=_fake_features, gradient=False
)(dispatched(_reference.weighted_sum_backward_features))
backward_weights = operator("sparseops::weighted_sum_backward_weights", fake=_fake_weights, gradient=False)(
    dispatched(_reference.weighted_sum_backward_weights)
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, idx, weights, _ = inputs
    ctx.rows = features.shape[0]
    # The values of the features are needed for the gradient to the weights only.
    ctx.save_for_backward(features if weights.requires_grad else None, idx, weights)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
    features, idx, weights = ctx.saved_tensors
    to_features, _, to_weights, _ = ctx.needs_input_grad
    return (
        backward_features(grad, idx, weights, ctx.rows) if to_features else None,
        None,
        backward_weights(grad, features, idx) if to_weights else None,
        None,
    )


torch.library.register_autograd("sparseops::weighted_sum", _backward, setup_context=_save)
