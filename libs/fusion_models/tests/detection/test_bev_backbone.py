import pytest
import torch
from fusion_models.detection.bev_backbone import BevBackbone, BevBackboneConfig
from torch import nn

SMALL = BevBackboneConfig(
    layers=(1, 1), strides=(1, 2), channels=(4, 6), up_strides=(1, 2), up_channels=(5, 3)
)


def test_default_output_has_512_channels_at_the_resolution_of_the_input():
    backbone = BevBackbone(8, BevBackboneConfig(layers=(0, 0)))
    assert backbone(torch.zeros(1, 8, 6, 4)).shape == (1, 512, 6, 4)


def test_a_first_stride_lowers_the_resolution():
    config = BevBackboneConfig((1, 1), (2, 2), (4, 4), (1, 2), (4, 4))
    assert BevBackbone(2, config)(torch.zeros(1, 2, 8, 12)).shape == (1, 8, 4, 6)


def test_blocks_are_convolution_norm_relu_and_the_maps_are_concatenated():
    backbone = BevBackbone(2, SMALL).double().eval()
    for parameter in backbone.parameters():
        nn.init.normal_(parameter)
    bev = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    x, maps = bev, []
    for block, up in zip(backbone.blocks, backbone.ups, strict=True):
        for i in (0, 3):
            conv, norm = block[i], block[i + 1]
            x = torch.conv2d(torch.nn.functional.pad(x, (1, 1, 1, 1)), conv.weight, stride=conv.stride)
            x = (x / (1 + 1e-3) ** 0.5 * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)).relu()
        maps.append(up(x))
    torch.testing.assert_close(backbone(bev), torch.cat(maps, 1))


def test_released_configuration_has_the_released_number_of_weights():
    # blocks 0 and 1 and both deconvolutions of the state dict: 128 * 512 * 9 + 5 * 128 * 128 * 9 + ...
    convolutions = 128 * 512 * 9 + 5 * 128**2 * 9 + 256 * 128 * 9 + 5 * 256**2 * 9 + 128 * 256 + 256 * 256 * 4
    norms = 2 * (6 * 128 + 6 * 256 + 2 * 256)
    backbone = BevBackbone(512, BevBackboneConfig())
    assert sum(p.numel() for p in backbone.parameters()) == convolutions + norms


def test_a_map_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="5 x 4 cells is not divisible by the total stride 2"):
        BevBackbone(2, SMALL)(torch.zeros(1, 2, 5, 4))


def test_a_config_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="one entry per block"):
        BevBackboneConfig(layers=(5,))


def test_up_strides_that_do_not_undo_the_strides_are_refused():
    with pytest.raises(ValueError, match="do not bring strides"):
        BevBackboneConfig(up_strides=(1, 4))
