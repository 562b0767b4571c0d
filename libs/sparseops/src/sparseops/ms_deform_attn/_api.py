"""Public function of multi-scale deformable attention: rules, checks and the choice of the back end."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .._backend import backend_for
from .._checks import HALF_AND_FLOATS, check_device, check_dtype, check_shape
from ._reference import ms_deform_attn_reference


def ms_deform_attn(
    value: Float[Tensor, "b s h d"],
    shapes: Sequence[tuple[int, int]] | Int[Tensor, "l 2"],
    locations: Float[Tensor, "b q h l p 2"],
    weights: Float[Tensor, "b q h l p"],
) -> Float[Tensor, "b q hd"]:
    """Sample value maps around each query and add the samples up by weight.

    Level l is a map of `shapes[l]` = (height, width), its cells row by row in `value`, levels one after the
    other. `locations` are (x, y) as fractions of the map, 0 and 1 being its outer edges: the sample is bilinear at
    pixel location * (width, height) - 0.5, and cells outside the map count as zero; a sample contributes if
    -1 < x < width and -1 < y < height. Equal to `grid_sample(2 * location - 1, align_corners=False)` with zero
    padding. `weights` are used as they come (apply the softmax first). The result is head by head, [b, q, h * d].

    Gradients to value, locations and weights, the same in every run and for any number of threads. Half
    precision is computed in float32 and returned in the type of `value`.

    Source: Deformable DETR, equation 3.

    Raises:
        TypeError: Not floating point.
        ValueError: Wrong shape, different devices, or levels that do not add up to the cells of `value`.

    Example:
        >>> value = torch.arange(4.0).reshape(1, 4, 1, 1)
        >>> locations = torch.full((1, 1, 1, 1, 1, 2), 0.5)
        >>> ms_deform_attn(value, [(2, 2)], locations, torch.ones(1, 1, 1, 1, 1)).item()
        1.5
    """
    op = "ms_deform_attn"
    sizes = [(int(h), int(w)) for h, w in (shapes.tolist() if isinstance(shapes, Tensor) else shapes)]
    check_shape(op, "value", value, ("B", "S", "H", "D"))
    b, cells, heads, _ = value.shape
    check_shape(op, "locations", locations, (b, "Q", heads, len(sizes), "P", 2))
    check_shape(op, "weights", weights, tuple(locations.shape[:-1]))
    for name, tensor in (("value", value), ("locations", locations), ("weights", weights)):
        check_dtype(op, name, tensor, HALF_AND_FLOATS)
    check_device(op, ("value", value), ("locations", locations), ("weights", weights))
    if sum(h * w for h, w in sizes) != cells:
        raise ValueError(
            f"{op}: shapes {sizes} hold {sum(h * w for h, w in sizes)} cells, but value has {cells}"
        )
    working = torch.float64 if value.dtype == torch.float64 else torch.float32
    out = ms_deform_attn_reference(
        value.to(working), [n for size in sizes for n in size], locations.to(working), weights.to(working)
    )
    return out.to(value.dtype)
