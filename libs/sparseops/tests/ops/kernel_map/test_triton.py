"""The Triton kernels of the maps against the reference, and the schedule of the convolution."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from sparseops import KernelMap, Sites, sites_from_coords, strided_map, submanifold_map
from sparseops.ops.kernel_map import _ops, _reference, _schedule
from torch import Tensor

SHAPE = (5, 6, 7)
WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (3, 1, 2), "stride": (2, 1, 1), "padding": (0, 0, 1), "dilation": (1, 1, 2)},
    {"kernel_size": (1, 2, 2), "stride": 2, "padding": (0, 1, 3), "dilation": (1, 3, 6)},
]


def make_sites(random_coords, rows: int, device: torch.device, shape: tuple[int, ...] = SHAPE) -> Sites:
    coords = random_coords(rows, shape, 2).to(device)
    return sites_from_coords(coords, spatial_shape=shape, batch_size=2)


def reference_table(plan: KernelMap) -> Tensor:
    sites_in, sites_out = plan.sites_in, plan.sites_out
    rows = sites_out.sorted_bzyx, sites_out.order, sites_in.sorted_bzyx, sites_in.order
    return _reference.neighbour_table(*rows, sites_in.shape_zyx, plan.window)


@pytest.mark.triton
@pytest.mark.parametrize("rows", [0, 1, 2, 60])
def test_the_table_equals_the_reference(random_coords, triton_device: torch.device, rows: int) -> None:
    sites = make_sites(random_coords, rows, triton_device)
    plans = [
        submanifold_map(sites, kernel_size=3),
        submanifold_map(sites, kernel_size=(1, 3, 5), dilation=(1, 1, 2)),
    ]
    for plan in plans + [strided_map(sites, **window) for window in WINDOWS]:
        assert plan.table.rows.dtype == torch.int32
        assert torch.equal(plan.table.rows, reference_table(plan))


@pytest.mark.triton
def test_a_flat_grid_gives_the_same_table(random_coords, triton_device: torch.device) -> None:
    sites = make_sites(random_coords, 30, triton_device, (6, 7))
    for plan in (
        submanifold_map(sites, kernel_size=3),
        strided_map(sites, kernel_size=2, stride=2, padding=1),
    ):
        assert torch.equal(plan.table.rows, reference_table(plan))


@pytest.mark.triton
def test_cells_at_the_border_do_not_wrap_around(triton_device: torch.device) -> None:
    # Each two of these follow each other in the numbering of cells, and are far apart on the grid.
    cells = [(0, 0, 0, 6), (0, 0, 1, 0), (0, 2, 5, 6), (0, 3, 0, 0), (0, 4, 5, 6), (1, 0, 0, 0)]
    coords = torch.tensor(cells, dtype=torch.int32, device=triton_device)
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2)
    expected = [0] * 13 + [6] + [0] * 13
    assert submanifold_map(sites, kernel_size=3).pairs_per_offset.tolist() == expected


@pytest.mark.triton
def test_keys_beyond_32_bits_are_found(triton_device: torch.device) -> None:
    shape = (2**20, 2**20, 2**20)
    last = 2**20 - 1
    cells = [(0, 0, 0, 0), (1, last, last, last - 1), (1, last, last, last), (1, last, last - 1, last)]
    coords = torch.tensor(cells, dtype=torch.int32, device=triton_device)
    plan = submanifold_map(sites_from_coords(coords, spatial_shape=shape, batch_size=2), kernel_size=3)
    assert torch.equal(plan.table.rows, reference_table(plan))
    assert plan.pairs_per_offset.sum() == 4 + 6


@pytest.mark.triton
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_operators_pass_opcheck(random_coords, triton_device: torch.device) -> None:
    sites = make_sites(random_coords, 20, triton_device)
    rows = sites.sorted_bzyx, sites.order, sites.sorted_bzyx, sites.order
    window = [1, 1, 3, 1, 1, 1, 0, 0, 1, 1, 1, 1]
    torch.library.opcheck(_ops.neighbour_table, (*rows, list(SHAPE), window))
    table = submanifold_map(sites, kernel_size=(1, 1, 3)).table.rows
    torch.library.opcheck(_ops.tile_schedule, (table,))


@pytest.mark.triton
@pytest.mark.parametrize(("rows", "volume"), [(0, 27), (1, 27), (150, 1), (150, 27), (90, 125)])
def test_tiles_list_their_offsets(triton_device: torch.device, rows: int, volume: int) -> None:
    table = torch.randint(-12, 3, (rows, volume), device=triton_device).clamp_(min=-1).int()
    order, *lists = _ops.tile_schedule(table)
    assert torch.equal(order.sort()[0], torch.arange(rows, device=triton_device))
    plain = torch.arange(rows, device=triton_device)
    kinds = product((order, plain), _schedule.TILE_SIZES)
    for (chosen, size), found in zip(kinds, lists, strict=True):
        tiles = (table[chosen] >= 0).split(size)
        assert len(found) == (len(tiles) if rows else 0)
        for line, present in zip(found.tolist(), tiles, strict=False):
            assert line[1 : 1 + line[0]] == present.any(0).nonzero().flatten().tolist()


@pytest.mark.triton
def test_rows_with_equal_offsets_follow_each_other(triton_device: torch.device) -> None:
    sets = torch.randint(-1, 1, (9, 27), device=triton_device).int()
    kind = torch.randint(9, (100,), device=triton_device)
    order = _ops.tile_schedule(sets[kind])[0]
    assert int((kind[order].diff() != 0).sum()) == len(kind.unique()) - 1
    # Ties keep the order of rows.
    assert all(bool((order[kind[order] == k].diff() > 0).all()) for k in range(9))


def test_pairs_by_offset_are_the_table(random_coords) -> None:
    plan = strided_map(make_sites(random_coords, 60, torch.device("cpu")), **WINDOWS[0])
    for table in (plan.table.rows, plan.transposed.table.rows, plan.table.rows[:0]):
        inputs, outputs, counts = _schedule.pairs_by_offset(table)
        for k, count in enumerate(counts.tolist()):
            present = (table[:, k] >= 0).nonzero().flatten()
            assert outputs[k, :count].tolist() == present.tolist()
            assert inputs[k, :count].tolist() == table[present, k].tolist()


def test_kernels_compile(compile_kernel: Callable[..., None]) -> None:
    from sparseops.ops.kernel_map import _triton

    rows = {"table": "*i32", "rows": "i32", "volume": "i32"}
    geometry = dict.fromkeys(_triton.table_kernel.arg_names[5:-1], "i32")
    sites = {"coords_out": "*i32", "rows_out": "*i64", "keys_in": "*i64", "rows_in": "*i64", "table": "*i32"}
    compile_kernel(_triton.table_kernel, {**sites, **geometry}, {"BLOCK": 128})
    compile_kernel(_triton.key_kernel, {**rows, "rank": "*i64", "keys": "*i64"}, {"BLOCK": 128, "CHUNK": 32})
    for tile, ordered in product(_schedule.TILE_SIZES, (True, False)):
        order = {"order": "*i64"} if ordered else {}
        constants = {"TILE": tile, "ORDERED": ordered, "CHUNK": 32, **({} if ordered else {"order": None})}
        compile_kernel(_triton.tile_kernel, {**rows, **order, "lists": "*i32"}, constants)
