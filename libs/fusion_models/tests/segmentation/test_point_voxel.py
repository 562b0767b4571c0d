import numpy as np
import pytest
import torch
from fusion_models.segmentation.point_voxel import PointVoxelMap, PointVoxelMaps, point_voxel_map
from sparseops import Sites, SparseTensor, sites_from_coords

CLOSE = {"atol": 1e-5, "rtol": 0.0}
"""Tolerance of single operators in the README of the golden vectors."""


@pytest.fixture
def operators(cluster3dseg_golden):
    return dict(np.load(cluster3dseg_golden / "ops_pointvoxel.npz"))


def bzyx(xyzb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(xyzb[:, ::-1]))


def found(golden: dict, coords: str, *, stride: int) -> PointVoxelMap:
    """Where the golden points lie among voxels of a stride, whose rows are those of the golden features."""
    cells = bzyx(golden[coords]).clone()
    cells[:, 1:] //= stride
    shape = tuple((cells[:, 1:].amax(0) + 2).tolist())
    batch_size = int(cells[:, 0].max()) + 1
    sites = sites_from_coords(cells, spatial_shape=shape, batch_size=batch_size)
    return point_voxel_map(bzyx(golden["iv_new_float_coord"]), sites, stride=stride)


def close(actual: torch.Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(actual.detach(), torch.from_numpy(expected), **CLOSE)


@pytest.mark.golden
def test_initial_voxels_are_the_means_of_their_points(operators):
    place = found(operators, "iv_coords", stride=1)
    assert np.array_equal(place.rows.numpy(), operators["iv_point_to_voxel_index"])
    close(place.to_voxels(torch.from_numpy(operators["point_feats"])), operators["iv_feats"])


@pytest.mark.golden
@pytest.mark.parametrize(
    ("stride", "coords", "features"),
    [(1, "iv_coords", "iv_feats"), (2, "v2_coords", "v2_feats"), (4, "v4_coords", "v4_feats")],
)
def test_values_at_points_are_those_of_the_released_code(operators, stride, coords, features):
    place = found(operators, coords, stride=stride)
    assert np.array_equal(place.corners.numpy(), operators[f"devox_s{stride}_idx"])
    close(place.weights, operators[f"devox_s{stride}_w"])
    close(place.to_points(torch.from_numpy(operators[features])), operators[f"devox_s{stride}"])


@pytest.mark.golden
@pytest.mark.parametrize(("stride", "coords"), [(2, "v2_coords"), (4, "v4_coords")])
def test_means_in_wider_voxels_are_those_of_the_released_code(operators, stride, coords):
    place = found(operators, coords, stride=stride)
    if stride == 2:
        assert np.array_equal(place.rows.numpy(), operators["p2v_s2_idx"])
    close(place.to_voxels(torch.from_numpy(operators["point_feats"])), operators[f"p2v_s{stride}"])


@pytest.mark.golden
def test_the_gradient_of_means_is_that_of_the_released_code(operators):
    points = torch.from_numpy(operators["point_feats"]).requires_grad_()
    means = found(operators, "v2_coords", stride=2).to_voxels(points)
    means.backward(torch.from_numpy(operators["p2v_s2_gout"]))
    close(points.grad, operators["p2v_s2_gin"])


@pytest.mark.golden
def test_the_gradient_of_values_at_points_is_the_transpose_of_the_recorded_weights(operators):
    # The recorded gradient itself is no reference: the released code takes the upstream gradient of a wrong
    # row, as the tests of sparseops show.
    upstream = operators["devox_s1_gout"]
    expected = np.zeros_like(operators["iv_feats"], dtype=np.float64)
    for rows, weights in zip(operators["devox_s1_idx"].T, operators["devox_s1_w"].T, strict=True):
        np.add.at(expected, rows[rows >= 0], (weights[:, None] * upstream)[rows >= 0])
    voxels = torch.from_numpy(operators["iv_feats"]).requires_grad_()
    found(operators, "iv_coords", stride=1).to_points(voxels).backward(torch.from_numpy(upstream))
    close(voxels.grad, expected.astype(np.float32))


def line(*cells: int, size: int) -> Sites:
    coords = torch.tensor([[0, 0, 0, x] for x in cells], dtype=torch.int32)
    return sites_from_coords(coords, spatial_shape=(1, 1, size), batch_size=1)


def on_line(*places: float) -> torch.Tensor:
    return torch.tensor([[0.0, 0.0, 0.0, x] for x in places])


def test_points_in_no_voxel_are_left_out_and_get_zero():
    place = point_voxel_map(on_line(0.0, 13.0), line(0, 2, size=8), stride=2)
    assert place.rows.tolist() == [0, -1]
    assert place.to_voxels(torch.tensor([[3.0], [5.0]])).tolist() == [[3.0], [0.0]]
    assert place.to_points(torch.tensor([[7.0], [9.0]])).tolist() == [[7.0], [0.0]]


def test_weights_of_corners_that_are_no_voxels_go_to_the_others():
    place = point_voxel_map(on_line(1.0, 1.5), line(0, 2, size=8), stride=2)
    assert place.to_points(torch.tensor([[8.0], [9.0]])).flatten().tolist() == [8.0, 8.0]


def test_at_full_resolution_whole_points_are_their_voxels():
    cells = torch.randperm(64)[:20].int()
    coords = torch.stack([cells * 0, cells // 16, cells // 4 % 4, cells % 4], dim=1)
    tensor = SparseTensor(torch.randn(20, 3), coords, (4, 4, 4), 1)
    place = PointVoxelMaps(coords).at(tensor, stride=1)
    assert torch.equal(place.to_points(tensor.features), tensor.features)
    assert torch.equal(place.to_voxels(tensor.features), tensor.features)


def test_places_are_found_once_for_the_same_voxels():
    maps, sites = PointVoxelMaps(on_line(0.0, 3.0)), line(0, 1, size=2)
    first = maps.at(SparseTensor.from_sites(torch.ones(2, 1), sites), stride=2)
    assert maps.at(SparseTensor.from_sites(torch.zeros(2, 4), sites), stride=2) is first
    others = SparseTensor.from_sites(torch.ones(1, 1), line(1, size=2))
    assert maps.at(others, stride=2).rows.tolist() == [-1, 0]


def test_a_stride_below_one_is_refused():
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        point_voxel_map(on_line(0.0), line(0, size=1), stride=0)
