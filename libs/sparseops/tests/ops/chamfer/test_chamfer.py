import pytest
import torch
from scipy.spatial import cKDTree
from sparseops import chamfer_distance, knn


def test_equals_a_search_tree_both_ways(backend: str) -> None:
    a, b = torch.randn(300, 3), torch.randn(200, 3)
    found = chamfer_distance(a[None], b[None])
    for squared, rows, points, others in (
        (found.squared_from_a, found.nearest_in_b, a, b),
        (found.squared_from_b, found.nearest_in_a, b, a),
    ):
        distance, wanted = cKDTree(others.numpy()).query(points.numpy())
        assert torch.equal(rows[0], torch.from_numpy(wanted))
        torch.testing.assert_close(squared[0].sqrt(), torch.from_numpy(distance).float())


def test_distances_are_those_of_the_nearest_neighbours_bit_for_bit(backend: str) -> None:
    a, b = torch.randn(2, 50, 3), torch.randn(2, 40, 3)
    assert torch.equal(chamfer_distance(a, b).squared_from_a, knn(a, b, k=1).squared_distances[..., 0])


def test_of_equal_distances_the_lowest_row_is_taken(backend: str) -> None:
    b = torch.tensor([[[0.0, 2.0, 0.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    assert chamfer_distance(torch.zeros(1, 1, 3), b).nearest_in_b.tolist() == [[1]]


@pytest.mark.golden
def test_padded_clouds_equal_the_official_loss(backend: str, imagepg_ops) -> None:
    source = imagepg_ops["cd_source"].clone().requires_grad_()
    total = torch.zeros(())
    for i, length in enumerate(imagepg_ops["cd_lengths"].tolist()):
        found = chamfer_distance(source[i : i + 1], imagepg_ops["cd_target_padded"][i : i + 1, :length])
        total = total + found.squared_from_a.mean() + found.squared_from_b.mean()
    torch.testing.assert_close(total, imagepg_ops["cd_sum"], rtol=1e-5, atol=1e-5)
    total.backward()
    torch.testing.assert_close(source.grad, imagepg_ops["cd_grad_source"], rtol=1e-5, atol=1e-5)


def test_gradcheck(backend: str) -> None:
    a = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: chamfer_distance(a, b)[:2], (a, b))


def test_gradient_is_twice_the_offset_times_the_upstream_one(backend: str) -> None:
    a = torch.zeros(1, 1, 3, requires_grad=True)
    b = torch.tensor([[[1.0, 2.0, 3.0]]], requires_grad=True)
    (chamfer_distance(a, b).squared_from_a * 5).sum().backward()
    assert a.grad is not None and b.grad is not None
    assert a.grad.tolist() == [[[-10.0, -20.0, -30.0]]]
    assert b.grad.tolist() == [[[10.0, 20.0, 30.0]]]


def test_an_empty_set_is_infinitely_far_away(backend: str) -> None:
    a, b = torch.zeros(2, 3, 3, requires_grad=True), torch.zeros(2, 0, 3, requires_grad=True)
    found = chamfer_distance(a, b)
    assert found.squared_from_a.tolist() == [[torch.inf] * 3] * 2
    assert found.nearest_in_b.tolist() == [[-1] * 3] * 2
    assert found.squared_from_b.shape == found.nearest_in_a.shape == (2, 0)
    found.squared_from_a.sum().backward()
    assert a.grad is not None and (a.grad == 0).all()
    assert chamfer_distance(a[:0], b[:0]).squared_from_a.shape == (0, 3)


def test_points_that_are_not_finite_are_left_out(backend: str) -> None:
    a = torch.tensor([[[torch.nan, 0, 0], [torch.inf, 0, 0], [1.0, 0, 0]]], requires_grad=True)
    b = torch.zeros(1, 1, 3, requires_grad=True)
    found = chamfer_distance(a, b)
    assert found.squared_from_a.tolist() == [[torch.inf, torch.inf, 1.0]]
    assert found.nearest_in_a.tolist() == [[2]]
    (found.squared_from_a[0, 2] + found.squared_from_b.sum()).backward()
    assert a.grad is not None and b.grad is not None
    assert a.grad.tolist() == [[[0.0] * 3, [0.0] * 3, [4.0, 0.0, 0.0]]]
    assert b.grad.tolist() == [[[-4.0, 0.0, 0.0]]]


def test_the_two_sets_may_change_places(backend: str) -> None:
    a, b = torch.randn(2, 30, 3), torch.randn(2, 20, 3)
    one, other = chamfer_distance(a, b), chamfer_distance(b, a)
    assert torch.equal(one.squared_from_a, other.squared_from_b)
    assert torch.equal(one.nearest_in_a, other.nearest_in_b)


def test_a_batch_equals_its_samples_one_by_one(backend: str) -> None:
    a, b = torch.randn(2, 30, 3), torch.randn(2, 20, 3)
    both = chamfer_distance(a, b)
    for i in range(2):
        alone = chamfer_distance(a[i : i + 1], b[i : i + 1])
        assert all(torch.equal(x[i : i + 1], y) for x, y in zip(both, alone, strict=True))


def test_result_does_not_depend_on_the_threads(threads) -> None:
    a, b = (torch.randn(1, count, 3, requires_grad=True) for count in (900, 30))
    results = []
    for count in (1, 2):
        threads(count)
        found = chamfer_distance(a, b)
        loss = found.squared_from_a.mean() + found.squared_from_b.mean()
        results.append([*found, *torch.autograd.grad(loss, (a, b))])
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))


@pytest.mark.triton
def test_triton_equals_the_reference(triton_device: torch.device, monkeypatch) -> None:
    a, b = (torch.randn(2, n, 3).to(triton_device).requires_grad_() for n in (40, 30))
    results = []
    for name in (None, "reference"):
        if name:
            monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        found = chamfer_distance(a, b)
        loss = found.squared_from_a.mean() + found.squared_from_b.mean()
        results.append([*found, *torch.autograd.grad(loss, (a, b))])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    points = torch.zeros(2, 4, 3)
    with pytest.raises(ValueError, match=r"chamfer_distance: b must have shape \[2, N, 3\], got \[1, 4, 3\]"):
        chamfer_distance(points, points[:1])
    with pytest.raises(TypeError, match=r"chamfer_distance: a must be .* or float32 or float64, got int64"):
        chamfer_distance(points.long(), points)
    with pytest.raises(TypeError, match="chamfer_distance: b must be float32, got float64"):
        chamfer_distance(points, points.double())
