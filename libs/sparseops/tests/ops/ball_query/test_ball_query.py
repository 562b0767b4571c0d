import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from sparseops import ball_query, ball_query_stacked
from sparseops.ops.ball_query import _cpu, _ops
from sparseops.ops.ball_query._reference import ball_query as ball_query_reference


@pytest.mark.golden
@pytest.mark.parametrize(("radius", "samples"), [(0.4, 16), (0.8, 24), (1.0, 16)])
def test_rows_equal_the_official_ones(backend: str, imagepg_ops, radius: float, samples: int) -> None:
    idx = ball_query(imagepg_ops["bq_new_xyz"], imagepg_ops["fps_xyz"], radius=radius, num_samples=samples)
    assert torch.equal(idx.int(), imagepg_ops[f"bq_idx_r{radius}_n{samples}"])


@pytest.mark.golden
def test_stacked_rows_equal_the_official_ones(backend: str, imagepg_ops) -> None:
    names = ("sbq_new_xyz", "sbq_new_cnt", "sbq_xyz", "sbq_cnt")
    idx, empty = ball_query_stacked(*(imagepg_ops[name] for name in names), radius=0.6, num_samples=8)
    assert torch.equal(idx.int(), imagepg_ops["sbq_idx_r0.6_n8"])
    assert torch.equal(empty, imagepg_ops["sbq_empty"])


def test_large_clouds_equal_a_search_tree(backend: str) -> None:
    points, centres = torch.rand(2000, 3) * 10, torch.rand(50, 3) * 10
    idx = ball_query(centres[None], points[None], radius=1.5, num_samples=12)[0]
    found = cKDTree(points.numpy()).query_ball_point(centres.numpy(), 1.5)
    for row, hits in zip(idx.tolist(), found, strict=True):
        wanted = sorted(hits)
        assert row == (wanted + [wanted[0] if wanted else 0] * 12)[:12]


def test_the_radius_is_excluded(backend: str) -> None:
    points = torch.tensor([[[1.0, 0.0, 0.0], [0.9999, 0.0, 0.0]]])
    assert ball_query(torch.zeros(1, 1, 3), points, radius=1.0, num_samples=2).tolist() == [[[1, 1]]]


def test_first_in_index_order_not_the_nearest(backend: str) -> None:
    points = torch.tensor([[[0.9, 0.0, 0.0], [0.1, 0.0, 0.0]]])
    assert ball_query(torch.zeros(1, 1, 3), points, radius=1.0, num_samples=1).item() == 0


def test_empty_balls_have_zeros_and_are_marked(backend: str) -> None:
    points = torch.full((3, 3), 5.0)
    idx, empty = ball_query_stacked(
        torch.zeros(2, 3), torch.tensor([1, 1]), points, torch.tensor([3, 0]), radius=1.0, num_samples=2
    )
    assert idx.tolist() == [[0, 0], [0, 0]]
    assert empty.tolist() == [True, True]


def test_points_that_are_not_finite_are_never_found(backend: str) -> None:
    points = torch.zeros(700, 3)
    points[:3, 0] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    centres = torch.tensor([[[0.0, 0.0, 0.0], [torch.nan, 0.0, 0.0]]])
    idx = ball_query(centres, points[None], radius=1.0, num_samples=2)
    assert idx.tolist() == [[[3, 4], [0, 0]]]


def test_no_points_and_no_centres(backend: str) -> None:
    assert (
        ball_query(torch.zeros(2, 3, 3), torch.zeros(2, 0, 3), radius=1.0, num_samples=2).tolist()
        == [[[0, 0]] * 3] * 2
    )
    assert ball_query(torch.zeros(2, 0, 3), torch.zeros(2, 4, 3), radius=1.0, num_samples=2).shape == (
        2,
        0,
        2,
    )
    assert ball_query(torch.zeros(0, 1, 3), torch.zeros(0, 4, 3), radius=1.0, num_samples=2).shape == (
        0,
        1,
        2,
    )


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_inputs_may_be_strided_and_counts_any_integer(backend: str, dtype: torch.dtype) -> None:
    points, counts = torch.rand(3, 18).T[::2], torch.tensor([5, 4], dtype=dtype)
    strided = ball_query_stacked(points, counts, points, counts, radius=0.5, num_samples=3)
    dense = ball_query_stacked(
        points.contiguous(), counts.long(), points.contiguous(), counts.long(), radius=0.5, num_samples=3
    )
    assert torch.equal(strided[0], dense[0])
    assert not strided[1].any()
    assert torch.equal(ball_query(points[None], points[None], radius=0.5, num_samples=3)[0, :5], dense[0][:5])


def test_a_batch_equals_its_samples_one_by_one(backend: str) -> None:
    centres, points = torch.rand(2, 5, 3), torch.rand(2, 600, 3)
    both = ball_query(centres, points, radius=0.2, num_samples=4)
    alone = [ball_query(centres[i : i + 1], points[i : i + 1], radius=0.2, num_samples=4) for i in range(2)]
    assert torch.equal(both, torch.cat(alone))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.integers(0, 90),
    st.integers(0, 12),
    st.integers(1, 9),
    st.sampled_from([0.25, 0.5, 3.0]),
    st.integers(0, 999),
)
def test_both_algorithms_agree_with_the_reference(
    points: int, centres: int, samples: int, radius: float, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    # Coordinates on a grid put many distances exactly on the radius.
    cloud = torch.randint(-8, 8, (points, 3), generator=draw) / 8
    around = torch.randint(-10, 10, (centres, 3), generator=draw) / 8
    starts = torch.tensor([0, points // 3, points]), torch.tensor([0, centres // 2, centres])
    arguments = (around, starts[1], cloud, starts[0], radius, samples)
    wanted = ball_query_reference(*arguments)
    for limit in (10**6, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_cpu, "_BRUTE_FORCE_POINTS", limit)
            for ours, reference in zip(_cpu.ball_query(*arguments), wanted, strict=True):
                assert torch.equal(ours, reference)


def test_result_does_not_depend_on_the_threads(threads) -> None:
    for count in (300, 3000):
        points = torch.rand(1, count, 3)
        threads(1)
        alone = ball_query(points, points, radius=0.2, num_samples=8)
        threads(2)
        assert torch.equal(ball_query(points, points, radius=0.2, num_samples=8), alone)


def test_the_operator_passes_opcheck() -> None:
    starts = torch.tensor([0, 4, 9])
    torch.library.opcheck(_ops.ball_query, (torch.rand(9, 3), starts, torch.rand(9, 3), starts, 0.5, 3))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    points, counts = torch.zeros(2, 4, 3), torch.tensor([4, 4])
    with pytest.raises(ValueError, match=r"ball_query: points must have shape \[1, N, 3\], got \[2, 4, 3\]"):
        ball_query(points[:1], points, radius=1.0, num_samples=2)
    with pytest.raises(TypeError, match=r"ball_query: centres must be .* or float32, got float64"):
        ball_query(points.double(), points, radius=1.0, num_samples=2)
    with pytest.raises(ValueError, match=r"ball_query: radius must be positive, got -1\.0"):
        ball_query(points, points, radius=-1.0, num_samples=2)
    flat = points.flatten(0, 1)
    for wrong in ([4, 3], [9, -1]):
        with pytest.raises(
            ValueError,
            match=rf"ball_query_stacked: point_counts must not be negative and .* 8 rows, got \{wrong}",
        ):
            ball_query_stacked(flat, counts, flat, torch.tensor(wrong), radius=1.0, num_samples=2)
    with pytest.raises(
        TypeError, match="ball_query_stacked: centre_counts must be int32 or int64, got float32"
    ):
        ball_query_stacked(flat, counts.float(), flat, counts, radius=1.0, num_samples=2)


@pytest.mark.parametrize("far_m", [1e3, 1e6, 1e9, 1e30, 3e38])
def test_one_stray_point_neither_changes_what_is_found_nor_the_cells(far_m: float) -> None:
    points = torch.rand(3000, 3) * torch.tensor([70.0, 80.0, 4.0])
    edge, cells = _cpu._grid_of(points.numpy(), 0.8)[1:]
    for axis, sign in ((0, 1), (1, -1), (2, 1)):
        stray = points.clone()
        stray[7, axis] = sign * far_m
        far_edge, far_cells = _cpu._grid_of(stray.numpy(), 0.8)[1:]
        assert far_edge == edge
        assert abs(far_cells - cells).max() <= 2
        centres = torch.cat([points[:200], stray[7:8]])[None]
        expected = ball_query_reference(
            centres[0], torch.tensor([0, 201]), stray, torch.tensor([0, 3000]), 0.8, 9
        )
        assert torch.equal(ball_query(centres, stray[None], radius=0.8, num_samples=9)[0], expected[0])


def test_strays_have_neighbours_too() -> None:
    points = torch.rand(3000, 3)
    points[10:14] = torch.tensor([1e6, -1e6, 0.0]) + torch.arange(4)[:, None] * torch.tensor([0.5, 0.0, 0.0])
    found = ball_query(points[None, 10:14], points[None], radius=0.8, num_samples=4)[0]
    assert found.tolist() == [[10, 11, 10, 10], [10, 11, 12, 10], [11, 12, 13, 11], [12, 13, 12, 12]]
