import numpy as np
import pytest
import torch
from fusion_models.detection.voxel_backbone import (
    VoxelBackbone,
    VoxelBackboneConfig,
    VoxelGrid,
    bev_map,
    encode_voxels,
    out_shape,
)
from sparseops import SparseTensor

SMALL = VoxelGrid(size=(0.2, 0.2, 0.1), bounds=(0.0, -3.2, -2.0, 6.4, 3.2, 1.0), max_points=2)


def _small_backbone():
    torch.manual_seed(0)
    config, shape = VoxelBackboneConfig((4, 6, 8, 8), 10), SMALL.sparse_shape_zyx
    return VoxelBackbone(config, sparse_shape_zyx=shape, point_features=4)


def _cloud(count, batch_size=2):
    torch.manual_seed(1)
    low, high = torch.tensor(SMALL.bounds[:3]), torch.tensor(SMALL.bounds[3:])
    xyz = low + torch.rand(count, 3) * (high - low)
    frame = torch.arange(count)[:, None] % batch_size
    return torch.cat([frame, xyz, torch.rand(count, 1)], dim=1)


def _encode(points, batch_size=2):
    return encode_voxels(points, SMALL, batch_size=batch_size, max_voxels=1000)


def _sorted(tensor):
    order = np.lexsort(tensor.coords.numpy().T[::-1])
    return tensor.coords.numpy()[order], tensor.features.detach().numpy()[order]


@pytest.mark.golden
def test_mean_of_voxels_equals_the_released_one(imagepg_golden):
    inputs, golden = imagepg_golden("eval_inputs"), imagepg_golden("eval_batched")
    points = [np.insert(inputs[f"f{i}_points"], 0, i, axis=1) for i in range(2)]
    voxels = encode_voxels(
        torch.from_numpy(np.concatenate(points)).float(), VoxelGrid(), batch_size=2, max_voxels=40000
    )
    coords, features = _sorted(voxels)
    order = np.lexsort(inputs["voxel_coords"].T[::-1])
    np.testing.assert_array_equal(coords, inputs["voxel_coords"][order])
    np.testing.assert_allclose(features, golden["voxel_features"][order], rtol=1e-5, atol=1e-5)


def test_released_grid_has_the_shapes_of_the_paper():
    assert VoxelGrid().sparse_shape_zyx == (81, 1600, 1408)
    backbone = VoxelBackbone(VoxelBackboneConfig(), sparse_shape_zyx=(81, 1600, 1408), point_features=4)
    assert backbone.out_shape_zyx == (4, 200, 176) and backbone.bev_channels == 512
    assert sum(p.numel() for p in backbone.parameters()) == 997_248


def test_predicted_output_shape_is_the_one_computed():
    backbone = _small_backbone().eval()
    features = backbone(_encode(_cloud(200)))
    assert features.out.spatial_shape == backbone.out_shape_zyx == (1, 4, 4)
    assert bev_map(features.out).shape == (2, backbone.bev_channels, 4, 4)
    assert {n: t.features.shape[1] for n, t in features.scales.items()} == backbone.channels


def test_voxels_hold_the_mean_of_the_points_they_keep():
    points = torch.tensor([[0, 0.1, 0.1, 0.0, 1.0], [0, 0.1, 0.1, 0.0, 3.0], [0, 0.1, 0.1, 0.0, 50.0]])
    voxels = _encode(points, batch_size=1)
    assert voxels.features[:, 3].tolist() == [2.0]
    assert voxels.coords.tolist() == [[0, 20, 16, 0]]


def test_height_is_stacked_into_the_channels():
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    coords = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.int32)
    assert bev_map(SparseTensor(features, coords, (2, 1, 1), 1)).flatten().tolist() == [1, 3, 2, 4]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("count", [0, 1])
def test_a_batch_without_points_gives_finite_maps(training, count):
    backbone = _small_backbone().train(training)
    dense = bev_map(backbone(_encode(_cloud(count))).out)
    assert dense.shape == (2, 10, 4, 4) and torch.isfinite(dense).all()
    dense.sum().backward()
    assert all(torch.isfinite(buffer).all() for buffer in backbone.buffers())


def test_frames_do_not_influence_each_other_in_evaluation():
    backbone, points = _small_backbone().eval(), _cloud(300)
    joined = bev_map(backbone(_encode(points)).out)
    for frame in range(2):
        alone = points[points[:, 0] == frame].clone()
        alone[:, 0] = 0
        dense = bev_map(backbone(_encode(alone, batch_size=1)).out)
        torch.testing.assert_close(dense[0], joined[frame])


def test_a_flat_grid_is_refused():
    with pytest.raises(ValueError, match=r"24 layers is too flat .* at least 25 layers"):
        out_shape((24, 80, 80))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (0.1, 0.0, 0.1)}, "size must be positive"),
        ({"bounds": (0.0, 0.0, 0.0, 1.0, 1.0, 0.0)}, "lower < upper"),
        ({"max_points": 0}, "must be at least 1"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        VoxelGrid(**change)
