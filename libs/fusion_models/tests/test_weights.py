import json
from pathlib import Path

import pytest
import torch
from fusion_models.imagepg.model import Detector, DetectorConfig
from fusion_models.imagepg.variants import pg_rcnn, with_image
from fusion_models.weights import (
    convert_official,
    load_official,
    load_weights,
    read_official,
    save_weights,
)
from torch import nn

GOLDEN = Path(__file__).parent / "golden"
MANIFEST = json.loads((GOLDEN / "imagepg_state_dict.json").read_text())


@pytest.fixture(scope="module")
def released():
    return {name: torch.zeros(shape) for name, shape in MANIFEST.items()}


@pytest.fixture(scope="module")
def detector():
    return Detector(DetectorConfig())


def test_imagepg_has_the_published_number_of_parameters(detector):
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in detector.named_children()}
    # specification, section 8: 1.00 M, 2.88 M, 7.27 M (guidance and bev), 0.04 M, 27.52 + 1.61 M, 12.22 M
    assert counts == {
        "backbone": 997_248,
        "occupancy": 2_884_337,
        "guidance": 2_396_002,
        "bev": 4_871_680,
        "anchors": 36_936,
        "image": 29_128_314,
        "roi": 12_222_620,
    }
    assert sum(counts.values()) == 52_537_137


def test_pg_rcnn_has_the_size_of_the_published_weights_file(tmp_path):
    model = Detector(pg_rcnn())
    assert sum(p.numel() for p in model.parameters()) == 2_276_148
    save_weights(model, tmp_path / "pg_rcnn.safetensors")
    # the authors' model zoo lists "model-8.8M", which is the file's size in megabytes
    assert (tmp_path / "pg_rcnn.safetensors").stat().st_size / 2**20 == pytest.approx(8.8, abs=0.15)


def test_names_of_the_weights_are_frozen():
    with torch.device("meta"):
        state = Detector(pg_rcnn()).state_dict()
    lines = sorted(f"{name} {list(value.shape)}" for name, value in state.items())
    assert lines == sorted((GOLDEN / "pg_rcnn_state_dict.txt").read_text().splitlines())


def test_every_released_entry_has_the_name_and_shape_of_ours(released, detector):
    converted, own = convert_official(released).state, detector.state_dict()
    shapes = {name: tuple(value.shape) for name, value in own.items()}
    assert len(released) == 753
    assert {name: tuple(value.shape) for name, value in converted.items()} == shapes


def test_only_the_step_counter_is_left_out(released, detector):
    assert load_official(detector, released) == ("global_step",)


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
