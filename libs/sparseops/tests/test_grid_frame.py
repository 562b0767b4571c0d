import pytest
import torch
from sparseops import GridFrame, SparseTensor, sites_from_coords, transposed_map
from sparseops.nn import SparseConv3d, TransposedConv3d


def cloud(*rows):
    return torch.tensor(rows, dtype=torch.int64)


def test_negative_coordinates_get_cells_and_come_back():
    coords = torch.randint(-1000, 1000, (500, 4))
    coords[:, 0] = coords[:, 0] % 3
    frame = GridFrame.around(coords, batch_size=3, coarsest=32)
    cells = frame.cells(coords)
    assert cells.dtype == torch.int32 and (cells[:, 1:] >= 32).all()
    assert (cells[:, 1:] < torch.tensor(frame.spatial_shape) - 32).all()
    assert torch.equal(frame.coords(cells), coords)


@pytest.mark.parametrize("stride", [1, 2, 4, 32])
def test_cells_of_a_stride_are_those_of_the_unbounded_coordinates(stride):
    coords = torch.randint(-1000, 1000, (500, 4))
    frame = GridFrame.around(coords, batch_size=1, coarsest=32)
    lowest = frame.coords(frame.cells(coords, stride=stride), stride=stride)
    assert torch.equal(lowest[:, 1:], coords[:, 1:].div(stride, rounding_mode="floor") * stride)


def test_one_coarsest_cell_is_free_on_all_sides_and_not_two():
    for value in (-33, -32, -1, 0, 31, 32):
        frame = GridFrame.around(cloud([0, value, value, value]), batch_size=1, coarsest=32)
        assert frame.cells(cloud([0, value, value, value]), stride=32).tolist() == [[0, 1, 1, 1]]
        assert frame.spatial_shape == (96, 96, 96)


def test_generative_layers_lose_no_child_on_such_a_grid():
    coords = cloud([0, -1, 0, 31], [0, 32, -64, 5])
    frame = GridFrame.around(coords, batch_size=1, coarsest=4)
    half = tuple(size // 4 for size in frame.spatial_shape)
    sites = sites_from_coords(frame.cells(coords, stride=4), spatial_shape=half, batch_size=1)
    for _ in range(2):
        children = transposed_map(sites, kernel_size=3, stride=2, site_rule="minkowski")
        distinct = {
            tuple(2 * axis + step for axis, step in zip(cell[1:], (z, y, x), strict=True))
            for cell in sites.coords.tolist()
            for z in (-1, 0, 1)
            for y in (-1, 0, 1)
            for x in (-1, 0, 1)
        }
        assert {tuple(cell[1:]) for cell in children.sites_out.coords.tolist()} == distinct
        sites = children.sites_out


def test_a_shift_by_the_coarsest_stride_changes_no_result():
    torch.manual_seed(0)
    down, up = (
        kind(2, 2, 3, stride=2, site_rule="minkowski", bias=False)
        for kind in (SparseConv3d, TransposedConv3d)
    )
    coords = torch.unique(torch.randint(-9, 9, (60, 4)).clamp(min=-8), dim=0)
    coords[:, 0] = 0
    coords = torch.unique(coords, dim=0)
    features, results = torch.randn(len(coords), 2), []
    for shift in (0, -64):
        moved = coords + torch.tensor([0, shift, 2 * shift, -shift])
        frame = GridFrame.around(moved, batch_size=1, coarsest=2)
        tensor = SparseTensor(features, frame.cells(moved), frame.spatial_shape, 1)
        results.append(up(down(tensor)).features)
    assert torch.equal(*results)


def test_no_coordinates_give_a_grid_that_layers_take():
    frame = GridFrame.around(torch.zeros((0, 4), dtype=torch.int32), batch_size=2, coarsest=4)
    assert frame.spatial_shape == (8, 8, 8)
    assert frame.cells(torch.zeros((0, 4), dtype=torch.int32)).shape == (0, 4)
    tensor = SparseTensor(torch.zeros(0, 2), torch.zeros((0, 4), dtype=torch.int32), frame.spatial_shape, 2)
    assert len(SparseConv3d(2, 2, 3, stride=2, site_rule="minkowski")(tensor).coords) == 0


def test_grids_of_two_axes():
    frame = GridFrame.around(cloud([0, -1, 9]), batch_size=1, coarsest=8)
    assert frame == GridFrame((-16, 0), (24, 24))


@pytest.mark.parametrize(
    ("coords", "batch_size", "message"),
    [
        (cloud([0, 0, 0, 0], [0, 2**21, 2**21, 2**21]), 1, "remove points that lie far from the others"),
        (cloud([0, 0, 0, 0], [0, 2**20, 2**20, 2**20]), 8, "more than can be numbered"),
        (cloud([0, -(2**30), 0, 0], [0, 2**30, 0, 0]), 1, "or take larger voxels"),
        (cloud([0, -(2**40), 0, 0]), 1, r"coords from \[-1099511627776, 0, 0\]"),
        (cloud([0, 0]), 1, r"must be \[n, 4\]"),
        (cloud([0, 0, 0, 0]), 0, "batch_size must be positive"),
    ],
)
def test_what_cannot_be_numbered_is_refused(coords, batch_size, message):
    with pytest.raises(ValueError, match=message):
        GridFrame.around(coords, batch_size=batch_size, coarsest=32)
