import pytest
import torch
import torch.nn.functional as F
from fusion_models.imagepg.guidance import GuidanceFusion, GuidanceFusionConfig
from torch import nn


def _fusion(channels=32, **options):
    torch.manual_seed(0)
    fusion = GuidanceFusion(channels, GuidanceFusionConfig(**{"hidden": 6, "reduction": 4, **options}))
    for module in fusion.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return fusion


def _inputs(channels=32, rows=5, columns=7):
    torch.manual_seed(1)
    return torch.randn(2, channels, rows, columns), torch.rand(2, 1, rows, columns)


def _cbam(fusion, x):
    """Channel and spatial attention of CBAM, one after the other, place by place."""
    down, up = fusion.channels[0].weight[:, :, 0, 0], fusion.channels[2].weight[:, :, 0, 0]
    squeezed = (
        [torch.stack([channel.mean() for channel in frame]) @ down.T for frame in x],
        [torch.stack([channel.max() for channel in frame]) @ down.T for frame in x],
    )
    scale = torch.stack([(a.relu() + b.relu()) @ up.T for a, b in zip(*squeezed, strict=True)]).sigmoid()
    x = x * scale[:, :, None, None]
    summary = F.pad(torch.stack([x.mean(1), x.max(1).values], 1), (3, 3, 3, 3))
    kernel = fusion.places.weight[0]
    places = [
        [(summary[:, :, i : i + 7, j : j + 7] * kernel).sum((1, 2, 3)) for j in range(x.shape[3])]
        for i in range(x.shape[2])
    ]
    weight = torch.stack([torch.stack(row, 1) for row in places], 1).sigmoid()
    return x * weight[:, None]


def test_attention_equals_the_plain_formulation():
    fusion = _fusion()
    x = _inputs()[0]
    one, other = (x.clone().requires_grad_() for _ in range(2))
    found, expected = fusion.attend(one), _cbam(fusion, other)
    torch.testing.assert_close(found, expected)
    weight = torch.randn(found.shape)
    torch.testing.assert_close(
        torch.autograd.grad((found * weight).sum(), [one, *fusion.channels.parameters()]),
        torch.autograd.grad((expected * weight).sum(), [other, *fusion.channels.parameters()]),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("training", [False, True])
def test_map_and_guidance_are_mixed_by_two_convolutions_with_norm_and_relu(training):
    fusion = _fusion().train(training)
    bev, guidance = _inputs()
    found, x = fusion(bev, guidance), torch.cat([bev, guidance], 1)
    for i in (0, 3):
        norm = fusion.mix[i + 1]
        assert (norm.eps, norm.momentum, fusion.mix[i].bias) == (1e-3, 0.01, None)
        x = F.conv2d(x, fusion.mix[i].weight, padding=1)
        if training:
            x = (x - x.mean((0, 2, 3), keepdim=True)) / (
                x.var((0, 2, 3), correction=0, keepdim=True) + 1e-3
            ).sqrt()
        else:
            x = x / (1 + 1e-3) ** 0.5
        x = (x * norm.weight[:, None, None] + norm.bias[:, None, None]).relu()
    torch.testing.assert_close(found, fusion.attend(x), rtol=1e-4, atol=1e-5)


def test_gradient_reaches_the_guidance_and_every_weight():
    fusion = _fusion().train()
    bev, guidance = _inputs()
    guidance.requires_grad_()
    fusion(bev, guidance).square().sum().backward()
    assert guidance.grad.abs().min() > 0
    assert all(parameter.grad.any() for parameter in fusion.parameters())


def test_without_weights_the_attention_halves_the_map_twice():
    fusion, x = _fusion(), _inputs()[0]
    for layer in (fusion.channels[2], fusion.places):
        nn.init.zeros_(layer.weight)
    torch.testing.assert_close(fusion.attend(x), x / 4)


def test_the_released_configuration_has_the_released_number_of_weights():
    fusion = GuidanceFusion(512, GuidanceFusionConfig())
    norms = 2 * (256 + 512)
    assert (
        sum(p.numel() for p in fusion.parameters()) == 9 * (513 * 256 + 256 * 512) + norms + 2 * 512 * 32 + 98
    )


def test_a_map_narrower_than_the_reduction_keeps_one_hidden_channel():
    fusion = _fusion(channels=4, reduction=16)
    assert fusion.channels[0].out_channels == 1
    assert fusion(*_inputs(4)).shape == (2, 4, 5, 7)


def test_half_precision_is_close():
    fusion, inputs = _fusion().eval(), _inputs()
    expected = fusion(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = fusion(*inputs)
    # five layers of 8 bits each
    assert (found.float() - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("options", [{"hidden": 0}, {"reduction": 0}, {"kernel": 6}, {"kernel": -1}])
def test_wrong_configurations_are_refused(options):
    with pytest.raises(ValueError, match="hidden and reduction must be positive and kernel odd, got"):
        GuidanceFusionConfig(**options)
