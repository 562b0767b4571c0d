import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fusion_models.segmentation import (
    SPVNAS_10M8,
    BlockWidths,
    SegmentationBatch,
    SegmentationNet,
    SegmentationNetConfig,
    StageWidths,
    load_released,
    minkunet,
    slice_supernet,
    spvcnn,
)
from fusion_models.segmentation.weights import convert_released

GOLDEN = Path(__file__).parents[1] / "golden"


def manifest(name: str) -> dict[str, list[int]]:
    return json.loads((GOLDEN / f"{name}_state_dict.json").read_text())


def zeros(name: str) -> dict[str, torch.Tensor]:
    return {entry: torch.zeros(shape) for entry, shape in manifest(name).items()}


def numbered(name: str) -> dict[str, torch.Tensor]:
    """Entries of a manifest whose every value is another number."""
    state, start = {}, 0
    for entry, value in zeros(name).items():
        state[entry] = torch.arange(start, start + value.numel(), dtype=torch.float64).view(value.shape)
        start += value.numel()
    return state


def shapes(config: SegmentationNetConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: value.shape for name, value in SegmentationNet(config).state_dict().items()}


@pytest.mark.parametrize(
    ("name", "config", "entries"),
    [("segmentation", SPVNAS_10M8, 320), ("spvcnn", spvcnn(0.5), 317)],
    ids=["spvnas", "spvcnn"],
)
def test_every_released_entry_has_the_name_and_shape_of_ours(name, config, entries):
    released = zeros(name)
    assert len(released) == entries
    converted = convert_released(SegmentationNet(config), released)
    assert {entry: value.shape for entry, value in converted.items()} == shapes(config)
    assert len(converted) == entries  # no two get one name


def test_minkunet_leaves_out_the_layers_on_points_that_it_owns_and_never_reads():
    net = SegmentationNet(minkunet(0.5))
    left_out = load_released(net, zeros("spvcnn"))
    assert len(left_out) == 3 * 7 and all(name.startswith("points.") for name in left_out)
    assert all((p == 0).all() for p in net.parameters())


def test_the_prefix_of_data_parallel_training_is_taken_off():
    net = SegmentationNet(spvcnn(0.5))
    released = {f"module.{name}": value for name, value in zeros("spvcnn").items()}
    assert load_released(net, released) == ()
    assert all((p == 0).all() for p in net.parameters())


def test_of_the_classifier_the_columns_that_are_read_are_taken():
    net, released = SegmentationNet(SPVNAS_10M8), zeros("segmentation")
    released["classifier.linear.weight"] = torch.arange(19 * 128.0).view(19, 128)
    load_released(net, released)
    assert torch.equal(net.classifier.weight, torch.arange(19 * 128.0).view(19, 128)[:, :76])


def test_a_network_without_projection_leaves_it_out():
    net = SegmentationNet(replace(SPVNAS_10M8, projection=None))
    left_out = load_released(net, zeros("segmentation"))
    assert len(left_out) == 21 and all(name.startswith("projection.") for name in left_out)


def test_weights_without_projection_leave_that_of_the_network_as_it_is():
    net = SegmentationNet(SPVNAS_10M8)
    own = net.projection[0].weight.clone()
    bare = {name: value for name, value in zeros("segmentation").items() if not name.startswith("proj.")}
    assert load_released(net, bare) == ()
    assert torch.equal(net.projection[0].weight, own) and not net.classifier.weight.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem.0.kernel": None}, r"1 entries missing \['stem.0.weight'\]"),
        ({"proj.0.weight": None}, r"1 entries missing \['projection.0.weight'\]"),
        ({"head.weight": torch.zeros(3)}, r"1 unknown \['head.weight'\]"),
        ({"stem.0.kernel": torch.zeros(27, 5, 32)}, r"stem.0.kernel must have shape"),
    ],
)
def test_weights_of_another_network_are_refused(change, message):
    released = {k: v for k, v in (zeros("segmentation") | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        load_released(SegmentationNet(SPVNAS_10M8), released)


def test_weights_of_another_family_are_refused():
    with pytest.raises(ValueError, match="must have shape"):
        load_released(SegmentationNet(spvcnn(0.5)), zeros("segmentation"))


@pytest.mark.slow
def test_of_the_supernet_exactly_the_published_network_is_cut():
    sliced = slice_supernet(zeros("spvnas_supernet"), SPVNAS_10M8)
    assert {name: list(value.shape) for name, value in sliced.items()} == manifest("segmentation")


@pytest.mark.slow
def test_the_first_block_up_reads_its_skip_behind_the_widest_transition():
    supernet = numbered("spvnas_supernet")
    sliced = slice_supernet(supernet, SPVNAS_10M8)
    channels = [*range(104), *range(192, 192 + 52)]  # specification, section 3.3: transition, then skip
    for ours, theirs in (
        ("upsample.1.feature.0.net.0.net", "upsample.1.feature.layers.0.net.layers.0.net"),
        ("upsample.1.feature.0.downsample.net", "upsample.1.feature.layers.0.downsample.net"),
    ):
        whole = supernet[f"{theirs}.conv.kernel"]
        out = sliced[f"{ours}.conv.kernel"].shape[-1]
        assert torch.equal(sliced[f"{ours}.conv.kernel"], whole[..., channels, :out])
        assert torch.equal(sliced[f"{ours}.bn.running_var"], supernet[f"{theirs}.bn.bn.running_var"][:out])
    inner = supernet["upsample.1.feature.layers.0.net.layers.1.net.conv.kernel"]
    assert torch.equal(sliced["upsample.1.feature.0.net.1.net.conv.kernel"], inner[:, :64, :152])


@pytest.mark.slow
def test_a_supernet_is_loaded_at_once():
    net = SegmentationNet(SPVNAS_10M8)
    released = {f"module.{name}": value for name, value in zeros("spvnas_supernet").items()}
    assert load_released(net, released) == ()
    assert all((p == 0).all() for p in net.parameters())


def _stage(transition: int, out: int, *middle: int) -> StageWidths:
    first, *others = (BlockWidths(width, out) for width in middle)
    return StageWidths(transition, (replace(first, shortcut="linear"), *others))


def _network(stages: tuple[StageWidths, ...]) -> SegmentationNetConfig:
    return SegmentationNetConfig(
        class_names=("a", "b"), stem=4, downs=stages[:4], ups=stages[4:], dropout=0.0, projection=None
    )


WIDE = _network(tuple(_stage(t, o, 8, 8) for t, o in zip((4, 8, 8, 8, 8, 8, 8, 8), (8,) * 8, strict=True)))
NARROW = _network(tuple(_stage(3, 6 if i != 5 else 5, *((7, 5) if i % 2 else (4,))) for i in range(8)))


def _supernet_of(net: SegmentationNet) -> dict[str, torch.Tensor]:
    """A network whose widths are the largest there are, under the names of the supernet."""
    state = {}
    for name, value in net.state_dict().items():
        first, *rest = name.split(".")
        way = {"downs": "downsample", "ups": "upsample"}.get(first)
        part = {"0": "conv", "1": "bn.bn"}
        if way and rest[1] == "transition":
            name = f"{way}.{rest[0]}.transition.net.{part[rest[2]]}.{rest[3]}"
        elif way and rest[3] == "shortcut":
            name = f"{way}.{rest[0]}.feature.layers.{rest[2]}.downsample.net.{part[rest[4]]}.{rest[5]}"
        elif way:
            layer, kind = divmod(int(rest[4]), 3)
            inner = f"net.layers.{layer}.net.{part[str(kind)]}"
            name = f"{way}.{rest[0]}.feature.layers.{rest[2]}.{inner}.{rest[5]}"
        elif first == "points":
            name = f"point_transforms.{rest[0]}.net.{'bn.bn' if rest[1] == '1' else 'conv.linear'}.{rest[2]}"
        elif first == "classifier":
            name = f"classifier.linear.{rest[0]}"
        if value.ndim == 5:
            value = _released_kernel(value)
            name = name.removesuffix("weight") + "kernel"
        elif ".downsample.net.conv." in name:
            value, name = value.T, name.removesuffix("weight") + "kernel"
        state[name] = value
    return state


def _released_kernel(weight: torch.Tensor) -> torch.Tensor:
    """[z, y, x, in, out] as torchsparse numbers offsets: x fastest in odd kernels, z fastest in even ones."""
    size = weight.shape[0]
    offsets = [(z, y, x) for z in range(size) for y in range(size) for x in range(size)]
    if size % 2 == 0:
        offsets = [offset[::-1] for offset in offsets]
    return torch.stack([weight[offset] for offset in offsets])


def test_the_names_of_the_supernet_are_those_of_the_manifest():
    channels = SPVNAS_10M8.class_names
    assert set(_supernet_of(SegmentationNet(replace(WIDE, class_names=channels)))) == {
        name for name in manifest("spvnas_supernet") if not name.startswith("proj.")
    }


@pytest.mark.slow
def test_a_cut_network_computes_what_the_supernet_computes_with_the_other_channels_silent():
    torch.manual_seed(0)
    wide, narrow = SegmentationNet(WIDE).eval(), SegmentationNet(NARROW).eval()
    for module in wide.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.normal_(module.bias)
    load_released(narrow, _supernet_of(wide))
    _silence(wide, NARROW)
    coords = torch.nn.functional.pad(torch.randperm(20**3)[:400][:, None], (3, 0))
    coords[:, 1:] = torch.stack([coords[:, 3] // 400, coords[:, 3] // 20 % 20, coords[:, 3] % 20], dim=1)
    batch = SegmentationBatch(
        frame_ids=("a",),
        features=torch.randn(400, 4),
        coords_bzyx=coords.int(),
        inverse=torch.arange(400),
        point_counts=(400,),
    )
    expected = wide(batch).logits
    torch.testing.assert_close(narrow(batch).logits, expected)
    assert expected.std(0).min() > 1e-3


@torch.no_grad()
def _silence(wide: SegmentationNet, narrow: SegmentationNetConfig) -> None:
    """Set to zero every channel that the narrow network does not have, and let further blocks do nothing."""
    pairs = [*zip(wide.downs, narrow.downs, strict=True), *zip(wide.ups, narrow.ups, strict=True)]
    for stage, widths in pairs:
        norms = [(stage.transition[1], widths.transition)]
        for number, block in enumerate(stage.blocks):
            if number >= len(widths.blocks):
                norms.append((block.body[4], 0))  # an identity: what comes in is not negative
                continue
            norms += [(block.body[1], widths.blocks[number].middle), (block.body[4], widths.out)]
            if block.shortcut is not None:
                norms.append((block.shortcut[1], widths.out))
        for norm, width in norms:
            norm.weight[width:], norm.bias[width:] = 0, 0
    for layer, (_, out) in zip(wide.points, narrow.point_widths, strict=True):
        layer[1].weight[out:], layer[1].bias[out:] = 0, 0


@pytest.mark.slow
def test_a_network_wider_than_the_supernet_is_refused():
    first = replace(SPVNAS_10M8.downs[0], transition=36)
    with pytest.raises(ValueError, match=r"downsample.0.transition.net.conv.kernel has shape \[8, 32, 32\]"):
        slice_supernet(zeros("spvnas_supernet"), replace(SPVNAS_10M8, downs=(first, *SPVNAS_10M8.downs[1:])))
