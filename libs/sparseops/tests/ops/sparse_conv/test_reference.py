"""What torch's dense convolution means, and that sparse convolution equals it at the active sites."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import SparseTensor, sparse_conv, strided_map, submanifold_map, transposed_map
from torch import Tensor
from torch.nn import functional

CHANNELS_IN, CHANNELS_OUT = 3, 4


def dense_weight(weight: Tensor) -> Tensor:
    """[k..., cin, cout] as torch's [cout, cin, k...]."""
    return weight.movedim((-1, -2), (0, 1))


def at_sites(dense: Tensor, coords: Tensor) -> Tensor:
    return dense.movedim(1, -1)[tuple(coords.long().unbind(1))]


def triples(low: int, high: int) -> st.SearchStrategy[tuple[int, int, int]]:
    number = st.integers(low, high)
    return st.tuples(number, number, number)


def test_dense_convolution_is_cross_correlation() -> None:
    impulse = torch.zeros(1, 1, 5)
    impulse[0, 0, 2] = 1
    out = functional.conv1d(impulse, torch.tensor([[[1.0, 2.0, 3.0]]]), padding=1)
    assert out.tolist() == [[[0, 3, 2, 1, 0]]]


def test_dense_stride_starts_at_minus_padding() -> None:
    ramp = torch.arange(6.0).reshape(1, 1, 6)
    first = torch.tensor([[[1.0, 0.0, 0.0]]])
    assert functional.conv1d(ramp, first, stride=2, padding=1).tolist() == [[[0, 1, 3]]]


def test_dense_transposed_convolution_does_not_flip() -> None:
    impulse = torch.zeros(1, 1, 2)
    impulse[0, 0, 1] = 1
    out = functional.conv_transpose1d(impulse, torch.tensor([[[1.0, 2.0, 3.0]]]), stride=2)
    assert out.tolist() == [[[0, 0, 1, 2, 3]]]


@given(seed=st.integers(0, 99), half=triples(0, 1), dilation=triples(1, 2))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_submanifold_equals_dense_at_the_sites(random_coords, seed, half, dilation) -> None:
    kernel = tuple(2 * h + 1 for h in half)
    coords = random_coords(50, (5, 6, 4), 2, seed=seed)
    tensor = SparseTensor(torch.randn(len(coords), CHANNELS_IN), coords, (5, 6, 4), 2)
    weight, bias = torch.randn(*kernel, CHANNELS_IN, CHANNELS_OUT), torch.randn(CHANNELS_OUT)
    plan = submanifold_map(tensor.sites, kernel_size=kernel, dilation=dilation)
    padding = tuple(h * d for h, d in zip(half, dilation, strict=True))
    dense = functional.conv3d(tensor.dense(), dense_weight(weight), bias, padding=padding, dilation=dilation)
    out = sparse_conv(tensor.features, weight, bias=bias, kernel_map=plan)
    torch.testing.assert_close(out, at_sites(dense, coords), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@given(
    seed=st.integers(0, 99),
    kernel=triples(1, 3),
    stride=triples(1, 3),
    padding=triples(0, 2),
    dilation=triples(1, 2),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_strided_equals_dense_everywhere(random_coords, seed, kernel, stride, padding, dilation) -> None:
    coords = random_coords(30, (5, 6, 7), 2, seed=seed)
    tensor = SparseTensor(torch.randn(len(coords), CHANNELS_IN), coords, (5, 6, 7), 2)
    window: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    weight = torch.randn(*kernel, CHANNELS_IN, CHANNELS_OUT)
    plan = strided_map(tensor.sites, kernel_size=kernel, **window)
    out = sparse_conv(tensor.features, weight, kernel_map=plan)
    dense = functional.conv3d(tensor.dense(), dense_weight(weight), **window)
    torch.testing.assert_close(
        SparseTensor.from_sites(out, plan.sites_out).dense(), dense, atol=1e-5, rtol=1e-5
    )


def test_inverse_equals_dense_transposed_at_the_sites(random_coords, backend: str) -> None:
    coords = random_coords(60, (7, 5, 9), 2)
    tensor = SparseTensor(torch.randn(len(coords), CHANNELS_IN), coords, (7, 5, 9), 2)
    plan = strided_map(tensor.sites, kernel_size=3, stride=2, padding=1)
    middle = SparseTensor.from_sites(torch.randn(len(plan.sites_out), CHANNELS_IN), plan.sites_out)
    weight = torch.randn(3, 3, 3, CHANNELS_IN, CHANNELS_OUT)
    out = sparse_conv(middle.features, weight, kernel_map=plan.transposed)
    dense = functional.conv_transpose3d(middle.dense(), weight.movedim((-2, -1), (0, 1)), stride=2, padding=1)
    torch.testing.assert_close(out, at_sites(dense, coords), atol=1e-5, rtol=1e-5)


def test_transposed_equals_dense_transposed_everywhere(random_coords, backend: str) -> None:
    coords = random_coords(20, (4, 3, 5), 2)
    tensor = SparseTensor(torch.randn(len(coords), CHANNELS_IN), coords, (4, 3, 5), 2)
    window: dict[str, Any] = {"stride": (2, 1, 2), "padding": (1, 0, 0), "output_padding": (1, 0, 0)}
    weight = torch.randn(3, 2, 2, CHANNELS_IN, CHANNELS_OUT)
    plan = transposed_map(tensor.sites, kernel_size=(3, 2, 2), **window)
    out = sparse_conv(tensor.features, weight, kernel_map=plan)
    dense = functional.conv_transpose3d(tensor.dense(), weight.movedim((-2, -1), (0, 1)), **window)
    torch.testing.assert_close(
        SparseTensor.from_sites(out, plan.sites_out).dense(), dense, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_2d_equals_dense_2d(random_coords, stride: int, backend: str) -> None:
    coords = random_coords(30, (8, 9), 2)
    tensor = SparseTensor(torch.randn(len(coords), CHANNELS_IN), coords, (8, 9), 2)
    weight = torch.randn(3, 3, CHANNELS_IN, CHANNELS_OUT)
    dense = functional.conv2d(tensor.dense(), dense_weight(weight), stride=stride, padding=1)
    if stride == 1:
        plan = submanifold_map(tensor.sites, kernel_size=3)
    else:
        plan = strided_map(tensor.sites, kernel_size=3, stride=stride, padding=1)
    out = sparse_conv(tensor.features, weight, kernel_map=plan)
    torch.testing.assert_close(out, at_sites(dense, plan.sites_out.coords), atol=1e-5, rtol=1e-5)
