import dataclasses

import pytest
import timm
import torch
from fusion_models.imagepg.image_backbone import (
    ImageBackbone,
    SwinBackbone,
    TopDownNeck,
    shift_mask,
)
from fusion_models.imagepg.image_config import ImageBackboneConfig, SwinConfig
from fusion_models.imagepg.weights import convert_released

TINY = SwinConfig(embed_dim=8, depths=(1, 2, 2), heads=(1, 2, 4), window=4, frozen_stages=-1)


def _tiny(**changes):
    swin = dataclasses.replace(TINY, **changes)
    torch.manual_seed(0)
    return ImageBackbone(ImageBackboneConfig(swin=swin, neck_channels=16, channels=8))


@pytest.mark.parametrize(("height", "width"), [(32, 64), (30, 50), (9, 5)])
def test_any_image_size_gives_an_eighth_rounded_up_plus_the_border(height, width):
    out = _tiny()(torch.randn(2, 3, height, width))
    assert out.shape == (2, 8, -(-height // 8) + 2, -(-width // 8) + 2)


@pytest.mark.slow
def test_full_size_shapes_are_those_of_the_paper_configuration():
    with torch.device("meta"):
        maps = SwinBackbone(SwinConfig())(torch.empty(1, 3, 375, 1242))
    assert [tuple(m.shape[1:]) for m in maps] == [(192, 47, 156), (384, 24, 78), (768, 12, 39)]


@pytest.mark.slow
def test_published_stages_are_frozen_and_stay_in_eval_mode():
    backbone = ImageBackbone().train()
    trainable = sum(p.numel() for p in backbone.swin.parameters() if p.requires_grad)
    assert round(trainable / 1e6, 2) == 14.19
    assert round(sum(p.numel() for p in backbone.swin.parameters()) / 1e6, 1) == 27.5
    frozen = [backbone.swin.patch_embed, *list(backbone.swin.layers)[:3], backbone.swin.layers[3].downsample]
    assert not any(module.training for part in frozen for module in part.modules())
    assert backbone.swin.layers[3].blocks[0].training and backbone.swin.norms[2].training
    assert not backbone.swin.norms[0].training and backbone.reduce.training


def test_nothing_is_frozen_when_training_from_scratch():
    backbone = _tiny().train()
    backbone(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())
    assert all(module.training for module in backbone.modules())


def test_shifted_windows_see_their_neighbours_but_not_the_other_border():
    swin = SwinBackbone(dataclasses.replace(TINY, depths=(2, 1), heads=(1, 2), drop_path=0.0)).eval()
    image = torch.randn(1, 3, 64, 64, requires_grad=True)
    tokens = swin.layers[0](swin.patch_embed(image))
    (gradient,) = torch.autograd.grad(tokens[0, 0, 0].sum(), image)
    touched = gradient.abs().sum((0, 1)) > 0
    # token 0 belongs to the first window of 4 tokens of 4 pixels; the last ones wrap to it only when unmasked
    assert touched[:16, :16].any() and not touched[32:].any() and not touched[:, 32:].any()


def test_shift_mask_separates_the_regions_of_the_last_windows():
    mask = shift_mask(4, 4, window=2, shift=1)
    assert mask.shape == (4, 4, 4)
    assert mask[0].abs().sum() == 0
    assert mask[3, 0].tolist() == [0.0, -100.0, -100.0, -100.0]


def test_neck_keeps_the_finest_map_first():
    neck = TopDownNeck((4, 8, 16), 6)
    maps = neck([torch.randn(1, 4, 9, 7), torch.randn(1, 8, 5, 4), torch.randn(1, 16, 3, 2)])
    assert [tuple(m.shape) for m in maps] == [(1, 6, 9, 7), (1, 6, 5, 4)]


def test_released_patch_merging_weights_change_their_order():
    weight = torch.arange(8.0)[None]  # two channels of a 2x2 patch: channel by channel, row-major
    converted = convert_released({"image_backbone.stages.0.downsample.reduction.weight": weight})
    expected = {"image.swin.layers.1.downsample.reduction.weight": [[0.0, 4.0, 2.0, 6.0, 1.0, 5.0, 3.0, 7.0]]}
    assert {name: value.tolist() for name, value in converted.items()} == expected


def _timm_swin(*, depths, img_size):
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        embed_dim=8,
        depths=depths,
        num_heads=(1, 2),
        window_size=4,
        img_size=img_size,
    )


def test_timm_weights_load_by_name_and_differing_ones_are_refused(monkeypatch):
    reference = timm.create_model(
        "swin_tiny_patch4_window7_224",
        embed_dim=8,
        depths=(1, 2),
        num_heads=(1, 2),
        window_size=4,
        img_size=32,
    )
    name = "swin_tiny_patch4_window7_224"
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: reference)
    config = SwinConfig(embed_dim=8, depths=(1, 2), heads=(1, 2), window=4, frozen_stages=1, pretrained=name)
    loaded = SwinBackbone(config)
    torch.testing.assert_close(
        loaded.layers[1].blocks[0].mlp.fc1.weight, reference.layers[1].blocks[0].mlp.fc1.weight
    )
    with pytest.raises(ValueError, match=f"{name} does not fit this configuration"):
        SwinBackbone(dataclasses.replace(config, embed_dim=16))


def test_unpadded_images_give_what_timm_gives():
    reference = timm.create_model(
        "swin_tiny_patch4_window7_224",
        embed_dim=8,
        depths=(2, 2),
        num_heads=(1, 2),
        window_size=4,
        img_size=64,
    ).eval()
    swin = SwinBackbone(
        SwinConfig(embed_dim=8, depths=(2, 2), heads=(1, 2), window=4, frozen_stages=-1)
    ).eval()
    swin.load_state_dict(reference.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = reference.layers(reference.patch_embed(images))
        found = swin.layers[1](swin.layers[0](swin.patch_embed(images)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": (1, 2)}, "one entry per stage"),
        ({"heads": (3, 2, 4)}, "must divide the channels"),
        ({"frozen_stages": 9}, r"must lie in -1\.\.3"),
    ],
)
def test_config_rejects_what_cannot_work(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_backbone_config_needs_channels():
    with pytest.raises(ValueError, match="must be positive"):
        ImageBackboneConfig(channels=0)
