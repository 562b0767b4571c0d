"""Sparse tensors: construction, dense form, replacement, errors."""

import dataclasses

import pytest
import torch
from sparseops import SparseTensor, sparse_from_dense


def make(random_coords, channels: int = 3) -> SparseTensor:
    coords = random_coords(40, (4, 5, 6), 2)
    return SparseTensor(torch.randn(len(coords), channels), coords, (4, 5, 6), 2)


def test_sites_take_the_place_of_coordinates(random_coords) -> None:
    tensor = make(random_coords)
    other = SparseTensor(2 * tensor.features, sites=tensor.sites, cache=tensor.cache)
    assert other.sites is tensor.sites and other.cache is tensor.cache
    assert SparseTensor(tensor.features, sites=tensor.sites).cache is not tensor.cache
    again = dataclasses.replace(tensor, features=other.features)
    assert again.sites is tensor.sites and again.cache is tensor.cache
    assert again.features is other.features


def test_coordinates_and_sites_exclude_each_other(random_coords) -> None:
    tensor = make(random_coords)
    message = "SparseTensor: pass features with coords, spatial_shape and batch_size, or with sites alone"
    for arguments in (
        {},
        {"coords": tensor.coords, "spatial_shape": tensor.spatial_shape},
        {"coords": tensor.coords, "sites": tensor.sites},
        {"batch_size": 2, "sites": tensor.sites},
    ):
        with pytest.raises(TypeError, match=message):
            SparseTensor(tensor.features, **arguments)


def test_dense_puts_every_row_on_its_cell(random_coords) -> None:
    tensor = make(random_coords)
    dense = tensor.dense()
    assert dense.shape == (2, 3, 4, 5, 6)
    b, z, y, x = tensor.coords.long().unbind(1)
    assert torch.equal(dense[b, :, z, y, x], tensor.features)
    assert dense.count_nonzero() == tensor.features.count_nonzero()


def test_dense_is_differentiable(random_coords) -> None:
    tensor = make(random_coords)
    features = tensor.features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: tensor.replace(f).dense(), features)


def test_sparse_from_dense_and_dense_are_inverse(random_coords) -> None:
    dense = make(random_coords).dense()
    assert torch.equal(sparse_from_dense(dense).dense(), dense)


@pytest.mark.slow
def test_sparse_from_dense_takes_given_sites_in_their_order(random_coords) -> None:
    tensor = make(random_coords)
    dense = tensor.replace(tensor.features.double()).dense().requires_grad_()
    order = torch.randperm(len(tensor.coords))
    other = SparseTensor(tensor.features[order], tensor.coords[order], tensor.spatial_shape, 2)
    sampled = sparse_from_dense(dense, sites=other.sites)
    assert sampled.sites is other.sites
    assert torch.equal(sampled.features.float(), other.features)
    assert torch.autograd.gradcheck(lambda d: sparse_from_dense(d, sites=other.sites).features, dense)


def test_sites_of_another_grid_are_refused(random_coords) -> None:
    tensor = make(random_coords)
    with pytest.raises(
        ValueError, match=r"sites must have the batch size and grid of dense, 1 and \(4, 5, 6\)"
    ):
        sparse_from_dense(torch.zeros(1, 3, 4, 5, 6), sites=tensor.sites)
    with pytest.raises(ValueError, match="sites is on cpu but dense is on meta"):
        sparse_from_dense(torch.zeros(2, 3, 4, 5, 6, device="meta"), sites=tensor.sites)


def test_to_changes_type_and_keeps_the_maps(random_coords) -> None:
    tensor = make(random_coords)
    half = tensor.to(dtype=torch.float16)
    assert half.features.dtype == torch.float16
    assert half.sites is tensor.sites
    assert half.cache is tensor.cache
    assert tensor.to("cpu").sites is tensor.sites
    far = tensor.to("meta", dtype=torch.float64)
    assert far.features.device == far.coords.device == torch.device("meta")
    assert far.features.dtype == torch.float64
    assert far.cache is not tensor.cache


def test_to_is_differentiable(random_coords) -> None:
    tensor = make(random_coords)
    features = tensor.features.clone().requires_grad_()
    tensor.replace(features).to(dtype=torch.float64).features.sum().backward()
    assert torch.equal(features.grad, torch.ones_like(features))


def test_batch_rows_are_the_rows_of_an_element(random_coords) -> None:
    tensor = make(random_coords)
    wide = SparseTensor(tensor.features, tensor.coords, tensor.spatial_shape, 3)
    rows = [wide.batch_rows(b) for b in range(3)]
    assert all(bool((wide.coords[r, 0] == b).all()) for b, r in enumerate(rows))
    assert len(rows[2]) == 0
    assert sorted(torch.cat(rows).tolist()) == list(range(len(tensor.coords)))
    with pytest.raises(IndexError, match=r"batch_rows: element must lie in \[0, 3\), got 3"):
        wide.batch_rows(3)


def test_an_empty_tensor_has_a_dense_form() -> None:
    empty = SparseTensor(torch.zeros(0, 2), torch.zeros((0, 3), dtype=torch.int32), (3, 4), 2)
    assert torch.equal(empty.dense(), torch.zeros(2, 2, 3, 4))


def test_replace_shares_sites_and_maps(random_coords) -> None:
    tensor = make(random_coords)
    other = tensor.replace(torch.zeros(len(tensor.coords), 7))
    assert other.sites is tensor.sites
    assert other.cache is tensor.cache
    assert other.features.shape[1] == 7


def test_repr_says_sizes_not_values(random_coords) -> None:
    assert "rows x 3 channels, spatial_shape=(4, 5, 6), batch_size=2, torch.float32, cpu" in repr(
        make(random_coords)
    )


def test_wrong_number_of_rows_is_refused(random_coords) -> None:
    tensor = make(random_coords)
    with pytest.raises(ValueError, match=r"features must have one row per site, \[\d+, c\], got \[3, 2\]"):
        tensor.replace(torch.zeros(3, 2))


def test_integer_features_are_refused(random_coords, no_shape_checks: None) -> None:
    sites = make(random_coords).sites
    with pytest.raises(
        TypeError, match="features must be float16 or bfloat16 or float32 or float64, got int32"
    ):
        SparseTensor.from_sites(torch.zeros(len(sites), 1, dtype=torch.int32), sites)


def test_another_device_is_refused() -> None:
    coords = torch.zeros((1, 3), dtype=torch.int32)
    with pytest.raises(ValueError, match=r"coords is on cpu but features is on meta; move it with"):
        SparseTensor(torch.zeros((1, 1), device="meta"), coords, (2, 2), 1)


@pytest.mark.usefixtures("no_shape_checks")
def test_dense_tensors_need_a_grid() -> None:
    with pytest.raises(ValueError, match=r"dense must have shape \[b, c, y, x\] or .* got \[2, 3\]"):
        sparse_from_dense(torch.zeros(2, 3))
