import pytest
import torch
from fusion_models.imagepg.pointnet2 import SetAbstraction, SetAbstractionConfig
from sparseops import ball_query, furthest_point_sample

CONFIG = SetAbstractionConfig(points=6, channels=(7, 5), radius_m=0.6, samples=4)


def _plain(level, xyz, features):
    """The level as it is written down: everything on [clouds, centres, samples, channels]."""
    centres = torch.gather(
        xyz, 1, furthest_point_sample(xyz, level.config.points)[..., None].expand(-1, -1, 3)
    )
    index = ball_query(centres, xyz, radius=level.config.radius_m, num_samples=level.config.samples)
    clouds = torch.arange(len(xyz))[:, None, None]
    grouped = torch.cat([xyz[clouds, index] - centres[:, :, None], features[clouds, index]], dim=-1)
    for layer, norm in zip(level.layers, level.norms, strict=True):
        grouped = torch.relu(norm(layer(grouped)))
    return centres, grouped.amax(2)


def test_short_form_equals_the_plain_one_with_gradients():
    torch.manual_seed(0)
    levels = [SetAbstraction(CONFIG, in_channels=3) for _ in "ab"]
    levels[1].load_state_dict(levels[0].state_dict())
    base, features = torch.rand(2, 20, 3), torch.randn(2, 20, 3)
    gradients = []
    results = []
    for level, run in zip(levels, (levels[0].forward, lambda x, f: _plain(levels[1], x, f)), strict=True):
        xyz = base.clone().requires_grad_()
        centres, out = run(xyz, features)
        (out.square().sum() + centres.sum()).backward()
        results.append((centres.detach(), out.detach()))
        gradients.append([xyz.grad, *(p.grad for p in level.parameters())])
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_small_cloud_away_from_the_origin_keeps_its_shape_under_autocast(dtype):
    torch.manual_seed(0)
    level = SetAbstraction(CONFIG, in_channels=3).eval()
    level.layers[0].weight.data[:, :3] *= 10.0  # positions count
    xyz, features = 3.0 + 0.1 * torch.rand(2, 20, 3), torch.zeros(2, 20, 3)
    with torch.no_grad():
        expected = level(xyz, features)[1]
        with torch.autocast("cpu", dtype=dtype):
            out = level(xyz, features.to(dtype))[1]
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.01 * expected.abs().max().item())


def test_group_of_all_uses_the_coordinates_as_they_are():
    torch.manual_seed(0)
    level = SetAbstraction(SetAbstractionConfig(points=None, channels=(5,)), in_channels=2).eval()
    xyz, features = torch.randn(3, 8, 3), torch.randn(3, 8, 2)
    centres, out = level(xyz, features)
    assert centres.shape == (3, 1, 3) and not centres.any()
    expected = torch.relu(level.norms[0](level.layers[0](torch.cat([xyz, features], 2)))).amax(1)
    torch.testing.assert_close(out[:, 0], expected)


def test_order_of_points_does_not_matter_to_the_group_of_all():
    level = SetAbstraction(SetAbstractionConfig(points=None, channels=(5,)), in_channels=2).eval()
    xyz, features, order = torch.randn(1, 8, 3), torch.randn(1, 8, 2), torch.randperm(8)
    torch.testing.assert_close(level(xyz, features)[1], level(xyz[:, order], features[:, order])[1])


@pytest.mark.parametrize("points", [None, 6])
def test_no_clouds_give_no_features(points):
    level = SetAbstraction(SetAbstractionConfig(points=points, channels=(7, 5)), in_channels=3)
    centres, out = level(torch.zeros(0, 20, 3), torch.zeros(0, 20, 3))
    assert centres.shape == (0, points or 1, 3) and out.shape == (0, points or 1, 5)


def test_config_rejects_what_cannot_work():
    with pytest.raises(ValueError, match="must be positive"):
        SetAbstractionConfig(points=0, channels=(4,))
    with pytest.raises(ValueError, match="channels is empty"):
        SetAbstractionConfig(points=4, channels=())
