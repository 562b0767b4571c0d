import pytest
import torch
from sparseops import group
from sparseops.ops.group import _ops


@pytest.mark.golden
def test_values_and_gradient_equal_the_official_ones(backend: str, imagepg_ops) -> None:
    features = imagepg_ops["group_feat"].clone().requires_grad_()
    out = group(features, imagepg_ops["bq_idx_r0.8_n24"])
    assert torch.equal(out, imagepg_ops["group_out"])
    out.square().sum().backward()
    torch.testing.assert_close(features.grad, imagepg_ops["group_grad_of_sum_sq"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_values_are_those_of_the_rows(backend: str, dtype: torch.dtype) -> None:
    features, idx = torch.rand(2, 3, 7).to(dtype), torch.randint(0, 7, (2, 4, 5))
    out = group(features, idx)
    assert out.dtype == dtype
    for b in range(2):
        assert torch.equal(out[b], features[b][:, idx[b]])


def test_gradcheck(backend: str) -> None:
    features = torch.rand(2, 3, 5, dtype=torch.float64, requires_grad=True)
    idx = torch.randint(0, 5, (2, 4, 3))
    assert torch.autograd.gradcheck(lambda f: group(f, idx), (features,))


def test_inputs_may_be_strided(backend: str) -> None:
    features, idx = (
        torch.rand(2, 7, 3).transpose(1, 2).requires_grad_(),
        torch.randint(0, 7, (2, 5, 4)).transpose(1, 2),
    )
    out = group(features, idx)
    assert torch.equal(out[1], features[1][:, idx[1]])
    out.sum().backward()


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_one_row_of_one_point_in_any_integer(backend: str, dtype: torch.dtype) -> None:
    features = torch.tensor([[[3.0]]], requires_grad=True)
    out = group(features, torch.zeros(1, 2, 2, dtype=dtype))
    assert out.tolist() == [[[[3.0, 3.0], [3.0, 3.0]]]]
    out.sum().backward()
    assert features.grad is not None
    assert features.grad.item() == 4


def test_nan_stays_in_its_row(backend: str) -> None:
    features = torch.tensor([[[torch.nan, 1.0]]], requires_grad=True)
    out = group(features, torch.tensor([[[1, 0, 1]]]))
    assert out.isnan().flatten().tolist() == [False, True, False]
    out.backward(torch.tensor([[[[1.0, torch.nan, 1.0]]]]))
    assert features.grad is not None
    assert features.grad[0, 0, 1].item() == 2


def test_a_batch_equals_its_samples_one_by_one(backend: str) -> None:
    features, idx = torch.rand(2, 3, 7), torch.randint(0, 7, (2, 4, 5))
    alone = [group(features[i : i + 1], idx[i : i + 1]) for i in range(2)]
    assert torch.equal(group(features, idx), torch.cat(alone))


def test_nothing_to_gather(backend: str) -> None:
    features = torch.rand(2, 3, 5, requires_grad=True)
    out = group(features, torch.zeros(2, 0, 4, dtype=torch.int64))
    assert out.shape == (2, 3, 0, 4)
    out.sum().backward()
    assert features.grad is not None
    assert (features.grad == 0).all()


def test_result_does_not_depend_on_the_threads(threads) -> None:
    features, idx = torch.rand(2, 5, 50), torch.randint(0, 50, (2, 30, 8))
    grads = []
    for count in (1, 2):
        threads(count)
        leaf = features.clone().requires_grad_()
        group(leaf, idx).square().sum().backward()
        grads.append(leaf.grad)
    assert torch.equal(grads[0], grads[1])


@pytest.mark.slow
def test_the_operators_pass_opcheck() -> None:
    idx = torch.randint(0, 7, (2, 4, 5))
    torch.library.opcheck(_ops.group, (torch.rand(2, 3, 7, requires_grad=True), idx))
    torch.library.opcheck(_ops.group_backward, (torch.rand(2, 3, 4, 5), idx, 7))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    features, idx = torch.rand(2, 3, 7), torch.zeros(2, 4, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"group: idx must have shape \[2, M, S\], got \[1, 4, 5\]"):
        group(features, idx[:1])
    with pytest.raises(TypeError, match="group: idx must be int32 or int64, got float32"):
        group(features, idx.float())
    with pytest.raises(
        TypeError, match="group: features must be float16 or bfloat16 or float32 or float64, got int64"
    ):
        group(features.long(), idx)
    with pytest.raises(IndexError, match="group: idx must lie in 0 to 6, got 0 to 7"):
        group(features, idx + torch.tensor([0, 0, 0, 0, 7]))
    with pytest.raises(IndexError, match="group: idx must lie in 0 to 6, got -1 to 0"):
        group(features, idx - torch.tensor([0, 0, 1, 0, 0]))
