"""Batches of samples, and one row of many on a cell."""

from collections import defaultdict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import SparseTensor, merge_duplicates, sparse_collate

SHAPE = (3, 4, 5)


def test_collating_undoes_taking_apart(random_coords) -> None:
    coords = random_coords(40, SHAPE, 2)
    tensor = SparseTensor(torch.randn(len(coords), 3), coords, SHAPE, 4)
    parts = [(coords[r, 1:], tensor.features[r]) for r in map(tensor.batch_rows, range(4))]
    again = sparse_collate(parts, spatial_shape=SHAPE)
    assert again.batch_size == 4
    assert torch.equal(again.dense(), tensor.dense())
    assert again.coords[:, 0].tolist() == sorted(coords[:, 0].tolist())


def test_2d_and_empty_samples_are_samples() -> None:
    cells = torch.tensor([[1, 2]], dtype=torch.int32)
    tensor = sparse_collate([(cells[:0], torch.zeros(0, 2)), (cells, torch.ones(1, 2))], spatial_shape=(2, 3))
    assert tensor.coords.tolist() == [[1, 1, 2]]
    assert tensor.batch_size == 2


def test_bad_samples_are_refused(no_shape_checks: None) -> None:
    good = torch.zeros((1, 3), dtype=torch.int32), torch.zeros(1, 2)
    with pytest.raises(ValueError, match="samples must hold at least one sample"):
        sparse_collate([], spatial_shape=SHAPE)
    with pytest.raises(TypeError, match="coords of sample 1 must be int32, got float32"):
        sparse_collate([good, (torch.zeros(1, 3), good[1])], spatial_shape=SHAPE)
    with pytest.raises(ValueError, match=r"coords of sample 0 must have shape \[n, 3\], got \[1, 4\]"):
        sparse_collate([(torch.zeros((1, 4), dtype=torch.int32), good[1])], spatial_shape=SHAPE)
    with pytest.raises(ValueError, match=r"features of sample 0 must have shape \[1, c\], got \[2, 2\]"):
        sparse_collate([(good[0], torch.zeros(2, 2))], spatial_shape=SHAPE)


@given(seed=st.integers(0, 50), rows=st.sampled_from([0, 1, 2, 150]))
@settings(max_examples=15, deadline=None, derandomize=True)
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_merging_is_a_reduction_per_cell(reduce: Any, seed, rows) -> None:
    generator = torch.Generator().manual_seed(seed)
    coords = torch.stack([torch.randint(n, (rows,), generator=generator) for n in (2, *SHAPE)], 1).int()
    features = torch.randn(rows, 2, generator=generator)
    tensor, row = merge_duplicates(features, coords, spatial_shape=SHAPE, batch_size=2, reduce=reduce)
    groups = defaultdict(list)
    for cell, values in zip(coords.tolist(), features, strict=True):
        groups[tuple(cell)].append(values)
    assert tensor.coords.tolist() == [list(cell) for cell in sorted(groups)]
    assert torch.equal(tensor.coords[row], coords)
    torch_name = "amax" if reduce == "max" else reduce
    for cell, values in zip(tensor.coords.tolist(), tensor.features, strict=True):
        torch.testing.assert_close(values, getattr(torch, torch_name)(torch.stack(groups[tuple(cell)]), 0))


@pytest.mark.slow
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_gradients_are_derivatives(reduce: Any, backend: str) -> None:
    coords = torch.randint(0, 2, (12, 3), dtype=torch.int32)
    features = torch.randperm(24).double().reshape(12, 2).requires_grad_()

    def run(rows: torch.Tensor) -> torch.Tensor:
        return merge_duplicates(rows, coords, spatial_shape=(2, 2), batch_size=2, reduce=reduce)[0].features

    assert torch.autograd.gradcheck(run, features)


def test_half_precision_is_reduced_in_float32() -> None:
    coords = torch.zeros((4, 3), dtype=torch.int32)
    tensor, _ = merge_duplicates(
        torch.full((4, 1), 60000.0).half(), coords, spatial_shape=(1, 1), batch_size=1
    )
    assert tensor.features.dtype == torch.float16
    assert tensor.features.item() == torch.tensor(60000.0).half().item()


def test_bad_arguments_are_refused(no_shape_checks: None) -> None:
    coords, features = torch.zeros((2, 3), dtype=torch.int32), torch.zeros(2, 1)
    grid: dict[str, Any] = {"spatial_shape": (2, 2), "batch_size": 1}
    with pytest.raises(ValueError, match="reduce must be 'sum', 'mean' or 'max', got 'min'"):
        merge_duplicates(features, coords, **grid, reduce="min")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="merge_duplicates: coords must be int32, got float32"):
        merge_duplicates(features, coords * float("nan"), **grid)
    with pytest.raises(TypeError, match=r"merge_duplicates: features must be float16 .*, got int32"):
        merge_duplicates(features.int(), coords, **grid)
    with pytest.raises(ValueError, match=r"merge_duplicates: coords column x must lie in \[0, 2\)"):
        merge_duplicates(features, coords + 2 * torch.tensor([0, 0, 1], dtype=torch.int32), **grid)
    with pytest.raises(
        ValueError, match=r"merge_duplicates: features must have shape \[2, c\], got \[3, 1\]"
    ):
        merge_duplicates(torch.zeros(3, 1), coords, **grid)
