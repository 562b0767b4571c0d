import json
from pathlib import Path

import pytest
import torch
from fusion_models.imagepg import Detector, DetectorConfig, with_image
from fusion_models.weights import (
    convert_official,
    load_official,
    load_weights,
    read_official,
    save_weights,
)
from torch import nn

MANIFEST = json.loads((Path(__file__).parent / "golden" / "imagepg_state_dict.json").read_text())


@pytest.fixture(scope="module")
def released():
    return {name: torch.zeros(shape) for name, shape in MANIFEST.items()}


@pytest.fixture(scope="module")
def detector():
    return Detector(DetectorConfig())


def test_every_released_entry_has_the_name_and_shape_of_ours(released, detector):
    converted, own = convert_official(released).state, detector.state_dict()
    shapes = {name: tuple(value.shape) for name, value in own.items()}
    assert {name: tuple(value.shape) for name, value in converted.items()} == shapes


def test_only_the_occupancy_guidance_and_the_counter_are_left_out(released):
    left_out = convert_official(released).left_out
    parts = ("global_step", "bev_heatmap_head.", "backbone_2d.bev_fuse_blocks.", "backbone_2d.ADF_blocks.")
    assert left_out and all(name.startswith(parts) for name in left_out)
    assert len(left_out) == sum(name.startswith(parts) for name in released)


def test_no_two_released_entries_get_the_same_name(released):
    result = convert_official(released)
    buffers = sum(name.endswith("relative_position_index") for name in released)
    assert len(result.state) + len(result.left_out) + buffers == len(released)


def test_both_layouts_of_sparse_kernels_give_the_same_weight():
    kernel = torch.randn(32, 3, 3, 3, 4)
    name = "backbone_3d.conv_input.0.weight"
    second = convert_official({name: kernel}).state["backbone.conv_input.0.weight"]
    first = convert_official({name: kernel.permute(1, 2, 3, 4, 0)}).state["backbone.conv_input.0.weight"]
    assert torch.equal(first, second) and second.shape == (3, 3, 3, 4, 32)
    assert second[0, 1, 2, 3, 5] == kernel[5, 0, 1, 2, 3]


def test_a_lidar_only_detector_takes_the_released_weights_without_the_image_branch(released):
    model = Detector(with_image(DetectorConfig(), None))
    left_out = load_official(model, released)
    assert any(name.startswith("image.") for name in left_out)
    assert all((parameter == 0).all() for parameter in model.parameters())


def test_a_released_entry_of_another_shape_is_refused(released):
    changed = released | {"dense_head.conv_cls.bias": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"anchors.classes.bias has shape \[3\], the model expects \[18\]"):
        load_official(Detector(with_image(DetectorConfig(), None)), changed)


def test_weights_survive_the_file(tmp_path):
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


def test_weights_of_another_model_are_refused(tmp_path):
    save_weights(nn.Linear(3, 2, bias=False), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"1 entries missing \['bias'\], 0 unknown"):
        load_weights(nn.Linear(3, 2), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"weight has shape \[2, 3\], the model expects \[2, 4\]"):
        load_weights(nn.Linear(4, 2, bias=False), tmp_path / "w.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"load_weights: no file .*none.safetensors"):
        load_weights(nn.Linear(1, 1), tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match=r"read_official: no file .*none.pth"):
        read_official(tmp_path / "none.pth")


def test_a_released_checkpoint_is_read_without_its_optimizer(tmp_path):
    torch.save(
        {"model_state": {"a": torch.ones(1)}, "epoch": 80, "optimizer_state": None}, tmp_path / "c.pth"
    )
    assert read_official(tmp_path / "c.pth")["a"].item() == 1


def test_a_checkpoint_without_model_state_is_refused(tmp_path):
    torch.save({"state": {}}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match="has no 'model_state'"):
        read_official(tmp_path / "c.pth")
