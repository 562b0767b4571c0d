"""Public function of furthest point sampling: rules, checks and the choice of the back end."""

from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOAT32, check_dtype, check_positive, check_shape
from sparseops.ops.furthest_point_sample import _ops


def furthest_point_sample(points: Float[Tensor, "b n 3"], num_samples: int) -> Int[Tensor, "b s"]:
    """Choose `num_samples` rows of every cloud (int64) that lie far apart.

    Row 0 comes first, then always the point furthest from all chosen ones. Distances are squared, in float32
    (half precision is converted to it); of equally far points the lowest row wins. (Published CUDA kernels
    break ties by the layout of their thread blocks.) If `num_samples` exceeds the number of distinct points,
    row 0 is repeated. Coordinates have to be finite; with NaN or infinity the rows are valid but arbitrary.
    No gradient. O(n s) time per cloud; clouds run in parallel.

    Source: PointNet++, section 3.2.

    Raises:
        TypeError: Not float32 or half precision.
        ValueError: Wrong shape, clouds without points, or a number of samples that is not positive.

    Example:
        >>> import torch
        >>> points = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [9.0, 0.0, 0.0], [4.0, 0.0, 0.0]]])
        >>> furthest_point_sample(points, 3).tolist()
        [[0, 2, 3]]
    """
    op = "furthest_point_sample"
    check_shape(op, "points", points, ("B", "N", 3))
    check_dtype(op, "points", points, HALF_AND_FLOAT32)
    check_positive(op, "num_samples", num_samples)
    if not points.shape[1]:
        raise ValueError(f"{op}: points must hold at least one point per cloud, got {list(points.shape)}")
    return _ops.furthest_point_sample(points.detach().float(), num_samples)
