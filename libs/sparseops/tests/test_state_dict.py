"""Whole networks' weights from the layouts and names of other libraries."""

from typing import Any

import pytest
import torch
from sparseops import (
    convert_state_dict,
    weight_to_dense,
    weight_to_minkowski,
    weight_to_spconv,
    weight_to_torchsparse,
    weight_xyz_to_zyx,
)
from sparseops.nn import InverseConv3d, SparseConv3d, SparseSequential, SubmanifoldConv3d
from torch import Tensor, nn


def network() -> SparseSequential:
    return SparseSequential(
        SubmanifoldConv3d(4, 8, (3, 1, 5), bias=False),
        nn.BatchNorm1d(8),
        SubmanifoldConv3d(8, 8, 1),
        SparseConv3d(8, 8, 1, stride=2),
        SparseConv3d(8, 8, (2, 2, 4), stride=2, key="down"),
        InverseConv3d(8, 3, (2, 2, 4), of="down"),
        nn.Linear(3, 3),
    )


def stored(name: str, value: Tensor, source: str, *, xyz: bool) -> tuple[str, Tensor]:
    """An entry of our network as the other library would have saved it."""
    if value.ndim != 5:
        flat_bias = source == "minkowski" and name.endswith("bias") and name[0] in "235"
        return name, value[None] if flat_bias else value
    weight = weight_xyz_to_zyx(value) if xyz else value
    stride = 2 if name[0] in "34" else 1
    match source:
        case "minkowski":
            return name.replace("weight", "kernel"), weight_to_minkowski(weight)
        case "torchsparse":
            return name.replace("weight", "kernel"), weight_to_torchsparse(weight)
        case "torch":
            return name, weight_to_dense(weight)
    layout: Any = {"spconv": "KRSC", "spconv-2.1": "RSKC", "spconv-1": "RSCK"}[source]
    return name, weight_to_spconv(weight, layout=layout, stride=stride)


@pytest.mark.parametrize("axes", ["zyx", "xyz"])
@pytest.mark.parametrize("source", ["spconv", "spconv-2.1", "spconv-1", "minkowski", "torchsparse", "torch"])
def test_every_source_gives_our_weights_back(source: Any, axes: Any) -> None:
    state = network().state_dict()
    foreign = dict(stored(name, value, source, xyz=axes == "xyz") for name, value in state.items())
    module = network()
    converted = convert_state_dict(module, foreign, source=source, axes=axes)
    assert converted.missing_keys == converted.unexpected_keys == ()
    module.load_state_dict(converted.state_dict)
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_names_without_counterpart_are_told() -> None:
    module = network()
    state = dict(module.state_dict())
    del state["1.weight"]
    state |= {
        "head.weight": torch.zeros(3),
        "0.max_num_voxels_during_training": torch.zeros(1),
        "0.bias": torch.zeros(8),
    }
    state = {n: weight_to_dense(v) if v.ndim == 5 else v for n, v in state.items()}
    converted = convert_state_dict(module, state, source="torch")
    assert converted.missing_keys == ("1.weight",)
    assert converted.unexpected_keys == ("head.weight", "0.bias")


def test_norms_of_minkowski_lose_their_inner_name() -> None:
    module = nn.ModuleDict({"norm": nn.BatchNorm1d(4), "bn": nn.ModuleDict({"bn": nn.BatchNorm1d(4)})})
    state = {f"norm.bn.{name}": value for name, value in module["norm"].state_dict().items()}
    state |= {f"bn.bn.{name}": value for name, value in module["norm"].state_dict().items()}
    converted = convert_state_dict(module, state, source="minkowski")
    assert converted.missing_keys == converted.unexpected_keys == ()
    assert convert_state_dict(module, state, source="torchsparse").unexpected_keys[0] == "norm.bn.weight"


def test_the_layer_itself_may_be_the_network() -> None:
    layer = SubmanifoldConv3d(4, 8, 3)
    state = {"kernel": weight_to_minkowski(layer.weight.detach()), "bias": layer.bias.detach()[None]}
    converted = convert_state_dict(layer, state, source="minkowski")
    assert torch.equal(converted.state_dict["weight"], layer.weight)
    assert torch.equal(converted.state_dict["bias"], layer.bias)


def test_weights_that_do_not_fit_are_refused(no_shape_checks: None) -> None:
    module: Any = network()
    with pytest.raises(ValueError, match=r"convert_state_dict: 0.kernel: .*must be \[15, cin, cout\]"):
        convert_state_dict(module, {"0.kernel": torch.zeros(27, 4, 8)}, source="minkowski")
    with pytest.raises(
        ValueError, match=r"0.weight must have shape \[3, 1, 5, 4, 8\] in our layout, got .*axes"
    ):
        convert_state_dict(module, {"0.weight": torch.zeros(8, 5, 1, 3, 4)}, source="spconv")
    with pytest.raises(ValueError, match=r"source must be one of \('spconv', .* got 'ME' and 'zyx'"):
        convert_state_dict(module, {}, source="ME")
