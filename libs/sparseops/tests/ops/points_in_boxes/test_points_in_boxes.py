import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import points_in_boxes, points_in_boxes_batch
from sparseops.ops.points_in_boxes import _ops
from sparseops.ops.points_in_boxes._cpu import points_in_boxes as points_in_boxes_cpu
from sparseops.ops.points_in_boxes._reference import points_in_boxes as points_in_boxes_reference

CUBE = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]])


@pytest.mark.golden
def test_boxes_equal_the_official_ones(backend: str, imagepg_ops) -> None:
    points, boxes = imagepg_ops["pib_points"], imagepg_ops["pib_boxes"]
    for sample in range(2):
        found = points_in_boxes(points[sample], boxes[sample], margin=1e-5)
        assert torch.equal(found.int(), imagepg_ops["pib_gpu_index"][sample])
    column = torch.arange(2.0).repeat_interleave(400)[:, None]
    found = points_in_boxes_batch(torch.cat([column, points.flatten(0, 1)], 1), boxes, margin=1e-5)
    assert torch.equal(found.int().view(2, 400), imagepg_ops["pib_gpu_index"])


@pytest.mark.golden
def test_the_wide_margin_gives_the_official_cpu_table(backend: str, imagepg_ops) -> None:
    points, boxes = imagepg_ops["pib_points"][0], imagepg_ops["pib_boxes"][0]
    table = [points_in_boxes(points, box[None], margin=1e-2) + 1 for box in boxes]
    assert torch.equal(torch.stack(table).int(), imagepg_ops["pib_cpu_mask_frame0"])


def test_top_and_bottom_belong_to_the_box_and_the_sides_do_not(backend: str) -> None:
    points = torch.tensor(
        [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.99, 0.99, 0.99]]
    )
    assert points_in_boxes(points, CUBE).tolist() == [0, 0, -1, -1, 0]
    assert points_in_boxes(points, CUBE, margin=1e-5).tolist() == [0, 0, 0, 0, 0]


def test_yaw_is_counter_clockwise(backend: str) -> None:
    long = torch.tensor([[0.0, 0.0, 0.0, 10.0, 1.0, 1.0, math.pi / 4]])
    assert points_in_boxes(torch.tensor([[2.0, 2.0, 0.0], [2.0, -2.0, 0.0]]), long).tolist() == [0, -1]


def test_the_lowest_box_wins(backend: str) -> None:
    boxes = torch.cat([CUBE + 50, CUBE, CUBE])
    assert points_in_boxes(torch.zeros(1, 3), boxes).item() == 1


def test_padding_boxes_hold_nothing_even_with_a_margin(backend: str) -> None:
    assert points_in_boxes(torch.zeros(1, 3), torch.zeros(2, 7), margin=0.1).item() == -1


def test_points_that_are_not_finite_are_in_no_box(backend: str) -> None:
    points = torch.tensor([[torch.nan, 0.0, 0.0], [0.0, torch.inf, 0.0], [0.0, 0.0, torch.nan]])
    assert points_in_boxes(points, CUBE).tolist() == [-1, -1, -1]


def test_no_points_and_no_boxes(backend: str) -> None:
    assert points_in_boxes(torch.zeros(0, 3), CUBE).shape == (0,)
    assert points_in_boxes(torch.zeros(2, 3), CUBE[:0]).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([0.0, 7.0], "samples 0 to 0, got 0 to 7"),
        ([-1.0, 0.0], "samples 0 to 0, got -1 to 0"),
        ([0.3, 0.0], "whole numbers of samples"),
        ([float("nan"), 0.0], "whole numbers of samples"),
    ],
)
def test_a_column_that_is_no_sample_is_refused(backend: str, column: list[float], words: str) -> None:
    points = torch.zeros(2, 4)
    points[:, 0] = torch.tensor(column)
    with pytest.raises(ValueError, match=f"points_in_boxes_batch: column 0 of points must hold {words}"):
        points_in_boxes_batch(points, CUBE[None])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 80), st.integers(0, 6), st.sampled_from([-0.3, 0.0, 1e-5, 1e-2]), st.integers(0, 1000))
def test_back_ends_agree_bit_for_bit(count: int, boxes: int, margin: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    # Coordinates on a grid of an eighth put many points exactly on faces.
    points = torch.randint(-24, 24, (count, 3), generator=draw) / 8
    table = torch.randint(-8, 9, (2, boxes, 7), generator=draw) / 4
    sample = torch.randint(0, 2, (count,), generator=draw)
    arguments = (points, sample, table, margin)
    assert torch.equal(points_in_boxes_cpu(*arguments), points_in_boxes_reference(*arguments))


def test_result_does_not_depend_on_the_threads(threads) -> None:
    points, boxes = torch.rand(5000, 3) * 8, torch.rand(40, 7) * 8
    threads(1)
    alone = points_in_boxes(points, boxes)
    threads(2)
    assert torch.equal(points_in_boxes(points, boxes), alone)


def test_the_operator_passes_opcheck() -> None:
    sample = torch.zeros(9, dtype=torch.int64)
    torch.library.opcheck(_ops.points_in_boxes, (torch.rand(9, 3), sample, torch.rand(1, 4, 7), 0.1))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"points_in_boxes: points must have shape \[N, 3\], got \[2, 4\]"):
        points_in_boxes(torch.zeros(2, 4), CUBE)
    with pytest.raises(
        ValueError, match=r"points_in_boxes_batch: boxes must have shape \[B, M, 7\], got \[1, 7\]"
    ):
        points_in_boxes_batch(torch.zeros(2, 4), CUBE)
    with pytest.raises(TypeError, match=r"points_in_boxes: boxes must be .* or float32, got float64"):
        points_in_boxes(torch.zeros(2, 3), CUBE.double())
    with pytest.raises(ValueError, match="points_in_boxes: boxes is on meta but points is on cpu"):
        points_in_boxes(torch.zeros(2, 3), CUBE.to("meta"))
