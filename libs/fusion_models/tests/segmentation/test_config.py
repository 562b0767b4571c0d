import json
from dataclasses import replace

import pytest
import torch
from fusion_models.segmentation import (
    SPVNAS_10M8,
    BlockWidths,
    SegmentationNet,
    SegmentationNetConfig,
    StageWidths,
    minkunet,
    spvcnn,
    spvnas_from_net_config,
)

OUTPUT_CHANNELS = [32, 24, 52, 188, 232, 140, 152, 96, 76]
TRANSITIONS = {"downsample": [16, 44, 84, 152], "upsample": [188, 104, 48, 64]}
MIDDLES = {
    "downsample": [[44, 36], [80, 68], [64, 68], [116, 96]],
    "upsample": [[140, 248], [64], [104, 56], [112]],
}


def net_config() -> dict:
    """SPVNAS@10.8M as its file describes it, with a setting of a block that is not there."""
    content = {"num_classes": 19, "pres": 0.05, "vres": 0.05, "output_channels": OUTPUT_CHANNELS}
    for way, transitions in TRANSITIONS.items():
        for i, (transition, middles) in enumerate(zip(transitions, MIDDLES[way], strict=True)):
            content[f"{way}.{i}.transition"] = transition
            content[f"{way}.{i}.feature"] = len(middles)
            for j, middle in enumerate(middles):
                content[f"{way}.{i}.feature.layers.{j}.net.layers.0"] = middle
    return content | {"upsample.1.feature.layers.1.net.layers.0": 172}


def count(config: SegmentationNetConfig) -> dict[str, int]:
    with torch.device("meta"):
        parts = SegmentationNet(config).named_children()
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts}


def per_stage(config: SegmentationNetConfig, way: str) -> list[int]:
    with torch.device("meta"):
        stages = getattr(SegmentationNet(config), way)
    return [sum(p.numel() for p in stage.parameters()) for stage in stages]


def test_the_published_net_config_is_the_default_network():
    built = spvnas_from_net_config(json.loads(json.dumps(net_config())))
    assert replace(built, projection=(256, 128, 64)) == SPVNAS_10M8 == SegmentationNetConfig()


def test_spvnas_has_the_published_number_of_parameters():
    dead = 19 * (128 - 76)  # columns of the stored classifier that nothing reads
    parts = count(SPVNAS_10M8)
    assert parts["stem"] == 31_232
    assert per_stage(SPVNAS_10M8, "downs") == [98_992, 409_736, 1_212_648, 2_671_368]
    assert per_stage(SPVNAS_10M8, "ups") == [4_228_920, 673_360, 828_320, 577_232]
    assert parts["points"] == 8_120 + 35_720 + 11_780
    assert parts["classifier"] == 2_451 - dead
    assert parts.pop("projection") == 101_696
    assert sum(parts.values()) == 10_788_891 == 10_789_879 - dead


@pytest.mark.parametrize(("cr", "parameters"), [(0.5, 5_449_267), (0.64, 8_793_617), (1.0, 21_778_003)])
def test_hand_made_networks_have_the_published_number_of_parameters(cr, parameters):
    parts, voxels_alone = count(spvcnn(cr)), count(minkunet(cr))
    assert sum(parts.values()) == parameters
    # the released MinkUNet counts as many, as it has the layers on points, but never reads them
    assert sum(voxels_alone.values()) + parts["points"] == parameters


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("output_channels", [32] * 8, "output_channels must list 9 widths"),
        ("num_classes", 20, "num_classes is 20, but class_names has 19"),
        ("downsample.2.transition", None, "downsample.2.transition must be a whole number"),
        ("upsample.0.feature", 0, "upsample.0.feature must be a whole number of at least 1, got 0"),
        ("upsample.3.feature.layers.0.net.layers.0", "112", "layers.0 must be a whole number"),
    ],
)
def test_a_net_config_that_is_not_one_is_refused(key, value, message):
    with pytest.raises(ValueError, match=rf"net.config: .*{message}"):
        spvnas_from_net_config(net_config() | {key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"downs": SPVNAS_10M8.downs[:3]}, "must have 4 stages each, got 3 and 4"),
        ({"class_names": ()}, "class_names must be distinct"),
        ({"class_names": ("car", "car")}, "class_names must be distinct"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"voxel_m": 0.0}, "voxel_m must be positive"),
        ({"in_features": 0}, "must be at least 1"),
        ({"projection": ()}, "None is no projection"),
        ({"ups": (*SPVNAS_10M8.ups[:3], StageWidths(8, ()))}, r"ups\[3\]: a stage needs at least one block"),
        ({"ups": (*SPVNAS_10M8.ups[:3], StageWidths(0, (BlockWidths(4, 4),)))}, "widths must be at least 1"),
        (
            {"ups": (*SPVNAS_10M8.ups[:3], StageWidths(64, (BlockWidths(8, 64),)))},
            r"ups\[3\].blocks\[0\]: an identity shortcut needs as many channels in as out, got 96 and 64",
        ),
    ],
)
def test_what_is_no_network_is_refused(change, message):
    with pytest.raises(ValueError, match=f"SegmentationNetConfig.*{message}"):
        replace(SPVNAS_10M8, **change)


def test_a_factor_that_leaves_no_channels_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        spvcnn(0.01)
