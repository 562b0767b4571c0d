import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_models.imagepg.deform_fusion import DeformAttnFusion, ImageView, project_to_pixels


def _view(batch=1, height=6, width=8, image_from_points=None):
    matrix = torch.eye(3, 4).expand(batch, 3, 4) if image_from_points is None else image_from_points
    return ImageView(
        values=torch.zeros(batch, height * width, 4, 16), height=height, width=width, image_from_points=matrix
    )


@pytest.mark.golden
def test_attention_equals_the_released_module(imagepg_golden, seeded_weights):
    golden = imagepg_golden("ops")
    names = {
        "sampling_offsets": "offsets",
        "attention_weights": "weights",
        "value_proj": "value",
        "output_proj": "output",
    }
    fusion = DeformAttnFusion().eval()
    shapes = {
        f"{released}.{leaf}": getattr(getattr(fusion, own), leaf).shape
        for released, own in names.items()
        for leaf in ("weight", "bias")
    }
    arrays = seeded_weights.seeded_arrays(
        shapes, salt=int(golden["msda_mod_salt"]), gain={"sampling_offsets*": 3.0}
    )
    for released, own in names.items():
        for leaf in ("weight", "bias"):
            getattr(getattr(fusion, own), leaf).data.copy_(torch.from_numpy(arrays[f"{released}.{leaf}"]))
    height, width = golden["msda_shape_hw"].tolist()
    image = torch.from_numpy(golden["msda_mod_input"]).view(1, height, width, 64).permute(0, 3, 1, 2)
    view = fusion.view(image, torch.zeros(1, 3, 4), size=(height, width))
    query = torch.from_numpy(golden["msda_mod_query"])[0]
    pixels = torch.from_numpy(golden["msda_mod_ref"])[0, :, 0] * torch.tensor([width, height])
    out = fusion.attend(query, pixels, [len(query)], view)
    np.testing.assert_allclose(out.detach(), golden["msda_mod_out"][0], atol=1e-5)


def test_values_projected_before_resizing_equal_those_projected_after():
    torch.manual_seed(0)
    fusion = DeformAttnFusion(8, heads=2)
    image = torch.randn(2, 8, 5, 7)
    view = fusion.view(image, torch.zeros(2, 3, 4), size=(24, 40))
    resized = F.interpolate(image, size=(24, 40), mode="bilinear", align_corners=False)
    expected = fusion.value(resized.flatten(2).mT).view(2, 24 * 40, 2, 4)
    torch.testing.assert_close(view.values, expected, atol=1e-5, rtol=1e-5)


def test_samples_start_on_a_ring_around_the_pixel():
    bias = DeformAttnFusion().offsets.bias.view(4, 4, 2)
    expected = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    torch.testing.assert_close(bias[:, 0], torch.tensor(expected), atol=1e-6, rtol=0)
    torch.testing.assert_close(bias[:, 3], 4 * bias[:, 0])


def _disturbed_fusion(seed=0):
    """A block of 8 channels whose places and weights depend on the keys."""
    torch.manual_seed(seed)
    fusion = DeformAttnFusion(8, heads=2, samples=3).eval()
    for layer in (fusion.offsets, fusion.weights):
        torch.nn.init.normal_(layer.weight)
    return fusion


def test_at_the_start_the_sampling_is_the_ring_with_equal_weights():
    fusion = DeformAttnFusion()
    pixels = torch.tensor([[3, 2], [100, 50]])
    locations, weights = fusion.sampling(torch.randn(2, 64), pixels)
    ring = fusion.offsets.bias.detach().view(4, 4, 2)
    torch.testing.assert_close(locations, pixels[:, None, None] + ring, atol=0, rtol=0)
    assert weights.unique().tolist() == [0.25]


def test_weights_of_a_head_sum_to_one_and_depend_on_the_key():
    fusion = _disturbed_fusion()
    locations, weights = fusion.sampling(torch.randn(5, 8), torch.zeros(5, 2, dtype=torch.int64))
    assert locations.shape == (5, 2, 3, 2) and weights.shape == (5, 2, 3)
    torch.testing.assert_close(weights.sum(2), torch.ones(5, 2))
    assert len(weights.flatten().unique()) == 30


def test_attention_reads_the_image_at_the_sampling():
    """The places and weights that are shown are those that count: bilinear reads of the values there."""
    fusion = _disturbed_fusion()
    view = fusion.view(torch.randn(1, 8, 3, 4), torch.zeros(1, 3, 4), size=(6, 8))
    keys, pixels = torch.randn(5, 8), torch.tensor([[1, 2], [3, 4], [7, 5], [0, 0], [4, 4]])
    locations, weights = fusion.sampling(keys, pixels)
    unit = 2 * locations / torch.tensor([8, 6]) - 1
    maps = view.values[0].permute(1, 2, 0).view(2, 4, 6, 8)
    read = F.grid_sample(maps, unit.transpose(0, 1), align_corners=False)
    expected = fusion.output((read * weights.transpose(0, 1)[:, None]).sum(3).permute(2, 0, 1).flatten(1))
    torch.testing.assert_close(fusion.attend(keys, pixels, [5], view), expected, atol=1e-5, rtol=1e-5)


def test_pixels_are_truncated_and_points_behind_or_outside_are_not_in_view():
    points = torch.tensor(
        [[[3.9, 2.2, 1.0], [8.0, 0.0, 1.0], [-0.1, 1.0, 1.0], [2.0, 2.0, -1.0], [0.0, 0.0, 0.0]]]
    )
    pixels, inside = project_to_pixels(points, _view())
    assert inside.tolist() == [[True, False, False, False, False]]
    assert pixels[0, 0].tolist() == [3, 2]


def test_a_view_seen_from_a_copy_projects_to_the_same_pixels():
    torch.manual_seed(0)
    matrix = torch.tensor([[[5.0, 0.0, 1.0, 0.0], [0.0, 4.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]]])
    view = _view(image_from_points=matrix)
    points_from_copy = torch.eye(4)[None].clone()
    points_from_copy[0, :3, 3] = torch.tensor([0.3, -0.2, 0.1])
    points = torch.rand(1, 50, 3)
    pixels, inside = project_to_pixels(points, view)
    copied = project_to_pixels(points - points_from_copy[:, :3, 3], view.seen_from(points_from_copy))
    assert inside.any() and not inside.all()
    assert torch.equal(copied[1], inside) and torch.equal(copied[0], pixels)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_queries_return_unchanged(count):
    queries = torch.randn(count, 64)
    out = DeformAttnFusion()(queries, torch.zeros(count, 2, dtype=torch.int64), [count], _view())
    assert torch.equal(out, queries)


def test_an_image_without_points_changes_nothing_for_the_other():
    torch.manual_seed(0)
    fusion = DeformAttnFusion().eval()
    view = fusion.view(torch.randn(2, 64, 3, 4), torch.zeros(2, 3, 4), size=(6, 8))
    queries, pixels = torch.randn(3, 64), torch.tensor([[1, 2], [3, 4], [7, 5]])
    both = fusion(queries, pixels, [0, 3], view)
    alone = ImageView(values=view.values[1:], height=6, width=8, image_from_points=view.image_from_points[1:])
    torch.testing.assert_close(both, fusion(queries, pixels, [3], alone))


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match="heads must divide channels, got 4 and 6"):
        DeformAttnFusion(6)


def test_view_checks_the_number_of_pixels():
    with pytest.raises(ValueError, match=r"expected height \* width = 12"):
        ImageView(values=torch.zeros(1, 5, 4, 16), height=3, width=4, image_from_points=torch.zeros(1, 3, 4))


@pytest.mark.parametrize("count", [0, 1])
def test_everything_unused_gets_a_gradient_of_zero(count):
    fusion = DeformAttnFusion().train()
    image = torch.randn(1, 64, 3, 4, requires_grad=True)
    view = fusion.view(image, torch.eye(3, 4)[None], size=(6, 8))
    queries = torch.randn(count, 64, requires_grad=True)
    mixed = fusion(queries, torch.zeros(count, 2, dtype=torch.int64), [count], view)
    torch.testing.assert_close(mixed, queries)
    mixed.sum().backward()
    for tensor in (image, *fusion.parameters()):
        assert tensor.grad is not None and not tensor.grad.any()
    torch.testing.assert_close(queries.grad, torch.ones(count, 64))
