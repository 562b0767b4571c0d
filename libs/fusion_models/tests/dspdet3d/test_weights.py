import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fusion_models.dspdet3d import DSPDet3D, DSPDet3DConfig, load_released
from fusion_models.dspdet3d.weights import convert_released

MANIFEST = Path(__file__).parents[1] / "golden" / "dspdet3d_state_dict.json"


def released(classes: int = 22) -> dict[str, torch.Tensor]:
    shapes = json.loads(MANIFEST.read_text())
    shapes |= {"head.cls_conv.kernel": [128, classes], "head.cls_conv.bias": [1, classes]}
    return {name: torch.randn(shape) if shape else torch.tensor(7) for name, shape in shapes.items()}


def config_of(classes: int) -> DSPDet3DConfig:
    return DSPDet3DConfig(class_names=tuple(map(str, range(classes))))


def meta_model(config: DSPDet3DConfig) -> DSPDet3D:
    with torch.device("meta"):
        return DSPDet3D(config)


@pytest.fixture(scope="module")
def loaded() -> tuple[DSPDet3D, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model, state = DSPDet3D(DSPDet3DConfig()), released()
    assert load_released(model, state) == ()
    return model, state


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 22, 70])
def test_every_released_entry_has_the_name_and_shape_of_ours(classes):
    model, state = meta_model(config_of(classes)), released(classes)
    converted = convert_released(model, state)
    assert len(state) == len(converted) == 298
    ours = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in converted.items()} == ours


def test_the_published_network_has_as_many_parameters():
    model = meta_model(DSPDet3DConfig())
    assert sum(p.numel() for p in model.parameters()) == 16_101_087
    assert sum(p.numel() for p in model.backbone.parameters()) == 12_002_624


def test_every_number_goes_to_its_place(loaded):
    model, state = loaded
    kernel = state["backbone.layer2.0.conv1.kernel"].view(
        3, 3, 3, 64, 128
    )  # z, y, x: the first axis runs fastest
    assert torch.equal(model.backbone.stages[1][0].body[0].weight, kernel)
    assert torch.equal(model.ups[2][0].weight.flatten(0, 2), state["head.up_block_3.0.kernel"])
    assert torch.equal(model.class_head.weight, state["head.cls_conv.kernel"].T)
    assert torch.equal(model.box_head.bias, state["head.bbox_conv.bias"][0])
    assert torch.equal(model.prune_heads[1].weight, state["head.keep_conv.1.kernel"].T)
    norm = model.backbone.stages[3][0].shortcut.norm
    assert torch.equal(norm.running_mean, state["backbone.layer4.0.downsample.1.bn.running_mean"])
    assert int(norm.num_batches_tracked) == 7


def test_the_prefix_of_data_parallel_training_is_taken_off(loaded):
    model, state = loaded
    prefixed = convert_released(model, {f"module.{name}": value for name, value in state.items()})
    plain = convert_released(model, state)
    assert prefixed.keys() == plain.keys()
    assert all(torch.equal(prefixed[name], plain[name]) for name in plain)


def test_batch_counters_may_be_missing(loaded):
    model, state = loaded
    assert load_released(model, {k: v for k, v in state.items() if "num_batches" not in k}) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone.conv1.kernel": None}, r"1 entries missing \['backbone.stem.0.weight'\]"),
        ({"head.keep_conv.2.bias": None}, r"1 entries missing \['prune_heads.2.bias'\]"),
        ({"head.centerness_conv.bias": torch.zeros(1, 1)}, r"1 unknown \['head.centerness_conv.bias'\]"),
        ({"head.bbox_conv.kernel": torch.zeros(128, 8)}, r"box_head.weight has shape \[8, 128\]"),
        (
            {"backbone.conv1.kernel": torch.zeros(27, 6, 64)},
            r"backbone.stem.0.kernel must have shape \[3, 3, 3, 3, 64\]",
        ),
        ({"backbone.conv1.kernel": torch.zeros(8, 3, 64)}, r"backbone.stem.0.kernel"),
    ],
)
def test_weights_of_another_network_are_refused(loaded, change, message):
    model, state = loaded
    wrong = {name: value for name, value in (state | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_released(model, wrong)


@pytest.mark.slow
def test_other_classes_are_refused_by_their_number(loaded):
    with pytest.raises(ValueError, match="of 70 classes, DSPDet3DConfig"):
        load_released(loaded[0], released(70))


def test_a_shallower_network_is_refused():
    model = meta_model(replace(DSPDet3DConfig(), stage_blocks=(3, 4, 5, 3)))
    with pytest.raises(ValueError, match=r"unknown \['backbone.stages.2.5"):
        load_released(model, released())
