from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import iou_bev, nms_bev
from sparseops.nms._api import _nms_bev
from sparseops.nms._cpu import nms_bev_cpu
from sparseops.nms._reference import nms_bev_reference

GOLDEN = Path(__file__).parents[1] / "golden" / "rotated_iou.npz"


def scene(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of cars in clusters, and scores."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.rand(max(count // 5, 1), 2, generator=draw) * 20
    boxes = torch.rand(count, 7, generator=draw)
    boxes[:, :2] += centres[torch.randint(len(centres), (count,), generator=draw)]
    boxes[:, 3:6] += torch.tensor([3.5, 1.5, 1.5])
    boxes[:, 6] *= 6.3
    return boxes, torch.rand(count, generator=draw)


def by_hand(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    """Greedy suppression by the definition, on the full table."""
    overlap = iou_bev(boxes.double(), boxes.double()) > threshold
    kept: list[int] = []
    for row in torch.sort(scores, descending=True, stable=True).indices.tolist():
        if not overlap[kept, row].any():
            kept.append(row)
    return kept


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_kept_rows_equal_the_golden_ones(backend: str, threshold: float) -> None:
    with np.load(GOLDEN) as golden:
        boxes, scores = torch.from_numpy(golden["nms_boxes"]), torch.from_numpy(golden["nms_scores"])
        assert nms_bev(boxes, scores, threshold=threshold).tolist() == golden[f"keep_{threshold}"].tolist()


@pytest.mark.golden
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_kept_rows_equal_the_official_ones(backend: str, imagepg_ops, threshold: float) -> None:
    boxes, scores = imagepg_ops["nms_boxes"], imagepg_ops["nms_scores"]
    assert (
        nms_bev(boxes, scores, threshold=threshold).tolist()
        == imagepg_ops[f"nms_keep_rotated_{threshold}"].tolist()
    )
    level = boxes.clone()
    level[:, 6] = 0
    assert (
        nms_bev(level, scores, threshold=threshold).tolist()
        == imagepg_ops[f"nms_keep_axis_{threshold}"].tolist()
    )


@pytest.mark.golden
def test_pre_max_equals_the_official_one(backend: str, imagepg_ops) -> None:
    kept = nms_bev(imagepg_ops["nms_boxes"], imagepg_ops["nms_scores"], threshold=0.3, pre_max=50)
    assert kept.tolist() == imagepg_ops["nms_keep_rotated_0.3_pre50"].tolist()


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(0, 60), st.sampled_from([0.0, 0.01, 0.3, 0.8, 1.0]), st.integers(0, 1000))
def test_back_ends_agree_with_the_definition(count: int, threshold: float, seed: int) -> None:
    boxes, scores = scene(count, seed)
    order = torch.sort(scores, descending=True, stable=True).indices
    wanted = by_hand(boxes, scores, threshold)
    assert order[nms_bev_cpu(boxes[order], threshold, count)].tolist() == wanted
    assert order[nms_bev_reference(boxes[order], threshold, count)].tolist() == wanted


def test_suppressing_twice_changes_nothing(backend: str) -> None:
    boxes, scores = scene(80)
    kept = nms_bev(boxes, scores, threshold=0.2)
    assert nms_bev(boxes[kept], scores[kept], threshold=0.2).tolist() == list(range(len(kept)))


def test_order_of_the_rows_does_not_matter(backend: str) -> None:
    boxes, scores = scene(80)
    mixed = torch.randperm(80)
    assert torch.equal(
        mixed[nms_bev(boxes[mixed], scores[mixed], threshold=0.2)], nms_bev(boxes, scores, threshold=0.2)
    )


def test_post_max_cuts_the_list(backend: str) -> None:
    boxes, scores = scene(80)
    full = nms_bev(boxes, scores, threshold=0.2)
    assert torch.equal(nms_bev(boxes, scores, threshold=0.2, post_max=5), full[:5])


def test_equal_scores_keep_the_lowest_row(backend: str) -> None:
    boxes = scene(1)[0].repeat(4, 1)
    assert nms_bev(boxes, torch.ones(4), threshold=0.5).tolist() == [0]


def test_no_boxes_and_one_box(backend: str) -> None:
    assert nms_bev(torch.zeros(0, 7), torch.zeros(0), threshold=0.5).tolist() == []
    assert nms_bev(torch.ones(1, 7), torch.zeros(1), threshold=0.5).tolist() == [0]


def test_boxes_without_area_are_all_kept(backend: str) -> None:
    boxes = torch.zeros(3, 7)
    boxes[2, 3:6] = 2.0
    assert nms_bev(boxes, torch.arange(3.0), threshold=0.0).tolist() == [2, 1, 0]


def test_the_operator_passes_opcheck() -> None:
    torch.library.opcheck(_nms_bev, (scene(20)[0], 0.1, 20))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    boxes, scores = scene(5)
    with pytest.raises(ValueError, match=r"nms_bev: boxes must have shape \[N, 7\], got \[5, 6\]"):
        nms_bev(boxes[:, :6], scores, threshold=0.1)
    with pytest.raises(ValueError, match=r"nms_bev: scores must have shape \[5\], got \[4\]"):
        nms_bev(boxes, scores[:4], threshold=0.1)
    with pytest.raises(TypeError, match="nms_bev: scores must be float32 or float64, got int64"):
        nms_bev(boxes, scores.long(), threshold=0.1)
    with pytest.raises(ValueError, match=r"nms_bev: threshold must lie in 0 to 1, got 1\.5"):
        nms_bev(boxes, scores, threshold=1.5)
    with pytest.raises(ValueError, match="nms_bev: pre_max must be positive, got 0"):
        nms_bev(boxes, scores, threshold=0.5, pre_max=0)
