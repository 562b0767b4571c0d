import pytest
import torch
from sparseops import iou_3d, iou_bev, paired_iou_3d
from sparseops.ops.rotated_iou._reference import iou_reference, seen_from_above

TYPES = {"a": "*fp64", "b": "*fp64", "out": "*fp32", "n": "i32", "m": "i32"}


def some_boxes(count: int, device: torch.device) -> torch.Tensor:
    boxes = torch.rand(count, 7).double() * torch.tensor([9, 9, 2, 3, 3, 2, 6.3]) + 0.1
    return boxes.to(device)


@pytest.mark.triton
@pytest.mark.parametrize(("n", "m"), [(21, 37), (1, 1), (0, 3), (3, 0)])
def test_tables_equal_the_reference(triton_device: torch.device, n: int, m: int) -> None:
    a, b = some_boxes(n, triton_device), some_boxes(m, triton_device)
    torch.testing.assert_close(iou_3d(a, b), iou_reference(a[:, None], b), rtol=0, atol=1e-12)
    flat = seen_from_above(a)[:, None], seen_from_above(b)
    torch.testing.assert_close(iou_bev(a, b), iou_reference(*flat), rtol=0, atol=1e-12)
    assert iou_bev(a.float(), b.float()).dtype == torch.float32


@pytest.mark.triton
@pytest.mark.parametrize("n", [0, 1, 150])
def test_pairs_equal_the_reference(triton_device: torch.device, n: int) -> None:
    a, b = some_boxes(n, triton_device), some_boxes(n, triton_device)
    torch.testing.assert_close(paired_iou_3d(a, b), iou_reference(a, b), rtol=0, atol=1e-12)


@pytest.mark.triton
def test_edges_that_coincide_equal_the_reference(triton_device: torch.device) -> None:
    a, b = (torch.randint(-2, 5, (count, 7)).double().to(triton_device) for count in (20, 40))
    a[:, 6] *= torch.pi / 4
    b[:, 6] *= torch.pi / 4
    torch.testing.assert_close(iou_3d(a, b), iou_reference(a[:, None], b), rtol=0, atol=1e-12)


@pytest.mark.triton
def test_boxes_far_apart_or_broken_overlap_nothing(triton_device: torch.device) -> None:
    a, b = some_boxes(20, triton_device), some_boxes(20, triton_device)
    b[:, 0] += 1000
    assert not iou_3d(a, b).any()
    b = a.clone()
    b[:, 4] = torch.nan
    assert not iou_3d(a, b).any()


def test_kernels_compile(compile_kernel) -> None:
    from sparseops.ops.rotated_iou._triton import _pairs_kernel, _table_kernel

    compile_kernel(_table_kernel, TYPES, {"ROWS": 16, "COLUMNS": 16})
    compile_kernel(_pairs_kernel, {k: v for k, v in TYPES.items() if k != "m"}, {"PAIRS": 128})
    # Numbers that are 1 become constants of the kernel.
    pointers = {"a": "*fp64", "b": "*fp64", "out": "*fp64"}
    compile_kernel(_table_kernel, pointers, {"n": 1, "m": 1, "ROWS": 16, "COLUMNS": 16})
    compile_kernel(_pairs_kernel, pointers, {"n": 1, "PAIRS": 128})
