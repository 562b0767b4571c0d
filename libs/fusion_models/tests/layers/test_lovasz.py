import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_models.layers.lovasz import jaccard_steps, lovasz_softmax


@pytest.mark.golden
@pytest.mark.parametrize("case", range(5))
def test_loss_and_gradient_are_those_of_the_reference(cluster3dseg_golden, case):
    golden = np.load(cluster3dseg_golden / "lovasz.npz")
    logits = torch.from_numpy(golden[f"lv{case}_logits"]).requires_grad_()
    labels = torch.from_numpy(golden[f"lv{case}_labels"]).long()
    loss = lovasz_softmax(logits.softmax(1), labels)
    loss.backward()
    reference = torch.from_numpy(golden[f"lv{case}_loss"])
    # The reference returns an empty tensor where no row counts.
    expected = reference if reference.numel() else torch.zeros(())
    torch.testing.assert_close(loss.detach(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        logits.grad, torch.from_numpy(golden[f"lv{case}_grad_logits"]), atol=1e-8, rtol=1e-5
    )
    everything = torch.from_numpy(golden[f"lv{case}_loss_all"])
    found = lovasz_softmax(logits.detach().softmax(1), labels, classes="all")
    expected = everything if everything.numel() else torch.zeros(())
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    if reference.numel():
        entropy = F.cross_entropy(logits.detach(), labels, ignore_index=255)
        torch.testing.assert_close(entropy, torch.from_numpy(golden[f"lv{case}_ce"]), atol=1e-5, rtol=1e-6)


def test_hard_predictions_cost_one_minus_the_iou():
    labels, found = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 2, 2])
    ious = [2 / 3, 1 / 3, 1 / 2]
    loss = lovasz_softmax(F.one_hot(found, 3).float(), labels)
    assert loss.item() == pytest.approx(1 - sum(ious) / 3)


def test_the_steps_add_up_to_the_loss_of_all_rows_wrong():
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert jaccard_steps(truth).sum(0).tolist() == pytest.approx([1.0, 1.0])


def test_gradients_are_those_of_finite_differences():
    logits = torch.randn(12, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 255, 0, 1, 1, 2, 255])
    assert torch.autograd.gradcheck(lambda x: lovasz_softmax(x.softmax(1), labels), logits)


@pytest.mark.parametrize("labels", [[], [255, 255]])
def test_without_a_row_that_counts_loss_and_gradient_are_zero(labels):
    logits = torch.randn(len(labels), 3, requires_grad=True)
    loss = lovasz_softmax(logits.softmax(1), torch.tensor(labels, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_a_single_row_is_enough():
    assert lovasz_softmax(torch.tensor([[0.25, 0.75]]), torch.tensor([1])).item() == pytest.approx(0.25)


def test_half_precision_is_computed_in_single():
    probabilities = torch.rand(5000, 3).softmax(1)
    labels = torch.arange(5000) % 3
    half = probabilities.bfloat16()
    assert lovasz_softmax(half, labels) == lovasz_softmax(half.float(), labels)
    assert lovasz_softmax(half, labels).dtype == torch.float32
