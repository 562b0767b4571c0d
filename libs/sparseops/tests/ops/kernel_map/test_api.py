"""Kernel maps against their definition, and their errors."""

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import KernelMap, sites_from_coords, strided_map, submanifold_map, transposed_map
from torch import Tensor

SHAPE = (5, 6, 7)


def triples(low: int, high: int) -> st.SearchStrategy[tuple[int, int, int]]:
    number = st.integers(low, high)
    return st.tuples(number, number, number)


def pairs_of(kernel_map: KernelMap) -> set[tuple[int, int, int]]:
    """All (input row, output row, offset) of a map."""
    found = set()
    for tile, offset in product(*map(range, kernel_map.segments.shape[:2])):
        begin, end = kernel_map.segments[tile, offset].tolist()
        rows_in, rows_out = kernel_map.pairs_in[begin:end], kernel_map.pairs_out[begin:end]
        found |= {(i, o, offset) for i, o in zip(rows_in.tolist(), rows_out.tolist(), strict=True)}
    assert len(found) == len(kernel_map.pairs_in) == len(kernel_map.pairs_out)
    return found


def expected_pairs(kernel_map: KernelMap) -> set[tuple[int, int, int]]:
    """The definition: output q reads input q * stride - padding + k * dilation."""
    window = kernel_map.window
    row_in = {tuple(cell): row for row, cell in enumerate(kernel_map.sites_in.coords.tolist())}
    found = set()
    for row, (b, *q) in enumerate(kernel_map.sites_out.coords.tolist()):
        for number, k in enumerate(product(*map(range, window.kernel_size))):
            cell = [q[a] * window.stride[a] - window.padding[a] + k[a] * window.dilation[a] for a in range(3)]
            if (b, *cell) in row_in:
                found.add((row_in[(b, *cell)], row, number))
    return found


def reachable(coords: Tensor, kernel_map: KernelMap) -> list[list[int]]:
    """All output cells within the grid that read an input cell, ascending."""
    window, shape = kernel_map.window, kernel_map.sites_out.spatial_shape
    cells = set()
    for b, *p in coords.tolist():
        for k in product(*map(range, window.kernel_size)):
            q = [p[a] + window.padding[a] - k[a] * window.dilation[a] for a in range(3)]
            if all(
                q[a] % window.stride[a] == 0 and 0 <= q[a] // window.stride[a] < shape[a] for a in range(3)
            ):
                cells.add((b, *(q[a] // window.stride[a] for a in range(3))))
    return [list(cell) for cell in sorted(cells)]


@pytest.mark.slow
@given(seed=st.integers(0, 99), rows=st.sampled_from([0, 1, 60]), half=triples(0, 2), dilation=triples(1, 2))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_submanifold_map_is_its_definition(random_coords, seed, rows, half, dilation) -> None:
    kernel = tuple(2 * h + 1 for h in half)
    coords = random_coords(rows, SHAPE, 2, seed=seed)
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2)
    plan = submanifold_map(sites, kernel_size=kernel, dilation=dilation)
    assert plan.sites_out is sites
    assert pairs_of(plan) == expected_pairs(plan)
    swapped = {(o, i, k) for i, o, k in pairs_of(plan)}
    assert pairs_of(plan.transposed) == swapped


@given(
    seed=st.integers(0, 99),
    rows=st.sampled_from([0, 1, 40]),
    kernel=triples(1, 3),
    stride=triples(1, 3),
    padding=triples(0, 2),
    dilation=triples(1, 2),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_strided_map_is_its_definition(random_coords, seed, rows, kernel, stride, padding, dilation) -> None:
    coords = random_coords(rows, SHAPE, 2, seed=seed)
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2)
    plan = strided_map(sites, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    assert plan.sites_out.coords.tolist() == reachable(coords, plan)
    assert pairs_of(plan) == expected_pairs(plan)
    assert pairs_of(plan.transposed) == {(o, i, k) for i, o, k in pairs_of(plan)}
    assert plan.transposed.transposed is plan


def test_both_back_ends_give_the_same_arrays(random_coords, monkeypatch: pytest.MonkeyPatch) -> None:
    coords = random_coords(900, (9, 12, 11), 3)
    windows: list[dict[str, Any]] = [
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (3, 1, 2), "stride": (2, 1, 1), "padding": (0, 0, 1), "dilation": (1, 1, 2)},
        {"kernel_size": (4, 5, 3), "stride": (3, 4, 2), "padding": 2, "dilation": (2, 1, 3)},
    ]
    results = []
    for name in ("", "reference"):
        monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        sites = sites_from_coords(coords, spatial_shape=(9, 12, 11), batch_size=3)
        plans = [submanifold_map(sites, kernel_size=3), *(strided_map(sites, **window) for window in windows)]
        plans += [strided_map(sites, kernel_size=(3, 2, 4), stride=2, site_rule="minkowski")]
        plans += [strided_map(sites, kernel_size=(3, 3, 4), stride=2, site_rule="torchsparse")]
        # A centred kernel without a centre, and asymmetric centred ones, on one set of sites.
        even = {"kernel_size": (1, 1, 2), "padding": (0, 0, 1), "dilation": (1, 1, 2)}
        plans += [strided_map(sites, **even, onto=sites), submanifold_map(sites, kernel_size=(1, 5, 3))]
        plans += [submanifold_map(sites, kernel_size=(3, 1, 1), dilation=3)]
        plans += [transposed_map(sites, kernel_size=2, stride=2), *(plan.transposed for plan in plans)]
        plans += [transposed_map(sites, kernel_size=3, stride=2, padding=1, dilation=(1, 2, 1))]
        results.append([(p.pairs_in, p.pairs_out, p.segments, p.sites_out.coords) for p in plans])
    for compiled, reference in zip(*results, strict=True):
        for a, b in zip(compiled, reference, strict=True):
            assert a.dtype == b.dtype == torch.int32
            assert torch.equal(a, b)


def test_transposed_map_writes_every_child(backend: str) -> None:
    sites = sites_from_coords(
        torch.tensor([[0, 1, 0, 0]], dtype=torch.int32), spatial_shape=(2, 1, 1), batch_size=1
    )
    plan = transposed_map(sites, kernel_size=2, stride=2)
    assert plan.sites_out.spatial_shape == (4, 2, 2)
    assert plan.sites_out.coords.tolist() == [[0, z, y, x] for z, y, x in product((2, 3), (0, 1), (0, 1))]
    assert plan.pairs_per_offset.tolist() == [1] * 8


def test_transposed_map_has_the_grid_of_torch() -> None:
    sites = sites_from_coords(torch.zeros((1, 3), dtype=torch.int32), spatial_shape=(4, 5), batch_size=1)
    plan = transposed_map(
        sites, kernel_size=(3, 2), stride=2, padding=(1, 0), dilation=(1, 2), output_padding=(1, 0)
    )
    dense = torch.nn.functional.conv_transpose2d(
        torch.zeros(1, 1, 4, 5), torch.zeros(1, 1, 3, 2), stride=2, padding=(1, 0), dilation=(1, 2),
        output_padding=(1, 0),
    )  # fmt: skip
    assert plan.sites_out.spatial_shape == tuple(dense.shape[2:])


def test_neighbours_is_the_map_as_a_table(random_coords, backend: str) -> None:
    sites = sites_from_coords(random_coords(300, (6, 6, 6)), spatial_shape=(6, 6, 6), batch_size=1)
    plan = submanifold_map(sites, kernel_size=3)
    table = plan.neighbours()
    row, offset = (table >= 0).nonzero(as_tuple=True)
    listed = zip(table[row, offset].tolist(), row.tolist(), offset.tolist(), strict=True)
    assert set(listed) == pairs_of(plan)


def test_even_submanifold_kernels_are_refused(random_coords) -> None:
    sites = sites_from_coords(random_coords(5, (4, 4)), spatial_shape=(4, 4), batch_size=1)
    with pytest.raises(ValueError, match=r"kernel_size must be odd on every axis, got \(3, 2\)"):
        submanifold_map(sites, kernel_size=(3, 2))


def test_a_kernel_larger_than_the_grid_is_refused(random_coords) -> None:
    sites = sites_from_coords(random_coords(5, (4, 4)), spatial_shape=(4, 4), batch_size=1)
    with pytest.raises(ValueError, match=r"does not fit into the grid .* enlarge the padding"):
        strided_map(sites, kernel_size=5)
    with pytest.raises(ValueError, match=r"padding \(3, 3\) leaves no cell"):
        transposed_map(sites, kernel_size=1, padding=3)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"kernel_size": (3, 3, 3)}, r"kernel_size must be one number or 2 numbers, got \(3, 3, 3\)"),
        ({"kernel_size": 0}, "kernel_size must be at least 1"),
        ({"kernel_size": 3, "stride": 0}, "stride must be at least 1"),
        ({"kernel_size": 3, "padding": -1}, "padding must be at least 0"),
        ({"kernel_size": 3, "dilation": (1, 0)}, "dilation must be at least 1"),
    ],
)
def test_impossible_windows_are_refused(random_coords, window: dict[str, Any], message: str) -> None:
    sites = sites_from_coords(random_coords(5, (4, 4)), spatial_shape=(4, 4), batch_size=1)
    with pytest.raises(ValueError, match=message):
        strided_map(sites, **window)
