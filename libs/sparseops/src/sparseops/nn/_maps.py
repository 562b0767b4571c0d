"""What the sparse layers share: checks, and kernel maps from the cache of a tensor."""

from torch import nn

from sparseops.ops.kernel_map import KernelMap, Window, strided_map, submanifold_map, transposed_map
from sparseops.tensor import MapKey, SparseTensor


def cached_map(tensor: SparseTensor, key: MapKey) -> KernelMap:
    """Take the map of an identical request from the tensor's cache, or make it."""
    if key not in tensor.cache.maps:
        tensor.cache.maps[key] = _make(key)
    return tensor.cache.maps[key]


def _make(key: MapKey) -> KernelMap:
    window, dims = key.window, key.sites.dims
    kernel, stride = window.kernel[-dims:], window.stride[-dims:]
    padding, dilation = window.padding[-dims:], window.dilation[-dims:]
    match key.kind:
        case "submanifold":
            return submanifold_map(key.sites, kernel=kernel, dilation=dilation)
        case "strided":
            return strided_map(
                key.sites,
                kernel=kernel,
                stride=stride,
                padding=padding,
                dilation=dilation,
                site_rule=key.site_rule,
            )
        case "transposed":
            assert key.site_rule != "torchsparse"
            return transposed_map(
                key.sites,
                kernel=kernel,
                stride=stride,
                padding=padding,
                dilation=dilation,
                output_padding=key.output_padding[-dims:],
                site_rule=key.site_rule,
                onto=key.onto,
            )


def name_map(layer: nn.Module, tensor: SparseTensor, key: str | None, kernel_map: KernelMap) -> None:
    """Let the inverse layers behind `layer` find its map under `key`.

    Raises:
        ValueError: the key names another map already.
    """
    if key is None:
        return
    if tensor.cache.named.setdefault(key, kernel_map) is not kernel_map:
        raise ValueError(
            f"{type(layer).__name__}: key {key!r} already names the map of another strided layer; "
            "choose another"
        )


def check_input(layer: nn.Module, tensor: SparseTensor, dims: int, channels: int) -> None:
    """Raise unless the input is a sparse tensor with so many axes and channels."""
    name = type(layer).__name__
    if not isinstance(tensor, SparseTensor):
        raise TypeError(f"{name}: the input must be a SparseTensor, got {type(tensor).__name__}")
    if tensor.sites.dims != dims:
        raise ValueError(
            f"{name}: the input must have {dims} spatial axes, got spatial_shape {tensor.spatial_shape}"
        )
    if tensor.features.shape[1] != channels:
        raise ValueError(f"{name}: features must have {channels} channels, got {tensor.features.shape[1]}")


def describe(window: Window, dims: int, *, site_rule: str = "spconv") -> str:
    """The settings of a window that are not the default."""
    parts = [f"kernel={window.kernel[-dims:]}"]
    for name, default in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value: tuple[int, ...] = getattr(window, name)[-dims:]
        if any(v != default for v in value):
            parts.append(f"{name}={value}")
    if site_rule != "spconv":
        parts.append(f"site_rule={site_rule!r}")
    return ", ".join(parts)
