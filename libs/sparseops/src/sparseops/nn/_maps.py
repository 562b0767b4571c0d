"""What the sparse layers share: window settings, checks, and kernel maps from the cache of a tensor."""

from sparseops._lazy import to_keep
from sparseops.nn.container import SparseModule
from sparseops.ops.kernel_map import KernelMap, SiteRule, strided_map, submanifold_map, transposed_map
from sparseops.ops.kernel_map._rules import rule_window
from sparseops.ops.kernel_map._window import Extent, make_window
from sparseops.tensor import MapKey, SparseTensor


class WindowModule(SparseModule):
    """Base of the layers that move a window over a grid, with torch's names for its settings.

    `kernel_size`, `stride`, `padding` and `dilation` are attributes with one number per axis, z y x or y x.
    """

    _dims: int

    def __init__(
        self,
        *,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: Extent = 0,
        dilation: Extent = 1,
        site_rule: SiteRule = "spconv",
    ) -> None:
        super().__init__()
        window = make_window(
            self._name, self._dims, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
        )
        rule_window(self._name, window, site_rule)
        axes = window.along(self._dims)
        self.kernel_size, self.stride = axes["kernel_size"], axes["stride"]
        self.padding, self.dilation = axes["padding"], axes["dilation"]
        self._window = window
        self.site_rule: SiteRule = site_rule

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self, tensor: SparseTensor, *, channels: int | None = None) -> None:
        """Raise unless the input is a sparse tensor with as many axes and so many channels."""
        if not isinstance(tensor, SparseTensor):
            raise TypeError(f"{self._name}: the input must be a SparseTensor, got {type(tensor).__name__}")
        if tensor.sites.dims != self._dims:
            raise ValueError(
                f"{self._name}: the input must have {self._dims} spatial axes, "
                f"got spatial_shape {tensor.spatial_shape}"
            )
        got = tensor.features.shape[1]
        if channels is not None and got != channels:
            raise ValueError(f"{self._name}: features must have {channels} channels, got {got}")

    def _strided_map(self, tensor: SparseTensor, key: str | None) -> KernelMap:
        """The map of a strided layer; the inverse layers behind it find it under `key` and its output sites.

        A layer may run on several site sets of one cache (recurrence, shared weights, pruned copies).

        Raises:
            ValueError: the key names the maps of another window already.
        """
        kernel_map = cached_map(tensor, MapKey("strided", self._window, tensor.sites, self.site_rule))
        if key is not None:
            named = tensor.cache.named.setdefault(key, {})
            if any(other.window != kernel_map.window for other in named.values()):
                raise ValueError(
                    f"{self._name}: key {key!r} already names the map of another strided layer; "
                    "choose another"
                )
            named[kernel_map.sites_out] = kernel_map
        return kernel_map

    def extra_repr(self) -> str:
        """Say the settings that are not the default."""
        parts = [f"kernel_size={self.kernel_size}"]
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1)):
            value: tuple[int, ...] = getattr(self, name)
            if any(v != default for v in value):
                parts.append(f"{name}={value}")
        if self.site_rule != "spconv":
            parts.append(f"site_rule={self.site_rule!r}")
        return ", ".join(parts)


def cached_map(tensor: SparseTensor, key: MapKey) -> KernelMap:
    """Take the map of an identical request from the tensor's cache, or make it."""
    if key not in tensor.cache.maps:
        tensor.cache.maps[key] = to_keep(make_map, key)
    return tensor.cache.maps[key]


def make_map(key: MapKey) -> KernelMap:
    """Plan the map of a request."""
    dims = key.sites.dims
    window = key.window.along(dims)
    match key.kind:
        case "submanifold":
            return submanifold_map(key.sites, kernel_size=window["kernel_size"], dilation=window["dilation"])
        case "strided":
            return strided_map(key.sites, **window, site_rule=key.site_rule)
        case "transposed":
            assert key.site_rule != "torchsparse"
            return transposed_map(
                key.sites,
                **window,
                output_padding=key.output_padding[-dims:],
                site_rule=key.site_rule,
                onto=key.onto,
            )
