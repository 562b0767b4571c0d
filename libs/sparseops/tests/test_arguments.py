"""What users pass every day: taken where it is clear, else one sentence with operator, argument, cure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sparseops as so
import torch
from sparseops import SparseTensor
from sparseops.nn import SparseConv3d, SparseModule, SparseSequential, SubmanifoldConv3d
from torch import nn

POINTS = torch.rand(50, 4)
SIZE, BOUNDS = (0.1, 0.1, 0.1), (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
COORDS = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 3]], dtype=torch.int32)
FORMS = [list, np.array, torch.tensor, lambda x: np.array(x, np.float32), lambda x: torch.tensor(x).double()]


def voxelize(size: Any = SIZE, bounds: Any = BOUNDS, points: Any = POINTS) -> so.Voxels:
    return so.voxelize(
        points, voxel_size=size, bounds=bounds, max_points=np.int64(5), max_voxels=np.int32(90)
    )


def tensor(**options: Any) -> SparseTensor:
    return SparseTensor(torch.rand(2, 4), COORDS, (4, 4, 4), 1, **options)


@pytest.mark.parametrize("form", FORMS)
def test_sizes_and_bounds_come_in_any_form(form: Callable, no_shape_checks: None) -> None:
    expected = voxelize((0.25, 0.25, 0.25))
    found = voxelize(form([0.25, 0.25, 0.25]), form(list(BOUNDS)))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    assert so.voxel_grid_size(form([0.25, 0.25, 0.25]), form(list(BOUNDS))) == (4, 4, 4)


@pytest.mark.parametrize("form", [int, np.int64, np.int32, lambda x: torch.tensor(x)])
def test_whole_numbers_come_in_any_form(form: Callable, no_shape_checks: None) -> None:
    layer = SparseConv3d(4, 4, form(3), stride=form(2), padding=[form(1)] * 3)
    assert (layer.kernel_size, layer.stride, layer.padding) == ((3, 3, 3), (2, 2, 2), (1, 1, 1))
    assert SparseConv3d(4, 4, np.array([3, 3, 1])).kernel_size == (3, 3, 1)
    assert so.knn(POINTS[None, :, :3], POINTS[None, :, :3], k=form(2)).idx.shape == (1, 50, 2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: voxelize(0.1), TypeError, "voxelize: voxel_size must be 3 numbers, got 0.1"),
        (lambda: voxelize("abc"), TypeError, "voxelize: voxel_size must be 3 numbers"),
        (
            lambda: voxelize((0.1, 0.1)),
            ValueError,
            r"voxelize: voxel_size must be 3 finite numbers, got \[0.1",
        ),
        (lambda: voxelize(bounds=BOUNDS[:5]), ValueError, "voxelize: bounds must be 6 finite numbers"),
        (lambda: voxelize(bounds=(*BOUNDS[:5], np.inf)), ValueError, "bounds must be 6 finite numbers"),
        (lambda: voxelize((np.nan, 0.1, 0.1)), ValueError, "voxel_size must be 3 finite numbers"),
        (lambda: voxelize((0.0, 0.1, 0.1)), ValueError, "voxelize: voxel_size must be positive"),
        (
            lambda: voxelize(bounds=(0, 0, 0, 1e9, 1, 1)),
            ValueError,
            r"2\*\*31 - 1 cells .* make voxel_size larger",
        ),
        (lambda: voxelize((1e-6,) * 3, (0, 0, 0, 2e3, 2e3, 2e3)), ValueError, r"2\*\*62 in all"),
        (
            lambda: voxelize(points=POINTS.numpy()),
            TypeError,
            "points must be a tensor, got ndarray; .*from_numpy",
        ),
        (lambda: so.iou_bev([[0.0] * 7], torch.zeros(1, 7)), TypeError, "must be a tensor, got list"),
        (
            lambda: so.knn(np.zeros((1, 3, 3)), POINTS[None, :, :3], k=1),
            TypeError,
            "queries must be a tensor, got",
        ),
        (lambda: tensor() + tensor(), ValueError, "same Sites object, row for row; sparseops.union_add"),
        (
            lambda: SparseSequential(nn.InstanceNorm1d(4))(tensor()),
            TypeError,
            "InstanceNorm1d, which takes the rows",
        ),
    ],
)
def test_what_is_not_clear_is_said_in_a_sentence(
    call: Callable, error: type[Exception], words: str, no_shape_checks: None
) -> None:
    with pytest.raises(error, match=words):
        call()


def test_tensors_on_the_same_sites_are_added() -> None:
    one = tensor()
    both = one + one.replace(one.features * 2)
    assert both.sites is one.sites and both.cache is one.cache
    assert torch.equal(both.features, one.features + one.features * 2)
    with pytest.raises(TypeError, match="unsupported operand"):
        one + 1  # type: ignore[operator]


def test_a_type_may_be_the_first_argument_of_to() -> None:
    one = tensor()
    double = one.to(torch.float64)
    assert double.features.dtype == torch.float64 and double.sites is one.sites
    assert one.to("meta", dtype=torch.float16).features.dtype == torch.float16


def test_a_block_that_is_a_plain_module_gets_the_sparse_tensor() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SubmanifoldConv3d(4, 4, 3)

        def forward(self, given: SparseTensor) -> SparseTensor:
            return given + self.conv(given)

    block, one = Plain(), tensor()
    assert not isinstance(block, SparseModule)
    network = SparseSequential(block, nn.BatchNorm1d(4), nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    assert network(one).features.shape == (2, 3)
    assert torch.equal(SparseSequential(block)(one).features, block(one).features)
