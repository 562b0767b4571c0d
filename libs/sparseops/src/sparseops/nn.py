"""Layers for sparse tensors: convolutions, pooling, and a container that mixes in layers on features."""

import math

import torch
from torch import nn

from sparseops.kernel_map import KernelMap, strided_map, submanifold_map
from sparseops.kernel_map._window import Extent, Window, make_window
from sparseops.sparse_conv import sparse_conv
from sparseops.sparse_max_pool import sparse_max_pool
from sparseops.tensor import MapKey, SparseTensor

__all__ = [
    "InverseConv2d",
    "InverseConv3d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseMaxPool2d",
    "SparseMaxPool3d",
    "SparseModule",
    "SparseSequential",
    "SubmanifoldConv2d",
    "SubmanifoldConv3d",
]


class SparseModule(nn.Module):
    """Base of layers that take and return a SparseTensor; derive your own blocks from it."""


class SparseSequential(nn.Sequential):
    """Run layers in order; those that are not sparse (BatchNorm1d, ReLU, Linear) get the feature rows.

    A layer is sparse if it derives from SparseModule or SparseSequential. A feature layer keeps the number of
    rows.
    """

    def forward(self, input: SparseTensor) -> SparseTensor:
        """Apply the layers."""
        tensor = input
        for layer in self:
            if isinstance(layer, SparseModule | SparseSequential):
                tensor = layer(tensor)
            else:
                tensor = tensor.replace(layer(tensor.features))
        return tensor


class _Conv(SparseModule):
    """Weight and bias, drawn uniformly from +-1/sqrt(cin * kernel volume), as torch's convolutions."""

    _dims: int

    def __init__(self, cin: int, cout: int, window: Window, *, bias: bool) -> None:
        super().__init__()
        self.cin, self.cout, self.window = cin, cout, window
        self.weight = nn.Parameter(torch.empty(*window.kernel[-self._dims :], cin, cout))
        self.bias = nn.Parameter(torch.empty(cout)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(max(self.cin * self.window.volume, 1))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def _convolve(self, tensor: SparseTensor, kernel_map: KernelMap) -> SparseTensor:
        out = sparse_conv(tensor.features, self.weight, bias=self.bias, kernel_map=kernel_map)
        return SparseTensor.from_sites(out, kernel_map.sites_out, cache=tensor.cache)

    def extra_repr(self) -> str:
        return f"{self.cin}, {self.cout}, {_describe(self.window, self._dims)}, bias={self.bias is not None}"


class _SubmanifoldConv(_Conv):
    def __init__(
        self, cin: int, cout: int, kernel: Extent, *, dilation: Extent = 1, bias: bool = True
    ) -> None:
        window = make_window(type(self).__name__, self._dims, kernel=kernel, dilation=dilation)
        if any(size % 2 == 0 for size in window.kernel):
            raise ValueError(f"{type(self).__name__}: kernel must be odd on every axis, got {kernel}")
        super().__init__(cin, cout, window, bias=bias)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        _check_input(self, tensor, self._dims, self.cin)
        return self._convolve(tensor, _cached_map(tensor, "submanifold", self.window))


class _SparseConv(_Conv):
    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: Extent,
        *,
        stride: Extent = 1,
        padding: Extent = 0,
        dilation: Extent = 1,
        bias: bool = True,
        key: str | None = None,
    ) -> None:
        window = make_window(
            type(self).__name__, self._dims, kernel=kernel, stride=stride, padding=padding, dilation=dilation
        )
        super().__init__(cin, cout, window, bias=bias)
        self.key = key

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        _check_input(self, tensor, self._dims, self.cin)
        kernel_map = _cached_map(tensor, "strided", self.window)
        _name_map(self, tensor, self.key, kernel_map)
        return self._convolve(tensor, kernel_map)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", key={self.key!r}" if self.key else "")


class _InverseConv(_Conv):
    def __init__(self, cin: int, cout: int, kernel: Extent, *, of: str, bias: bool = True) -> None:
        window = make_window(type(self).__name__, self._dims, kernel=kernel)
        super().__init__(cin, cout, window, bias=bias)
        self.of = of

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        _check_input(self, tensor, self._dims, self.cin)
        name = type(self).__name__
        if self.of not in tensor.cache.named:
            known = ", ".join(sorted(tensor.cache.named)) or "none"
            raise KeyError(f"{name}: no strided layer with key {self.of!r} ran before; keys seen: {known}")
        forward_map = tensor.cache.named[self.of]
        if forward_map.sites_out is not tensor.sites:
            raise ValueError(
                f"{name}: the input does not lie on the output sites of the strided layer {self.of!r}; "
                "only submanifold and feature layers may come between the two"
            )
        if forward_map.window.kernel != self.window.kernel:
            raise ValueError(
                f"{name}: kernel {self.window.kernel} must equal the kernel {forward_map.window.kernel} "
                f"of the strided layer {self.of!r}"
            )
        return self._convolve(tensor, forward_map.transposed)

    def extra_repr(self) -> str:
        return f"{self.cin}, {self.cout}, kernel={self.window.kernel[-self._dims :]}, of={self.of!r}"


class _SparseMaxPool(SparseModule):
    _dims: int

    def __init__(
        self,
        kernel: Extent,
        *,
        stride: Extent | None = None,
        padding: Extent = 0,
        dilation: Extent = 1,
        clamp_zero: bool = False,
        key: str | None = None,
    ) -> None:
        super().__init__()
        stride = kernel if stride is None else stride
        self.window = make_window(
            type(self).__name__, self._dims, kernel=kernel, stride=stride, padding=padding, dilation=dilation
        )
        self.clamp_zero, self.key = clamp_zero, key

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        _check_input(self, tensor, self._dims, tensor.features.shape[1])
        kernel_map = _cached_map(tensor, "strided", self.window)
        _name_map(self, tensor, self.key, kernel_map)
        out = sparse_max_pool(tensor.features, kernel_map=kernel_map, clamp_zero=self.clamp_zero)
        return SparseTensor.from_sites(out, kernel_map.sites_out, cache=tensor.cache)

    def extra_repr(self) -> str:
        return _describe(self.window, self._dims)


class SubmanifoldConv3d(_SubmanifoldConv):
    """Convolve onto the input sites, row for row. Weight [kz, ky, kx, cin, cout]; odd kernels."""

    _dims = 3


class SubmanifoldConv2d(_SubmanifoldConv):
    """Convolve onto the input sites of a 2D grid, row for row. Weight [ky, kx, cin, cout]; odd kernels."""

    _dims = 2


class SparseConv3d(_SparseConv):
    """Convolve onto every cell that reads an active one; sorted rows. Weight [kz, ky, kx, cin, cout].

    `key` names the kernel map for an InverseConv3d further on.
    """

    _dims = 3


class SparseConv2d(_SparseConv):
    """Convolve onto every cell that reads an active one, on a 2D grid. Weight [ky, kx, cin, cout]."""

    _dims = 2


class InverseConv3d(_InverseConv):
    """Go back to the sites, and their order, that the strided layer with key `of` started from."""

    _dims = 3


class InverseConv2d(_InverseConv):
    """Go back to the sites, and their order, that the 2D strided layer with key `of` started from."""

    _dims = 2


class SparseMaxPool3d(_SparseMaxPool):
    """Maximum of the active inputs of every window; `stride` is the kernel by default."""

    _dims = 3


class SparseMaxPool2d(_SparseMaxPool):
    """Maximum of the active inputs of every window, on a 2D grid; `stride` is the kernel by default."""

    _dims = 2


def _cached_map(tensor: SparseTensor, kind: str, window: Window) -> KernelMap:
    key = MapKey(kind, window, tensor.sites)
    if key not in tensor.cache.maps:
        dims = tensor.sites.dims
        kernel, dilation = window.kernel[-dims:], window.dilation[-dims:]
        if kind == "submanifold":
            made = submanifold_map(tensor.sites, kernel=kernel, dilation=dilation)
        else:
            stride, padding = window.stride[-dims:], window.padding[-dims:]
            made = strided_map(tensor.sites, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
        tensor.cache.maps[key] = made
    return tensor.cache.maps[key]


def _name_map(layer: nn.Module, tensor: SparseTensor, key: str | None, kernel_map: KernelMap) -> None:
    if key is None:
        return
    if tensor.cache.named.setdefault(key, kernel_map) is not kernel_map:
        raise ValueError(
            f"{type(layer).__name__}: key {key!r} already names the map of another strided layer; "
            "choose another"
        )


def _check_input(layer: nn.Module, tensor: SparseTensor, dims: int, channels: int) -> None:
    name = type(layer).__name__
    if not isinstance(tensor, SparseTensor):
        raise TypeError(f"{name}: the input must be a SparseTensor, got {type(tensor).__name__}")
    if tensor.sites.dims != dims:
        raise ValueError(
            f"{name}: the input must have {dims} spatial axes, got spatial_shape {tensor.spatial_shape}"
        )
    if tensor.features.shape[1] != channels:
        raise ValueError(f"{name}: features must have {channels} channels, got {tensor.features.shape[1]}")


def _describe(window: Window, dims: int) -> str:
    parts = [f"kernel={window.kernel[-dims:]}"]
    for name, default in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value: tuple[int, ...] = getattr(window, name)[-dims:]
        if any(v != default for v in value):
            parts.append(f"{name}={value}")
    return ", ".join(parts)
