"""Pooling of whole batch elements of a sparse tensor."""

from jaxtyping import Float
from torch import Tensor

from sparseops.ops.scatter import scatter_max, scatter_mean
from sparseops.tensor import SparseTensor


def global_avg_pool(tensor: SparseTensor) -> Float[Tensor, "b c"]:
    """Average the rows of every batch element; zero for an element without rows.

    Half precision is summed in float32. Differentiable.

    Example:
        >>> import torch
        >>> coords = torch.tensor([[0, 0, 0], [0, 0, 1], [2, 0, 1]], dtype=torch.int32)
        >>> tensor = SparseTensor(torch.tensor([[1.0], [3.0], [5.0]]), coords, (1, 2), 3)
        >>> global_avg_pool(tensor).tolist()
        [[2.0], [0.0], [5.0]]
    """
    return scatter_mean(tensor.features, tensor.coords[:, 0], dim_size=tensor.batch_size)


def global_max_pool(tensor: SparseTensor) -> Float[Tensor, "b c"]:
    """Take the maximum over the rows of every batch element; zero for an element without rows.

    Of equal rows the first gets the gradient.

    Example:
        >>> import torch
        >>> coords = torch.tensor([[0, 0, 0], [0, 0, 1], [2, 0, 1]], dtype=torch.int32)
        >>> tensor = SparseTensor(torch.tensor([[-1.0], [-3.0], [5.0]]), coords, (1, 2), 3)
        >>> global_max_pool(tensor).tolist()
        [[-1.0], [0.0], [5.0]]
    """
    return scatter_max(tensor.features, tensor.coords[:, 0], dim_size=tensor.batch_size)[0]
