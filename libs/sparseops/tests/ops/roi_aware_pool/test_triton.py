import pytest
import torch
from sparseops import roi_aware_pool
from sparseops.ops.roi_aware_pool import _triton


@pytest.mark.triton
@pytest.mark.parametrize(("count", "boxes"), [(90, 4), (1, 1), (0, 2), (4, 0)])
@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_values_and_gradients_equal_the_reference(
    triton_device: torch.device, monkeypatch: pytest.MonkeyPatch, count: int, boxes: int, reduce: str
) -> None:
    # Coordinates on a grid of an eighth put many points exactly on faces of cells.
    points = (torch.randint(-8, 8, (count, 3)) / 8).to(triton_device)
    rois = (torch.randint(-4, 9, (boxes, 7)) / 4).to(triton_device)
    monkeypatch.setattr(_triton, "_POINTS", 64)
    features = torch.rand(count, 3, device=triton_device)
    results = []
    for _ in range(2):
        leaf = features.clone().requires_grad_()
        pooled = roi_aware_pool(
            points, leaf, rois, output_size=(2, 1, 3), max_points=4, reduce=reduce, margin=0.1
        )
        (pooled * torch.arange(pooled.numel(), device=triton_device).view(pooled.shape)).sum().backward()
        results.append((pooled, leaf.grad))
        monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


@pytest.mark.triton
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_what_is_not_finite_is_in_no_cell(triton_device: torch.device) -> None:
    points = torch.tensor([[torch.nan, 0, 0], [0, torch.inf, 0], [0, 0, 0]]).to(triton_device)
    rois = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0], [0.0, 0, 0, 2, 2, torch.nan, 0]]).to(triton_device)
    pooled = roi_aware_pool(points, torch.eye(3, device=triton_device), rois, output_size=1)
    assert pooled.flatten().tolist() == [0, 0, 1, 0, 0, 0]


def test_the_kernel_compiles(compile_kernel) -> None:
    types = {"points": "*fp32", "frames": "*fp32", "grid": "*fp32", "table": "*i32", "n": "i32"}
    types |= {"x_cells": "i32", "y_cells": "i32", "z_cells": "i32"}
    compile_kernel(_triton._cells_kernel, types, {"POINTS": 256}, enable_fp_fusion=False)
    # Numbers that are 1 become constants of the kernel.
    pointers = {name: kind for name, kind in types.items() if kind.startswith("*")}
    ones = {"n": 1, "x_cells": 1, "y_cells": 1, "z_cells": 1, "POINTS": 256}
    compile_kernel(_triton._cells_kernel, pointers, ones, enable_fp_fusion=False)
