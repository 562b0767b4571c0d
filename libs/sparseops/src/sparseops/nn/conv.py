"""Convolution layers: submanifold, strided, inverse and transposed."""

import math
from typing import Literal

import torch
from torch import nn

from sparseops.nn._maps import cached_map, check_input, describe, name_map
from sparseops.nn.container import SparseModule
from sparseops.ops.kernel_map import KernelMap, SiteRule, Window
from sparseops.ops.kernel_map._rules import rule_window
from sparseops.ops.kernel_map._window import Extent, make_window
from sparseops.ops.sparse_conv import sparse_conv
from sparseops.sites import Sites
from sparseops.tensor import MapKey, SparseTensor


class SparseConvBase(SparseModule):
    """What the convolutions share: weight and bias, drawn uniformly from +-1/sqrt(cin * kernel volume).

    `weight` is [kz, ky, kx, cin, cout], or [ky, kx, cin, cout] in 2D. The draw is that of torch's layers.
    """

    _dims: int
    site_rule: SiteRule = "spconv"

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
        """Say the settings."""
        settings = describe(self.window, self._dims, site_rule=self.site_rule)
        return f"{self.cin}, {self.cout}, {settings}, bias={self.bias is not None}"


class _SubmanifoldConv(SparseConvBase):
    def __init__(
        self, cin: int, cout: int, kernel: Extent, *, dilation: Extent = 1, bias: bool = True
    ) -> None:
        window = make_window(type(self).__name__, self._dims, kernel=kernel, dilation=dilation)
        if any(size % 2 == 0 for size in window.kernel):
            raise ValueError(f"{type(self).__name__}: kernel must be odd on every axis, got {kernel}")
        super().__init__(cin, cout, window, bias=bias)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        check_input(self, tensor, self._dims, self.cin)
        return self._convolve(tensor, cached_map(tensor, MapKey("submanifold", self.window, tensor.sites)))


class _SparseConv(SparseConvBase):
    def __init__(  # noqa: PLR0913 (the settings of a convolution)
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
        site_rule: SiteRule = "spconv",
    ) -> None:
        name = type(self).__name__
        window = make_window(
            name, self._dims, kernel=kernel, stride=stride, padding=padding, dilation=dilation
        )
        rule_window(name, window, site_rule)
        super().__init__(cin, cout, window, bias=bias)
        self.key, self.site_rule = key, site_rule

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        check_input(self, tensor, self._dims, self.cin)
        kernel_map = cached_map(tensor, MapKey("strided", self.window, tensor.sites, self.site_rule))
        name_map(self, tensor, self.key, kernel_map)
        return self._convolve(tensor, kernel_map)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", key={self.key!r}" if self.key else "")


class _InverseConv(SparseConvBase):
    def __init__(self, cin: int, cout: int, kernel: Extent, *, of: str, bias: bool = True) -> None:
        window = make_window(type(self).__name__, self._dims, kernel=kernel)
        super().__init__(cin, cout, window, bias=bias)
        self.of = of

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        check_input(self, tensor, self._dims, self.cin)
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


class _TransposedConv(SparseConvBase):
    def __init__(  # noqa: PLR0913 (the settings of a convolution)
        self,
        cin: int,
        cout: int,
        kernel: Extent,
        *,
        stride: Extent = 1,
        padding: Extent = 0,
        dilation: Extent = 1,
        output_padding: Extent = 0,
        bias: bool = True,
        site_rule: Literal["spconv", "minkowski"] = "spconv",
    ) -> None:
        name = type(self).__name__
        window = make_window(
            name, self._dims, kernel=kernel, stride=stride, padding=padding, dilation=dilation
        )
        rule_window(name, window, site_rule)
        super().__init__(cin, cout, window, bias=bias)
        self.output_padding = make_window(name, self._dims, kernel=1, padding=output_padding).padding
        self.site_rule = site_rule

    def forward(self, tensor: SparseTensor, onto: SparseTensor | Sites | None = None) -> SparseTensor:
        """Make the finer sites, or write those of `onto`, in their order."""
        check_input(self, tensor, self._dims, self.cin)
        sites = onto.sites if isinstance(onto, SparseTensor) else onto
        key = MapKey("transposed", self.window, tensor.sites, self.site_rule, self.output_padding, sites)
        return self._convolve(tensor, cached_map(tensor, key))


class SubmanifoldConv3d(_SubmanifoldConv):
    """Convolve onto the input sites, row for row. Weight [kz, ky, kx, cin, cout]; odd kernels."""

    _dims = 3


class SubmanifoldConv2d(_SubmanifoldConv):
    """Convolve onto the input sites of a 2D grid, row for row. Weight [ky, kx, cin, cout]; odd kernels."""

    _dims = 2


class SparseConv3d(_SparseConv):
    """Convolve onto every cell that reads an active one; sorted rows. Weight [kz, ky, kx, cin, cout].

    `key` names the kernel map for an InverseConv3d further on. `site_rule` follows MinkowskiEngine or
    torchsparse instead of spconv: see `strided_map`.
    """

    _dims = 3


class SparseConv2d(_SparseConv):
    """Convolve onto every cell that reads an active one, on a 2D grid. Weight [ky, kx, cin, cout]."""

    _dims = 2


class InverseConv3d(_InverseConv):
    """Go back to the sites, and their order, that the strided layer with key `of` started from.

    It is the transposed convolution of torchsparse, and that of MinkowskiEngine with the kernel and stride of
    the strided layer.
    """

    _dims = 3


class InverseConv2d(_InverseConv):
    """Go back to the sites, and their order, that the 2D strided layer with key `of` started from."""

    _dims = 2


class TransposedConv3d(_TransposedConv):
    """Write every cell in reach of an active one on the finer grid; sorted rows. See `transposed_map`.

    It is spconv's SparseConvTranspose and, with `site_rule="minkowski"`, MinkowskiEngine's generative
    transposed convolution; `layer(tensor, onto)` writes the sites of another tensor instead.
    """

    _dims = 3


class TransposedConv2d(_TransposedConv):
    """Write every cell in reach of an active one on the finer 2D grid; sorted rows. See `transposed_map`."""

    _dims = 2
