import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from sparseops import (
    inverse_distance_weights,
    three_interpolate,
    three_interpolate_stacked,
    three_nn,
    three_nn_stacked,
)


def test_rows_and_distances_equal_a_search_tree(backend: str) -> None:
    unknown, known = torch.randn(200, 3), torch.randn(300, 3)
    distances, idx = three_nn(unknown[None], known[None])
    wanted, rows = cKDTree(known.numpy()).query(unknown.numpy(), 3)
    assert torch.equal(idx[0], torch.from_numpy(rows))
    torch.testing.assert_close(distances[0], torch.from_numpy(wanted).float())


@pytest.mark.parametrize(
    ("count", "rows", "distances"),
    [
        (0, [0, 0, 0], [torch.inf] * 3),
        (1, [0, 0, 0], [2.0, torch.inf, torch.inf]),
        (2, [1, 0, 0], [1.0, 2.0, torch.inf]),
    ],
)
def test_fewer_than_three_known_points_repeat_row_zero_at_infinity(
    backend: str, count: int, rows: list[int], distances: list[float]
) -> None:
    known = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])[:, :count]
    found, idx = three_nn(torch.zeros(1, 1, 3), known)
    assert idx.tolist() == [[rows]]
    assert found.tolist() == [[distances]]
    features = torch.tensor([[[10.0, 40.0]]])[..., :count].requires_grad_()
    out = three_interpolate(features, idx, inverse_distance_weights(found))
    torch.testing.assert_close(out, torch.tensor([[[[0.0, 10.0, 30.0][count]]]]))
    out.sum().backward()


def test_equal_distances_come_in_row_order(backend: str) -> None:
    known = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]]])
    assert three_nn(torch.zeros(1, 1, 3), known)[1].tolist() == [[[0, 1, 2]]]


def test_weights_add_up_to_one_and_a_known_point_keeps_its_features(backend: str) -> None:
    known = torch.rand(2, 9, 3)
    distances, idx = three_nn(known, known)
    weights = inverse_distance_weights(distances)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 9))
    features = torch.randn(2, 4, 9)
    torch.testing.assert_close(three_interpolate(features, idx, weights), features, atol=1e-5, rtol=1e-5)


def test_points_that_are_not_finite_get_zero(backend: str) -> None:
    unknown = torch.tensor([[[torch.nan, 0.0, 0.0], [torch.inf, 0.0, 0.0]]])
    distances, idx = three_nn(unknown, torch.rand(1, 5, 3))
    weights = inverse_distance_weights(distances)
    assert (weights == 0).all()
    assert (three_interpolate(torch.ones(1, 2, 5), idx, weights) == 0).all()


@pytest.mark.slow
def test_gradcheck(backend: str) -> None:
    features = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    idx = torch.randint(0, 4, (2, 6, 3))
    weights = torch.rand(2, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, w: three_interpolate(f, idx, w), (features, weights))
    rows = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    flat = idx.flatten(0, 1)
    assert torch.autograd.gradcheck(
        lambda f, w: three_interpolate_stacked(f, flat, w.flatten(0, 1)), (rows, weights)
    )


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 4), st.integers(0, 999))
def test_stacked_samples_equal_a_batch(n: int, m: int, b: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    unknown, known = torch.rand(b, n, 3, generator=draw), torch.rand(b, m, 3, generator=draw)
    features = torch.randn(b, 5, m, generator=draw)
    distances, idx = three_nn(unknown, known)
    out = three_interpolate(features, idx, inverse_distance_weights(distances))
    counts = torch.tensor([n] * b), torch.tensor([m] * b)
    flat_distances, flat_idx = three_nn_stacked(
        unknown.flatten(0, 1), counts[0], known.flatten(0, 1), counts[1]
    )
    assert torch.equal(flat_distances, distances.flatten(0, 1))
    rows = features.transpose(1, 2).flatten(0, 1)
    flat = three_interpolate_stacked(rows, flat_idx, inverse_distance_weights(flat_distances))
    assert torch.equal(flat.view(b, n, 5), out.transpose(1, 2))


def test_a_sample_without_known_points_gets_zero(backend: str) -> None:
    points = torch.rand(4, 3)
    known_counts = torch.tensor([3, 0])
    distances, idx = three_nn_stacked(points, torch.tensor([2, 2]), points[:3], known_counts)
    out = three_interpolate_stacked(torch.ones(3, 2), idx, inverse_distance_weights(distances))
    torch.testing.assert_close(out, torch.tensor([[1.0, 1.0]] * 2 + [[0.0, 0.0]] * 2))


def test_a_batch_equals_its_samples_one_by_one(backend: str) -> None:
    unknown, known = torch.rand(2, 7, 3), torch.rand(2, 50, 3)
    distances, idx = three_nn(unknown, known)
    for i in range(2):
        alone = three_nn(unknown[i : i + 1], known[i : i + 1])
        assert torch.equal(distances[i], alone[0][0]) and torch.equal(idx[i], alone[1][0])


def test_distances_have_a_gradient_and_none_at_zero(backend: str) -> None:
    known = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]], requires_grad=True)
    unknown = torch.zeros(1, 1, 3, requires_grad=True)
    distances, _ = three_nn(unknown, known)
    assert distances.tolist() == [[[0.0, 5.0, torch.inf]]]
    distances.sum().backward()
    assert unknown.grad is not None and known.grad is not None
    torch.testing.assert_close(unknown.grad, torch.tensor([[[-0.6, -0.8, 0.0]]]))
    torch.testing.assert_close(known.grad, torch.tensor([[[0.0, 0.0, 0.0], [0.6, 0.8, 0.0]]]))


def test_weights_of_half_precision_are_finite_at_distance_zero() -> None:
    weights = inverse_distance_weights(torch.tensor([[0.0, 1.0, torch.inf]], dtype=torch.float16))
    assert weights.dtype == torch.float16 and weights.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"inverse_distance_weights: distances must be .*, got int64"):
        inverse_distance_weights(torch.ones(1, 3, dtype=torch.int64))
    points, idx, weights = torch.zeros(2, 4, 3), torch.zeros(2, 5, 3, dtype=torch.int64), torch.zeros(2, 5, 3)
    features = torch.zeros(2, 6, 4)
    with pytest.raises(ValueError, match=r"three_nn: known must have shape \[1, N, 3\], got \[2, 4, 3\]"):
        three_nn(points[:1], points)
    with pytest.raises(TypeError, match=r"three_nn: unknown must be .* or float32 or float64, got int64"):
        three_nn(points.long(), points)
    with pytest.raises(
        ValueError, match="three_nn_stacked: known_counts must not be negative and must add up to 4"
    ):
        three_nn_stacked(points[0], torch.tensor([4]), points[0], torch.tensor([3]))
    with pytest.raises(ValueError, match=r"three_interpolate: idx must have shape \[2, N, 3\]"):
        three_interpolate(features, idx[..., :2], weights)
    with pytest.raises(IndexError, match="three_interpolate: idx must be below 4, the known points, got 4"):
        three_interpolate(features, idx + 4, weights)
    with pytest.raises(TypeError, match=r"three_interpolate: weights must be .*, got int64"):
        three_interpolate(features, idx, idx)
    with pytest.raises(IndexError, match="three_interpolate_stacked: idx must be below 4"):
        three_interpolate_stacked(points[0], idx[0] + 4, weights[0])
