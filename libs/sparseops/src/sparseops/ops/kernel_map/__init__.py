"""Which input row meets which output row at which offset: the plan of sparse convolutions and pooling."""

from sparseops.ops.kernel_map._api import KernelMap, strided_map, submanifold_map, transposed_map
from sparseops.ops.kernel_map._rules import SiteRule
from sparseops.ops.kernel_map._window import Window

__all__ = ["KernelMap", "SiteRule", "Window", "strided_map", "submanifold_map", "transposed_map"]
