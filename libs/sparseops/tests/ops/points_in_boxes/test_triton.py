import pytest
import torch
from sparseops import points_in_boxes, points_in_boxes_batch
from sparseops.ops.points_in_boxes import _ops
from sparseops.ops.points_in_boxes._reference import points_in_boxes as points_in_boxes_reference


@pytest.mark.triton
@pytest.mark.parametrize("margin", [-0.3, 0.0, 1e-5])
@pytest.mark.parametrize(("count", "boxes"), [(300, 6), (1, 1), (0, 3), (5, 0)])
def test_rows_equal_the_reference(triton_device: torch.device, margin: float, count: int, boxes: int) -> None:
    # Coordinates on a grid of an eighth put many points exactly on faces.
    points = torch.randint(-24, 24, (count, 3)) / 8
    table = torch.randint(-8, 9, (2, boxes, 7)) / 4
    sample = torch.randint(-1, 3, (count,))
    arguments = [tensor.to(triton_device) for tensor in (points, sample, table)]
    found = _ops.points_in_boxes(*arguments, margin)
    assert torch.equal(found, points_in_boxes_reference(*arguments, margin))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_row_of_no_sample_is_in_no_box_on_a_gpu() -> None:
    points = torch.zeros(5, 4)
    points[:, 0] = torch.tensor([0.0, 0.5, -1.0, 1.0, torch.nan])
    found = points_in_boxes_batch(points.cuda(), torch.tensor([[[0.0, 0, 0, 2, 2, 2, 0]]]).cuda())
    assert found.tolist() == [0, -1, -1, -1, -1]


@pytest.mark.triton
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_what_is_not_finite_is_never_inside(triton_device: torch.device) -> None:
    points = torch.tensor([[torch.nan, 0, 0], [0, torch.inf, 0], [0, 0, torch.nan], [0, 0, 0]])
    boxes = torch.tensor([[0.0, 0, 0, 2, 2, 2, torch.nan], [0.0, 0, 0, 0, 2, 2, 0], [0.0, 0, 0, 2, 2, 2, 0]])
    found = points_in_boxes(points.to(triton_device), boxes.to(triton_device), margin=0.1)
    assert found.tolist() == [-1, -1, -1, 2]


def test_the_kernel_compiles(compile_kernel) -> None:
    from sparseops.ops.points_in_boxes._triton import _first_box_kernel

    types = {"points": "*fp32", "batch_index": "*i64", "frames": "*fp32", "found": "*i64"}
    types |= {"n": "i32", "samples": "i32", "m": "i32"}
    compile_kernel(_first_box_kernel, types, {"POINTS": 128}, enable_fp_fusion=False)
    # Numbers that are 1 become constants of the kernel.
    pointers = {name: kind for name, kind in types.items() if kind.startswith("*")}
    ones = {"n": 1, "samples": 1, "m": 1, "POINTS": 128}
    compile_kernel(_first_box_kernel, pointers, ones, enable_fp_fusion=False)
