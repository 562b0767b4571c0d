"""State dicts of networks written for other libraries, for the same network written with `sparseops.nn`."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from torch import Tensor, nn

from sparseops.layouts import (
    weight_from_dense,
    weight_from_minkowski,
    weight_from_spconv,
    weight_from_torchsparse,
    weight_xyz_to_zyx,
)
from sparseops.nn.conv import SparseConvBase

Source = Literal["spconv", "spconv-2.1", "spconv-1", "minkowski", "torchsparse", "torch"]
"""spconv 2.2 or newer, 2.0 and 2.1, 1; MinkowskiEngine 0.5; torchsparse; dense layers of torch."""

_IGNORED = "max_num_voxels_during_training"
_MINKOWSKI_NORM = re.compile(r"\.bn(\.\w+)$")


class ConvertedState(NamedTuple):
    """A foreign state dict in our names and layouts, for `module.load_state_dict(converted.state_dict)`."""

    state_dict: dict[str, Tensor]
    missing_keys: tuple[str, ...]
    """Entries of the module that the foreign state dict does not have."""
    unexpected_keys: tuple[str, ...]
    """Foreign entries that the module does not have."""


def convert_state_dict(
    module: nn.Module,
    state_dict: Mapping[str, Tensor],
    *,
    source: Source,
    axes: Literal["zyx", "xyz"] = "zyx",
) -> ConvertedState:
    """Convert the weights of the sparse convolutions in a foreign state dict; take the rest as it is.

    Modules must have the names they had there. The weights called `kernel` (MinkowskiEngine, torchsparse)
    become `weight`, biases of shape [1, c] lose an axis, the inner `bn` of MinkowskiEngine's norms goes, and
    spconv's `max_num_voxels_during_training` is left out. Transposed layers of dense torch networks are not
    covered: their weights are [cin, cout, ...].

    Args:
        source: The library that the weights were trained with; it cannot be told from their shapes.
        axes: Order of the coordinate columns there. `"xyz"` (most networks for MinkowskiEngine and
            torchsparse) reverses the spatial axes of the kernels; ours are z y x.

    Raises:
        ValueError: an unknown `source` or `axes`, or an entry that has another shape than the module's.

    Example:
        >>> import torch
        >>> from sparseops.nn import SparseSequential, SubmanifoldConv3d
        >>> network = SparseSequential(SubmanifoldConv3d(2, 4, 3))
        >>> foreign = {"0.kernel": torch.randn(27, 2, 4), "head.weight": torch.zeros(3)}
        >>> converted = convert_state_dict(network, foreign, source="minkowski", axes="xyz")
        >>> converted.state_dict["0.weight"].shape, converted.missing_keys, converted.unexpected_keys
        (torch.Size([3, 3, 3, 2, 4]), ('0.bias',), ('head.weight',))
    """
    op, own = "convert_state_dict", module.state_dict()
    if source not in get_args(Source) or axes not in ("zyx", "xyz"):
        raise ValueError(
            f"{op}: source must be one of {get_args(Source)} and axes 'zyx' or 'xyz', "
            f"got {source!r} and {axes!r}"
        )
    prefixed = ((name + "." if name else "", part) for name, part in module.named_modules())
    layers = {prefix: part for prefix, part in prefixed if isinstance(part, SparseConvBase)}
    converted, unexpected = {}, []
    for name, value in state_dict.items():
        prefix, _, last = name.rpartition(".")
        prefix += "." if prefix else ""
        layer, target = layers.get(prefix), name
        if layer is not None and last == _weight_name(source):
            target, value = prefix + "weight", _weight(name, value, layer, source, reverse=axes == "xyz")
        elif layer is not None and last == "bias":
            value = value.flatten()
        elif source == "minkowski" and name not in own:
            target = _MINKOWSKI_NORM.sub(r"\1", name)
        if target in own:
            _check_shape(op, name, value, own[target])
            converted[target] = value
        elif last != _IGNORED:
            unexpected.append(name)
    missing = tuple(name for name in own if name not in converted)
    return ConvertedState(converted, missing, tuple(unexpected))


def _weight_name(source: Source) -> str:
    return "kernel" if source in ("minkowski", "torchsparse") else "weight"


def _weight(name: str, value: Tensor, layer: SparseConvBase, source: Source, *, reverse: bool) -> Tensor:
    dims = layer.weight.ndim - 2
    kernel, stride = tuple(layer.weight.shape[:dims]), layer.stride
    if reverse:
        kernel = kernel[::-1]
    try:
        match source:
            case "spconv":
                weight = weight_from_spconv(value, stride=stride)
            case "spconv-2.1":
                weight = weight_from_spconv(value, layout="RSKC", stride=stride)
            case "spconv-1":
                weight = weight_from_spconv(value, layout="RSCK")
            case "minkowski":
                weight = weight_from_minkowski(value, kernel_size=kernel)
            case "torchsparse":
                weight = weight_from_torchsparse(value, kernel_size=kernel)
            case "torch":
                weight = weight_from_dense(value)
    except ValueError as error:
        raise ValueError(f"convert_state_dict: {name}: {error}") from None
    return weight_xyz_to_zyx(weight) if reverse else weight


def _check_shape(op: str, name: str, value: Tensor, own: Tensor) -> None:
    if value.shape != own.shape:
        raise ValueError(
            f"{op}: {name} must have shape {list(own.shape)} in our layout, got {list(value.shape)}; "
            "check source, axes and the settings of the network"
        )
