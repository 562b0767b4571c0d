import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import weighted_sum
from sparseops.ops.weighted_sum import _cpu, _ops, _reference


def test_equals_a_matrix_product(backend: str) -> None:
    features, idx, weights = torch.randn(7, 5), torch.randint(-1, 7, (20, 3)), torch.randn(20, 3)
    matrix = torch.zeros(20, 8)
    for n in range(20):
        for j in range(3):
            matrix[n, idx[n, j]] += weights[n, j]  # column -1 takes what stands for nothing
    torch.testing.assert_close(weighted_sum(features, idx, weights), matrix[:, :7] @ features)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_gradcheck(backend: str, k: int) -> None:
    features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(6, k, dtype=torch.float64, requires_grad=True)
    idx = torch.randint(-2, 4, (6, k))
    assert torch.autograd.gradcheck(lambda f, w: weighted_sum(f, idx, w), (features, weights))


def test_negative_rows_add_nothing_whatever_their_weight_and_features(backend: str) -> None:
    features = torch.tensor([[torch.nan], [2.0]], requires_grad=True)
    weights = torch.tensor([[torch.nan, 3.0], [torch.inf, 1.0]], requires_grad=True)
    out = weighted_sum(features, torch.tensor([[-1, 1], [-5, -1]]), weights)
    assert out.tolist() == [[6.0], [0.0]]
    out.sum().backward()
    assert features.grad is not None and weights.grad is not None
    assert features.grad.tolist() == [[0.0], [3.0]]
    assert weights.grad.tolist() == [[0.0, 2.0], [0.0, 0.0]]


def test_nothing_to_add_up(backend: str) -> None:
    features = torch.zeros(3, 2, requires_grad=True)
    out = weighted_sum(features, torch.zeros(0, 4, dtype=torch.int64), torch.zeros(0, 4))
    assert out.shape == (0, 2)
    out.sum().backward()
    assert features.grad is not None and (features.grad == 0).all()
    none = torch.zeros(0, 2, requires_grad=True)
    out = weighted_sum(none, torch.full((3, 1), -1), torch.ones(3, 1))
    assert out.tolist() == [[0.0, 0.0]] * 3
    out.sum().backward()
    assert none.grad is not None and none.grad.shape == (0, 2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-2), (torch.bfloat16, 4e-2)])
def test_half_precision_is_computed_in_float32(backend: str, dtype: torch.dtype, tolerance: float) -> None:
    half = torch.randn(9, 4).to(dtype).requires_grad_()
    idx, weights = torch.randint(-1, 9, (30, 3)), torch.rand(30, 3, requires_grad=True)
    out = weighted_sum(half, idx, weights)
    assert out.dtype == dtype
    exact = weighted_sum(half.detach().float(), idx, weights)
    assert torch.equal(out, exact.to(dtype))
    upstream = torch.randn(30, 4)
    grads = torch.autograd.grad(out, (half, weights), upstream.to(dtype))
    single = half.detach().float().requires_grad_()
    wanted = torch.autograd.grad(weighted_sum(single, idx, weights), (single, weights), upstream)
    for ours, exact in zip(grads, wanted, strict=True):
        torch.testing.assert_close(ours.float(), exact, rtol=tolerance, atol=tolerance)


def test_inputs_may_be_strided(backend: str) -> None:
    features, idx, weights = torch.randn(3, 8).T, torch.randint(-1, 8, (2, 6)).T, torch.randn(2, 6).T
    plain = [tensor.contiguous() for tensor in (features, idx, weights)]
    assert torch.equal(weighted_sum(features, idx, weights), weighted_sum(*plain))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 40), st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(0, 1000))
def test_back_ends_agree_bit_for_bit(n: int, rows: int, channels: int, k: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    features, weights = torch.randn(rows, channels, generator=draw), torch.randn(n, k, generator=draw)
    idx, grad = torch.randint(-2, rows, (n, k), generator=draw), torch.randn(n, channels, generator=draw)
    ours = _cpu.weighted_sum(features, idx, weights)
    assert torch.equal(ours, _reference.weighted_sum(features, idx, weights))
    ours = _cpu.weighted_sum_backward_features(grad, idx, weights, rows)
    wanted = _reference.weighted_sum_backward_features(grad, idx, weights, rows)
    assert torch.equal(ours, wanted)
    ours = _cpu.weighted_sum_backward_weights(grad, features, idx)
    wanted = _reference.weighted_sum_backward_weights(grad, features, idx)
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)


def test_result_does_not_depend_on_the_threads(threads) -> None:
    features, weights = torch.randn(50, 33, requires_grad=True), torch.rand(900, 4, requires_grad=True)
    idx = torch.randint(-1, 50, (900, 4))
    results = []
    for count in (1, 2):
        threads(count)
        out = weighted_sum(features, idx, weights)
        results.append([out, *torch.autograd.grad(out.square().sum(), (features, weights))])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.slow
def test_the_operators_pass_opcheck() -> None:
    features, weights = torch.randn(5, 3, requires_grad=True), torch.rand(4, 2, requires_grad=True)
    idx = torch.tensor([[0, -1], [4, 4], [2, 1], [-1, -1]])
    torch.library.opcheck(_ops.weighted_sum, (features, idx, weights, "weighted_sum"))
    torch.library.opcheck(_ops.backward_features, (torch.randn(4, 3), idx, weights.detach(), 5))
    torch.library.opcheck(_ops.backward_weights, (torch.randn(4, 3), features.detach(), idx))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    features, idx, weights = torch.zeros(4, 3), torch.zeros(5, 2, dtype=torch.int64), torch.zeros(5, 2)
    with pytest.raises(ValueError, match=r"weighted_sum: weights must have shape \[5, 2\], got \[5, 1\]"):
        weighted_sum(features, idx, weights[:, :1])
    with pytest.raises(TypeError, match="weighted_sum: idx must be int32 or int64, got float32"):
        weighted_sum(features, weights, weights)
    with pytest.raises(TypeError, match=r"weighted_sum: weights must be .*, got int64"):
        weighted_sum(features, idx, idx)
    with pytest.raises(IndexError, match="weighted_sum: idx must be below 4, the rows of features, got 4"):
        weighted_sum(features, idx + 4, weights)
