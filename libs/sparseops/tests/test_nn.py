"""Layers: shapes, shared maps, inverse layers, initialisation, gradients, errors, text."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sparseops import SparseTensor, prune, strided_map
from sparseops.nn import (
    InverseConv2d,
    InverseConv3d,
    SparseAvgPool2d,
    SparseAvgPool3d,
    SparseConv2d,
    SparseConv3d,
    SparseMaxPool2d,
    SparseMaxPool3d,
    SparseModule,
    SparseSequential,
    SubmanifoldConv2d,
    SubmanifoldConv3d,
    TransposedConv2d,
    TransposedConv3d,
)
from torch import nn


def cloud(random_coords, shape: tuple[int, ...] = (8, 9, 10), channels: int = 4) -> SparseTensor:
    coords = random_coords(300, shape, 2)
    return SparseTensor(torch.randn(len(coords), channels), coords, shape, 2)


class Residual(SparseModule):
    """A block of a user."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = SparseSequential(
            SubmanifoldConv3d(channels, channels, 3, bias=False), nn.BatchNorm1d(channels)
        )

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        return tensor.replace(torch.relu(self.body(tensor).features + tensor.features))


def unet() -> SparseSequential:
    return SparseSequential(
        SubmanifoldConv3d(4, 16, 3, bias=False),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        Residual(16),
        SparseConv3d(16, 24, 3, stride=2, padding=1, key="down"),
        Residual(24),
        InverseConv3d(24, 5, 3, of="down"),
    )


@pytest.mark.slow
def test_a_network_of_layers_trains(random_coords, backend: str) -> None:
    tensor, network = cloud(random_coords), unet()
    target = torch.randn(len(tensor.coords), 5)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = (network(tensor).features - target).square().mean()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_both_back_ends_give_the_same_network(random_coords, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor, network = cloud(random_coords), unet().eval()
    compiled = network(SparseTensor(tensor.features, tensor.coords, tensor.spatial_shape, 2)).features
    monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    torch.testing.assert_close(compiled, network(tensor).features, atol=1e-5, rtol=1e-5)


def test_the_inverse_layer_returns_to_the_rows_it_started_from(random_coords) -> None:
    tensor = cloud(random_coords)
    out = unet()(tensor)
    assert out.sites is tensor.sites
    assert out.features.shape == (len(tensor.coords), 5)


def test_identical_requests_share_one_map(random_coords) -> None:
    tensor = cloud(random_coords)
    unet()(tensor)
    # Two submanifold layers at full size share a map; the strided layer and the block behind it add one each.
    kinds = sorted((key.kind, key.sites.spatial_shape) for key in tensor.cache.maps)
    assert kinds == [("strided", (8, 9, 10)), ("submanifold", (4, 5, 5)), ("submanifold", (8, 9, 10))]
    before = dict(tensor.cache.maps)
    unet()(tensor)
    assert tensor.cache.maps == before
    assert [plan.sites_in is tensor.sites for plan in tensor.cache.named["down"].values()] == [True]


def test_other_windows_and_sites_have_other_maps(random_coords) -> None:
    tensor = cloud(random_coords)
    for layer in (
        SubmanifoldConv3d(4, 4, 3),
        SubmanifoldConv3d(4, 4, 3, dilation=2),
        SubmanifoldConv3d(4, 4, (3, 1, 1)),
        SparseConv3d(4, 4, 3),
    ):
        layer(tensor)
    assert len(tensor.cache.maps) == 4


def test_2d_layers_work_on_2d_grids(random_coords, backend: str) -> None:
    tensor = cloud(random_coords, shape=(20, 30))
    network = SparseSequential(
        SubmanifoldConv2d(4, 8, 3),
        SparseConv2d(8, 8, 3, stride=2, padding=1, key="down"),
        InverseConv2d(8, 6, 3, of="down"),
        SparseMaxPool2d(2),
    )
    assert network(tensor).spatial_shape == (10, 15)
    assert network[0].weight.shape == (3, 3, 4, 8)


def test_max_pool_takes_its_kernel_as_stride(random_coords, backend: str) -> None:
    tensor = cloud(random_coords)
    out = SparseMaxPool3d(2)(tensor)
    assert out.spatial_shape == (4, 4, 5)
    assert SparseMaxPool3d(3, stride=1, padding=1)(tensor).spatial_shape == (8, 9, 10)
    assert bool((SparseMaxPool3d(2, clamp_zero=True)(tensor).features >= 0).all())


def test_average_pools_take_the_same_sites_as_max_pools(random_coords, backend: str) -> None:
    tensor = cloud(random_coords)
    out = SparseAvgPool3d(2, key="pool")(tensor)
    assert out.sites is SparseMaxPool3d(2)(tensor).sites
    filled = tensor.dense()
    dense = nn.functional.avg_pool3d(filled, 2)
    b, z, y, x = out.coords.long().unbind(1)
    by_kernel = SparseAvgPool3d(2, divide_by="kernel")(tensor)
    torch.testing.assert_close(by_kernel.features, dense[b, :, z, y, x])
    counts = tensor.cache.named["pool"][out.sites].inputs_per_row[:, None]
    torch.testing.assert_close(out.features, by_kernel.features * 8 / counts)
    assert SparseAvgPool2d(3, stride=2, padding=1)(cloud(random_coords, (9, 8))).spatial_shape == (5, 4)


def test_transposed_layers_are_those_of_torch_at_their_sites(random_coords, backend: str) -> None:
    window: dict[str, Any] = {"stride": (2, 1, 2), "padding": (1, 0, 1), "output_padding": (1, 0, 0)}
    tensor, layer = cloud(random_coords), TransposedConv3d(4, 6, (3, 2, 4), **window)
    out = layer(tensor)
    weight = layer.weight.permute(3, 4, 0, 1, 2)
    dense = nn.functional.conv_transpose3d(tensor.dense(), weight, layer.bias, **window)
    b, z, y, x = out.coords.long().unbind(1)
    assert out.spatial_shape == tuple(dense.shape[2:])
    torch.testing.assert_close(out.features, dense[b, :, z, y, x], atol=1e-5, rtol=1e-5)
    flat = cloud(random_coords, shape=(9, 8))
    assert TransposedConv2d(4, 3, 2, stride=2)(flat).spatial_shape == (18, 16)


@pytest.mark.slow
def test_minkowski_layers_go_down_and_up_a_unet(random_coords, backend: str) -> None:
    tensor = cloud(random_coords, shape=(8, 12, 16))
    down = SparseConv3d(4, 8, 3, stride=2, site_rule="minkowski", key="down")
    low = down(tensor)
    assert low.spatial_shape == (4, 6, 8)
    assert low.coords.tolist() == torch.unique(tensor.coords // torch.tensor([1, 2, 2, 2]), dim=0).tolist()
    up = TransposedConv3d(8, 4, 3, stride=2, site_rule="minkowski")
    same, cached = up(low, onto=tensor), up(low, onto=tensor.sites)
    assert same.sites is cached.sites is tensor.sites
    # The layer that reuses the strided map reads the same pairs; the weight decides.
    inverse = InverseConv3d(8, 4, 3, of="down")
    inverse.load_state_dict(up.state_dict())
    torch.testing.assert_close(inverse(low).features, same.features)
    generated = up(low)
    assert generated.spatial_shape == tensor.spatial_shape
    at = {tuple(cell): row for cell, row in zip(generated.coords.tolist(), generated.features, strict=True)}
    for cell, row in zip(tensor.coords.tolist(), same.features, strict=True):
        torch.testing.assert_close(row, at.get(tuple(cell), up.bias))


def test_layers_of_another_rule_have_other_maps(random_coords) -> None:
    tensor = cloud(random_coords)
    for rule in ("spconv", "minkowski", "torchsparse"):
        SparseConv3d(4, 4, 3, stride=2, site_rule=rule)(tensor)
        SparseMaxPool3d(3, stride=2, site_rule=rule)(tensor)
    assert len(tensor.cache.maps) == 3
    for onto in (None, tensor, tensor):
        TransposedConv3d(4, 4, 1)(tensor, onto)
    assert len(tensor.cache.maps) == 5


def test_a_rule_is_checked_when_the_layer_is_made() -> None:
    for layer in (SparseConv3d, TransposedConv2d):
        with pytest.raises(
            ValueError, match=rf"{layer.__name__}: padding must be 0 with site_rule 'minkowski'"
        ):
            layer(4, 4, 3, padding=1, site_rule="minkowski")
    with pytest.raises(ValueError, match="SparseMaxPool3d: dilation must be 1 with site_rule 'torchsparse'"):
        SparseMaxPool3d(3, dilation=2, site_rule="torchsparse")


def test_empty_batch_elements_pass_through(random_coords, backend: str) -> None:
    tensor = cloud(random_coords)
    network = unet().eval()
    gaps = tensor.coords * torch.tensor([2, 1, 1, 1], dtype=torch.int32) + torch.tensor([1, 0, 0, 0])
    # Elements 1 and 3 of five hold the two clouds.
    spread = SparseTensor(tensor.features, gaps.int(), tensor.spatial_shape, 5)
    torch.testing.assert_close(network(spread).features, network(tensor).features)


def test_a_single_cell_kernel_is_a_linear_layer(random_coords, backend: str) -> None:
    tensor, layer = cloud(random_coords), SubmanifoldConv3d(4, 6, 1)
    expected = tensor.features @ layer.weight[0, 0, 0] + layer.bias
    torch.testing.assert_close(layer(tensor).features, expected)


def test_weights_start_as_those_of_torch() -> None:
    layer, dense = SubmanifoldConv3d(16, 64, 3), nn.Conv3d(16, 64, 3)
    assert layer.weight.shape == (3, 3, 3, 16, 64)
    for ours, theirs in ((layer.weight, dense.weight), (layer.bias, dense.bias)):
        assert ours.abs().max().item() <= 1 / (16 * 27) ** 0.5
        assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.1)
    assert layer.weight.std().item() == pytest.approx(dense.weight.std().item(), rel=0.02)


def test_layers_keep_state_dict_names() -> None:
    assert list(SubmanifoldConv3d(2, 3, 3).state_dict()) == ["weight", "bias"]
    assert list(SparseConv3d(2, 3, 3, bias=False).state_dict()) == ["weight"]


def test_settings_have_the_names_and_meaning_of_torch() -> None:
    window: dict[str, Any] = {"stride": 2, "padding": (0, 1, 1), "dilation": 2}
    down, up = SparseConv3d(4, 8, (3, 2, 1), **window), TransposedConv2d(4, 8, 2, stride=2, output_padding=1)
    same = SubmanifoldConv3d(4, 8, (3, 5, 1), dilation=(1, 2, 1))
    pairs = (
        (down, nn.Conv3d(4, 8, (3, 2, 1), **window)),
        (up, nn.ConvTranspose2d(4, 8, 2, stride=2, output_padding=1)),
        (same, nn.Conv3d(4, 8, (3, 5, 1), padding=(1, 4, 0), dilation=(1, 2, 1))),
    )
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    for ours, dense in pairs:
        assert [getattr(ours, name) for name in names] == [getattr(dense, name) for name in names]
        assert ours.bias is not None and dense.bias is not None and ours.bias.shape == dense.bias.shape
    assert up.output_padding == (1, 1)
    assert SparseMaxPool3d(2, padding=1).stride == (2, 2, 2)


def test_layers_tell_their_settings() -> None:
    assert repr(SubmanifoldConv3d(4, 8, (3, 1, 3), dilation=2)) == (
        "SubmanifoldConv3d(4, 8, kernel_size=(3, 1, 3), padding=(2, 0, 2), dilation=(2, 2, 2), bias=True)"
    )
    assert repr(SparseConv2d(4, 8, 3, stride=2, padding=1, bias=False, key="down")) == (
        "SparseConv2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False, key='down')"
    )
    assert repr(InverseConv2d(4, 8, 3, of="down")) == (
        "InverseConv2d(4, 8, kernel_size=(3, 3), bias=True, of='down')"
    )
    assert repr(TransposedConv2d(4, 8, 2, stride=2, site_rule="minkowski")) == (
        "TransposedConv2d(4, 8, kernel_size=(2, 2), stride=(2, 2), site_rule='minkowski', bias=True)"
    )
    assert repr(SparseMaxPool3d(2)) == "SparseMaxPool3d(kernel_size=(2, 2, 2), stride=(2, 2, 2))"


def test_no_sites_pass_through(backend: str) -> None:
    empty = SparseTensor(torch.zeros(0, 4), torch.zeros((0, 4), dtype=torch.int32), (8, 8, 8), 1)
    out = unet().eval()(empty)
    assert out.features.shape == (0, 5)


def test_wrong_inputs_are_refused(random_coords) -> None:
    tensor = cloud(random_coords)
    with pytest.raises(ValueError, match="SubmanifoldConv3d: features must have 5 channels, got 4"):
        SubmanifoldConv3d(5, 4, 3)(tensor)
    with pytest.raises(
        ValueError, match=r"SubmanifoldConv2d: the input must have 2 spatial axes, got .*\(8, 9, 10\)"
    ):
        SubmanifoldConv2d(4, 4, 3)(tensor)


def test_a_plain_tensor_is_refused(no_shape_checks: None) -> None:
    bad: Any = torch.zeros(3, 4)
    with pytest.raises(TypeError, match="SparseConv3d: the input must be a SparseTensor, got Tensor"):
        SparseConv3d(4, 4, 3)(bad)


def test_even_submanifold_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="SubmanifoldConv3d: kernel_size must be odd on every axis, got 2"):
        SubmanifoldConv3d(4, 4, 2)


def test_an_inverse_layer_needs_its_strided_layer(random_coords) -> None:
    tensor = cloud(random_coords)
    with pytest.raises(KeyError, match="no strided layer with key 'down' ran before; keys seen: none"):
        InverseConv3d(4, 4, 3, of="down")(tensor)
    down = SparseConv3d(4, 4, 3, stride=2, padding=1, key="down")(tensor)
    with pytest.raises(
        ValueError, match=r"kernel_size \(2, 2, 2\) must equal the kernel_size \(3, 3, 3\) of .* 'down'"
    ):
        InverseConv3d(4, 4, 2, of="down")(down)
    with pytest.raises(
        ValueError, match="the input does not lie on the output sites of the strided layer 'down'"
    ):
        InverseConv3d(4, 4, 3, of="down")(tensor)


def test_a_key_names_one_map(random_coords) -> None:
    tensor = cloud(random_coords)
    SparseConv3d(4, 4, 3, stride=2, padding=1, key="down")(tensor)
    with pytest.raises(ValueError, match="key 'down' already names the map of another strided layer"):
        SparseConv3d(4, 4, 2, stride=2, key="down")(tensor)


def test_a_keyed_layer_may_run_on_several_site_sets(random_coords) -> None:
    """Recurrence, shared weights, a pruned copy: an inverse goes back along the map that led to its input."""
    tensor = cloud(random_coords)
    down = SparseConv3d(4, 4, 2, stride=2, key="down")
    up = InverseConv3d(4, 4, 2, of="down")
    half = down(tensor)
    quarter = down(half)
    assert up(quarter).sites is half.sites
    assert up(half).sites is up(up(quarter)).sites is tensor.sites
    part = prune(tensor, tensor.features[:, 0] > 0)
    assert up(down(part)).sites is part.sites
    assert up(half).sites is tensor.sites


def test_maps_can_be_made_ahead_and_inspected(random_coords) -> None:
    tensor = cloud(random_coords)
    plan = strided_map(tensor.sites, kernel_size=3, stride=2, padding=1)
    assert plan.pairs_per_offset.sum() == len(plan.pairs_in)
    assert plan.neighbours().shape == (len(plan.sites_out), 27)


@pytest.mark.usefixtures("no_shape_checks")
def test_a_pooling_layer_shares_ties_as_it_is_told():
    coords = torch.tensor([[0, 0, 0], [0, 0, 1]], dtype=torch.int32)
    for tie, expected in (("first", [[1.0], [0.0]]), ("all", [[1.0], [1.0]])):
        features = torch.ones(2, 1, requires_grad=True)
        tensor = SparseTensor(features, coords, (1, 2), 1)
        SparseMaxPool2d((1, 2), tie=tie)(tensor).features.sum().backward()
        assert features.grad is not None and features.grad.tolist() == expected
    with pytest.raises(ValueError, match="SparseMaxPool3d: tie must be 'first' or 'all', got 'last'"):
        SparseMaxPool3d(2, tie="last")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("draw", [nn.init.kaiming_normal_, nn.init.xavier_uniform_, nn.init.trunc_normal_])
def test_initialisation_through_the_dense_weight_means_what_it_means_for_torch(draw: Callable) -> None:
    torch.manual_seed(0)
    ours, dense = SubmanifoldConv3d(16, 64, 3), nn.Conv3d(16, 64, 3)
    draw(ours.dense_weight)
    draw(dense.weight)
    torch.testing.assert_close(ours.weight.std(), dense.weight.std(), rtol=0.03, atol=0)
    assert ours.weight.requires_grad and ours.weight.is_leaf
    flat = SparseConv2d(16, 64, 3, stride=2)
    draw(flat.dense_weight)
    assert flat.dense_weight.shape == nn.Conv2d(16, 64, 3).weight.shape
