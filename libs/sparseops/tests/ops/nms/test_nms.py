from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sparseops import (
    iou_3d,
    iou_aligned_3d,
    iou_aligned_bev,
    iou_bev,
    nms_3d,
    nms_aligned_3d,
    nms_aligned_bev,
    nms_bev,
)
from sparseops.ops.nms import _ops

GOLDEN = Path(__file__).parents[2] / "golden" / "rotated_iou.npz"
VARIANTS = [
    (nms_bev, iou_bev),
    (nms_3d, iou_3d),
    (nms_aligned_bev, iou_aligned_bev),
    (nms_aligned_3d, iou_aligned_3d),
]
FUNCTIONS = [function for function, _ in VARIANTS]


def scene(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of cars in clusters, and scores."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.rand(max(count // 5, 1), 2, generator=draw) * 20
    boxes = torch.rand(count, 7, generator=draw)
    boxes[:, :2] += centres[torch.randint(len(centres), (count,), generator=draw)]
    boxes[:, 3:6] += torch.tensor([3.5, 1.5, 1.5])
    boxes[:, 6] *= 6.3
    return boxes, torch.rand(count, generator=draw)


def by_hand(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, iou, labels=None) -> list[int]:
    """Greedy suppression by the definition, on the full table."""
    overlap = iou(boxes.double(), boxes.double()) > threshold
    if labels is not None:
        overlap &= labels[:, None] == labels
    kept: list[int] = []
    for row in torch.sort(scores, descending=True, stable=True).indices.tolist():
        if not overlap[kept, row].any():
            kept.append(row)
    return kept


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_kept_rows_equal_the_golden_ones(backend: str, threshold: float) -> None:
    with np.load(GOLDEN) as golden:
        boxes, scores = torch.from_numpy(golden["nms_boxes"]), torch.from_numpy(golden["nms_scores"])
        assert (
            nms_bev(boxes, scores, iou_threshold=threshold).tolist() == golden[f"keep_{threshold}"].tolist()
        )


@pytest.mark.golden
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_kept_rows_equal_the_official_ones(backend: str, imagepg_ops, threshold: float) -> None:
    boxes, scores = imagepg_ops["nms_boxes"], imagepg_ops["nms_scores"]
    assert (
        nms_bev(boxes, scores, iou_threshold=threshold).tolist()
        == imagepg_ops[f"nms_keep_rotated_{threshold}"].tolist()
    )
    assert (
        nms_aligned_bev(boxes, scores, iou_threshold=threshold).tolist()
        == imagepg_ops[f"nms_keep_axis_{threshold}"].tolist()
    )


@pytest.mark.golden
def test_pre_max_equals_the_official_one(backend: str, imagepg_ops) -> None:
    kept = nms_bev(imagepg_ops["nms_boxes"], imagepg_ops["nms_scores"], iou_threshold=0.3, pre_max=50)
    assert kept.tolist() == imagepg_ops["nms_keep_rotated_0.3_pre50"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("forced", ["", "reference"])
@pytest.mark.parametrize(("function", "iou"), VARIANTS)
@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.integers(0, 60),
    st.sampled_from([0.0, 0.01, 0.3, 0.8, 1.0]),
    st.sampled_from([1, 2, 5]),
    st.integers(0, 1000),
)
def test_back_ends_agree_with_the_definition(
    forced: str, function, iou, count: int, threshold: float, classes: int, seed: int
) -> None:
    boxes, scores = scene(count, seed)
    labels = torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("reference", ""):
            patch.setenv("SPARSEOPS_BACKEND", name)
            overlap = iou(boxes.double(), boxes.double())
            # Whether boxes that touch overlap is up to rounding, which differs between the back ends.
            assume(not ((overlap > 0) & (overlap < 1e-12)).any())
        wanted = by_hand(boxes, scores, threshold, iou, labels)
        patch.setenv("SPARSEOPS_BACKEND", forced)
        kept = function(boxes, scores, iou_threshold=threshold, labels=labels)
        assert kept.tolist() == wanted


@pytest.mark.slow
@pytest.mark.parametrize(("function", "iou"), VARIANTS[2:])
@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(0, 40), st.sampled_from([0.0, 0.25, 1 / 3, 0.5]), st.integers(0, 1000))
def test_an_iou_equal_to_the_threshold_keeps_the_box(
    function, iou, count: int, threshold: float, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    # On this coarse grid many overlaps are exactly a quarter, a third or a half; many scores are equal.
    boxes = torch.randint(-2, 4, (count, 7), generator=draw).float()
    scores = torch.randint(5, (count,), generator=draw) / 4
    wanted = by_hand(boxes, scores, threshold, iou)
    for forced in ("", "reference"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SPARSEOPS_BACKEND", forced)
            assert function(boxes, scores, iou_threshold=threshold).tolist() == wanted


@pytest.mark.parametrize("function", FUNCTIONS)
def test_classes_do_not_see_each_other(backend: str, function) -> None:
    boxes, scores = scene(80)
    labels = torch.randint(3, (80,), dtype=torch.int32)
    apart = [
        rows[function(boxes[rows], scores[rows], iou_threshold=0.2)]
        for rows in ((labels == c).nonzero()[:, 0] for c in range(3))
    ]
    kept = function(boxes, scores, iou_threshold=0.2, labels=labels)
    assert kept.sort().values.tolist() == torch.cat(apart).sort().values.tolist()
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)


def test_boxes_above_each_other_overlap_only_seen_from_above(backend: str) -> None:
    boxes = torch.tensor([[0.0, 0, 0, 4, 2, 1, 0.3], [0.0, 0, 3, 4, 2, 1, 0.3]])
    assert nms_bev(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.1).tolist() == [0]
    assert nms_3d(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.1).tolist() == [0, 1]


def test_aligned_variants_ignore_the_yaw(backend: str) -> None:
    boxes = torch.tensor([[0.0, 0, 0, 8, 1, 1, 0.0], [0.0, 0, 0, 8, 1, 1, 1.5]])
    assert nms_bev(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.5).tolist() == [0, 1]
    assert nms_aligned_bev(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.5).tolist() == [0]
    assert nms_aligned_3d(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.5).tolist() == [0]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_suppressing_twice_changes_nothing(backend: str, function) -> None:
    boxes, scores = scene(80)
    kept = function(boxes, scores, iou_threshold=0.2)
    assert function(boxes[kept], scores[kept], iou_threshold=0.2).tolist() == list(range(len(kept)))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_order_of_the_rows_does_not_matter(backend: str, function) -> None:
    boxes, scores = scene(80)
    mixed = torch.randperm(80)
    kept = mixed[function(boxes[mixed], scores[mixed], iou_threshold=0.2)]
    assert torch.equal(kept, function(boxes, scores, iou_threshold=0.2))


def test_post_max_cuts_the_list(backend: str) -> None:
    boxes, scores = scene(80)
    full = nms_bev(boxes, scores, iou_threshold=0.2)
    assert torch.equal(nms_bev(boxes, scores, iou_threshold=0.2, post_max=5), full[:5])


def test_equal_scores_keep_the_lowest_row(backend: str) -> None:
    boxes = scene(1)[0].repeat(4, 1)
    assert nms_bev(boxes, torch.ones(4), iou_threshold=0.5).tolist() == [0]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_boxes_and_one_box(backend: str, function) -> None:
    assert function(torch.zeros(0, 7), torch.zeros(0), iou_threshold=0.5).tolist() == []
    assert function(torch.ones(1, 7), torch.zeros(1), iou_threshold=0.5).tolist() == [0]


@pytest.mark.parametrize("broken", [0.0, -1.0, torch.nan, torch.inf])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_boxes_without_area_or_numbers_are_all_kept(backend: str, function, broken: float) -> None:
    boxes = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0]]).repeat(3, 1)
    boxes[:2, 3] = broken
    assert function(boxes, torch.arange(3.0), iou_threshold=0.0).tolist() == [2, 1, 0]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_scores_that_are_nan_are_refused(backend: str, function) -> None:
    with pytest.raises(ValueError, match="nms: scores must not be NaN; mask such rows out"):
        function(torch.ones(3, 7), torch.tensor([0.1, torch.nan, 0.3]), iou_threshold=0.5)


def test_infinite_scores_are_ranked(backend: str) -> None:
    scores = torch.tensor([0.0, torch.inf, -torch.inf])
    assert nms_bev(scene(3)[0] * 9, scores, iou_threshold=1.0).tolist() == [1, 0, 2]


@pytest.mark.slow
@pytest.mark.parametrize("rotated", [True, False])
def test_the_operator_passes_opcheck(rotated: bool) -> None:
    boxes, scores = scene(20)
    torch.library.opcheck(_ops.nms, (boxes.double(), scores, torch.arange(20) % 2, 0.1, 15, 10, rotated))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_function_is_named_in_errors(function) -> None:
    with pytest.raises(
        ValueError, match=rf"{function.__name__}: boxes must have shape \[N, 7\], got \[5, 6\]"
    ):
        function(torch.ones(5, 6), torch.ones(5), iou_threshold=0.1)


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    boxes, scores = scene(5)
    with pytest.raises(ValueError, match=r"nms_bev: scores must have shape \[5\], got \[4\]"):
        nms_bev(boxes, scores[:4], iou_threshold=0.1)
    with pytest.raises(TypeError, match=r"nms_bev: scores must be .* or float32 or float64, got int64"):
        nms_bev(boxes, scores.long(), iou_threshold=0.1)
    with pytest.raises(ValueError, match=r"nms_bev: iou_threshold must lie in 0 to 1, got 1\.5"):
        nms_bev(boxes, scores, iou_threshold=1.5)
    with pytest.raises(ValueError, match="nms_bev: pre_max must be positive, got 0"):
        nms_bev(boxes, scores, iou_threshold=0.5, pre_max=0)
    with pytest.raises(ValueError, match=r"nms_bev: labels must have shape \[5\], got \[4\]"):
        nms_bev(boxes, scores, iou_threshold=0.5, labels=torch.zeros(4, dtype=torch.int64))
    with pytest.raises(TypeError, match="nms_bev: labels must be int32 or int64, got float32"):
        nms_bev(boxes, scores, iou_threshold=0.5, labels=torch.zeros(5))
