import pytest
import torch
from sparseops import nms_3d, nms_aligned_3d, nms_aligned_bev, nms_bev
from sparseops.ops.nms import _triton

FUNCTIONS = [nms_bev, nms_3d, nms_aligned_bev, nms_aligned_3d]


@pytest.fixture
def device(triton_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Where kernels run; in the interpreter, where every program costs time, with larger tiles."""
    if triton_device.type == "cpu":
        monkeypatch.setattr(_triton, "_ROWS", 32)
    return triton_device


def scene(count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes in a heap, scores with ties, and classes."""
    boxes = torch.rand(count, 7) * torch.tensor([9, 9, 2, 1, 1, 1, 6.3])
    boxes[:, 3:6] += torch.tensor([2.5, 1.5, 1.5])
    scores, labels = torch.randint(count + 1, (count,)) / 90, torch.randint(2, (count,))
    return boxes.to(device), scores.to(device), labels.to(device)


@pytest.mark.triton
@pytest.mark.parametrize(("count", "post_max"), [(0, None), (1, None), (64, None), (90, None), (90, 7)])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_kept_rows_equal_the_reference(
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    function,
    count: int,
    post_max: int | None,
) -> None:
    boxes, scores, labels = scene(count, device)
    ours = function(boxes, scores, iou_threshold=0.1, labels=labels, post_max=post_max)
    monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    wanted = function(boxes, scores, iou_threshold=0.1, labels=labels, post_max=post_max)
    assert ours.tolist() == wanted.tolist()
    assert count < 90 or post_max or 5 < len(wanted) < 85


@pytest.mark.triton
def test_rows_are_merged_in_parts_too(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_triton, "_TILE", 16)
    boxes, scores, _ = scene(90, device)
    boxes[:, :2] *= 0.2
    ours = nms_bev(boxes, scores, iou_threshold=0.3)
    monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    assert ours.tolist() == nms_bev(boxes, scores, iou_threshold=0.3).tolist()


@pytest.mark.triton
@pytest.mark.parametrize("function", FUNCTIONS[2:])
def test_an_iou_equal_to_the_threshold_keeps_the_box(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, function
) -> None:
    # On this coarse grid many overlaps are exactly a third or a half.
    boxes = torch.randint(-2, 4, (80, 7)).float().to(device)
    scores = (torch.randint(5, (80,)) / 4).to(device)
    ours = [function(boxes, scores, iou_threshold=threshold).tolist() for threshold in (1 / 3, 0.5)]
    monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    assert ours == [function(boxes, scores, iou_threshold=threshold).tolist() for threshold in (1 / 3, 0.5)]


@pytest.mark.triton
def test_scores_that_are_nan_are_refused(device: torch.device) -> None:
    boxes, scores, _ = scene(3, device)
    scores[1] = torch.nan
    with pytest.raises(ValueError, match="scores must not be NaN"):
        nms_bev(boxes, scores, iou_threshold=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("rotated", [True, False])
def test_the_table_kernel_compiles(compile_kernel, rotated: bool) -> None:
    types = {"boxes": "*fp64", "labels": "*i64", "threshold": "*fp64", "bits": "*i64", "n": "i32"}
    compile_kernel(_triton._bits_kernel, types, {"ROTATED": rotated, "ROWS": 4}, num_warps=8)


@pytest.mark.parametrize(("words", "rows"), [(1, 64), (64, 64), (256, 16)])
def test_the_scan_kernel_compiles(compile_kernel, words: int, rows: int) -> None:
    types = {"bits": "*i64", "kept": "*i64", "count": "*i32", "n": "i32", "post_max": "i32", "words": "i32"}
    compile_kernel(_triton._scan_kernel, types, {"WORDS": words, "ROWS": rows}, num_warps=8)


def test_kernels_compile_for_a_single_box(compile_kernel) -> None:
    # Numbers that are 1 become constants of the kernel.
    types = {"boxes": "*fp64", "labels": "*i64", "threshold": "*fp64", "bits": "*i64"}
    compile_kernel(_triton._bits_kernel, types, {"n": 1, "ROTATED": True, "ROWS": 4}, num_warps=8)
    types, ones = {"bits": "*i64", "kept": "*i64", "count": "*i32"}, {"n": 1, "post_max": 1, "words": 1}
    compile_kernel(_triton._scan_kernel, types, {**ones, "WORDS": 1, "ROWS": 64}, num_warps=8)
