"""Kernel maps: which input row meets which output row at which offset of a convolution."""

import weakref
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int32, Int64
from torch import Tensor
from torch.utils._pytree import tree_map

from sparseops._backend import backend_for
from sparseops._checks import check_device
from sparseops._lazy import fields_alone, lazy, to_keep
from sparseops.containers import TensorFields
from sparseops.ops.kernel_map import _ops, _reference, _schedule
from sparseops.ops.kernel_map._reference import TILE_ROWS
from sparseops.ops.kernel_map._rules import (
    SiteRule,
    check_grid,
    reading_shape,
    rule_window,
    sorted_sites,
    strided_out,
    transposed_out,
)
from sparseops.ops.kernel_map._window import Extent, Triple, Window, make_window
from sparseops.sites import Sites


@dataclass(frozen=True, eq=False)
class PairList(TensorFields):
    """Pairs of rows, grouped by tile of output rows and offset: the plan that the CPU kernels run along.

    A tile is a set of up to 256 output rows that no other tile shares. Within a tile pairs are ordered by
    offset, then by output site; sums over pairs are taken in this order.
    """

    inputs: Int32[Tensor, " p"]
    """Input row of every pair."""
    outputs: Int32[Tensor, " p"]
    """Output row of every pair."""
    segments: Int32[Tensor, "t v 2"]
    """Begin and end of the pairs of every tile and offset. Offsets are row-major, z slowest."""


@dataclass(frozen=True, eq=False)
class NeighbourTable(TensorFields):
    """Input row of every output row at every offset: the plan that the GPU kernels run along.

    Its size is known before its content, so planning does not wait for the device.
    """

    rows: Int32[Tensor, "n v"]
    """Input row, -1 where there is none. Offsets are row-major, z slowest."""

    __getstate__ = fields_alone

    @lazy
    def schedule(self) -> list[Tensor]:
        """The order of rows and the offsets of tiles that the GPU convolution runs along."""
        return _ops.tile_schedule(self.rows)

    @lazy
    def pairs_by_offset(self) -> list[Tensor]:
        """Input rows, output rows and number of the pairs of every offset, for the gradient of the weight."""
        return _schedule.pairs_by_offset(self.rows)


@dataclass(frozen=True, eq=False)
class KernelMap:
    """The plan of a sparse convolution or pooling: which input row meets which output row at which offset.

    It is made as a list of pairs on the CPU and as a table on a GPU; the other form is derived when it is
    asked for, and kept.

    On a GPU, planning waits for the device only where the number of output sites depends on the data: strided
    and transposed maps, to count the cells that inputs reach and then the distinct ones. Convolutions along a
    map, forward and backward, never wait.
    """

    sites_in: Sites
    sites_out: Sites
    window: Window
    plan: PairList | NeighbourTable
    mirrored: bool
    """True for submanifold maps: offset k backwards is offset v - 1 - k forwards."""

    __getstate__ = fields_alone

    @lazy
    def pairs(self) -> PairList:
        """The pairs, grouped by tile of output rows and offset. Deriving them waits for the device."""
        if isinstance(self.plan, PairList):
            return self.plan
        return PairList(*_reference.pairs_from_table(self.plan.rows, self.sites_out.order))

    @lazy
    def table(self) -> NeighbourTable:
        """The input row of every output row at every offset."""
        if isinstance(self.plan, NeighbourTable):
            return self.plan
        inputs, outputs, segments = self.pairs_in, self.pairs_out, self.segments
        return NeighbourTable(
            _reference.table_from_pairs(inputs, outputs, segments, rows_out=self.sites_out.rows)
        )

    @property
    def transposed(self) -> "KernelMap":
        """The same pairs from output to input: the map of the gradient and of the inverse convolution.

        It is kept, and knows this one without keeping it: a circle would hold the memory of both until Python
        looks for circles.
        """
        kept = self.__dict__.get("_transposed")
        back = kept() if isinstance(kept, weakref.ref) else kept
        if back is None:
            plan = to_keep(self._transposed_plan)
            back = KernelMap(self.sites_out, self.sites_in, self.window, plan, mirrored=self.mirrored)
            self.__dict__["_transposed"], back.__dict__["_transposed"] = back, weakref.ref(self)
        return back

    def to(self, device: torch.device | str) -> "KernelMap":
        """Return the map on another device, with its sites; this one itself if it is there.

        Layers look maps up by the `Sites` object, so tensors have to lie on the sites of the new map.
        """
        return tree_map(lambda tensor: tensor.to(device), self)

    def pin_memory(self) -> "KernelMap":
        """Return the map and its sites in page-locked memory."""
        return tree_map(Tensor.pin_memory, self)

    def turned(self) -> "KernelMap":
        """Return the transposed map, which from now on keeps this one, and not the other way round."""
        back = self.transposed
        self.__dict__["_transposed"], back.__dict__["_transposed"] = weakref.ref(back), self
        return back

    def _transposed_plan(self) -> PairList | NeighbourTable:
        if isinstance(self.plan, NeighbourTable):
            rows = self.plan.rows
            if self.mirrored:
                return NeighbourTable(rows.flip(1))
            return NeighbourTable(_reference.transposed_table(rows, rows_in=self.sites_in.rows))
        if self.mirrored:
            return PairList(self.pairs_in, self.pairs_out, self.segments.flip(1).contiguous())
        tiles = -(-self.sites_in.rows // TILE_ROWS)
        return PairList(*_ops.transpose_pairs(self.pairs_in, self.pairs_out, self.segments, tiles))

    def backward_for(self, features: Tensor) -> "KernelMap":
        """The map that the gradient to `features` will run along, or this one if they need none."""
        return self.transposed if torch.is_grad_enabled() and features.requires_grad else self

    def pairs_both_ways(self, features: Tensor) -> tuple[Tensor, ...]:
        """The three arrays of `pairs`, then those of the map that the gradient to `features` will need."""
        lists = self.pairs, self.backward_for(features).pairs
        return tuple(array for pairs in lists for array in (pairs.inputs, pairs.outputs, pairs.segments))

    @property
    def pairs_in(self) -> Int32[Tensor, " p"]:
        """Input row of every pair."""
        return self.pairs.inputs

    @property
    def pairs_out(self) -> Int32[Tensor, " p"]:
        """Output row of every pair."""
        return self.pairs.outputs

    @property
    def segments(self) -> Int32[Tensor, "t v 2"]:
        """Begin and end of the pairs of every tile and offset."""
        return self.pairs.segments

    @property
    def pairs_per_offset(self) -> Int64[Tensor, " v"]:
        """Number of pairs at every offset."""
        if isinstance(self.plan, NeighbourTable):
            return (self.plan.rows >= 0).sum(0)
        return (self.segments[..., 1] - self.segments[..., 0]).sum(0)

    @lazy
    def inputs_per_row(self) -> Int64[Tensor, " n"]:
        """Number of inputs that every output row reads."""
        if isinstance(self.plan, NeighbourTable):
            return (self.plan.rows >= 0).sum(1)
        return torch.bincount(self.plan.outputs, minlength=self.sites_out.rows)

    def neighbours(self) -> Int32[Tensor, "n v"]:
        """Input row that every output row reads at every offset, -1 where there is none."""
        return self.table.rows


def submanifold_map(sites: Sites, *, kernel_size: Extent, dilation: Extent = 1) -> KernelMap:
    """Plan a convolution whose output sites are its input sites, row for row.

    Output p reads input `p + (k - kernel // 2) * dilation`. Cost on the CPU: one merge of the sorted sites
    per line of the kernel.

    Raises:
        ValueError: an even kernel size, which has no centre.

    Example:
        >>> import torch
        >>> from sparseops import sites_from_coords
        >>> coords = torch.tensor([[0, 0, 0], [0, 0, 1]], dtype=torch.int32)
        >>> line = sites_from_coords(coords, spatial_shape=(1, 4), batch_size=1)
        >>> submanifold_map(line, kernel_size=(1, 3)).neighbours().tolist()
        [[-1, 0, 1], [0, 1, -1]]
    """
    window = make_window("submanifold_map", sites.dims, kernel_size=kernel_size, dilation=dilation)
    if any(size % 2 == 0 for size in window.kernel_size):
        raise ValueError(
            f"submanifold_map: kernel_size must be odd on every axis, got {kernel_size}; use a strided map"
        )
    z, y, x = (size // 2 * step for size, step in zip(window.kernel_size, window.dilation, strict=True))
    window = Window(window.kernel_size, window.stride, (z, y, x), window.dilation)
    return _map_between(sites, sites, window, mirrored=True)


def strided_map(
    sites: Sites,
    *,
    kernel_size: Extent,
    stride: Extent = 1,
    padding: Extent = 0,
    dilation: Extent = 1,
    site_rule: SiteRule = "spconv",
    onto: Sites | None = None,
) -> KernelMap:
    """Plan a convolution or pooling: output q reads input `q * stride - padding + k * dilation`.

    Output rows are sorted by (b, z, y, x). An input without sites gives an output without.

    Args:
        site_rule: Which cells become sites. `"spconv"`: all that read an input, on a grid of `floor((n + 2
            padding - dilation (kernel - 1) - 1) / stride) + 1` cells on an axis of n; what lies beyond is
            dropped. `"minkowski"` (MinkowskiEngine 0.5): all `floor(p / stride)`, on a grid of `ceil(n /
            stride)`. `"torchsparse"` (1.4): the same if every stride is 1 or the kernel size; else all `(p +
            offset) / stride` without remainder that do not lie below the lowest coordinate of the whole batch
            (with even kernels some of them may read nothing). These two leave the sites, and the order of
            rows, as they are if every stride is 1. They take no padding: odd kernels are centred, even ones
            read cells from 0 (minkowski) or from `1 - kernel / 2` (torchsparse). `_rules.py` beside this
            file says how their coordinates become cells.
        onto: Write these sites instead, in their order; the rule then only centres the kernel. Rows that read
            nothing have no pairs.

    Raises:
        ValueError: the dilated kernel is larger than the padded grid; a padding (or, with torchsparse, a
            dilation) that the rule does not have; `onto` with other axes, batch size or device.

    Example:
        >>> import torch
        >>> from sparseops import sites_from_coords
        >>> coords = torch.tensor([[0, 0, 0], [0, 0, 3]], dtype=torch.int32)
        >>> line = sites_from_coords(coords, spatial_shape=(1, 4), batch_size=1)
        >>> strided_map(line, kernel_size=(1, 2), stride=(1, 2)).sites_out.coords.tolist()
        [[0, 0, 0], [0, 0, 1]]
    """
    op = "strided_map"
    window = make_window(
        op, sites.dims, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )
    window = rule_window(op, window, site_rule)
    if onto is None and site_rule == "spconv" and backend_for("kernel_map", sites.coords) != "triton":
        # Sites and pairs in one go: on the CPU much of the work is shared.
        shape_out = reading_shape(op, sites, window)
        grids = list(sites.shape_zyx), list(shape_out)
        cells, *pairs = _ops.strided_plan(sites.sorted_bzyx, sites.order, *grids, window.numbers)
        sites_out = sorted_sites(op, cells, shape_out, sites)
        return KernelMap(sites, sites_out, window, PairList(*pairs), mirrored=False)
    sites_out = strided_out(op, sites, window, site_rule) if onto is None else _check_onto(op, sites, onto)
    return _map_between(sites, sites_out, window, mirrored=sites_out is sites and window.centred)


def transposed_map(
    sites: Sites,
    *,
    kernel_size: Extent,
    stride: Extent = 1,
    padding: Extent = 0,
    dilation: Extent = 1,
    output_padding: Extent = 0,
    site_rule: Literal["spconv", "minkowski"] = "spconv",
    onto: Sites | None = None,
) -> KernelMap:
    """Plan a transposed convolution: input p writes to all `p * stride - padding + k * dilation`.

    It is generative: each of those cells becomes a site. Output rows are sorted by (b, z, y, x).

    Args:
        site_rule: `"spconv"`: the output grid has `(n - 1) stride - 2 padding + dilation (kernel - 1) + 1 +
            output_padding` cells on an axis of n, as torch's transposed convolutions. `"minkowski"`: odd
            kernels are centred, even ones start at `p * stride`, on a grid of `n * stride` cells; no padding.
            What lies beyond the grid is dropped: for MinkowskiEngine's numbers leave one coarse cell free at
            its borders.
        onto: Write these sites instead, in their order (a layer's finer sites seen before: the transposed
            convolution of MinkowskiEngine that is not generative). Rows that nothing writes have no pairs.

    Raises:
        ValueError: the output grid is empty or too large; a padding that the rule does not have; `onto` with
            other axes, batch size or device.

    Example:
        >>> import torch
        >>> from sparseops import sites_from_coords
        >>> coords = torch.tensor([[0, 0, 1]], dtype=torch.int32)
        >>> line = sites_from_coords(coords, spatial_shape=(1, 2), batch_size=1)
        >>> transposed_map(line, kernel_size=(1, 2), stride=(1, 2)).sites_out.coords.tolist()
        [[0, 0, 2], [0, 0, 3]]
    """
    op = "transposed_map"
    if site_rule not in ("spconv", "minkowski"):
        raise ValueError(f"{op}: site_rule must be 'spconv' or 'minkowski', got {site_rule!r}")
    window = make_window(
        op, sites.dims, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )
    window = rule_window(op, window, site_rule)
    more = make_window(op, sites.dims, kernel_size=1, padding=output_padding).padding
    if any(more) and (site_rule == "minkowski" or onto is not None):
        raise ValueError(
            f"{op}: output_padding must be 0 with onto or site_rule 'minkowski', which fix the output grid, "
            f"got {output_padding}"
        )
    if onto is None:
        fine = transposed_out(op, sites, window, more, site_rule)
    else:
        fine = _check_onto(op, sites, onto)
    return _map_between(fine, sites, window, mirrored=False).turned()


def _map_between(sites_in: Sites, sites_out: Sites, window: Window, *, mirrored: bool) -> KernelMap:
    ordered = sites_out.sorted_bzyx, sites_out.order, sites_in.sorted_bzyx, sites_in.order
    shape_in = _readable(sites_in.shape_zyx, sites_out.shape_zyx, window)
    z, y, x = (n + 2 * pad for n, pad in zip(shape_in, window.padding, strict=True))
    check_grid("kernel_map", (z, y, x), sites_in.batch_size)
    geometry = list(shape_in), window.numbers
    plan: PairList | NeighbourTable
    if backend_for("kernel_map", sites_in.coords) == "triton":
        plan = NeighbourTable(_ops.neighbour_table(*ordered, *geometry))
    else:
        plan = PairList(*_ops.pair_list(*ordered, *geometry))
    return KernelMap(sites_in, sites_out, window, plan, mirrored=mirrored)


def _readable(shape_in: Triple, shape_out: Triple, window: Window) -> Triple:
    """The input grid, grown until no offset leads further out than the padding: searches rely on it."""
    z, y, x = (
        max(n, (m - 1) * stride + dilation * (kernel - 1) + 1 - 2 * pad)
        for n, m, kernel, stride, pad, dilation in zip(
            shape_in,
            shape_out,
            window.kernel_size,
            window.stride,
            window.padding,
            window.dilation,
            strict=True,
        )
    )
    return z, y, x


def _check_onto(op: str, sites: Sites, onto: Sites) -> Sites:
    if onto.dims != sites.dims or onto.batch_size != sites.batch_size:
        raise ValueError(
            f"{op}: onto must have the axes and batch_size of the input, {sites.dims} and "
            f"{sites.batch_size}, got {onto.dims} and {onto.batch_size}"
        )
    check_device(op, ("onto", onto.coords), ("sites", sites.coords))
    return onto
