"""Site sets: order, keys, and the errors of bad coordinates."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import lookup, sites_from_coords
from sparseops.sites import Sites, coords_from_keys, site_keys


def coords(*rows: tuple[int, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int32)


def test_order_sorts_rows_by_b_z_y_x(random_coords, backend: str) -> None:
    cells = random_coords(200, (5, 6, 7), 3)
    sites = sites_from_coords(cells, spatial_shape=(5, 6, 7), batch_size=3)
    ascending = cells[sites.order].tolist()
    assert ascending == sorted(cells.tolist())
    assert torch.equal(sites.sorted_bzyx, cells[sites.order])


def test_sorted_rows_keep_their_order(random_coords) -> None:
    cells = torch.tensor(sorted(random_coords(50, (4, 4), 2).tolist()), dtype=torch.int32)
    sites = sites_from_coords(cells, spatial_shape=(4, 4), batch_size=2)
    assert torch.equal(sites.order, torch.arange(len(cells)))


def test_a_2d_grid_is_one_layer_of_a_3d_grid() -> None:
    sites = sites_from_coords(coords((1, 2, 3)), spatial_shape=(4, 5), batch_size=2)
    assert sites.shape_zyx == (1, 4, 5)
    assert sites.sorted_bzyx.tolist() == [[1, 0, 2, 3]]


def test_keys_of_a_huge_grid_do_not_overflow() -> None:
    shape = (2**20, 2**20, 2**20)
    cell = coords((3, 2**20 - 1, 2**20 - 1, 2**20 - 1))
    assert site_keys(cell, shape).item() == 4 * 2**60 - 1
    sites_from_coords(cell, spatial_shape=shape, batch_size=4)


def test_no_sites_are_sites() -> None:
    sites = sites_from_coords(torch.zeros((0, 4), dtype=torch.int32), spatial_shape=(3, 3, 3), batch_size=1)
    assert len(sites) == 0


@pytest.mark.parametrize("rows", [[(0, 1, 1), (0, 2, 2), (0, 1, 1)], [(0, 1, 1), (0, 1, 1)]])
def test_duplicates_are_refused(rows: list[tuple[int, ...]], backend: str) -> None:
    with pytest.raises(ValueError, match=r"coords repeat a cell in 1 of \d rows; .*merge them first"):
        sites_from_coords(coords(*rows), spatial_shape=(4, 4), batch_size=1)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ((2, 0, 0, 0), r"column b must lie in \[0, 2\), got values from 2 to 2"),
        ((0, -1, 0, 0), r"column z must lie in \[0, 3\), got values from -1 to -1"),
        ((0, 0, 4, 0), r"column y must lie in \[0, 4\)"),
        ((0, 0, 0, 5), r"column x must lie in \[0, 5\).*check the order \(b, z, y, x\)"),
    ],
)
def test_cells_outside_the_grid_are_refused(cell: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sites_from_coords(coords(cell), spatial_shape=(3, 4, 5), batch_size=2)


def test_columns_of_2d_coordinates_are_named_b_y_x() -> None:
    with pytest.raises(ValueError, match="column y must lie"):
        sites_from_coords(coords((0, 9, 0)), spatial_shape=(3, 3), batch_size=1)
    with pytest.raises(ValueError, match="column b must lie"):
        sites_from_coords(coords((1, 0, 0)), spatial_shape=(3, 3), batch_size=1)


def test_wrong_axes_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"coords must be \[n, 4\] with spatial_shape \(z, y, x\)"):
        sites_from_coords(coords((0, 0, 0)), spatial_shape=(3, 3, 3), batch_size=1)
    with pytest.raises(ValueError, match="must be positive and hold at most"):
        sites_from_coords(coords((0, 0, 0)), spatial_shape=(3, 0), batch_size=1)
    with pytest.raises(ValueError, match="at most 2\\*\\*62 cells"):
        sites_from_coords(coords((0, 0, 0)), spatial_shape=(2**31, 2**31), batch_size=2)


def test_keys_and_cells_are_inverse(random_coords) -> None:
    cells = random_coords(80, (5, 6, 7), 3)
    assert torch.equal(coords_from_keys(site_keys(cells, (5, 6, 7)), (5, 6, 7)), cells)
    sites = sites_from_coords(cells, spatial_shape=(5, 6, 7), batch_size=3)
    assert torch.equal(coords_from_keys(sites.sorted_keys, (5, 6, 7)), cells[sites.order])


@given(seed=st.integers(0, 50), rows=st.sampled_from([0, 1, 40]), shape=st.sampled_from([(3, 4), (3, 4, 5)]))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_lookup_finds_exactly_the_sites(random_coords, seed, rows, shape) -> None:
    cells = random_coords(rows, shape, 2, seed=seed)
    sites = sites_from_coords(cells, spatial_shape=shape, batch_size=2)
    row_of = {tuple(cell): row for row, cell in enumerate(cells.tolist())}
    queries = torch.cartesian_prod(*(torch.arange(-1, size + 2) for size in (2, *shape)))
    expected = [row_of.get(tuple(query), -1) for query in queries.tolist()]
    for dtype in (torch.int32, torch.int64):
        assert lookup(sites, queries.to(dtype)).tolist() == expected


def test_lookup_of_far_cells_and_of_nothing() -> None:
    sites = sites_from_coords(coords((0, 0, 0)), spatial_shape=(3, 3), batch_size=1)
    far = torch.tensor([[0, 2**40, 0], [2**62, 0, 0], [0, -(2**62), 2**62]])
    assert lookup(sites, far).tolist() == [-1, -1, -1]
    assert lookup(sites, far[:0]).shape == (0,)


def test_bad_queries_are_refused(no_shape_checks: None) -> None:
    sites = sites_from_coords(coords((0, 0, 0)), spatial_shape=(3, 3), batch_size=1)
    with pytest.raises(TypeError, match="lookup: coords must be int32 or int64, got float32"):
        lookup(sites, torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"lookup: coords must have shape \[m, 3\], got \[1, 4\]"):
        lookup(sites, coords((0, 0, 0, 0)))
    with pytest.raises(ValueError, match="sites is on cpu but coords is on meta"):
        lookup(sites, coords((0, 0, 0)).to("meta"))


def test_sites_move_to_another_device() -> None:
    sites = sites_from_coords(coords((0, 1, 2)), spatial_shape=(3, 3), batch_size=1)
    assert sites.to("cpu") is sites
    far: Sites = sites.to("meta")
    assert far.coords.device == far.order.device == torch.device("meta")
    assert far.spatial_shape == (3, 3)


def test_float_coordinates_are_refused(no_shape_checks: None) -> None:
    for value in (0.0, float("nan")):
        with pytest.raises(TypeError, match="SparseTensor: coords must be int32, got float32"):
            sites_from_coords(torch.full((2, 3), value), spatial_shape=(3, 3), batch_size=1)


def test_other_integer_types_are_refused(no_shape_checks: None) -> None:
    with pytest.raises(TypeError, match="coords must be int32, got int64"):
        sites_from_coords(coords((0, 0, 0)).long().reshape(1, 3), spatial_shape=(3, 3), batch_size=1)
