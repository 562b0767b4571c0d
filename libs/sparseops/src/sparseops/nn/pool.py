"""Pooling layers."""

from typing import Literal

from torch import Tensor

from sparseops.nn._maps import WindowModule
from sparseops.ops.kernel_map import KernelMap, SiteRule
from sparseops.ops.kernel_map._window import Extent
from sparseops.ops.sparse_avg_pool import sparse_avg_pool
from sparseops.ops.sparse_max_pool import sparse_max_pool
from sparseops.tensor import SparseTensor


class _Pool(WindowModule):
    def __init__(
        self,
        kernel_size: Extent,
        *,
        stride: Extent | None = None,
        padding: Extent = 0,
        dilation: Extent = 1,
        key: str | None = None,
        site_rule: SiteRule = "spconv",
    ) -> None:
        stride = kernel_size if stride is None else stride
        super().__init__(
            kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation, site_rule=site_rule
        )
        self.key = key

    def _pool(self, features: Tensor, kernel_map: KernelMap) -> Tensor:
        raise NotImplementedError

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        self._check(tensor)
        kernel_map = self._strided_map(tensor, self.key)
        out = self._pool(tensor.features, kernel_map)
        return SparseTensor.from_sites(out, kernel_map.sites_out, cache=tensor.cache)


class _SparseMaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Extent,
        *,
        stride: Extent | None = None,
        padding: Extent = 0,
        dilation: Extent = 1,
        clamp_zero: bool = False,
        tie: Literal["first", "all"] = "first",
        key: str | None = None,
        site_rule: SiteRule = "spconv",
    ) -> None:
        window = {"stride": stride, "padding": padding, "dilation": dilation}
        super().__init__(kernel_size, **window, key=key, site_rule=site_rule)
        if tie not in ("first", "all"):
            raise ValueError(f"{self._name}: tie must be 'first' or 'all', got {tie!r}")
        self.clamp_zero = clamp_zero
        self.tie: Literal["first", "all"] = tie

    def _pool(self, features: Tensor, kernel_map: KernelMap) -> Tensor:
        return sparse_max_pool(features, kernel_map=kernel_map, clamp_zero=self.clamp_zero, tie=self.tie)


class _SparseAvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Extent,
        *,
        stride: Extent | None = None,
        padding: Extent = 0,
        dilation: Extent = 1,
        divide_by: Literal["active", "kernel"] = "active",
        key: str | None = None,
        site_rule: SiteRule = "spconv",
    ) -> None:
        window = {"stride": stride, "padding": padding, "dilation": dilation}
        super().__init__(kernel_size, **window, key=key, site_rule=site_rule)
        self.divide_by: Literal["active", "kernel"] = divide_by

    def _pool(self, features: Tensor, kernel_map: KernelMap) -> Tensor:
        return sparse_avg_pool(features, kernel_map=kernel_map, divide_by=self.divide_by)


class SparseMaxPool3d(_SparseMaxPool):
    """Maximum of the active inputs of every window; `stride` is `kernel_size` by default.

    `key` and `site_rule` as in SparseConv3d; `clamp_zero=True` gives spconv's values and `tie="all"` its
    gradients, see `sparse_max_pool`.
    """

    _dims = 3


class SparseMaxPool2d(_SparseMaxPool):
    """Maximum of the active inputs of every window, on a 2D grid; `stride` is `kernel_size` by default."""

    _dims = 2


class SparseAvgPool3d(_SparseAvgPool):
    """Mean of the active inputs of every window; `stride` is `kernel_size` by default.

    `divide_by="kernel"` counts absent cells as zeros, see `sparse_avg_pool`.
    """

    _dims = 3


class SparseAvgPool2d(_SparseAvgPool):
    """Mean of the active inputs of every window, on a 2D grid; `stride` is `kernel_size` by default."""

    _dims = 2
