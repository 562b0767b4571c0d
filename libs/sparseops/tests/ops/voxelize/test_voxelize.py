from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import (
    dynamic_voxelize_batch,
    voxel_first,
    voxel_grid_size,
    voxel_mean,
    voxelize,
    voxelize_batch,
)
from sparseops.ops.voxelize import _ops
from sparseops.ops.voxelize._cpu import hard_voxelize as hard_voxelize_cpu
from sparseops.ops.voxelize._reference import hard_voxelize as hard_voxelize_reference

GOLDEN = Path(__file__).parents[2] / "golden" / "hard_voxelise.npz"
UNIT = {"voxel_size": (0.25, 0.25, 0.5), "bounds": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("tag", "max_points", "max_voxels"), [("full", 64, 9999), ("p5", 5, 9999), ("p5_v200", 5, 200)]
)
def test_hard_voxels_equal_the_golden_ones(backend: str, tag: str, max_points: int, max_voxels: int) -> None:
    with np.load(GOLDEN) as golden:
        voxels = voxelize(
            torch.from_numpy(golden["points"]),
            voxel_size=tuple(golden["voxel_size"].tolist()),
            bounds=tuple(golden["range"].tolist()),
            max_points=max_points,
            max_voxels=max_voxels,
        )
        np.testing.assert_array_equal(voxels.coords_zyx.numpy(), golden[f"{tag}_coords_zyx"])
        np.testing.assert_array_equal(voxels.counts.numpy(), golden[f"{tag}_num"])
        np.testing.assert_array_equal(voxels.points[:, :8].numpy(), golden[f"{tag}_voxels"])


def test_grid_of_the_published_detectors() -> None:
    assert voxel_grid_size((0.05, 0.05, 0.1), (0.0, -40.0, -3.0, 70.4, 40.0, 1.0)) == (1408, 1600, 40)


def test_upper_bound_is_excluded_and_lower_bound_included(backend: str) -> None:
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.5], [0.999, 0.5, 0.5], [-1e-6, 0.5, 0.5]])
    voxels = voxelize(points, **UNIT, max_points=1, max_voxels=9)
    assert voxels.coords_zyx.tolist() == [[0, 0, 0], [1, 2, 3]]


def test_points_that_are_not_finite_are_dropped(backend: str) -> None:
    bad = torch.tensor([torch.nan, torch.inf, -torch.inf])
    points = torch.full((4, 3), 0.5)
    points[torch.arange(3), torch.arange(3)] = bad
    assert voxelize(points, **UNIT, max_points=5, max_voxels=9).counts.tolist() == [1]


def test_a_feature_that_is_nan_stays_in_its_own_voxel(backend: str) -> None:
    points = torch.tensor([[0.1, 0.1, 0.1, torch.nan], [0.9, 0.1, 0.1, 1.0]])
    voxels = voxelize(points, **UNIT, max_points=2, max_voxels=9)
    assert voxels.points[0, 0].isnan().tolist() == [False, False, False, True]
    assert not voxels.points[1].isnan().any()
    assert (voxels.points[:, 1] == 0).all()


def test_known_voxels_still_fill_after_the_limit(backend: str) -> None:
    points = torch.tensor([[0.1, 0.1, 0.1], [0.9, 0.9, 0.9], [0.15, 0.1, 0.1]])
    voxels = voxelize(points, **UNIT, max_points=5, max_voxels=1)
    assert voxels.counts.tolist() == [2]


def test_no_points_give_no_voxels(backend: str) -> None:
    voxels = voxelize(torch.empty(0, 4), **UNIT, max_points=5, max_voxels=9)
    assert voxels.points.shape == (0, 5, 4)
    assert voxels.coords_zyx.shape == (0, 3)
    batch = voxelize_batch(torch.empty(0, 5), **UNIT, max_points=5, max_voxels=9, batch_size=2)
    assert batch.coords_bzyx.shape == (0, 4)
    assert dynamic_voxelize_batch(torch.empty(0, 5), **UNIT, batch_size=2).coords_bzyx.shape == (0, 4)


def test_a_batch_equals_its_samples_one_by_one(backend: str) -> None:
    points = torch.rand(300, 4)
    sample = torch.arange(300) % 2
    limits = {"max_points": 3, "max_voxels": 20}
    batch = voxelize_batch(torch.cat([sample[:, None].float(), points], 1), **UNIT, **limits, batch_size=2)
    for index in range(2):
        alone = voxelize(points[sample == index], **UNIT, **limits)
        rows = batch.coords_bzyx[:, 0] == index
        assert torch.equal(batch.coords_bzyx[rows, 1:], alone.coords_zyx)
        assert torch.equal(batch.points[rows], alone.points)
        assert torch.equal(batch.counts[rows], alone.counts)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 60), st.integers(1, 4), st.integers(1, 12), st.integers(0, 10_000))
def test_back_ends_agree_bit_for_bit(count: int, max_points: int, max_voxels: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 4, generator=draw) * 1.4 - 0.2
    sample = torch.randint(0, 3, (count,), generator=draw)
    arguments = (
        points,
        sample,
        [0.25, 0.25, 0.5],
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
        [4, 4, 2],
        max_points,
        max_voxels,
    )
    for ours, reference in zip(
        hard_voxelize_cpu(*arguments), hard_voxelize_reference(*arguments), strict=True
    ):
        assert ours.dtype == reference.dtype
        assert torch.equal(ours, reference)


def test_shifting_by_whole_voxels_shifts_the_cells() -> None:
    points = torch.randint(0, 128, (100, 3)) / 128
    shifted = {"voxel_size": UNIT["voxel_size"], "bounds": (1.0, 0.0, 0.0, 2.0, 1.0, 1.0)}
    plain = voxelize(points, **UNIT, max_points=9, max_voxels=99)
    moved = voxelize(points + torch.tensor([1.0, 0.0, 0.0]), **shifted, max_points=9, max_voxels=99)
    assert torch.equal(plain.coords_zyx, moved.coords_zyx)


def test_gradient_reaches_exactly_the_kept_points(backend: str) -> None:
    points = torch.tensor(
        [[0.1, 0.1, 0.1], [0.12, 0.1, 0.1], [0.13, 0.1, 0.1], [5.0, 0.1, 0.1]], requires_grad=True
    )
    voxels = voxelize(points, **UNIT, max_points=2, max_voxels=9)
    voxel_mean(voxels.points, voxels.counts).sum().backward()
    assert points.grad is not None
    assert points.grad[:, 0].tolist() == [0.5, 0.5, 0.0, 0.0]


def test_mean_divides_by_the_number_of_points(backend: str) -> None:
    points = torch.rand(200, 4)
    voxels = voxelize(points, **UNIT, max_points=200, max_voxels=99)
    cells = (points[:, :3] / torch.tensor(UNIT["voxel_size"])).long().flip(1)
    for row, mean in zip(voxels.coords_zyx, voxel_mean(voxels.points, voxels.counts), strict=True):
        torch.testing.assert_close(mean, points[(cells == row).all(1)].mean(0))


def test_dynamic_voxels_are_sorted_and_know_their_points(backend: str) -> None:
    points = torch.rand(200, 5) * 1.2
    points[:, 0] = torch.arange(200) % 2
    found = dynamic_voxelize_batch(points, **UNIT, batch_size=2)
    keys = (found.coords_bzyx.long() * torch.tensor([1000, 100, 10, 1])).sum(1)
    assert (keys[1:] > keys[:-1]).all()
    inside = ((points[:, 1:4] >= 0) & (points[:, 1:4] < 1)).all(1)
    assert torch.equal(found.voxel_of_point >= 0, inside)
    cells = torch.cat([points[:, :1], (points[:, 1:4] / torch.tensor(UNIT["voxel_size"])).floor().flip(1)], 1)
    assert torch.equal(found.coords_bzyx[found.voxel_of_point[inside]].float(), cells[inside])
    assert found.counts.tolist() == torch.bincount(found.voxel_of_point[inside]).tolist()


def test_the_first_point_of_a_voxel_is_that_of_hard_voxels(backend: str) -> None:
    points = torch.rand(300, 5) * 1.2
    points[:, 0] = torch.arange(300) % 2
    found = dynamic_voxelize_batch(points, **UNIT, batch_size=2)
    first = voxel_first(found.voxel_of_point, num_voxels=len(found.coords_bzyx))
    assert torch.equal(found.voxel_of_point[first], torch.arange(len(first)))
    hard = voxelize_batch(points, **UNIT, max_points=1, max_voxels=999, batch_size=2)
    keys = (hard.coords_bzyx.long() * torch.tensor([1000, 100, 10, 1])).sum(1)
    assert torch.equal(points[first, 1:], hard.points[keys.argsort(), 0])


def test_voxels_without_a_point_get_row_n() -> None:
    assert voxel_first(torch.tensor([2, -1, -7, 0]), num_voxels=4).tolist() == [3, 4, 0, 4]
    assert voxel_first(torch.zeros(0, dtype=torch.int32), num_voxels=2).tolist() == [0, 0]
    assert voxel_first(torch.tensor([-1]), num_voxels=0).shape == (0,)


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_numbers_of_voxels_are_named() -> None:
    with pytest.raises(IndexError, match="voxel_first: voxel_of_point must be below num_voxels 2, got 2"):
        voxel_first(torch.tensor([0, 2]), num_voxels=2)
    with pytest.raises(TypeError, match="voxel_first: voxel_of_point must be int32 or int64, got float32"):
        voxel_first(torch.zeros(3), num_voxels=2)
    with pytest.raises(ValueError, match=r"voxel_first: voxel_of_point must have shape \[N\], got \[1, 3\]"):
        voxel_first(torch.zeros(1, 3, dtype=torch.int64), num_voxels=2)


@pytest.mark.slow
def test_the_operator_passes_opcheck() -> None:
    points = torch.rand(30, 4, requires_grad=True)
    sample = torch.zeros(30, dtype=torch.int64)
    grid = [0.25] * 3, [0.0, 0, 0, 1, 1, 1], [4] * 3
    torch.library.opcheck(_ops.hard_voxelize, (points, sample, *grid, 3, 9))
    torch.library.opcheck(_ops.dynamic_voxelize, (points.detach(), sample, *grid))
    slots = torch.tensor([[0, 2, -1], [1, -1, -1]])
    torch.library.opcheck(_ops.hard_voxelize_backward, (torch.randn(2, 3, 4), slots, 5))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"points": torch.zeros(3, 2)},
            ValueError,
            r"voxelize: points must have shape \[N, 3 or more\], got \[3, 2\]",
        ),
        ({"points": torch.zeros(3, 3).double()}, TypeError, "voxelize: points must be float32, got float64"),
        ({"max_points": 0}, ValueError, "voxelize: max_points must be positive, got 0"),
        ({"max_voxels": -1}, ValueError, "voxelize: max_voxels must be positive, got -1"),
        ({"voxel_size": (1.0, 0.0, 1.0)}, ValueError, "voxelize: voxel_size must be positive"),
        (
            {"bounds": (0.0, 0.0, 0.0, 1.0, 1.0, -1.0)},
            ValueError,
            "voxelize: cells along x, y, z .* must be positive",
        ),
    ],
)
def test_wrong_arguments_are_named(changes: dict, error: type[Exception], message: str) -> None:
    arguments = {"points": torch.zeros(3, 3), **UNIT, "max_points": 2, "max_voxels": 2, **changes}
    with pytest.raises(error, match=message):
        voxelize(arguments.pop("points"), **arguments)


def test_a_sample_outside_the_batch_is_an_error() -> None:
    points = torch.tensor([[2.0, 0.1, 0.1, 0.1]])
    with pytest.raises(
        ValueError, match="voxelize_batch: column 0 of points must hold samples 0 to 1, got 2 to 2"
    ):
        voxelize_batch(points, **UNIT, max_points=1, max_voxels=1, batch_size=2)
    with pytest.raises(ValueError, match="dynamic_voxelize_batch: column 0 of points"):
        dynamic_voxelize_batch(points, **UNIT, batch_size=2)


def test_a_gpu_takes_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.rand(50, 4) * 4
    limits = {"voxel_size": (1.0, 1.0, 1.0), "bounds": (0.0, 0.0, 0.0, 4.0, 4.0, 4.0), "max_points": 3}
    wanted = voxelize(points, **limits, max_voxels=20)
    monkeypatch.setenv("SPARSEOPS_BACKEND", "triton")
    for ours, expected in zip(voxelize(points, **limits, max_voxels=20), wanted, strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.usefixtures("no_shape_checks")
def test_impossible_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="voxel_grid_size: voxel_size must be positive"):
        voxel_grid_size((0.0, 1.0, 1.0), (0.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r"voxel_mean: counts must have shape \[2\], got \[3\]"):
        voxel_mean(torch.zeros(2, 4, 3), torch.ones(3, dtype=torch.int32))
    with pytest.raises(TypeError, match=r"voxel_mean: points must be .*, got int64"):
        voxel_mean(torch.zeros(2, 4, 3, dtype=torch.int64), torch.ones(2, dtype=torch.int32))
    with pytest.raises(ValueError, match="column 0 of points must hold whole numbers"):
        voxelize_batch(
            torch.tensor([[0.5, 0.0, 0.0, 0.0]]),
            voxel_size=(1.0, 1.0, 1.0),
            bounds=(0.0, 0.0, 0.0, 4.0, 4.0, 4.0),
            max_points=1,
            max_voxels=1,
            batch_size=1,
        )
