import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import roi_point_pool
from sparseops.ops.roi_point_pool import _ops
from sparseops.ops.scatter._ops import take_rows
from torch import Tensor

CUBE = torch.tensor([[[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]]])


def by_hand(
    points: Tensor, features: Tensor, rois: Tensor, *, samples: int, extra: list[float], margin: float
) -> tuple[Tensor, Tensor]:
    """Pool one sample point by point, by the definition; float32 as the operator."""
    pooled = torch.zeros(len(rois), samples, 3 + features.shape[1])
    empty = torch.ones(len(rois), dtype=torch.bool)
    for m, roi in enumerate(rois):
        x, y, z, dx, dy, dz, yaw = roi + torch.tensor([0.0, 0, 0, *extra, 0])
        taken = []
        for i, point in enumerate(points):
            px, py, pz = point - torch.stack([x, y, z])
            along = px * torch.cos(yaw) + py * torch.sin(yaw)
            across = py * torch.cos(yaw) - px * torch.sin(yaw)
            level = abs(pz) <= dz / 2 and min(dx, dy, dz) > 0
            if level and abs(along) < dx / 2 + margin and abs(across) < dy / 2 + margin:
                taken.append(i)
        for s in range(samples if taken else 0):
            row = taken[:samples][s % len(taken[:samples])]
            pooled[m, s] = torch.cat([points[row], features[row]])
            empty[m] = False
    return pooled, empty


def scene(batch: int, count: int, boxes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points and boxes on a coarse grid, which puts many points exactly on faces; features are distinct."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.randint(-8, 8, (batch, count, 3), generator=draw) / 8
    rois = torch.randint(-4, 9, (batch, boxes, 7), generator=draw) / 4
    return points, torch.rand(batch, count, 2, generator=draw), rois


@pytest.mark.parametrize("forced", ["", "reference"])
@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.integers(0, 20),
    st.integers(0, 4),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([-0.1, 0.0, 1e-5]),
    st.integers(0, 1000),
)
def test_back_ends_agree_with_the_definition(
    forced: str, count: int, boxes: int, samples: int, extra: float, margin: float, seed: int
) -> None:
    points, features, rois = scene(1, count, boxes, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSEOPS_BACKEND", forced)
        pooled, empty = roi_point_pool(
            points,
            features,
            rois,
            num_sampled_points=samples,
            pool_extra_width=(extra, 0.0, 0.25),
            margin=margin,
        )
    wanted = by_hand(
        points[0], features[0], rois[0], samples=samples, extra=[extra, 0.0, 0.25], margin=margin
    )
    assert torch.equal(pooled[0], wanted[0])
    assert torch.equal(empty[0], wanted[1])


def test_few_points_are_repeated_in_turn(backend: str) -> None:
    points = torch.tensor([[[0.5, 0, 0], [5.0, 0, 0], [0.0, 0.5, 0], [0.0, 0, 0.5]]])
    pooled, empty = roi_point_pool(points, torch.arange(4.0)[None, :, None], CUBE, num_sampled_points=8)
    assert pooled[0, 0, :, 3].tolist() == [0, 2, 3, 0, 2, 3, 0, 2]
    assert empty.tolist() == [[False]]


def test_many_points_are_cut_in_the_order_of_the_rows(backend: str) -> None:
    features = torch.arange(9.0)[None, :, None]
    pooled, _ = roi_point_pool(torch.zeros(1, 9, 3), features, CUBE, num_sampled_points=4)
    assert pooled[0, 0, :, 3].tolist() == [0, 1, 2, 3]


def test_empty_rois_have_zeros_and_are_marked(backend: str) -> None:
    rois = torch.stack([CUBE[0] + 50, torch.zeros(1, 7), CUBE[0]], 1)
    pooled, empty = roi_point_pool(torch.zeros(1, 5, 3), torch.ones(1, 5, 2), rois, num_sampled_points=3)
    assert empty.tolist() == [[True, True, False]]
    assert not pooled[0, :2].any() and pooled[0, 2, :, 3:].all()


def test_the_extra_width_is_shared_by_both_sides(backend: str) -> None:
    points = torch.tensor([[[1.4, 0, 0], [1.6, 0, 0], [0, 1.4, 0]]])
    pooled, _ = roi_point_pool(
        points, torch.arange(3.0)[None, :, None], CUBE, num_sampled_points=1, pool_extra_width=(1.0, 0.0, 0.0)
    )
    assert pooled[0, 0].tolist() == [pytest.approx([1.4, 0, 0, 0])]


def test_yaw_is_counter_clockwise(backend: str) -> None:
    long = torch.tensor([[[0.0, 0.0, 0.0, 10.0, 1.0, 1.0, math.pi / 4]]])
    points = torch.tensor([[[2.0, -2.0, 0.0], [2.0, 2.0, 0.0]]])
    pooled, _ = roi_point_pool(points, torch.arange(2.0)[None, :, None], long, num_sampled_points=1)
    assert pooled[0, 0, 0, 3] == 1


def test_points_that_are_not_finite_are_in_no_roi(backend: str) -> None:
    points = torch.tensor([[[torch.nan, 0, 0], [0, torch.inf, 0], [0, 0, 0], [0, 0, torch.nan]]])
    pooled, _ = roi_point_pool(points, torch.arange(4.0)[None, :, None], CUBE, num_sampled_points=2)
    assert pooled[0, 0, :, 3].tolist() == [2, 2]


def test_rois_that_are_not_finite_are_empty(backend: str) -> None:
    rois = CUBE.repeat(1, 7, 1)
    rois[0, torch.arange(7), torch.arange(7)] = torch.nan
    assert roi_point_pool(torch.zeros(1, 2, 3), torch.zeros(1, 2, 1), rois, num_sampled_points=2)[1].all()


def test_no_points_and_no_rois(backend: str) -> None:
    pooled, empty = roi_point_pool(
        torch.zeros(2, 0, 3), torch.zeros(2, 0, 4), CUBE.repeat(2, 1, 1), num_sampled_points=3
    )
    assert pooled.shape == (2, 1, 3, 7) and not pooled.any() and empty.all()
    pooled, empty = roi_point_pool(torch.zeros(2, 5, 3), torch.zeros(2, 5, 4), CUBE[:, :0].repeat(2, 1, 1))
    assert pooled.shape == (2, 0, 512, 7) and empty.shape == (2, 0)


def test_a_batch_equals_its_samples_one_by_one(backend: str) -> None:
    tensors = scene(2, 60, 5, seed=3)
    both = roi_point_pool(*tensors, num_sampled_points=6)
    alone = [
        roi_point_pool(*(tensor[i : i + 1] for tensor in tensors), num_sampled_points=6) for i in range(2)
    ]
    for together, single in zip(both, zip(*alone, strict=True), strict=True):
        assert torch.equal(together, torch.cat(single))


@pytest.mark.slow
def test_the_gradient_is_right(backend: str) -> None:
    points, features, rois = scene(2, 30, 3, seed=1)
    features = features.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f: roi_point_pool(points, f, rois, num_sampled_points=12)[0], (features,)
    )


def test_taken_points_get_a_gradient_and_rois_only_choose(backend: str) -> None:
    points, features, rois = (tensor.requires_grad_() for tensor in scene(1, 30, 3, seed=1))
    roi_point_pool(points, features, rois, num_sampled_points=4)[0].sum().backward()
    assert rois.grad is None and points.grad is not None and features.grad is not None
    # Every point counts as often as it was taken, with all of its columns.
    assert points.grad.sum() > 0
    assert torch.equal(points.grad[..., 0], features.grad[..., 0])


def test_result_does_not_depend_on_the_threads(threads) -> None:
    points, features, rois = torch.rand(1, 3000, 3) * 8, torch.rand(1, 3000, 2), torch.rand(1, 40, 7) * 6
    threads(1)
    alone = roi_point_pool(points, features, rois, num_sampled_points=64)[0]
    threads(2)
    assert torch.equal(roi_point_pool(points, features, rois, num_sampled_points=64)[0], alone)


@pytest.mark.slow
def test_the_operators_pass_opcheck() -> None:
    points, _, rois = scene(2, 9, 3, seed=0)
    torch.library.opcheck(_ops.roi_point_rows, (points, rois, 4, [0.0, 0.5, 0.0], 0.1))
    table = torch.rand(5, 3, requires_grad=True)
    torch.library.opcheck(take_rows, (table, torch.tensor([4, 4, -1, 0])))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    points, features, rois = scene(2, 4, 3, seed=0)
    with pytest.raises(
        ValueError, match=r"roi_point_pool: features must have shape \[2, 4, C\], got \[2, 3, 2\]"
    ):
        roi_point_pool(points, features[:, :3], rois)
    with pytest.raises(
        ValueError, match=r"roi_point_pool: rois must have shape \[2, M, 7\], got \[1, 3, 7\]"
    ):
        roi_point_pool(points, features, rois[:1])
    with pytest.raises(TypeError, match=r"roi_point_pool: points must be .* or float32, got float64"):
        roi_point_pool(points.double(), features, rois)
    with pytest.raises(ValueError, match="roi_point_pool: num_sampled_points must be positive, got 0"):
        roi_point_pool(points, features, rois, num_sampled_points=0)
    with pytest.raises(ValueError, match=r"pool_extra_width must be x, y, z, got \[1.0\]"):
        roi_point_pool(points, features, rois, pool_extra_width=[1.0])
    with pytest.raises(ValueError, match="roi_point_pool: rois is on meta but points is on cpu"):
        roi_point_pool(points, features, rois.to("meta"))
