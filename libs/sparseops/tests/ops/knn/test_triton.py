from collections.abc import Callable

import pytest
import torch
from sparseops import knn, knn_stacked
from sparseops.ops.knn._reference import knn as knn_reference

pytest.importorskip("triton")
from sparseops.ops.knn._triton import knn as knn_triton
from sparseops.ops.knn._triton import knn_kernel


@pytest.mark.triton
@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("steps", [2, 1000])
def test_lists_equal_the_reference(triton_device: torch.device, k: int, steps: int) -> None:
    points = (torch.randint(-steps, steps, (75, 3)) / 7).to(triton_device)
    queries = (torch.randint(-steps, steps, (45, 3)) / 7).to(triton_device)
    query_starts = torch.tensor([0, 20, 20, 40, 45], device=triton_device)
    point_starts = torch.tensor([0, 60, 66, 66, 75], device=triton_device)
    arguments = (queries, query_starts, points, point_starts, k)
    for ours, reference in zip(knn_triton(*arguments), knn_reference(*arguments), strict=True):
        assert torch.equal(ours, reference)


# The interpreter computes with NumPy, which warns.
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.triton
def test_what_is_not_finite_is_never_found(triton_device: torch.device) -> None:
    points = torch.zeros(8, 3)
    points[:5, 1] = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e30])
    queries = torch.tensor([[0.0, 0, 0], [torch.nan, 0, 0], [torch.inf, 0, 0]])
    squared, idx = knn(queries[None].to(triton_device), points[None].to(triton_device), k=4)
    assert idx[0].tolist() == [[5, 6, 7, -1], [-1] * 4, [-1] * 4]
    assert torch.equal(squared < torch.inf, idx >= 0)


@pytest.mark.triton
def test_nothing_to_search(triton_device: torch.device) -> None:
    none = torch.zeros(0, 3, device=triton_device)
    counts = torch.tensor([0, 0], device=triton_device)
    assert knn_stacked(none, counts, none, counts, k=2).idx.shape == (0, 2)
    queries = torch.zeros(3, 3, device=triton_device)
    wanted = torch.full((3, 2), -1, device=triton_device)
    found = knn_stacked(queries, torch.tensor([1, 2], device=triton_device), none, counts, k=2)
    assert torch.equal(found.idx, wanted)


@pytest.mark.parametrize("places", [2, 16, pytest.param(64, marks=pytest.mark.slow)])
def test_the_kernel_compiles(compile_kernel: Callable[..., None], places: int) -> None:
    compile_kernel(
        knn_kernel,
        {
            "queries": "*fp32",
            "sample": "*i64",
            "points": "*fp32",
            "point_starts": "*i64",
            "squared": "*fp32",
            "idx": "*i64",
            "m": "i32",
            "k": "i32",
        },
        {"LIST": places, "BLOCK_QUERIES": 32, "BLOCK_POINTS": 128},
    )
