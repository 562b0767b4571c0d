import pytest
import torch
from fusion_models.layers.rows import RowBatchNorm, fully_connected, linear, two_layers
from torch import nn


def test_norm_over_all_leading_dimensions_equals_the_one_over_rows():
    x = torch.randn(3, 4, 5)
    ours, plain = RowBatchNorm(5), nn.BatchNorm1d(5)
    torch.testing.assert_close(ours(x).flatten(0, 1), plain(x.flatten(0, 1)))
    torch.testing.assert_close(ours.running_var, plain.running_var)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_use_the_running_statistics_and_leave_them(rows):
    norm = RowBatchNorm(5)
    norm.running_mean.fill_(2.0)
    x = torch.randn(rows, 5)
    torch.testing.assert_close(norm.train()(x), norm.eval()(x))
    assert norm.running_mean.tolist() == [2.0] * 5 and norm.num_batches_tracked == 0


def _repeated(training, autocast=False):
    torch.manual_seed(0)
    norms = [RowBatchNorm(5).train(training) for _ in range(2)]
    for norm in norms:
        norm.weight.data, norm.bias.data = torch.linspace(-1, 1, 5), torch.arange(5.0)
    rows, counts = torch.randn(6, 5) + 3, torch.tensor([1, 0, 4, 2, 1, 7])
    one, many = (rows.clone().requires_grad_() for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = norms[0].weighted(one, counts.float())
    expected = norms[1](many.repeat_interleave(counts, dim=0))
    torch.testing.assert_close(found.repeat_interleave(counts, dim=0), expected)
    value = torch.randn(len(expected), 5)
    (found.repeat_interleave(counts, dim=0) * value).sum().backward()
    (expected * value).sum().backward()
    torch.testing.assert_close(one.grad, many.grad, rtol=1e-4, atol=1e-5)
    for (name, own), other in zip(norms[0].named_buffers(), norms[1].buffers(), strict=True):
        torch.testing.assert_close(own, other, msg=name)
    torch.testing.assert_close(norms[0].weight.grad, norms[1].weight.grad)


@pytest.mark.parametrize("training", [False, True])
def test_a_weighted_row_stands_for_that_many_equal_rows(training):
    _repeated(training)


def test_weighted_statistics_keep_their_digits_under_autocast():
    _repeated(True, autocast=True)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, 0.0]])
def test_fewer_than_two_rows_by_weight_use_the_running_statistics(weights):
    norm, rows = RowBatchNorm(5).train(), torch.randn(2, 5)
    torch.testing.assert_close(norm.weighted(rows, torch.tensor(weights)), norm.eval()(rows))
    assert norm.num_batches_tracked == 0


def test_dropout_sits_between_the_layers_only():
    layers = fully_connected(4, (8, 6), dropout=0.3)
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["Linear", "RowBatchNorm", "ReLU", "Dropout", "Linear", "RowBatchNorm", "ReLU"]
    assert layers(torch.randn(3, 4)).shape == (3, 6)


def test_linear_layers_start_with_xavier_normal_weights_and_no_bias():
    torch.manual_seed(0)
    layer = linear(300, 500)
    assert layer.bias is not None and not layer.bias.any()
    torch.testing.assert_close(layer.weight.std(), torch.tensor((2 / 800) ** 0.5), rtol=0.02, atol=0)
    assert two_layers(5, 7, 9)(torch.randn(4, 5)).shape == (4, 9)
