import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import roi_aware_pool, roi_grid
from sparseops.ops.roi_aware_pool import _ops
from torch import Tensor

CUBE = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]])


def by_hand(
    points: Tensor, features: Tensor, rois: Tensor, *, size: list[int], slots: int, reduce: str, margin: float
) -> Tensor:
    """Pool point by point, by the definition; places in float32 as the operator."""
    out = torch.zeros(len(rois), *size, features.shape[1], dtype=features.dtype)
    for r, (x, y, z, dx, dy, dz, yaw) in enumerate(rois):
        kept: dict[tuple[int, ...], list[int]] = {}
        for i, (px, py, pz) in enumerate(points):
            along = (px - x) * torch.cos(yaw) + (py - y) * torch.sin(yaw)
            across = (py - y) * torch.cos(yaw) - (px - x) * torch.sin(yaw)
            level = abs(pz - z) <= dz / 2 and min(dx, dy, dz) > 0
            if level and abs(along) < dx / 2 + margin and abs(across) < dy / 2 + margin:
                place = []
                for value, edge, number in zip((along, across, pz - z), (dx, dy, dz), size, strict=True):
                    place.append(min(max(int((value + edge / 2) / (edge / number)), 0), number - 1))
                kept.setdefault(tuple(place), []).append(i)
        for place, rows in kept.items():
            chosen = features[rows[: slots - 1]]
            out[(r, *place)] = chosen.amax(0) if reduce == "max" else chosen.mean(0)
    return out


def scene(count: int, boxes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points and boxes on a coarse grid, which puts many points exactly on faces of cells."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.randint(-8, 8, (count, 3), generator=draw) / 8
    rois = torch.randint(-4, 9, (boxes, 7), generator=draw) / 4
    # Few values: maxima with ties.
    return points, torch.randint(4, (count, 2), generator=draw).double(), rois


@pytest.mark.slow
@pytest.mark.parametrize("forced", ["", "reference"])
@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    st.integers(0, 25),
    st.integers(0, 4),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    st.integers(2, 5),
    st.sampled_from(["max", "mean"]),
    st.sampled_from([-0.1, 0.0, 0.2]),
    st.integers(0, 1000),
)
def test_back_ends_agree_with_the_definition(
    forced: str,
    count: int,
    boxes: int,
    size: tuple[int, int, int],
    slots: int,
    reduce: str,
    margin: float,
    seed: int,
) -> None:
    points, features, rois = scene(count, boxes, seed)
    features.requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSEOPS_BACKEND", forced)
        ours = roi_aware_pool(
            points, features, rois, output_size=size, max_points=slots, reduce=reduce, margin=margin
        )
    wanted = by_hand(points, features, rois, size=list(size), slots=slots, reduce=reduce, margin=margin)
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-12)
    if reduce == "mean":
        weight = torch.rand(ours.shape, dtype=torch.float64)
        (grad,) = torch.autograd.grad((ours * weight).sum(), features)
        (wanted_grad,) = torch.autograd.grad((wanted * weight + features.sum() * 0).sum(), features)
        torch.testing.assert_close(grad, wanted_grad, rtol=0, atol=1e-12)


def test_the_first_of_equal_maxima_gets_the_gradient(backend: str) -> None:
    features = torch.tensor([[1.0], [2.0], [2.0], [0.0]], requires_grad=True)
    roi_aware_pool(torch.zeros(4, 3), features, CUBE, output_size=1).sum().backward()
    assert features.grad is not None and features.grad.flatten().tolist() == [0, 1, 0, 0]


def test_a_mean_shares_the_gradient_among_the_kept_points(backend: str) -> None:
    features = torch.rand(5, 1, requires_grad=True)
    roi_aware_pool(
        torch.zeros(5, 3), features, CUBE, output_size=1, max_points=5, reduce="mean"
    ).sum().backward()
    assert features.grad is not None and features.grad.flatten().tolist() == [0.25, 0.25, 0.25, 0.25, 0]


def test_one_slot_is_not_for_points(backend: str) -> None:
    features = torch.tensor([[1.0], [2.0], [3.0]])
    assert roi_aware_pool(torch.zeros(3, 3), features, CUBE, output_size=1, max_points=3).item() == 2


def test_empty_cells_are_zero_though_all_features_are_negative(backend: str) -> None:
    pooled = roi_aware_pool(torch.full((1, 3), 0.5), -torch.ones(1, 2), CUBE, output_size=2)
    assert pooled.sum() == -2 and pooled[0, 1, 1, 1].tolist() == [-1, -1]


def test_cells_are_those_of_the_roi_grid(backend: str) -> None:
    roi = torch.tensor([[3.0, -2.0, 1.0, 4.0, 2.0, 3.0, 0.7]])
    points = roi_grid(roi, grid_size=(2, 3, 4))[0][0]
    features = torch.arange(24.0)[:, None]
    assert roi_aware_pool(points, features, roi, output_size=(2, 3, 4)).flatten().tolist() == list(range(24))


def test_points_on_faces_belong_to_the_upper_cell_and_borders_to_the_outermost(backend: str) -> None:
    points = torch.tensor([[0.0, 0.5, 0.5], [0.5, 0.5, 1.0], [1.1, 0.5, 0.5], [0.5, -1.1, 0.5]])
    pooled = roi_aware_pool(points, torch.eye(4), CUBE, output_size=2, margin=0.2)
    assert pooled[0, 1, 1, 1].tolist() == [1, 1, 1, 0]
    assert pooled[0, 1, 0, 1].tolist() == [0, 0, 0, 1]


def test_a_point_counts_in_every_roi_around_it(backend: str) -> None:
    features = torch.ones(1, 1, requires_grad=True)
    roi_aware_pool(torch.zeros(1, 3), features, CUBE.repeat(3, 1), output_size=2).sum().backward()
    assert features.grad is not None and features.grad.item() == 3


def test_yaw_is_counter_clockwise(backend: str) -> None:
    long = torch.tensor([[0.0, 0.0, 0.0, 10.0, 1.0, 1.0, math.pi / 4]])
    pooled = roi_aware_pool(
        torch.tensor([[2.0, 2.0, 0.0], [2.0, -2.0, 0.0]]), torch.eye(2), long, output_size=1
    )
    assert pooled.flatten().tolist() == [1, 0]


def test_order_of_the_rois_and_points_does_not_matter(backend: str) -> None:
    points, features, rois = torch.rand(60, 3) * 2, torch.rand(60, 3), torch.rand(6, 7) * 2
    mixed, turned = torch.randperm(60), torch.randperm(6)
    assert torch.equal(
        roi_aware_pool(points[mixed], features[mixed], rois[turned], output_size=2),
        roi_aware_pool(points, features, rois, output_size=2)[turned],
    )


def test_what_is_not_finite_is_in_no_cell(backend: str) -> None:
    points = torch.tensor([[torch.nan, 0, 0], [0, torch.inf, 0], [0, 0, torch.nan], [0, 0, 0]])
    pooled = roi_aware_pool(points, torch.eye(4), CUBE, output_size=1)
    assert pooled.flatten().tolist() == [0, 0, 0, 1]
    broken = CUBE.repeat(7, 1)
    broken.fill_diagonal_(torch.nan)
    assert not roi_aware_pool(points, torch.eye(4), broken, output_size=2).any()


def test_no_points_and_no_rois(backend: str) -> None:
    pooled = roi_aware_pool(torch.zeros(0, 3), torch.zeros(0, 4), CUBE, output_size=(1, 2, 3))
    assert pooled.shape == (1, 1, 2, 3, 4) and not pooled.any()
    features = torch.rand(5, 4, requires_grad=True)
    pooled = roi_aware_pool(torch.zeros(5, 3), features, CUBE[:0], output_size=2)
    assert pooled.shape == (0, 2, 2, 2, 4)
    pooled.sum().backward()
    assert features.grad is not None and not features.grad.any()


@pytest.mark.slow
@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_the_gradient_is_right(backend: str, reduce: str) -> None:
    points, rois = torch.rand(30, 3) * 2, torch.rand(3, 7) * 2 + 0.5
    features = torch.rand(30, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda f: roi_aware_pool(points, f, rois, output_size=2, max_points=4, reduce=reduce), (features,)
    )


def test_points_and_rois_get_no_gradient(backend: str) -> None:
    points, features, rois = (
        tensor.requires_grad_() for tensor in (torch.rand(9, 3), torch.rand(9, 2), torch.rand(2, 7))
    )
    roi_aware_pool(points, features, rois, output_size=2).sum().backward()
    assert points.grad is None and rois.grad is None and features.grad is not None


def test_result_does_not_depend_on_the_threads(threads) -> None:
    points, features, rois = torch.rand(3000, 3) * 8, torch.rand(3000, 40), torch.rand(40, 7) * 6
    threads(1)
    alone = roi_aware_pool(points, features, rois, output_size=3, reduce="mean")
    threads(2)
    assert torch.equal(roi_aware_pool(points, features, rois, output_size=3, reduce="mean"), alone)


@pytest.mark.slow
def test_the_operator_passes_opcheck() -> None:
    points, _, rois = scene(20, 3, seed=0)
    torch.library.opcheck(_ops.roi_aware_rows, (points, rois, [2, 1, 3], 4, 0.1))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    points, features = torch.zeros(4, 3), torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r"roi_aware_pool: features must have shape \[4, C\], got \[3, 2\]"):
        roi_aware_pool(points, features[:3], CUBE, output_size=2)
    with pytest.raises(TypeError, match=r"roi_aware_pool: rois must be .* or float32, got float64"):
        roi_aware_pool(points, features, CUBE.double(), output_size=2)
    with pytest.raises(ValueError, match=r"roi_aware_pool: output_size must be positive, got \[0, 0, 0\]"):
        roi_aware_pool(points, features, CUBE, output_size=0)
    with pytest.raises(
        ValueError, match=r"roi_aware_pool: output_size must be one number or three \(x, y, z\)"
    ):
        roi_aware_pool(points, features, CUBE, output_size=[2, 2])
    with pytest.raises(ValueError, match="roi_aware_pool: max_points must be at least 2, got 1"):
        roi_aware_pool(points, features, CUBE, output_size=2, max_points=1)
    with pytest.raises(ValueError, match="roi_aware_pool: reduce must be 'max' or 'mean', got 'avg'"):
        roi_aware_pool(points, features, CUBE, output_size=2, reduce="avg")
    with pytest.raises(ValueError, match="roi_aware_pool: rois is on meta but points is on cpu"):
        roi_aware_pool(points, features, CUBE.to("meta"), output_size=2)
