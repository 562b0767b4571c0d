"""Pruning, sums on the union of sites, channels side by side."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import SparseTensor, lookup, prune, sites_from_coords, sparse_cat, union_add
from sparseops.nn import SparseConv3d, SubmanifoldConv3d
from torch import Tensor

SHAPE = (4, 5, 6)


def make(random_coords, rows: int = 40, *, seed: int = 0, channels: int = 3) -> SparseTensor:
    coords = random_coords(rows, SHAPE, 2, seed=seed)
    return SparseTensor(torch.randn(len(coords), channels), coords, SHAPE, 2)


@given(seed=st.integers(0, 50), share=st.sampled_from([0.0, 0.3, 1.0]), rows=st.sampled_from([0, 1, 40]))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_pruning_keeps_marked_rows_and_sorts_as_from_scratch(random_coords, seed, share, rows) -> None:
    tensor = make(random_coords, rows, seed=seed)
    keep = torch.rand(len(tensor.coords)) < share
    out = prune(tensor, keep)
    assert torch.equal(out.features, tensor.features[keep])
    expected = sites_from_coords(tensor.coords[keep], spatial_shape=SHAPE, batch_size=2)
    assert torch.equal(out.coords, expected.coords)
    assert torch.equal(out.sites.order, expected.order)


def test_pruned_tensors_go_through_layers(random_coords, backend: str) -> None:
    tensor, layer = make(random_coords, channels=4), SubmanifoldConv3d(4, 2, 3)
    keep = torch.arange(len(tensor.coords)) % 3 > 0
    out = prune(tensor, keep)
    fresh = SparseTensor(tensor.features[keep], tensor.coords[keep], SHAPE, 2)
    assert torch.equal(layer(out).features, layer(fresh).features)
    none = prune(tensor, torch.zeros_like(keep))
    assert SparseConv3d(2, 3, 2, stride=2)(layer(none)).features.shape == (0, 3)


def test_rows_that_go_get_no_gradient(random_coords) -> None:
    tensor = make(random_coords)
    keep = torch.arange(len(tensor.coords)) % 2 == 0
    features = tensor.features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: prune(tensor.replace(f), keep).features, features)
    prune(tensor.replace(features), keep).features.sum().backward()
    assert torch.equal(features.grad[:, 0], keep.double())


def test_bad_marks_are_refused(random_coords, no_shape_checks: None) -> None:
    tensor = make(random_coords)
    rows = len(tensor.coords)
    with pytest.raises(TypeError, match="prune: keep must be bool, got int64"):
        prune(tensor, torch.ones(rows, dtype=torch.int64))
    with pytest.raises(ValueError, match=rf"prune: keep must have shape \[{rows}\], got \[2\]"):
        prune(tensor, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="tensor is on cpu but keep is on meta"):
        prune(tensor, torch.ones(rows, dtype=torch.bool, device="meta"))


@pytest.mark.parametrize("rows", [(40, 30, 20), (40, 0, 1), (0, 0, 0)])
def test_union_sums_as_dense_tensors_do(random_coords, rows: tuple[int, ...]) -> None:
    tensors = [make(random_coords, n, seed=i) for i, n in enumerate(rows)]
    total = union_add(*tensors)
    expected = tensors[0].dense()
    for tensor in tensors[1:]:
        expected = expected + tensor.dense()
    assert torch.equal(total.dense(), expected)
    cells = {tuple(cell) for tensor in tensors for cell in tensor.coords.tolist()}
    assert total.coords.tolist() == [list(cell) for cell in sorted(cells)]


def test_union_of_one_site_set_stays_there(random_coords) -> None:
    tensor = make(random_coords)
    doubled = union_add(tensor, tensor.replace(tensor.features * 2))
    assert doubled.sites is tensor.sites
    assert doubled.cache is tensor.cache
    torch.testing.assert_close(doubled.features, tensor.features * 3)
    assert union_add(tensor).features is tensor.features


def test_union_is_differentiable(random_coords) -> None:
    left, right = make(random_coords, 8, seed=1), make(random_coords, 9, seed=2)

    def run(a: Tensor, b: Tensor) -> Tensor:
        return union_add(left.replace(a), right.replace(b)).features

    inputs = left.features.double().requires_grad_(), right.features.double().requires_grad_()
    assert torch.autograd.gradcheck(run, inputs)


def test_unlike_tensors_are_refused(random_coords) -> None:
    tensor = make(random_coords)
    larger = SparseTensor(tensor.features, tensor.coords, (8, 8, 8), 2)
    with pytest.raises(ValueError, match=r"tensor 1 must have .* 2 and \(4, 5, 6\), got 2 and \(8, 8, 8\)"):
        union_add(tensor, larger)
    with pytest.raises(ValueError, match=r"features of tensor 2 must have shape \[n, 3\], got"):
        union_add(tensor, tensor, make(random_coords, channels=4))
    with pytest.raises(TypeError, match="features of tensor 1 must be float32, got float64"):
        union_add(tensor, tensor.to(dtype=torch.float64))
    with pytest.raises(ValueError, match="tensor 1 is on meta but tensor 0 is on cpu"):
        union_add(tensor, tensor.to("meta"))


def test_channels_side_by_side(random_coords) -> None:
    tensor = make(random_coords)
    both = sparse_cat(tensor, tensor.replace(tensor.features[:, :1] * 2), tensor)
    assert both.sites is tensor.sites
    assert torch.equal(
        both.features, torch.cat([tensor.features, tensor.features[:, :1] * 2, tensor.features], 1)
    )


def test_equal_cells_in_another_order_are_no_shared_sites(random_coords) -> None:
    tensor = make(random_coords)
    other = SparseTensor(tensor.features.flip(0), tensor.coords.flip(0).contiguous(), SHAPE, 2)
    with pytest.raises(ValueError, match=r"tensor 1 must lie on the Sites object of tensor 0; .*lookup"):
        sparse_cat(tensor, other)
    # The cure that the message names.
    rows = lookup(other.sites, tensor.coords)
    moved = tensor.replace(other.features[rows])
    assert torch.equal(sparse_cat(tensor, moved).features, torch.cat([tensor.features] * 2, 1))
