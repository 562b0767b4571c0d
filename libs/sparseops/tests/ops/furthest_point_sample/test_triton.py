import pytest
import torch
from sparseops import furthest_point_sample
from sparseops.ops.furthest_point_sample._reference import (
    furthest_point_sample as furthest_point_sample_reference,
)


@pytest.mark.triton
@pytest.mark.parametrize(("clouds", "points", "count"), [(0, 4, 2), (2, 1, 1), (3, 90, 30), (1, 64, 70)])
@pytest.mark.parametrize("ties", [False, True])
def test_rows_equal_the_reference(triton_device, clouds, points, count, ties) -> None:
    from sparseops.ops.furthest_point_sample._triton import (
        furthest_point_sample as furthest_point_sample_triton,
    )

    xyz = torch.rand(clouds, points, 3, device=triton_device)
    if ties:
        xyz = (xyz * 4).round()
    assert torch.equal(furthest_point_sample_triton(xyz, count), furthest_point_sample_reference(xyz, count))


@pytest.mark.triton
def test_clouds_of_several_blocks_and_strided_points(triton_device, monkeypatch) -> None:
    from sparseops.ops.furthest_point_sample import _triton

    monkeypatch.setattr(_triton, "_MOST_POINTS", 16)
    xyz = (torch.rand(2, 3, 50, device=triton_device) * 3).round().transpose(1, 2)
    assert torch.equal(furthest_point_sample(xyz, 20), furthest_point_sample_reference(xyz, 20))


@pytest.mark.triton
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_points_that_are_not_finite_still_give_valid_rows(triton_device, value: float) -> None:
    points = torch.rand(2, 40, 3, device=triton_device)
    points[0, ::3] = value
    points[1] = value
    rows = furthest_point_sample(points, 20)
    assert ((rows >= 0) & (rows < 40)).all()


def test_the_kernel_compiles(compile_kernel) -> None:
    from sparseops.ops.furthest_point_sample import _triton

    types = {"xyz": "*fp32", "distances": "*fp32", "chosen": "*i64", "n": "i32", "count": "i32"}
    for block, warps in ((1, 1), (256, 2), (2048, 16)):
        compile_kernel(_triton._sample, types, {"POINTS": block}, num_warps=warps, enable_fp_fusion=False)
