import math

import pytest
import torch
from fusion_models.imagepg.deform_fusion import ImageView
from fusion_models.imagepg.point_generator import (
    GeneratorConfig,
    GridTransformer,
    ImageGuidance,
    PointGenerator,
)

CONFIG = GeneratorConfig(heads=2, hidden=8, generator_fc=(6,), feature=4, embedding=(5, 7))


def _generator():
    torch.manual_seed(0)
    return PointGenerator(10, CONFIG, dropout=0.0)


def test_points_are_grid_points_plus_unbounded_offsets():
    generator = _generator()
    torch.nn.init.zeros_(generator.generate.weight)
    generator.generate.bias.data.copy_(torch.tensor([5.0, 0.0, -9.0, 0, 0, 0, 0]))
    grid = torch.randn(2, 3, 3)
    points, semantic, logits = generator(torch.randn(2, 3, 10), grid)
    torch.testing.assert_close(points, grid + torch.tensor([5.0, 0.0, -9.0]))
    assert semantic.shape == (2, 3, 4) and logits.shape == (2, 3)


def test_geometry_reaches_the_feature_without_gradient_and_the_position_with():
    generator = _generator()
    points, logits = torch.randn(2, 3, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    semantic = torch.randn(2, 3, 4, requires_grad=True)
    roi = torch.tensor([[1.0, 2.0, 0.0, 4.0, 2.0, 1.0, math.pi / 2]]).expand(2, 7)
    local, feature = generator.encode(points, semantic, logits, roi)
    feature.sum().backward(retain_graph=True)
    assert points.grad is None and logits.grad is None and semantic.grad.abs().sum() > 0
    local.sum().backward()
    assert points.grad.abs().sum() > 0


def test_encoding_puts_points_in_the_frame_of_their_roi():
    roi = torch.tensor([[1.0, 2.0, 0.0, 4.0, 2.0, 1.0, math.pi / 2]])
    local, feature = _generator().encode(
        torch.tensor([[[1.0, 4.0, 0.5]]]), torch.zeros(1, 1, 4), torch.zeros(1, 1), roi
    )
    torch.testing.assert_close(local[0, 0], torch.tensor([2.0, 0.0, 0.5]), atol=1e-6, rtol=0)
    assert feature.shape == (1, 1, 7)


def test_transformer_treats_grid_points_alike():
    torch.manual_seed(0)
    transformer = GridTransformer(6, CONFIG).eval()
    features, positions, order = torch.randn(2, 9, 6), torch.randn(2, 9, 27), torch.randperm(9)
    mixed = transformer(features, positions)
    torch.testing.assert_close(transformer(features[:, order], positions[:, order]), mixed[:, order])


def test_heads_must_divide_the_pooled_channels():
    with pytest.raises(ValueError, match="2 heads do not divide 7 pooled channels"):
        GridTransformer(7, CONFIG)


def test_points_out_of_view_get_the_same_constant():
    torch.manual_seed(0)
    guidance = ImageGuidance(6, image_channels=8).eval()
    view = ImageView(
        values=torch.randn(1, 12, 4, 2), height=3, width=4, image_from_points=torch.eye(3, 4)[None]
    )
    points = torch.tensor([[[1.0, 1.0, 1.0], [3.0, 2.0, 1.0], [9.0, 1.0, 1.0], [1.0, 1.0, -1.0]]])
    out = guidance(torch.randn(1, 4, 27), points, view)
    torch.testing.assert_close(out[0, 2], out[0, 3])
    assert not torch.allclose(out[0, 0], out[0, 2])
    torch.testing.assert_close(out[0, 2], guidance.expand(torch.zeros(1, 8))[0])


def test_guidance_looks_at_the_same_pixels_under_autocast():
    torch.manual_seed(0)
    guidance = ImageGuidance(6, image_channels=8).eval()
    columns = torch.zeros(1, 1000, 4, 2)
    columns[0, ::2] = 4.0  # a comb of single columns, which bfloat16 cannot count to
    view = ImageView(values=columns, height=1, width=1000, image_from_points=torch.eye(3, 4)[None])
    points = torch.stack([torch.arange(700.0, 720.0) + 0.5, torch.full((20,), 0.5), torch.ones(20)], dim=1)
    positions = torch.randn(1, 20, 27)
    with torch.no_grad():
        expected = guidance(positions, points[None], view)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = guidance(positions, points[None], view).float()
    torch.testing.assert_close(out, expected, rtol=0.02, atol=0.02)


def test_config_rejects_what_cannot_work():
    with pytest.raises(ValueError, match="every number must be positive"):
        GeneratorConfig(range_scale_m=0.0)
