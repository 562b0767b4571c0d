"""Registration of the kernel-map operators with PyTorch: sizes of results depend on the data."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

import torch
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._operator import operator
from sparseops.ops.kernel_map import _reference
from sparseops.ops.kernel_map._reference import TILE_ROWS
from sparseops.ops.kernel_map._window import Triple, Window

Ints = list[int]


def _window(kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Window:
    return Window(_triple(kernel), _triple(stride), _triple(padding), _triple(dilation))


def _triple(values: Ints) -> Triple:
    z, y, x = values
    return z, y, x


@operator("sparseops::strided_sites")
def strided_sites(
    coords_in: Tensor, shape_out: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Tensor:
    """Sites of a strided convolution, ascending."""
    window = _window(kernel, stride, padding, dilation)
    if backend_for("kernel_map", coords_in) == "cpu":
        from sparseops.ops.kernel_map import _cpu

        return _cpu.strided_sites(coords_in, _triple(shape_out), window)
    return _reference.strided_sites(coords_in, _triple(shape_out), window)


@operator("sparseops::strided_plan")
def strided_plan(
    coords_in: Tensor,
    rows_in: Tensor,
    shape_in: Ints,
    shape_out: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sites of a strided convolution, ascending, and its pairs, made in one go."""
    window = _window(kernel, stride, padding, dilation)
    if backend_for("kernel_map", coords_in) == "cpu":
        from sparseops.ops.kernel_map import _cpu

        return _cpu.strided_plan(coords_in, rows_in, _triple(shape_in), _triple(shape_out), window)
    cells = _reference.strided_sites(coords_in, _triple(shape_out), window)
    rows = torch.arange(len(cells), device=cells.device)
    return cells, *_reference.pair_list(cells, rows, coords_in, rows_in, _triple(shape_in), window)


@operator("sparseops::transposed_sites")
def transposed_sites(
    coords_in: Tensor, shape_out: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Tensor:
    """Sites of a generative transposed convolution, ascending."""
    window = _window(kernel, stride, padding, dilation)
    if backend_for("kernel_map", coords_in) == "cpu":
        from sparseops.ops.kernel_map import _cpu_sites

        return _cpu_sites.transposed_sites(coords_in, _triple(shape_out), window)
    return _reference.transposed_sites(coords_in, _triple(shape_out), window)


@operator("sparseops::floor_sites")
def floor_sites(coords_in: Tensor, shape_out: Ints, stride: Ints) -> Tensor:
    """Distinct cells `floor(p / stride)`, ascending."""
    if backend_for("kernel_map", coords_in) == "cpu":
        from sparseops.ops.kernel_map import _cpu_sites

        return _cpu_sites.floor_sites(coords_in, _triple(shape_out), _triple(stride))
    return _reference.floor_sites(coords_in, _triple(shape_out), _triple(stride))


@operator("sparseops::pair_list")
def pair_list(
    coords_out: Tensor,
    rows_out: Tensor,
    coords_in: Tensor,
    rows_in: Tensor,
    shape_in: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of input and output rows, grouped by tile of output rows and offset."""
    window = _window(kernel, stride, padding, dilation)
    run = _reference.pair_list
    if backend_for("kernel_map", coords_out) == "cpu":
        from sparseops.ops.kernel_map import _cpu

        run = _cpu.pair_list
    return run(coords_out, rows_out, coords_in, rows_in, _triple(shape_in), window)


@operator("sparseops::neighbour_table")
def neighbour_table(
    coords_out: Tensor,
    rows_out: Tensor,
    coords_in: Tensor,
    rows_in: Tensor,
    shape_in: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
) -> Tensor:
    """Input row of every output row at every offset, -1 where there is none."""
    window = _window(kernel, stride, padding, dilation)
    run = _reference.neighbour_table
    if backend_for("kernel_map", coords_out) == "triton":
        from sparseops.ops.kernel_map import _triton

        run = _triton.neighbour_table
    return run(coords_out, rows_out, coords_in, rows_in, _triple(shape_in), window)


@operator("sparseops::transpose_pairs")
def transpose_pairs(
    pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, tiles: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The same pairs with roles swapped, grouped by tile of input rows and offset."""
    run = _reference.transpose
    if backend_for("kernel_map", pairs_in) == "cpu":
        from sparseops.ops.kernel_map import _cpu

        run = _cpu.transpose
    return run(pairs_in, pairs_out, segments, tiles)


def _fake_sites(coords_in: Tensor, *_: object) -> Tensor:
    return coords_in.new_empty(torch.library.get_ctx().new_dynamic_size(), 4)


def _fake_strided_plan(
    coords_in: Tensor, rows_in: Tensor, shape_in: Ints, shape_out: Ints, kernel: Ints, *_: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sites, pairs = (torch.library.get_ctx().new_dynamic_size() for _ in range(2))
    segments = coords_in.new_empty(-(-sites // TILE_ROWS), kernel[0] * kernel[1] * kernel[2], 2)
    return coords_in.new_empty(sites, 4), coords_in.new_empty(pairs), coords_in.new_empty(pairs), segments


def _fake_pairs(coords_out: Tensor, *rest: object) -> tuple[Tensor, Tensor, Tensor]:
    kernel = rest[4]
    assert isinstance(kernel, list | tuple)
    pairs = torch.library.get_ctx().new_dynamic_size()
    tiles = -(-coords_out.shape[0] // TILE_ROWS)
    segments = coords_out.new_empty(tiles, kernel[0] * kernel[1] * kernel[2], 2)
    return coords_out.new_empty(pairs), coords_out.new_empty(pairs), segments


def _fake_table(coords_out: Tensor, *rest: object) -> Tensor:
    kernel = rest[4]
    assert isinstance(kernel, list | tuple)
    return coords_out.new_empty(coords_out.shape[0], kernel[0] * kernel[1] * kernel[2])


def _fake_transpose(
    pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, tiles: int | torch.SymInt
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(pairs_out),
        torch.empty_like(pairs_in),
        segments.new_empty((tiles, *segments.shape[1:])),
    )


torch.library.register_fake("sparseops::strided_sites", _fake_sites)
torch.library.register_fake("sparseops::transposed_sites", _fake_sites)
torch.library.register_fake("sparseops::floor_sites", _fake_sites)
torch.library.register_fake("sparseops::pair_list", _fake_pairs)
torch.library.register_fake("sparseops::strided_plan", _fake_strided_plan)
torch.library.register_fake("sparseops::neighbour_table", _fake_table)
torch.library.register_fake("sparseops::transpose_pairs", _fake_transpose)
