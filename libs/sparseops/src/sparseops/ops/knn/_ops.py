"""Registration of the nearest neighbours and their gradient with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.knn import _reference
from sparseops.ops.scatter._ops import scatter_sum, take_rows


def _fake(queries: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    shape = queries.shape[0], rest[-1]
    return queries.new_empty(shape), queries.new_empty(shape, dtype=torch.int64)


knn = operator("sparseops::knn", fake=_fake)(dispatched(_reference.knn))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    queries, query_starts, points, point_starts, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(queries, query_starts, points, point_starts, output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    queries, query_starts, points, point_starts, idx = ctx.saved_tensors
    query = torch.arange(len(queries), device=idx.device)
    sample = torch.searchsorted(query_starts[1:].contiguous(), query, right=True)
    found = idx >= 0
    rows = torch.where(found, idx + point_starts[sample, None], -1).flatten()
    offset = queries[:, None] - take_rows(points, rows).view(*idx.shape, 3)
    # Chosen, not multiplied by 0: where nothing was found the offset may be infinite.
    pull = torch.where(found[..., None], 2 * grad[..., None] * offset, 0.0)
    return (
        pull.sum(1) if ctx.needs_input_grad[0] else None,
        None,
        scatter_sum(-pull.flatten(0, 1), rows, len(points), "knn") if ctx.needs_input_grad[2] else None,
        None,
        None,
    )


torch.library.register_autograd("sparseops::knn", _backward, setup_context=_save)
