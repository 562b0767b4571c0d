"""The site rules of MinkowskiEngine and torchsparse against their definitions in coordinates with strides.

The definitions work on dictionaries from coordinates (input units, any sign, z y x) to values; a tensor of
theirs carries its stride, and offsets are multiplied by it. Ours are cells of a grid: see `_rules.py`.
"""

from collections import defaultdict
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import (
    KernelMap,
    Sites,
    sites_from_coords,
    sparse_conv,
    strided_map,
    submanifold_map,
    transposed_map,
)

Cell = tuple[int, ...]
Rows = dict[Cell, float]
"""Value at (b, z, y, x)."""


def triples(*values: int) -> st.SearchStrategy[tuple[int, int, int]]:
    number = st.sampled_from(values)
    return st.tuples(number, number, number)


def offsets(kernel: Cell, dilation: Cell, stride: Cell, *, even_from: Any) -> list[Cell]:
    """Steps of a kernel in input units, last axis fastest; `even_from(k)` is the first of an even kernel."""
    axes = []
    for k, d, t in zip(kernel, dilation, stride, strict=True):
        first = -(k // 2) if k % 2 else even_from(k)
        axes.append([(first + i) * d * t for i in range(k)])
    return list(product(*axes))


def moved(cell: Cell, step: Cell) -> Cell:
    return (cell[0], *(c + o for c, o in zip(cell[1:], step, strict=True)))


def convolved(rows: Rows, out: set[Cell], steps: list[Cell], weight: list[float]) -> Rows:
    return {
        q: sum(rows[moved(q, o)] * w for o, w in zip(steps, weight, strict=True) if moved(q, o) in rows)
        for q in out
    }


def floored(rows: Rows, coarse: Cell) -> set[Cell]:
    return {(b, *(c // t * t for c, t in zip(p, coarse, strict=True))) for b, *p in rows}


def torchsparse_sites(rows: Rows, kernel: Cell, stride: Cell, fine: Cell, steps: list[Cell]) -> set[Cell]:
    coarse = tuple(s * t for s, t in zip(stride, fine, strict=True))
    if stride == (1, 1, 1):
        return set(rows)
    if all(s in (1, k) for s, k in zip(stride, kernel, strict=True)):
        return floored(rows, coarse)
    lowest = [min(cell[axis] for cell in rows) for axis in (1, 2, 3)]
    return {
        q
        for p in rows
        for q in (moved(p, o) for o in steps)
        if all(c % t == 0 and c >= low for c, t, low in zip(q[1:], coarse, lowest, strict=True))
    }


def values_of(plan: KernelMap, features: torch.Tensor, weight: list[float]) -> torch.Tensor:
    kernel = plan.window.kernel_size
    kernels = torch.tensor(weight, dtype=torch.float64).reshape(*kernel, 1, 1)
    return sparse_conv(features, kernels, kernel_map=plan)


def rows_of(sites: Sites, values: torch.Tensor, origin: Cell, stride: Cell) -> Rows:
    """Our cells in input units."""
    rows = {}
    for (b, *q), value in zip(sites.coords.tolist(), values.flatten().tolist(), strict=True):
        rows[(b, *(o + c * t for o, c, t in zip(origin, q, stride, strict=True)))] = value
    return rows


def cloud(seed: int, stride: Cell, low: int = -7, high: int = 8) -> Rows:
    """Random coordinates that are multiples of a tensor stride, with negative ones, and random values."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(low, high, (45, 3), generator=generator) * torch.tensor(stride)
    batch = torch.randint(0, 2, (45, 1), generator=generator)
    values = torch.randint(1, 50, (45,), generator=generator).tolist()
    return {tuple(c): v for c, v in zip(torch.cat([batch, cells], 1).tolist(), values, strict=True)}


def ours(rows: Rows, stride: Cell, origin: Cell, edge: int) -> tuple[Sites, torch.Tensor]:
    cells = [(b, *((c - o) // t for c, o, t in zip(p, origin, stride, strict=True))) for b, *p in rows]
    coords = torch.tensor(cells, dtype=torch.int32)
    sites = sites_from_coords(coords, spatial_shape=(edge,) * 3, batch_size=2)
    return sites, torch.tensor(list(rows.values()), dtype=torch.float64)[:, None]


def same(actual: Rows, expected: Rows) -> None:
    assert actual.keys() == expected.keys()
    for cell, value in expected.items():
        assert actual[cell] == pytest.approx(value), cell


@pytest.mark.slow
@given(
    seed=st.integers(0, 99),
    kernel=triples(1, 2, 3, 4, 5),
    stride=triples(1, 2, 3),
    dilation=triples(1, 2),
    fine=triples(1, 2, 4),
    extra=st.integers(0, 2),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_minkowski_rule_is_its_definition(seed, kernel, stride, dilation, fine, extra) -> None:
    rows = cloud(seed, fine)
    coarse = tuple(s * t for s, t in zip(stride, fine, strict=True))
    origin = tuple(-12 * t for t in fine)  # a multiple of every coarse stride
    weight = torch.randn(kernel).double().flatten().tolist()
    steps = offsets(kernel, dilation, fine, even_from=lambda _: 0)
    expected = convolved(rows, floored(rows, coarse), steps, weight)
    sites, features = ours(rows, fine, origin, 20 + extra)
    plan = strided_map(sites, kernel_size=kernel, stride=stride, dilation=dilation, site_rule="minkowski")
    same(rows_of(plan.sites_out, values_of(plan, features, weight), origin, coarse), expected)


@pytest.mark.slow
@given(seed=st.integers(0, 99), kernel=triples(1, 2, 3, 4, 5), stride=triples(1, 2, 3), fine=triples(1, 2))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_torchsparse_rule_is_its_definition(seed, kernel, stride, fine) -> None:
    rows = cloud(seed, fine)
    coarse = tuple(s * t for s, t in zip(stride, fine, strict=True))
    origin = tuple(-12 * t for t in fine)
    weight = torch.randn(kernel).double().flatten().tolist()
    steps = offsets(kernel, (1, 1, 1), fine, even_from=lambda k: 1 - k // 2)
    expected = convolved(rows, torchsparse_sites(rows, kernel, stride, fine, steps), steps, weight)
    sites, features = ours(rows, fine, origin, 20)
    plan = strided_map(sites, kernel_size=kernel, stride=stride, site_rule="torchsparse")
    same(rows_of(plan.sites_out, values_of(plan, features, weight), origin, coarse), expected)


@pytest.mark.slow
@given(seed=st.integers(0, 99), kernel=triples(1, 2, 3, 5), stride=triples(1, 2, 3), dilation=triples(1, 2))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_minkowski_transposed_rule_is_its_definition(seed, kernel, stride, dilation) -> None:
    coarse = stride  # the finer tensor has stride 1
    rows = cloud(seed, coarse)
    weight = torch.randn(kernel).double().flatten().tolist()
    expected: Rows = defaultdict(float)
    for p, value in rows.items():
        steps = offsets(kernel, dilation, (1, 1, 1), even_from=lambda _: 0)
        for o, w in zip(steps, weight, strict=True):
            expected[moved(p, o)] += value * w
    # The margin: steps of at most 4 reach four cells of a stride of 1.
    origin = tuple(-12 * t for t in coarse)
    sites, features = ours(rows, coarse, origin, 28)
    plan = transposed_map(sites, kernel_size=kernel, stride=stride, dilation=dilation, site_rule="minkowski")
    assert plan.sites_out.spatial_shape == tuple(28 * s for s in stride)
    same(rows_of(plan.sites_out, values_of(plan, features, weight), origin, (1, 1, 1)), expected)


@pytest.mark.parametrize("rule", ["minkowski", "torchsparse"])
@pytest.mark.parametrize("kernel", [2, 3, (3, 1, 2), 4])
def test_shifts_by_the_stride_change_nothing_else(rule: Any, kernel: Any, backend: str) -> None:
    rows = cloud(3, (1, 1, 1), 0, 9)
    plans = []
    for shift in (0, 6):
        sites, _ = ours(rows, (1, 1, 1), (-shift,) * 3, 16)
        plans.append(strided_map(sites, kernel_size=kernel, stride=(2, 1, 2), site_rule=rule))
    moved_by = torch.tensor([0, 3, 6, 3])
    assert torch.equal(plans[1].sites_out.coords, plans[0].sites_out.coords + moved_by)
    assert torch.equal(plans[1].table.rows, plans[0].table.rows)


@pytest.mark.parametrize("rule", ["minkowski", "torchsparse"])
def test_stride_one_keeps_the_sites_and_their_order(rule: Any, random_coords, backend: str) -> None:
    sites = sites_from_coords(random_coords(60, (5, 6)), spatial_shape=(5, 6), batch_size=1)
    odd, even = (strided_map(sites, kernel_size=k, site_rule=rule) for k in (3, 2))
    assert odd.sites_out is even.sites_out is sites
    assert odd.mirrored
    assert not even.mirrored
    swapped = odd.transposed.table.rows
    centre = torch.arange(len(sites), dtype=torch.int32)
    assert torch.equal(swapped[:, 4], centre)
    # An even kernel reads the cell and those after it, as offset 0 says.
    assert torch.equal(even.table.rows[:, 0], centre)


def test_kernel_two_reads_the_last_cell_of_an_odd_grid(backend: str) -> None:
    line = sites_from_coords(torch.tensor([[0, 0, 0], [0, 0, 4], [1, 0, 0]], dtype=torch.int32),
                             spatial_shape=(1, 5), batch_size=2)  # fmt: skip
    plan = strided_map(line, kernel_size=(1, 4), stride=(1, 2), site_rule="minkowski")
    assert plan.sites_out.spatial_shape == (1, 3)
    assert plan.sites_out.coords.tolist() == [[0, 0, 0], [0, 0, 2], [1, 0, 0]]
    # Cells 5 to 7 lie beyond the grid; they are not the first cells of the next batch element.
    assert plan.table.rows.tolist() == [[0, -1, -1, -1], [1, -1, -1, -1], [2, -1, -1, -1]]


def test_no_sites_under_every_rule(backend: str) -> None:
    none = sites_from_coords(torch.zeros((0, 4), dtype=torch.int32), spatial_shape=(5, 5, 5), batch_size=1)
    for rule in ("spconv", "minkowski", "torchsparse"):
        assert len(strided_map(none, kernel_size=3, stride=2, site_rule=rule).sites_out) == 0
    assert len(transposed_map(none, kernel_size=3, stride=2, site_rule="minkowski").sites_out) == 0


@pytest.mark.parametrize("make", [strided_map, transposed_map])
def test_maps_onto_given_sites_keep_their_order(make: Any, random_coords, backend: str) -> None:
    sites = sites_from_coords(random_coords(40, (4, 5, 6), 2), spatial_shape=(4, 5, 6), batch_size=2)
    free = make(sites, kernel_size=3, stride=2, padding=1)
    shape = free.sites_out.spatial_shape
    cells = torch.cat([free.sites_out.coords, random_coords(30, shape, 2)]).unique(dim=0)
    cells = cells[torch.randperm(len(cells))]
    onto = sites_from_coords(cells, spatial_shape=shape, batch_size=2)
    plan = make(sites, kernel_size=3, stride=2, padding=1, onto=onto)
    assert plan.sites_out is onto
    known = {tuple(c): row for c, row in zip(free.sites_out.coords.tolist(), free.table.rows, strict=True)}
    for cell, row in zip(cells.tolist(), plan.table.rows, strict=True):
        assert torch.equal(row, known.get(tuple(cell), torch.full_like(row, -1)))


def test_onto_may_be_a_larger_or_smaller_grid(random_coords, backend: str) -> None:
    sites = sites_from_coords(random_coords(60, (6, 6)), spatial_shape=(6, 6), batch_size=1)
    for shape in ((2, 2), (9, 9)):
        onto = sites_from_coords(random_coords(60, shape), spatial_shape=shape, batch_size=1)
        plan = strided_map(sites, kernel_size=2, stride=2, onto=onto)
        row_in = {tuple(cell): row for row, cell in enumerate(sites.coords.tolist())}
        for (b, y, x), row in zip(onto.coords.tolist(), plan.table.rows.tolist(), strict=True):
            wanted = [(b, 2 * y + i, 2 * x + j) for i, j in product(range(2), range(2))]
            assert row == [row_in.get(cell, -1) for cell in wanted]


def test_arguments_that_a_rule_does_not_have_are_refused(random_coords, no_shape_checks: None) -> None:
    sites = sites_from_coords(random_coords(5, (4, 4)), spatial_shape=(4, 4), batch_size=1)
    unknown: Any = "floor"
    with pytest.raises(ValueError, match=r"site_rule must be one of \('spconv', .*got 'floor'"):
        strided_map(sites, kernel_size=3, site_rule=unknown)
    with pytest.raises(ValueError, match="site_rule must be 'spconv' or 'minkowski', got 'floor'"):
        transposed_map(sites, kernel_size=3, site_rule=unknown)
    for rule in ("minkowski", "torchsparse"):
        with pytest.raises(ValueError, match=r"padding must be 0 .* centres kernels itself, got \(0, 1, 1\)"):
            strided_map(sites, kernel_size=3, padding=1, site_rule=rule)
    with pytest.raises(ValueError, match=r"dilation must be 1 with site_rule 'torchsparse'.*got \(1, 2, 2\)"):
        strided_map(sites, kernel_size=3, dilation=2, site_rule="torchsparse")
    with pytest.raises(ValueError, match="output_padding must be 0 with onto or site_rule 'minkowski'"):
        transposed_map(sites, kernel_size=3, output_padding=1, site_rule="minkowski")


def test_onto_of_another_kind_is_refused(random_coords) -> None:
    sites = sites_from_coords(random_coords(5, (4, 4)), spatial_shape=(4, 4), batch_size=1)
    cube = sites_from_coords(random_coords(5, (4, 4, 4)), spatial_shape=(4, 4, 4), batch_size=1)
    with pytest.raises(
        ValueError, match="onto must have the axes and batch_size of the input, 2 and 1, got 3"
    ):
        strided_map(sites, kernel_size=3, onto=cube)
    far = Sites(sites.coords.to("meta"), (4, 4), 1, sites.order.to("meta"))
    with pytest.raises(ValueError, match="sites is on cpu but onto is on meta"):
        transposed_map(sites, kernel_size=3, onto=far)


def test_grids_beyond_32_bits_are_refused() -> None:
    cell = torch.tensor([[0, 0, 0]], dtype=torch.int32)
    wide = sites_from_coords(cell, spatial_shape=(1, 2**30), batch_size=1)
    with pytest.raises(ValueError, match=r"grid must have at most 2\*\*31 - 1 cells on an axis"):
        transposed_map(wide, kernel_size=2, stride=(1, 4))
    flat = sites_from_coords(cell, spatial_shape=(2**30, 2**30), batch_size=4)
    with pytest.raises(ValueError, match=r"2\*\*62 in all, got .*batch_size 4; crop the cloud"):
        submanifold_map(flat, kernel_size=3)


@pytest.mark.triton
def test_every_rule_gives_the_same_map_on_a_gpu(triton_device, random_coords, monkeypatch) -> None:
    coords = random_coords(50, (5, 6, 7), 2)
    tables = []
    for device, name in ((triton_device, "triton"), (torch.device("cpu"), "reference")):
        monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        sites = sites_from_coords(coords.to(device), spatial_shape=(5, 6, 7), batch_size=2)
        plans = [
            strided_map(sites, kernel_size=(3, 2, 4), stride=2, site_rule="minkowski"),
            strided_map(sites, kernel_size=(3, 3, 4), stride=2, site_rule="torchsparse"),
            transposed_map(sites, kernel_size=3, stride=2, site_rule="minkowski"),
        ]
        plans.append(transposed_map(plans[0].sites_out, kernel_size=3, stride=2, padding=1, onto=sites))
        tables.append([(plan.sites_out.coords.cpu(), plan.table.rows.cpu()) for plan in plans])
    for fast, slow in zip(*tables, strict=True):
        assert torch.equal(fast[0], slow[0])
        assert torch.equal(fast[1], slow[1])
