"""Pooling layers."""

from typing import Literal

from torch import Tensor

from sparseops.nn._maps import cached_map, check_input, describe, name_map
from sparseops.nn.container import SparseModule
from sparseops.ops.kernel_map import KernelMap, SiteRule
from sparseops.ops.kernel_map._rules import rule_window
from sparseops.ops.kernel_map._window import Extent, make_window
from sparseops.ops.sparse_avg_pool import sparse_avg_pool
from sparseops.ops.sparse_max_pool import sparse_max_pool
from sparseops.tensor import MapKey, SparseTensor


class _Pool(SparseModule):
    _dims: int

    def __init__(
        self,
        kernel: Extent,
        *,
        stride: Extent | None,
        padding: Extent,
        dilation: Extent,
        key: str | None,
        site_rule: SiteRule,
    ) -> None:
        super().__init__()
        name, stride = type(self).__name__, kernel if stride is None else stride
        self.window = make_window(
            name, self._dims, kernel=kernel, stride=stride, padding=padding, dilation=dilation
        )
        rule_window(name, self.window, site_rule)
        self.key = key
        self.site_rule: SiteRule = site_rule

    def _pool(self, features: Tensor, kernel_map: KernelMap) -> Tensor:
        raise NotImplementedError

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        check_input(self, tensor, self._dims, tensor.features.shape[1])
        kernel_map = cached_map(tensor, MapKey("strided", self.window, tensor.sites, self.site_rule))
        name_map(self, tensor, self.key, kernel_map)
        out = self._pool(tensor.features, kernel_map)
        return SparseTensor.from_sites(out, kernel_map.sites_out, cache=tensor.cache)

    def extra_repr(self) -> str:
        return describe(self.window, self._dims, site_rule=self.site_rule)


class _SparseMaxPool(_Pool):
    def __init__(
        self,
        kernel: Extent,
        *,
        stride: Extent | None = None,
        padding: Extent = 0,
        dilation: Extent = 1,
        clamp_zero: bool = False,
        key: str | None = None,
        site_rule: SiteRule = "spconv",
    ) -> None:
        super().__init__(
            kernel, stride=stride, padding=padding, dilation=dilation, key=key, site_rule=site_rule
        )
        self.clamp_zero = clamp_zero

    def _pool(self, features: Tensor, kernel_map: KernelMap) -> Tensor:
        return sparse_max_pool(features, kernel_map=kernel_map, clamp_zero=self.clamp_zero)


class _SparseAvgPool(_Pool):
    def __init__(
        self,
        kernel: Extent,
        *,
        stride: Extent | None = None,
        padding: Extent = 0,
        dilation: Extent = 1,
        divide_by: Literal["active", "kernel"] = "active",
        key: str | None = None,
        site_rule: SiteRule = "spconv",
    ) -> None:
        super().__init__(
            kernel, stride=stride, padding=padding, dilation=dilation, key=key, site_rule=site_rule
        )
        self.divide_by: Literal["active", "kernel"] = divide_by

    def _pool(self, features: Tensor, kernel_map: KernelMap) -> Tensor:
        return sparse_avg_pool(features, kernel_map=kernel_map, divide_by=self.divide_by)


class SparseMaxPool3d(_SparseMaxPool):
    """Maximum of the active inputs of every window; `stride` is the kernel by default.

    `key` and `site_rule` as in SparseConv3d; `clamp_zero` gives spconv's values.
    """

    _dims = 3


class SparseMaxPool2d(_SparseMaxPool):
    """Maximum of the active inputs of every window, on a 2D grid; `stride` is the kernel by default."""

    _dims = 2


class SparseAvgPool3d(_SparseAvgPool):
    """Mean of the active inputs of every window; `stride` is the kernel by default.

    `divide_by="kernel"` counts absent cells as zeros, see `sparse_avg_pool`.
    """

    _dims = 3


class SparseAvgPool2d(_SparseAvgPool):
    """Mean of the active inputs of every window, on a 2D grid; `stride` is the kernel by default."""

    _dims = 2
