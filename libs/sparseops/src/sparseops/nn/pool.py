"""Pooling layers."""

from sparseops.kernel_map import SiteRule
from sparseops.kernel_map._rules import rule_window
from sparseops.kernel_map._window import Extent, make_window
from sparseops.nn._maps import cached_map, check_input, describe, name_map
from sparseops.nn.container import SparseModule
from sparseops.sparse_max_pool import sparse_max_pool
from sparseops.tensor import MapKey, SparseTensor


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
        site_rule: SiteRule = "spconv",
    ) -> None:
        super().__init__()
        name, stride = type(self).__name__, kernel if stride is None else stride
        self.window = make_window(
            name, self._dims, kernel=kernel, stride=stride, padding=padding, dilation=dilation
        )
        rule_window(name, self.window, site_rule)
        self.clamp_zero, self.key = clamp_zero, key
        self.site_rule: SiteRule = site_rule

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        check_input(self, tensor, self._dims, tensor.features.shape[1])
        kernel_map = cached_map(tensor, MapKey("strided", self.window, tensor.sites, self.site_rule))
        name_map(self, tensor, self.key, kernel_map)
        out = sparse_max_pool(tensor.features, kernel_map=kernel_map, clamp_zero=self.clamp_zero)
        return SparseTensor.from_sites(out, kernel_map.sites_out, cache=tensor.cache)

    def extra_repr(self) -> str:
        return describe(self.window, self._dims, site_rule=self.site_rule)


class SparseMaxPool3d(_SparseMaxPool):
    """Maximum of the active inputs of every window; `stride` is the kernel by default."""

    _dims = 3


class SparseMaxPool2d(_SparseMaxPool):
    """Maximum of the active inputs of every window, on a 2D grid; `stride` is the kernel by default."""

    _dims = 2
