import numpy as np
import pytest
import torch
from fusion_models.detection.voxel_pool import VoxelPool, VoxelPoolConfig
from sparseops import SparseTensor
from torch.nn import functional as F


def _layer(seeded_weights, golden):
    config = VoxelPoolConfig(source="x", stride=1, hidden=12, channels=10, radius_m=0.4)
    layer = VoxelPool(config, in_channels=8, voxel_size=(0.2, 0.2, 0.2), lower_bounds=(0.0, 0.0, 0.0))
    shapes, names = {}, {}
    for released, own, cin, cout in (
        ("in", "feature.0", 8, 12),
        ("pos", "position", 3, 12),
        ("out", "output.0", 12, 10),
    ):
        shapes[f"mlps_{released}.0.0.weight"] = (cout, cin)
        names[f"mlps_{released}.0.0.weight"] = f"{own}.weight"
        norm = {"feature.0": "feature.1", "position": "position_norm", "output.0": "output.1"}[own]
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"mlps_{released}.0.1.{leaf}"] = (cout,)
            names[f"mlps_{released}.0.1.{leaf}"] = f"{norm}.{leaf}"
    arrays = seeded_weights.seeded_arrays(shapes, salt=int(golden["vp_salt"]))
    state = {names[name]: torch.from_numpy(value) for name, value in arrays.items()}
    missing = layer.load_state_dict(state, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)
    return layer


def _inputs(golden):
    coords = torch.from_numpy(golden["vq_voxel_coords_bzyx"])
    features = torch.from_numpy(golden["vp_features"]).requires_grad_()
    query = torch.from_numpy(golden["vq_query_bxyz"])
    index, empty = torch.from_numpy(golden["vq_idx_r0.4"]), torch.from_numpy(golden["vq_empty_r0.4"])
    centres = (coords[:, 1:].flip(1) + 0.5) * 0.2
    return features, centres, query, index, empty, coords


@pytest.mark.golden
def test_pooling_equals_the_released_layer_in_eval_and_training(imagepg_golden, seeded_weights):
    golden = imagepg_golden("ops")
    layer = _layer(seeded_weights, golden)
    features, centres, query, index, empty, _ = _inputs(golden)
    out = layer.eval().aggregate(features, centres, query[:, 1:], index, empty)
    np.testing.assert_allclose(out.detach(), golden["vp_out_eval"], atol=1e-5)
    out = layer.train().aggregate(features, centres, query[:, 1:], index, empty)
    np.testing.assert_allclose(out.detach(), golden["vp_out_train"], atol=1e-5)
    out.square().sum().backward()
    np.testing.assert_allclose(features.grad, golden["vp_grad_features_train"], atol=1e-4)


@pytest.mark.golden
def test_forward_finds_the_same_neighbours(imagepg_golden, seeded_weights):
    golden = imagepg_golden("ops")
    layer = _layer(seeded_weights, golden).eval()
    features, _, query, _, _, coords = _inputs(golden)
    voxels = SparseTensor(features, coords, (10, 40, 36), 2)
    # the frames have different numbers of points: one call each, the other frame's rows are dropped
    for frame in range(2):
        rows = torch.from_numpy(golden["vq_query_bxyz"][:, 0] == frame)
        points = torch.stack([query[rows, 1:]] * 2)
        np.testing.assert_allclose(
            layer(points, voxels)[frame].detach(), golden["vp_out_eval"][rows], atol=1e-5
        )


def _plain(layer, features, centres, points, index, empty):
    """The layer as it is written down: everything on [points, samples, channels]."""
    grouped = layer.feature(features)[index].masked_fill(empty[:, None, None], 0.0)
    relative = (centres[index] - points[:, None]).masked_fill(empty[:, None, None], 0.0)
    position = layer.position_norm(layer.position(relative))
    return layer.output(F.relu(grouped + position).amax(1))


def test_short_form_equals_the_plain_one_with_gradients_and_statistics():
    torch.manual_seed(0)
    config = VoxelPoolConfig(hidden=6, channels=5, samples=4)
    layers = [
        VoxelPool(config, in_channels=3, voxel_size=(1.0, 1.0, 1.0), lower_bounds=(0.0, 0.0, 0.0)).double()
        for _ in "ab"
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    features = torch.randn(9, 3, dtype=torch.float64)
    centres, points = torch.randn(9, 3, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    index, empty = torch.randint(0, 9, (7, 4)), torch.arange(7) == 2
    outs = [
        layers[0].aggregate(features, centres, points, index, empty),
        _plain(layers[1], features, centres, points, index, empty),
    ]
    torch.testing.assert_close(*outs)
    for out in outs:
        out.square().sum().backward()
    for (name, a), b in zip(layers[0].named_parameters(), layers[1].parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    for (name, a), b in zip(layers[0].named_buffers(), layers[1].buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def _pool(**changes):
    return VoxelPool(
        VoxelPoolConfig(stride=2, hidden=6, channels=5, **changes),
        in_channels=3,
        voxel_size=(0.5, 0.5, 0.5),
        lower_bounds=(0.0, -4.0, -1.0),
    )


def test_a_point_without_voxels_gets_a_constant_that_is_not_zero():
    torch.manual_seed(0)
    pool = _pool()
    torch.nn.init.ones_(pool.output[1].bias)
    coords = torch.tensor([[0, 0, 0, 0]], dtype=torch.int32)
    voxels = SparseTensor(torch.randn(1, 3), coords, (4, 8, 8), 1)
    far = pool.eval()(torch.tensor([[[7.0, 3.0, 2.0], [5.0, 2.0, 1.0]]]), voxels)
    assert torch.equal(far[0, 0], far[0, 1]) and far.abs().sum() > 0


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("points", [0, 1, 3])
@pytest.mark.parametrize("voxels", [0, 1])
def test_few_points_and_voxels_stay_finite(training, points, voxels):
    pool = _pool().train(training)
    coords = torch.zeros(voxels, 4, dtype=torch.int32)
    tensor = SparseTensor(torch.randn(voxels, 3), coords, (4, 8, 8), 1)
    out = pool(torch.rand(1, points, 3), tensor)
    out.sum().backward()
    assert out.shape == (1, points, 5) and out.isfinite().all()
    assert all(buffer.isfinite().all() for buffer in pool.buffers())


def test_config_rejects_a_radius_of_zero():
    with pytest.raises(ValueError, match="radius_m must be"):
        VoxelPoolConfig(radius_m=0.0)
