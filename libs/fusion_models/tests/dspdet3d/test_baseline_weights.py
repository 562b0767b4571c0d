"""Released names and shapes, written down from the released code.

Those of TR3D agree with the log in issue 12 of its repository, as far as that was at hand. Sizes agree with
the paper of TR3D: 14.7 M, and 68.3 M for FCAF3D on two levels.
"""

from collections.abc import Iterator

import pytest
import torch
from fusion_models.dspdet3d.baseline_weights import convert_released_baseline, load_released_baseline
from fusion_models.dspdet3d.fcaf3d import FCAF3D, fcaf3d
from fusion_models.dspdet3d.tr3d import TR3D, tr3d
from torch import nn

Shape = tuple[str, list[int]]


def batch_norm(name: str, channels: int) -> Iterator[Shape]:
    for last in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.bn.{last}", [channels]
    yield f"{name}.bn.num_batches_tracked", []


def layers(widths: tuple[int, ...]) -> Iterator[Shape]:
    entering = 64
    for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), widths, strict=True), start=1):
        for number in range(blocks):
            name = f"backbone.layer{stage}.{number}"
            yield f"{name}.conv1.kernel", [27, entering if number == 0 else width, width]
            yield from batch_norm(f"{name}.norm1", width)
            yield f"{name}.conv2.kernel", [27, width, width]
            yield from batch_norm(f"{name}.norm2", width)
            if number == 0:
                yield f"{name}.downsample.0.kernel", [1, entering, width]
                yield from batch_norm(f"{name}.downsample.1", width)
        entering = width


def tr3d_shapes(classes: int = 18) -> Iterator[Shape]:
    yield "backbone.conv1.kernel", [27, 3, 64]
    yield from batch_norm("backbone.norm1", 64)
    yield from layers((64, 128, 128, 128))
    for name in (
        "lateral_block_0",
        "out_block_0",
        "up_block_1",
        "lateral_block_1",
        "out_block_1",
        "up_block_2",
    ):
        yield f"neck.{name}.0.kernel", [27, 128, 128]
        yield from batch_norm(f"neck.{name}.1", 128)
    yield "head.bbox_conv.kernel", [128, 6]
    yield "head.bbox_conv.bias", [1, 6]
    yield "head.cls_conv.kernel", [128, classes]
    yield "head.cls_conv.bias", [1, classes]


def fcaf3d_shapes(classes: int = 18) -> Iterator[Shape]:
    yield "backbone.conv1.0.kernel", [27, 3, 64]
    yield "backbone.conv1.1.weight", [1, 64]
    yield "backbone.conv1.1.bias", [1, 64]
    widths = (64, 128, 256, 512)
    yield from layers(widths)
    for level, width in enumerate(widths):
        if level:
            finer = widths[level - 1]
            yield f"neck_with_head.up_block_{level}.0.kernel", [8, width, finer]
            yield from batch_norm(f"neck_with_head.up_block_{level}.1", finer)
            yield f"neck_with_head.up_block_{level}.3.kernel", [27, finer, finer]
            yield from batch_norm(f"neck_with_head.up_block_{level}.4", finer)
        yield f"neck_with_head.out_block_{level}.0.kernel", [27, width, 128]
        yield from batch_norm(f"neck_with_head.out_block_{level}.1", 128)
        yield f"neck_with_head.scales.{level}.scale", []
    yield "neck_with_head.centerness_conv.kernel", [128, 1]
    yield "neck_with_head.reg_conv.kernel", [128, 6]
    yield "neck_with_head.cls_conv.kernel", [128, classes]
    yield "neck_with_head.cls_conv.bias", [1, classes]


def released(shapes: Iterator[Shape]) -> dict[str, torch.Tensor]:
    return {
        name: torch.tensor(7) if name.endswith("tracked") else torch.rand(shape) for name, shape in shapes
    }


def numbers(shapes: Iterator[Shape]) -> int:
    trained = (shape for name, shape in shapes if "running" not in name and "tracked" not in name)
    return sum(torch.Size(shape).numel() for shape in trained)


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def meta(make, config) -> nn.Module:
    with torch.device("meta"):
        return make(config)


CASES = [(TR3D, tr3d(), tr3d_shapes), (FCAF3D, fcaf3d(), fcaf3d_shapes)]
by_name = pytest.mark.parametrize(("make", "config", "shapes"), CASES, ids=["tr3d", "fcaf3d"])


@pytest.mark.slow
@by_name
def test_every_released_entry_has_the_name_and_shape_of_ours(make, config, shapes):
    model, state = meta(make, config), released(shapes())
    converted = convert_released_baseline(model, state)
    assert len(state) == len(converted)
    ours = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in converted.items()} == ours


def test_the_published_networks_have_as_many_parameters():
    assert size(meta(TR3D, tr3d())) == numbers(tr3d_shapes()) == 14_661_464
    assert size(meta(FCAF3D, fcaf3d())) == numbers(fcaf3d_shapes()) == 70_479_574


def test_the_paper_of_tr3d_counts_fcaf3d_without_the_finest_and_the_coarsest_level():
    model = meta(FCAF3D, fcaf3d())
    without = size(model.ups[0]) + size(model.outs[0]) + size(model.outs[3]) + 2
    assert round((size(model) - without) / 1e6, 1) == 68.3
    assert round(size(meta(TR3D, tr3d())) / 1e6, 1) == 14.7


@pytest.mark.slow
def test_every_number_of_tr3d_goes_to_its_place():
    model, state = TR3D(tr3d()), released(tr3d_shapes())
    assert load_released_baseline(model, state) == ()
    kernel = state["backbone.layer2.0.conv1.kernel"].view(3, 3, 3, 64, 128)  # z, y, x: x runs fastest
    assert torch.equal(model.backbone.stages[1][0].body[0].weight, kernel)
    assert torch.equal(model.ups[0][0].weight.flatten(0, 2), state["neck.up_block_1.0.kernel"])
    assert torch.equal(model.laterals[1][1].running_var, state["neck.lateral_block_1.1.bn.running_var"])
    assert torch.equal(model.outs[0][0].weight.flatten(0, 2), state["neck.out_block_0.0.kernel"])
    assert torch.equal(model.class_head.weight, state["head.cls_conv.kernel"].T)
    assert torch.equal(model.box_head.bias, state["head.bbox_conv.bias"][0])
    assert torch.equal(model.backbone.stem[1].running_mean, state["backbone.norm1.bn.running_mean"])


@pytest.mark.slow
def test_every_number_of_fcaf3d_goes_to_its_place():
    model, state = FCAF3D(fcaf3d()), released(fcaf3d_shapes())
    assert load_released_baseline(model, state) == ()
    # x runs fastest in kernels of an even edge, too.
    for cell, (x, y, z) in enumerate(((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1))):
        expected = state["neck_with_head.up_block_3.0.kernel"][cell]
        assert torch.equal(model.ups[2][0].weight[z, y, x], expected)
    assert torch.equal(model.ups[2][3].weight.flatten(0, 2), state["neck_with_head.up_block_3.3.kernel"])
    assert torch.equal(model.ups[2][4].weight, state["neck_with_head.up_block_3.4.bn.weight"])
    assert torch.equal(model.center_head.weight, state["neck_with_head.centerness_conv.kernel"].T)
    assert torch.equal(model.box_head.weight, state["neck_with_head.reg_conv.kernel"].T)
    assert torch.equal(model.scales[2], state["neck_with_head.scales.2.scale"])
    assert torch.equal(model.backbone.stem[1].weight, state["backbone.conv1.1.weight"][0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "config", "shapes", "renames"),
    [
        (
            FCAF3D,
            fcaf3d(),
            fcaf3d_shapes,
            [
                ("backbone.conv1.0.", "backbone.conv1."),
                ("backbone.conv1.1.", "backbone.norm1."),
                ("neck_with_head.", "bbox_head."),
                ("centerness_conv", "conv_center"),
                ("reg_conv", "conv_reg"),
                ("cls_conv", "conv_cls"),
            ],
        ),
        (
            TR3D,
            tr3d(),
            tr3d_shapes,
            [("head.", "bbox_head."), ("bbox_conv", "conv_reg"), ("cls_conv", "conv_cls")],
        ),
    ],
    ids=["fcaf3d", "tr3d"],
)
def test_names_of_mmdetection3d_and_of_data_parallel_training_are_known(make, config, shapes, renames):
    model, state = meta(make, config), released(shapes())
    others = {}
    for name, value in state.items():
        for old, new in renames:
            name = name.replace(old, new)
        others[f"module.{name}"] = value
    expected = convert_released_baseline(model, state)
    got = convert_released_baseline(model, others)
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)


@pytest.mark.slow
@by_name
def test_what_does_not_fit_is_refused(make, config, shapes):
    model = make(config)
    with pytest.raises(ValueError, match=r"of 10 classes.*has 18"):
        load_released_baseline(model, released(shapes(10)))
    state = released(shapes())
    with pytest.raises(ValueError, match="surplus"):
        load_released_baseline(model, state | {"surplus": torch.zeros(1)})
    gone = dict(list(state.items())[1:])
    with pytest.raises(ValueError, match=r"backbone\.stem\.0\.weight"):
        load_released_baseline(model, gone)
