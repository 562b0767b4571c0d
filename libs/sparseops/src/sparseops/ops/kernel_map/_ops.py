"""Registration of the kernel-map operators with PyTorch: sizes of results depend on the data.

Operators take a window as its twelve numbers, `Window.numbers`.
"""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.kernel_map import _reference, _schedule
from sparseops.ops.kernel_map._reference import TILE_ROWS
from sparseops.ops.kernel_map._schedule import TILE_SIZES
from sparseops.ops.kernel_map._window import Window, triple

Ints = list[int]
Pairs = tuple[Tensor, Tensor, Tensor]

_strided_sites, _strided_plan = dispatched(_reference.strided_sites), dispatched(_reference.strided_plan)
_transposed_sites, _floor_sites = dispatched(_reference.transposed_sites), dispatched(_reference.floor_sites)
_pair_list, _neighbour_table = dispatched(_reference.pair_list), dispatched(_reference.neighbour_table)


def _fake_sites(coords_in: Tensor, *_: Any) -> Tensor:
    return coords_in.new_empty(torch.library.get_ctx().new_dynamic_size(), 4)


def _fake_pairs(coords_out: Tensor, *rest: Any) -> Pairs:
    pairs = torch.library.get_ctx().new_dynamic_size()
    segments = coords_out.new_empty(-(-coords_out.shape[0] // TILE_ROWS), _volume(rest[-1]), 2)
    return coords_out.new_empty(pairs), coords_out.new_empty(pairs), segments


def _fake_strided_plan(coords_in: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    cells = _fake_sites(coords_in)
    return cells, *_fake_pairs(cells, *rest)


def _fake_table(coords_out: Tensor, *rest: Any) -> Tensor:
    return coords_out.new_empty(coords_out.shape[0], _volume(rest[-1]))


def _fake_transpose(
    pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, tiles: int | torch.SymInt
) -> Pairs:
    back = segments.new_empty((tiles, *segments.shape[1:]))
    return torch.empty_like(pairs_out), torch.empty_like(pairs_in), back


def _fake_schedule(table: Tensor) -> list[Tensor]:
    rows, volume = table.shape
    sizes = *TILE_SIZES, *TILE_SIZES
    lists = [table.new_empty((-(-rows // size), volume + 1), dtype=torch.int32) for size in sizes]
    return [table.new_empty(rows, dtype=torch.int64), *lists]


def _volume(window: Ints) -> int:
    return window[0] * window[1] * window[2]


@operator("sparseops::strided_sites", fake=_fake_sites)
def strided_sites(coords_in: Tensor, shape_out: Ints, window: Ints) -> Tensor:
    """Sites of a strided convolution, ascending."""
    return _strided_sites(coords_in, triple(shape_out), Window.of(window))


@operator("sparseops::strided_plan", fake=_fake_strided_plan)
def strided_plan(
    coords_in: Tensor, rows_in: Tensor, shape_in: Ints, shape_out: Ints, window: Ints
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sites of a strided convolution, ascending, and its pairs, made in one go."""
    return _strided_plan(coords_in, rows_in, triple(shape_in), triple(shape_out), Window.of(window))


@operator("sparseops::transposed_sites", fake=_fake_sites)
def transposed_sites(coords_in: Tensor, shape_out: Ints, window: Ints) -> Tensor:
    """Sites of a generative transposed convolution, ascending."""
    return _transposed_sites(coords_in, triple(shape_out), Window.of(window))


@operator("sparseops::floor_sites", fake=_fake_sites)
def floor_sites(coords_in: Tensor, shape_out: Ints, stride: Ints) -> Tensor:
    """Distinct cells `floor(p / stride)`, ascending."""
    return _floor_sites(coords_in, triple(shape_out), triple(stride))


@operator("sparseops::pair_list", fake=_fake_pairs)
def pair_list(
    coords_out: Tensor, rows_out: Tensor, coords_in: Tensor, rows_in: Tensor, shape_in: Ints, window: Ints
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of input and output rows, grouped by tile of output rows and offset."""
    return _pair_list(coords_out, rows_out, coords_in, rows_in, triple(shape_in), Window.of(window))


@operator("sparseops::neighbour_table", fake=_fake_table)
def neighbour_table(
    coords_out: Tensor, rows_out: Tensor, coords_in: Tensor, rows_in: Tensor, shape_in: Ints, window: Ints
) -> Tensor:
    """Input row of every output row at every offset, -1 where there is none."""
    return _neighbour_table(coords_out, rows_out, coords_in, rows_in, triple(shape_in), Window.of(window))


transpose_pairs = operator("sparseops::transpose_pairs", fake=_fake_transpose)(
    dispatched(_reference.transpose)
)
tile_schedule = operator("sparseops::tile_schedule", fake=_fake_schedule)(_schedule.tile_schedule)
