import json
from pathlib import Path

import pytest
import torch
from fusion_models.imagepg import Detector, DetectorConfig
from fusion_models.imagepg.variants import pg_rcnn, with_image
from fusion_models.imagepg.weights import convert_released, load_released
from fusion_models.weights import save_weights

GOLDEN = Path(__file__).parents[1] / "golden"
MANIFEST = json.loads((GOLDEN / "imagepg_state_dict.json").read_text())
KERNEL = "backbone_3d.conv_input.0.weight"


@pytest.fixture(scope="module")
def released():
    return {name: torch.zeros(shape) for name, shape in MANIFEST.items()}


@pytest.fixture(scope="module")
def shapes():
    with torch.device("meta"):
        return {name: value.shape for name, value in Detector(DetectorConfig()).state_dict().items()}


def test_imagepg_has_the_published_number_of_parameters():
    with torch.device("meta"):
        parts = Detector(DetectorConfig()).named_children()
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts}
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


def test_every_released_entry_has_the_name_and_shape_of_ours(released, shapes):
    converted = convert_released(released)
    assert len(released) == 753
    assert {name: v.shape for name, v in converted.items() if name != "global_step"} == shapes


def test_no_two_released_entries_get_the_same_name(released):
    buffers = sum(name.endswith("relative_position_index") for name in released)
    assert len(convert_released(released)) + buffers == len(released)


@pytest.mark.parametrize(
    ("layout", "axes"),
    [("KRSC", (0, 1, 2, 3, 4)), ("RSKC", (1, 2, 3, 0, 4)), ("RSCK", (1, 2, 3, 4, 0))],
)
def test_every_layout_of_sparse_kernels_gives_the_same_weight_when_named(layout, axes):
    kernel = torch.randn(3, 3, 3, 3, 4)  # its shape alone would not tell
    converted = convert_released({KERNEL: kernel.permute(axes)}, layout=layout)[
        "backbone.conv_input.0.weight"
    ]
    assert torch.equal(converted, kernel.permute(1, 2, 3, 4, 0))


@pytest.mark.slow
def test_a_layout_that_is_not_that_of_the_file_is_refused(released):
    with pytest.raises(ValueError, match=r"conv_input\S+ has shape .*, the model expects \[3, 3, 3, "):
        load_released(Detector(with_image(DetectorConfig(), None)), released, layout="RSCK")


@pytest.mark.slow
def test_a_lidar_only_detector_takes_the_released_weights_without_the_image_branch(released):
    model = Detector(with_image(DetectorConfig(), None))
    left_out = load_released(model, released)
    assert any(name.startswith("image.") for name in left_out)
    assert all((parameter == 0).all() for parameter in model.parameters())


@pytest.mark.slow
def test_a_released_entry_of_another_shape_is_refused(released):
    changed = released | {"dense_head.conv_cls.bias": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"anchors.classes.bias has shape \[3\], the model expects \[18\]"):
        load_released(Detector(with_image(DetectorConfig(), None)), changed)
