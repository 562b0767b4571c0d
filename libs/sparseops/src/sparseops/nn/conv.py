"""Convolution layers: submanifold, strided, inverse and transposed."""

import math
from typing import Literal

import torch
from torch import nn

from sparseops.layouts import weight_to_dense
from sparseops.nn._maps import WindowModule, cached_map, make_map
from sparseops.ops.kernel_map import KernelMap, SiteRule
from sparseops.ops.kernel_map._window import Extent, make_window
from sparseops.ops.sparse_conv import sparse_conv
from sparseops.sites import Sites
from sparseops.tensor import MapCache, MapKey, SparseTensor


class SparseConvBase(WindowModule):
    """What the convolutions share: weight and bias, drawn as those of torch's layers.

    `weight` is [kz, ky, kx, cin, cout], or [ky, kx, cin, cout] in 2D, for cin input and cout output channels.
    The draw is uniform from +-1/sqrt(cin * kernel volume), that of `nn.Conv3d`. For another one, give the
    functions of `torch.nn.init` the `dense_weight`: they would take the axes of `weight` for others, and draw
    several times too small.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        *,
        stride: Extent = 1,
        padding: Extent = 0,
        dilation: Extent = 1,
        bias: bool = True,
        site_rule: SiteRule = "spconv",
    ) -> None:
        super().__init__(
            kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation, site_rule=site_rule
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.weight = nn.Parameter(torch.empty(*self.kernel_size, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    @property
    def dense_weight(self) -> torch.Tensor:
        """The numbers of `weight` as `nn.Conv3d` has them, [cout, cin, kz, ky, kx]; memory is shared.

        Example:
            >>> layer = SubmanifoldConv3d(16, 32, 3)
            >>> weight = torch.nn.init.kaiming_normal_(layer.dense_weight, nonlinearity="relu")
            >>> weight.shape, layer.weight.std().item() / (2 / (16 * 27)) ** 0.5 > 0.9
            (torch.Size([32, 16, 3, 3, 3]), True)

        Functions that need memory in that order (`orthogonal_`) draw into a tensor of their own, for
        `layer.dense_weight.copy_(...)`.
        """
        return weight_to_dense(self.weight.detach())

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(max(self.in_channels * self._window.volume, 1))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def _convolve(
        self, tensor: SparseTensor, kernel_map: KernelMap, cache: MapCache | None = None
    ) -> SparseTensor:
        out = sparse_conv(tensor.features, self.weight, bias=self.bias, kernel_map=kernel_map)
        return SparseTensor.from_sites(
            out, kernel_map.sites_out, cache=tensor.cache if cache is None else cache
        )

    def extra_repr(self) -> str:
        """Say the settings."""
        channels = f"{self.in_channels}, {self.out_channels}"
        return f"{channels}, {super().extra_repr()}, bias={self.bias is not None}"


class _SubmanifoldConv(SparseConvBase):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        *,
        dilation: Extent = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, bias=bias)
        if any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(f"{self._name}: kernel_size must be odd on every axis, got {kernel_size}")
        # What a dense layer would need to keep the grid.
        axes = zip(self.kernel_size, self.dilation, strict=True)
        self.padding = tuple(size // 2 * step for size, step in axes)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        self._check(tensor, channels=self.in_channels)
        return self._convolve(tensor, cached_map(tensor, MapKey("submanifold", self._window, tensor.sites)))


class _SparseConv(SparseConvBase):
    def __init__(  # noqa: PLR0913 (the settings of a convolution)
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        *,
        stride: Extent = 1,
        padding: Extent = 0,
        dilation: Extent = 1,
        bias: bool = True,
        key: str | None = None,
        site_rule: SiteRule = "spconv",
    ) -> None:
        window = {"stride": stride, "padding": padding, "dilation": dilation}
        super().__init__(in_channels, out_channels, kernel_size, **window, bias=bias, site_rule=site_rule)
        self.key = key

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        self._check(tensor, channels=self.in_channels)
        return self._convolve(tensor, self._strided_map(tensor, self.key))

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", key={self.key!r}" if self.key else "")


class _InverseConv(SparseConvBase):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Extent, *, of: str, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias=bias)
        self.of = of

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        self._check(tensor, channels=self.in_channels)
        if self.of not in tensor.cache.named:
            known = ", ".join(sorted(tensor.cache.named)) or "none"
            raise KeyError(
                f"{self._name}: no strided layer with key {self.of!r} ran before; keys seen: {known}"
            )
        forward_map = tensor.cache.named[self.of].get(tensor.sites)
        if forward_map is None:
            raise ValueError(
                f"{self._name}: the input does not lie on the output sites of the strided layer {self.of!r}; "
                "only submanifold and feature layers may come between the two"
            )
        there = forward_map.window.kernel_size[-self._dims :]
        if there != self.kernel_size:
            raise ValueError(
                f"{self._name}: kernel_size {self.kernel_size} must equal the kernel_size {there} "
                f"of the strided layer {self.of!r}"
            )
        return self._convolve(tensor, forward_map.transposed)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, of={self.of!r}"


class _TransposedConv(SparseConvBase):
    def __init__(  # noqa: PLR0913 (the settings of a convolution)
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        *,
        stride: Extent = 1,
        padding: Extent = 0,
        dilation: Extent = 1,
        output_padding: Extent = 0,
        bias: bool = True,
        site_rule: Literal["spconv", "minkowski"] = "spconv",
    ) -> None:
        window = {"stride": stride, "padding": padding, "dilation": dilation}
        super().__init__(in_channels, out_channels, kernel_size, **window, bias=bias, site_rule=site_rule)
        self._more = make_window(self._name, self._dims, kernel_size=1, padding=output_padding).padding
        self.output_padding = self._more[-self._dims :]

    def forward(self, tensor: SparseTensor, onto: SparseTensor | Sites | None = None) -> SparseTensor:
        """Make the finer sites, or write those of `onto`, in their order.

        The map onto sites that no layer reached from `tensor` is not kept: every call plans it.
        """
        self._check(tensor, channels=self.in_channels)
        sites = onto.sites if isinstance(onto, SparseTensor) else onto
        key = MapKey("transposed", self._window, tensor.sites, self.site_rule, self._more, sites)
        cache = onto.cache if isinstance(onto, SparseTensor) else tensor.cache
        if sites is None or (cache is tensor.cache and (sites is tensor.sites or cache.reaches(sites))):
            return self._convolve(tensor, cached_map(tensor, key))
        if not isinstance(onto, SparseTensor):
            cache = MapCache()
        return self._convolve(tensor, make_map(key), cache)


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
    the strided layer. Steps and padding are in the map of that layer, so the attributes here say 1 and 0.
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
