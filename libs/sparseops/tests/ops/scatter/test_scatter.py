import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import scatter_max, scatter_mean, scatter_sum
from sparseops.ops.scatter import _ops
from sparseops.ops.scatter._cpu import scatter_argmax as scatter_argmax_cpu
from sparseops.ops.scatter._cpu import scatter_sum as scatter_sum_cpu
from sparseops.ops.scatter._reference import scatter_argmax as scatter_argmax_reference
from sparseops.ops.scatter._reference import scatter_sum as scatter_sum_reference


def test_sum_mean_and_maximum_of_small_groups(backend: str) -> None:
    rows = torch.tensor([[1.0, -5.0], [3.0, -7.0], [9.0, 9.0], [4.0, 4.0]])
    index = torch.tensor([2, 2, -1, 0])
    assert scatter_sum(rows, index, dim_size=3).tolist() == [[4.0, 4.0], [0.0, 0.0], [4.0, -12.0]]
    assert scatter_mean(rows, index, dim_size=3).tolist() == [[4.0, 4.0], [0.0, 0.0], [2.0, -6.0]]
    values, source = scatter_max(rows, index, dim_size=3)
    assert values.tolist() == [[4.0, 4.0], [0.0, 0.0], [3.0, -5.0]]
    assert source.tolist() == [[3, 3], [4, 4], [1, 0]]


def test_of_equal_values_the_lowest_row_wins_and_gets_the_gradient(backend: str) -> None:
    rows = torch.tensor([[1.0], [2.0], [2.0]], requires_grad=True)
    values, source = scatter_max(rows, torch.zeros(3, dtype=torch.int64), dim_size=1)
    values.sum().backward()
    assert source.item() == 1
    assert rows.grad is not None
    assert rows.grad.flatten().tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("function", [scatter_sum, scatter_mean, lambda *a, **k: scatter_max(*a, **k)[0]])
def test_gradcheck(backend: str, function) -> None:
    rows = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 2, -1, 2, 2, 0, 4, -3, 4])
    assert torch.autograd.gradcheck(lambda leaf: function(leaf, index, dim_size=5), (rows,))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 60), st.integers(1, 35), st.integers(1, 8), st.integers(0, 1000))
def test_back_ends_agree_bit_for_bit(count: int, channels: int, groups: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randint(-9, 9, (count, channels), generator=draw) / 4
    index = torch.randint(-1, groups, (count,), generator=draw)
    assert torch.equal(scatter_sum_cpu(rows, index, groups), scatter_sum_reference(rows, index, groups))
    assert torch.equal(scatter_argmax_cpu(rows, index, groups), scatter_argmax_reference(rows, index, groups))


def test_nothing_to_reduce(backend: str) -> None:
    rows, index = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
    assert scatter_mean(rows, index, dim_size=2).tolist() == [[0.0] * 3] * 2
    assert scatter_max(rows, index, dim_size=2)[1].tolist() == [[0] * 3] * 2
    assert scatter_sum(torch.zeros(4, 3), torch.full((4,), -1), dim_size=0).shape == (0, 3)


def test_a_maximum_over_nan_is_the_first_nan(backend: str) -> None:
    nan, inf = float("nan"), float("inf")
    rows = torch.tensor([[1.0], [nan], [3.0], [nan], [-inf], [-inf]])
    values, source = scatter_max(rows, torch.tensor([0, 0, 0, 0, 1, 1]), dim_size=3)
    assert source.flatten().tolist() == [1, 4, 6]
    assert values[0].isnan()
    assert values[1:].flatten().tolist() == [-inf, 0.0]


def test_sums_over_nan_leave_other_groups_alone(backend: str) -> None:
    rows = torch.tensor([[1.0], [torch.nan], [2.0]])
    assert scatter_mean(rows, torch.tensor([0, 1, 0]), dim_size=2)[0].item() == 1.5
    assert scatter_sum(rows, torch.tensor([0, -1, 0]), dim_size=1).item() == 3


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_inputs_may_be_strided_and_any_integer(backend: str, dtype: torch.dtype) -> None:
    rows, index = torch.randn(3, 8).T[::2], torch.tensor([1, 9, 0, 9, -1, 9, 0, 9], dtype=dtype)[::2]
    assert torch.equal(scatter_sum(rows, index, dim_size=2), torch.stack([rows[1] + rows[3], rows[0]]))
    values, source = scatter_max(rows, index, dim_size=2)
    assert torch.equal(values, torch.stack([torch.maximum(rows[1], rows[3]), rows[0]]))
    assert torch.equal(values, rows.gather(0, source))


def test_one_row(backend: str) -> None:
    rows, index = torch.tensor([[5.0, -1.0]]), torch.tensor([0])
    assert torch.equal(scatter_mean(rows, index, dim_size=1), rows)
    assert torch.equal(scatter_max(rows, index, dim_size=1)[0], rows)


def test_result_does_not_depend_on_the_threads(threads) -> None:
    rows, index = torch.randn(5000, 40), torch.randint(-1, 50, (5000,))
    threads(1)
    alone = scatter_sum(rows, index, dim_size=50), scatter_max(rows, index, dim_size=50)[1]
    threads(2)
    assert torch.equal(scatter_sum(rows, index, dim_size=50), alone[0])
    assert torch.equal(scatter_max(rows, index, dim_size=50)[1], alone[1])


def test_the_operators_pass_opcheck() -> None:
    index = torch.tensor([0, 2, -1, 2])
    torch.library.opcheck(_ops.scatter_sum, (torch.randn(4, 3, requires_grad=True), index, 3, "scatter_sum"))
    torch.library.opcheck(_ops.scatter_argmax, (torch.randn(4, 3), index, 3))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("function", [scatter_sum, scatter_mean, scatter_max])
def test_wrong_arguments_are_named(function) -> None:
    rows, index = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
    name = function.__name__
    with pytest.raises(ValueError, match=rf"{name}: index must have shape \[4\], got \[3\]"):
        function(rows, index[:3], dim_size=1)
    with pytest.raises(TypeError, match=rf"{name}: src must be .* or float32 or float64, got int64"):
        function(rows.long(), index, dim_size=1)
    with pytest.raises(TypeError, match=f"{name}: index must be int32 or int64, got float32"):
        function(rows, index.float(), dim_size=1)
    with pytest.raises(IndexError, match=f"{name}: index must be below dim_size 1, got 1"):
        function(rows, index + 1, dim_size=1)
    with pytest.raises(ValueError, match=f"{name}: dim_size must not be negative, got -1"):
        function(rows, index, dim_size=-1)
