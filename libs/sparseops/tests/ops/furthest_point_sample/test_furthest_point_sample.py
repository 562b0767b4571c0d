from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import furthest_point_sample
from sparseops.ops.furthest_point_sample import _ops
from sparseops.ops.furthest_point_sample._cpu import furthest_point_sample as furthest_point_sample_cpu
from sparseops.ops.furthest_point_sample._reference import (
    furthest_point_sample as furthest_point_sample_reference,
)


def steps_are_furthest(points: torch.Tensor, rows: torch.Tensor) -> bool:
    """Whether every row is one of the points furthest from all rows before it."""
    nearest = torch.full((len(points),), torch.inf)
    for last, row in pairwise(rows):
        step = points - points[last]
        nearest = torch.minimum(nearest, (step[:, 0] ** 2 + step[:, 1] ** 2) + step[:, 2] ** 2)
        if nearest[row] != nearest.max():
            return False
    return True


@pytest.mark.golden
def test_rows_equal_the_official_ones_without_ties(backend: str, imagepg_ops) -> None:
    assert torch.equal(furthest_point_sample(imagepg_ops["fps2_xyz"], 512).int(), imagepg_ops["fps2_idx_512"])
    assert torch.equal(
        furthest_point_sample(imagepg_ops["fps_xyz"][:1], 64).int(), imagepg_ops["fps_idx_64"][:1]
    )


@pytest.mark.golden
@pytest.mark.parametrize("cloud", [1, 2])
def test_with_ties_the_official_rows_are_another_valid_choice(backend: str, imagepg_ops, cloud: int) -> None:
    # The official kernel breaks ties by the layout of its thread block, ours takes the lowest row: from the
    # first tie on the rows differ, and both choices are furthest at every step.
    points, official = imagepg_ops["fps_xyz"][cloud], imagepg_ops["fps_idx_64"][cloud].long()
    ours = furthest_point_sample(points[None], 64)[0]
    first = int((ours != official).nonzero()[0])
    assert ours[first] < official[first]
    assert steps_are_furthest(points, ours)
    assert steps_are_furthest(points, official)


def test_of_equally_far_points_the_lowest_row_wins(backend: str) -> None:
    points = torch.tensor(
        [[[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]
    )
    assert furthest_point_sample(points, 4).tolist() == [[0, 2, 3, 4]]


def test_row_zero_repeats_once_all_points_are_taken(backend: str) -> None:
    points = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    assert furthest_point_sample(points, 5).tolist() == [[0, 1, 0, 0, 0]]


def test_one_point_and_no_cloud(backend: str) -> None:
    assert furthest_point_sample(torch.ones(2, 1, 3), 1).tolist() == [[0], [0]]
    assert furthest_point_sample(torch.ones(0, 4, 3), 2).shape == (0, 2)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(0, 3), st.integers(1, 90), st.integers(1, 30), st.booleans(), st.integers(0, 1000))
def test_back_ends_agree_bit_for_bit(clouds: int, count: int, chosen: int, ties: bool, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    points = torch.rand(clouds, count, 3, generator=draw)
    if ties:
        points = (points * 4).round()
    assert torch.equal(
        furthest_point_sample_cpu(points, chosen), furthest_point_sample_reference(points, chosen)
    )


def test_points_that_are_not_finite_still_give_valid_rows(backend: str) -> None:
    points = torch.rand(1, 40, 3)
    points[0, ::3] = torch.nan
    points[0, 1::5] = torch.inf
    rows = furthest_point_sample(points, 20)
    assert ((rows >= 0) & (rows < 40)).all()


def test_a_batch_of_strided_clouds_equals_its_samples_one_by_one(backend: str) -> None:
    points = torch.rand(2, 3, 60).transpose(1, 2)
    alone = [furthest_point_sample(cloud[None].contiguous(), 20) for cloud in points]
    assert torch.equal(furthest_point_sample(points, 20), torch.cat(alone))


def test_result_does_not_depend_on_the_threads(threads) -> None:
    points = torch.rand(5, 300, 3)
    threads(1)
    alone = furthest_point_sample(points, 50)
    threads(2)
    assert torch.equal(furthest_point_sample(points, 50), alone)


def test_the_operator_passes_opcheck() -> None:
    torch.library.opcheck(_ops.furthest_point_sample, (torch.rand(2, 9, 3), 4))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    points = torch.zeros(1, 4, 3)
    with pytest.raises(
        ValueError, match=r"furthest_point_sample: points must have shape \[B, N, 3\], got \[4, 3\]"
    ):
        furthest_point_sample(points[0], 2)
    with pytest.raises(TypeError, match=r"furthest_point_sample: points must be .* or float32, got float64"):
        furthest_point_sample(points.double(), 2)
    with pytest.raises(ValueError, match="furthest_point_sample: num_samples must be positive, got 0"):
        furthest_point_sample(points, 0)
    with pytest.raises(
        ValueError, match="furthest_point_sample: points must hold at least one point per cloud"
    ):
        furthest_point_sample(points[:, :0], 2)
