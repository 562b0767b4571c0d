"""Site sets: order, keys, and the errors of bad coordinates."""

import pytest
import torch
from sparseops import sites_from_coords
from sparseops.sites import site_keys


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


def test_other_integer_types_are_refused(no_shape_checks: None) -> None:
    with pytest.raises(TypeError, match="coords must be int32, got int64"):
        sites_from_coords(coords((0, 0, 0)).long().reshape(1, 3), spatial_shape=(3, 3), batch_size=1)
