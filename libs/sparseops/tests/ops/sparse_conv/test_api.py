"""Properties of the public convolution, its edges, and its errors."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import SparseTensor, sparse_conv, strided_map, submanifold_map
from torch import Tensor

SHAPE = (6, 7, 8)
WINDOW: dict[str, Any] = {"kernel_size": 3, "stride": 2, "padding": 1}


def weight() -> Tensor:
    return torch.randn(3, 3, 3, 4, 5)


def both(tensor: SparseTensor, slices: Tensor) -> tuple[Tensor, SparseTensor]:
    """A submanifold result, row by row, and a strided one."""
    same = sparse_conv(tensor.features, slices, kernel_map=submanifold_map(tensor.sites, kernel_size=3))
    plan = strided_map(tensor.sites, **WINDOW)
    return same, SparseTensor.from_sites(
        sparse_conv(tensor.features, slices, kernel_map=plan), plan.sites_out
    )


@given(seed=st.integers(0, 99), rows=st.sampled_from([1, 2, 300]))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_the_order_of_rows_does_not_matter(random_coords, seed: int, rows: int) -> None:
    coords, slices = random_coords(rows, SHAPE, 2, seed=seed), weight()
    tensor = SparseTensor(torch.randn(len(coords), 4), coords, SHAPE, 2)
    turn = torch.randperm(len(coords))
    turned = SparseTensor(tensor.features[turn], coords[turn], SHAPE, 2)
    (same, strided), (same_turned, strided_turned) = both(tensor, slices), both(turned, slices)
    assert torch.equal(same[turn], same_turned)
    assert torch.equal(strided.coords, strided_turned.coords)
    assert torch.equal(strided.features, strided_turned.features)


@given(seed=st.integers(0, 99), shift=st.tuples(*[st.sampled_from([0, 2, 4])] * 3))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_moving_by_whole_strides_moves_the_result(random_coords, seed: int, shift: tuple[int, ...]) -> None:
    coords, slices = random_coords(100, SHAPE, 2, seed=seed), weight()
    features, grid = torch.randn(len(coords), 4), (20, 20, 20)
    moved = coords + torch.tensor([0, *shift], dtype=torch.int32)
    inner = torch.tensor([0, 4, 4, 4], dtype=torch.int32)
    same, strided = both(SparseTensor(features, coords + inner, grid, 2), slices)
    same_moved, strided_moved = both(SparseTensor(features, moved + inner, grid, 2), slices)
    assert torch.equal(same, same_moved)
    assert torch.equal(
        strided.coords + torch.tensor([0, *shift]) // torch.tensor([1, 2, 2, 2]), strided_moved.coords
    )
    torch.testing.assert_close(strided.features, strided_moved.features)


def test_a_batch_of_two_is_two_batches_of_one(random_coords, backend: str) -> None:
    coords, slices = random_coords(300, SHAPE, 2), weight()
    tensor = SparseTensor(torch.randn(len(coords), 4), coords, SHAPE, 2)
    same, strided = both(tensor, slices)
    for b in range(2):
        rows = coords[:, 0] == b
        alone = coords[rows] * torch.tensor([0, 1, 1, 1], dtype=torch.int32)
        same_alone, strided_alone = both(SparseTensor(tensor.features[rows], alone, SHAPE, 1), slices)
        torch.testing.assert_close(same[rows], same_alone, atol=1e-5, rtol=1e-5)
        rows_out = strided.coords[:, 0] == b
        assert torch.equal(strided.coords[rows_out, 1:], strided_alone.coords[:, 1:])
        torch.testing.assert_close(strided.features[rows_out], strided_alone.features, atol=1e-5, rtol=1e-5)


def test_cells_at_the_border_do_not_wrap_around(backend: str) -> None:
    # Each two of these follow each other in the numbering of cells, and are far apart on the grid.
    cells = [(0, 0, 0, 7), (0, 0, 1, 0), (0, 2, 6, 7), (0, 3, 0, 0), (0, 5, 6, 7), (1, 0, 0, 0)]
    tensor = SparseTensor(torch.randn(6, 4), torch.tensor(cells, dtype=torch.int32), SHAPE, 2)
    plan = submanifold_map(tensor.sites, kernel_size=3)
    assert plan.pairs_per_offset.tolist() == [0] * 13 + [6] + [0] * 13


def test_no_sites_give_no_rows_and_zero_gradients(backend: str) -> None:
    tensor = SparseTensor(torch.zeros(0, 4), torch.zeros((0, 4), dtype=torch.int32), SHAPE, 2)
    for plan in (submanifold_map(tensor.sites, kernel_size=3), strided_map(tensor.sites, **WINDOW)):
        features, slices = tensor.features.clone().requires_grad_(), weight().requires_grad_()
        bias = torch.zeros(5, requires_grad=True)
        out = sparse_conv(features, slices, bias=bias, kernel_map=plan)
        assert out.shape == (0, 5)
        out.sum().backward()
        assert torch.equal(slices.grad, torch.zeros_like(slices))
        assert torch.equal(bias.grad, torch.zeros(5))
        assert features.grad.shape == (0, 4)


def test_a_single_site_uses_the_centre_alone(backend: str) -> None:
    tensor = SparseTensor(torch.randn(1, 4), torch.tensor([[0, 2, 2, 2]], dtype=torch.int32), SHAPE, 1)
    slices = weight().requires_grad_()
    out = sparse_conv(tensor.features, slices, kernel_map=submanifold_map(tensor.sites, kernel_size=3))
    torch.testing.assert_close(out, tensor.features @ slices[1, 1, 1])
    out.sum().backward()
    slices.grad[1, 1, 1] = 0
    assert slices.grad.count_nonzero() == 0


def test_rows_without_a_pair_get_the_bias(backend: str) -> None:
    # Without padding an even kernel leaves the last row of y out, so the inverse has nothing to read there.
    last = torch.tensor([[0, 4, 6, 2]], dtype=torch.int32)
    plan = strided_map(SparseTensor(torch.randn(1, 4), last, SHAPE, 1).sites, kernel_size=2, stride=2)
    assert len(plan.sites_out) == 0
    slices, bias = torch.randn(2, 2, 2, 4, 3), torch.arange(3.0)
    out = sparse_conv(torch.zeros(0, 4), slices, bias=bias, kernel_map=plan.transposed)
    assert out.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": torch.zeros(3, 4)}, ValueError, r"features must have shape \[\d+, cin\], got \[3, 4\]"),
        ({"weight": torch.zeros(3, 3, 3, 9, 5)}, ValueError, r"weight must have shape \[3, 3, 3, 4, cout\]"),
        (
            {"weight": torch.zeros(3, 3, 1, 4, 5)},
            ValueError,
            r"weight must have shape .* got \[3, 3, 1, 4, 5\]",
        ),
        ({"weight": torch.zeros(3, 3, 3, 4, 5).double()}, TypeError, "weight must be float32, got float64"),
        ({"bias": torch.zeros(4)}, ValueError, r"bias must have shape \[5\], got \[4\]"),
        ({"bias": torch.zeros(5).double()}, TypeError, "bias must be float32, got float64"),
        (
            {"weight": torch.zeros(3, 3, 3, 4, 5, device="meta")},
            ValueError,
            "weight is on meta but features is on cpu",
        ),
    ],
)
def test_bad_arguments_are_refused(
    random_coords, no_shape_checks: None, change: dict[str, Tensor], error: type[Exception], message: str
) -> None:
    coords = random_coords(40, SHAPE)
    tensor = SparseTensor(torch.randn(len(coords), 4), coords, SHAPE, 1)
    arguments: dict[str, Any] = {"features": tensor.features, "weight": weight()} | change
    with pytest.raises(error, match=f"sparse_conv: {message}"):
        sparse_conv(kernel_map=submanifold_map(tensor.sites, kernel_size=3), **arguments)


def test_integer_features_are_refused(random_coords, no_shape_checks: None) -> None:
    coords = random_coords(40, SHAPE)
    tensor = SparseTensor(torch.randn(len(coords), 4), coords, SHAPE, 1)
    with pytest.raises(TypeError, match="features must be float16 or bfloat16 or float32 or float64"):
        sparse_conv(tensor.features.int(), weight(), kernel_map=submanifold_map(tensor.sites, kernel_size=3))
