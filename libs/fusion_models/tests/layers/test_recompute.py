import pytest
import torch
from fusion_models.layers.recompute import recompute
from torch import nn


def _network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2))


def _passes(network, call):
    """Gradients and buffers after two passes, the second on other rows; then the next random number."""
    torch.manual_seed(1)
    inputs = [torch.randn(5, 3, requires_grad=True), torch.randn(7, 3, requires_grad=True)]
    sum(call(rows).square().sum() for rows in inputs).backward()
    gradients = [rows.grad for rows in inputs] + [p.grad for p in network.parameters()]
    return gradients, {name: value.clone() for name, value in network.named_buffers()}, torch.rand(1)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_statistics_and_random_numbers_are_those_of_a_plain_call(training):
    plain, lean = _network().train(training), _network().train(training)
    expected = _passes(plain, plain)
    actual = _passes(lean, lambda rows: recompute(lean, rows, module=lean))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    assert actual[1]["1.num_batches_tracked"] == (2 if training else 0)


def test_buffers_stay_the_same_objects():
    network = _network()
    before = dict(network.named_buffers())
    recompute(network, torch.randn(4, 3), module=network).sum().backward()
    assert all(value is before[name] for name, value in network.named_buffers())


def test_one_graph_gives_several_gradients():
    network, rows = _network(), torch.randn(4, 3)
    before = dict(network.named_buffers())
    result = recompute(network, rows, module=network)
    losses = (result[:, 0].sum(), result[:, 1].sum(), result.sum())
    first, second, joined = (
        torch.autograd.grad(loss, network[0].weight, retain_graph=True)[0] for loss in losses
    )
    torch.testing.assert_close(first + second, joined)
    assert all(value is before[name] for name, value in network.named_buffers())


def test_only_inputs_are_kept():
    network, kept = _network(), []
    rows = torch.randn(4, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        recompute(network, rows, module=network)
    assert sum(kept) == rows.numel()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        network(rows)
    assert sum(kept) > 100


def test_an_error_while_recomputing_leaves_the_buffers_in_place():
    network = _network()
    before, calls = dict(network.named_buffers()), []

    def fails_again(rows):
        if calls:
            raise RuntimeError("out of luck")
        calls.append(rows)
        return network(rows)

    out = recompute(fails_again, torch.randn(4, 3), module=network)
    with pytest.raises(RuntimeError, match="out of luck"):
        out.sum().backward()
    assert all(value is before[name] for name, value in network.named_buffers())


def test_without_gradients_it_is_a_plain_call():
    network = _network().eval()
    with torch.no_grad():
        assert recompute(network, torch.ones(4, 3), module=network).equal(network(torch.ones(4, 3)))
