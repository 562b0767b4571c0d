"""Public function of multi-scale deformable attention: rules, checks and the choice of the back end."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype, check_shape
from sparseops.ops.ms_deform_attn import _ops, _reference


def ms_deform_attn(
    value: Float[Tensor, "b s h d"],
    value_spatial_shapes: Sequence[tuple[int, int]] | Int[Tensor, "l 2"],
    sampling_locations: Float[Tensor, "b q h l p 2"],
    attention_weights: Float[Tensor, "b q h l p"],
) -> Float[Tensor, "b q hd"]:
    """Sample value maps around each query and add the samples up by weight.

    Level l is a map of `value_spatial_shapes[l]` = (height, width), its cells row by row in `value`, levels
    one after the other. `sampling_locations` are (x, y) as fractions of the map, 0 and 1 being its outer
    edges: the sample is bilinear at pixel location * (width, height) - 0.5, and cells outside the map count
    as zero; a sample contributes if -1 < x < width and -1 < y < height. Equal to `grid_sample(2 * location -
    1, align_corners=False)` with zero padding. `attention_weights` are used as they come (apply the softmax
    first). The result is [b, q, h * d], head by head.

    Gradients go to value, sampling locations and attention weights, the same in every run and for any number
    of threads. At whole pixels, where the bilinear sample has a kink, the gradient to x or y is the one
    towards larger coordinates; there back ends may differ by rounding the location to either side. Half
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
    shapes = value_spatial_shapes
    sizes = [(int(h), int(w)) for h, w in (shapes.tolist() if isinstance(shapes, Tensor) else shapes)]
    check_shape(op, "value", value, ("B", "S", "H", "D"))
    b, cells, heads, _ = value.shape
    check_shape(op, "sampling_locations", sampling_locations, (b, "Q", heads, len(sizes), "P", 2))
    check_shape(op, "attention_weights", attention_weights, tuple(sampling_locations.shape[:-1]))
    named = (
        ("value", value),
        ("sampling_locations", sampling_locations),
        ("attention_weights", attention_weights),
    )
    for name, tensor in named:
        check_dtype(op, name, tensor, HALF_AND_FLOATS)
    check_device(op, *named)
    if sum(h * w for h, w in sizes) != cells:
        raise ValueError(
            f"{op}: value_spatial_shapes {sizes} hold {sum(h * w for h, w in sizes)} cells, "
            f"but value has {cells}"
        )
    working = torch.float64 if value.dtype == torch.float64 else torch.float32
    inputs = (
        value.to(working),
        [n for size in sizes for n in size],
        sampling_locations.to(working),
        attention_weights.to(working),
    )
    # The reference differentiates itself, so it stays outside the registered operator.
    reference = backend_for(op, value) == "reference"
    out = _reference.ms_deform_attn(*inputs) if reference else _ops.ms_deform_attn(*inputs)
    return out.to(value.dtype)
