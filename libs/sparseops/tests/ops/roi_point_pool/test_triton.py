import pytest
import torch
from sparseops import roi_point_pool
from sparseops.ops.roi_point_pool import _triton


@pytest.mark.triton
@pytest.mark.parametrize(("count", "boxes"), [(90, 4), (1, 1), (0, 2), (4, 0)])
@pytest.mark.parametrize("samples", [5, 40])
def test_values_and_gradients_equal_the_reference(
    triton_device: torch.device, monkeypatch: pytest.MonkeyPatch, count: int, boxes: int, samples: int
) -> None:
    # Coordinates on a grid of an eighth put many points exactly on faces.
    points = (torch.randint(-8, 8, (2, count, 3)) / 8).to(triton_device)
    rois = (torch.randint(-4, 9, (2, boxes, 7)) / 4).to(triton_device)
    monkeypatch.setattr(_triton, "_POINTS", 32)
    features = torch.rand(2, count, 3, device=triton_device)
    results = []
    for _ in range(2):
        leaf = features.clone().requires_grad_()
        pooled, empty = roi_point_pool(
            points, leaf, rois, num_sampled_points=samples, pool_extra_width=(0.5, 0.0, 0.0)
        )
        (pooled * torch.arange(pooled.numel(), device=triton_device).view(pooled.shape)).sum().backward()
        results.append((pooled, empty, leaf.grad))
        monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    torch.testing.assert_close(results[0][2], results[1][2])


def test_the_kernel_compiles(compile_kernel) -> None:
    types = {"points": "*fp32", "frames": "*fp32", "rows": "*i64", "count": "*i64"}
    types |= {"n": "i32", "m": "i32", "samples": "i32"}
    compile_kernel(_triton._first_inside_kernel, types, {"POINTS": 512}, enable_fp_fusion=False)
    # Numbers that are 1 become constants of the kernel.
    pointers = {name: kind for name, kind in types.items() if kind.startswith("*")}
    ones = {"n": 1, "m": 1, "samples": 1, "POINTS": 512}
    compile_kernel(_triton._first_inside_kernel, pointers, ones, enable_fp_fusion=False)
