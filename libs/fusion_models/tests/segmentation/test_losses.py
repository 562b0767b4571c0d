import pytest
import torch
import torch.nn.functional as F
from fusion_models.layers.lovasz import lovasz_softmax
from fusion_models.segmentation.cluster_loss import ClusterConfig, WithinClassClusterLoss
from fusion_models.segmentation.losses import LossWeights, cross_entropy, segmentation_loss


@pytest.fixture
def batch():
    labels = torch.arange(30) % 3
    labels[::5] = 255
    return torch.randn(30, 3, requires_grad=True), labels


def test_the_total_is_the_weighted_sum(batch):
    logits, labels = batch
    cluster = WithinClassClusterLoss(ClusterConfig(clusters=4, anchors=12), num_classes=3, channels=5)
    weights = LossWeights(cross_entropy=2.0, lovasz=0.5, cluster=3.0)
    found = segmentation_loss(logits, labels, weights=weights, embedding=torch.rand(30, 5), cluster=cluster)
    terms = found.point_memory + found.in_batch + found.point_centre
    torch.testing.assert_close(found.cross_entropy, F.cross_entropy(logits, labels, ignore_index=255))
    torch.testing.assert_close(found.lovasz, lovasz_softmax(logits.softmax(1), labels))
    torch.testing.assert_close(found.total, 2 * found.cross_entropy + 0.5 * found.lovasz + 3 * 0.5 * terms)


def test_what_weighs_nothing_is_left_out(batch):
    found = segmentation_loss(*batch, weights=LossWeights(lovasz=0.0, cluster=0.0))
    assert found.lovasz is None and found.cluster is None and found.point_memory is None
    assert found.total == found.cross_entropy


def test_a_batch_without_labels_to_learn_from_has_a_gradient_of_zero(batch):
    logits, labels = batch
    found = segmentation_loss(logits, torch.full_like(labels, 255), weights=LossWeights())
    found.total.backward()
    assert found.total == 0
    assert not logits.grad.any()


def test_nothing_to_learn_from_is_refused(batch):
    with pytest.raises(ValueError, match="leaves nothing to learn from"):
        segmentation_loss(*batch, weights=LossWeights(cross_entropy=0.0, lovasz=0.0))


def test_an_unlabelled_batch_is_refused(batch):
    with pytest.raises(ValueError, match="has no labels"):
        segmentation_loss(batch[0], None, weights=LossWeights())


def test_a_clustering_loss_without_embeddings_is_refused(batch):
    cluster = WithinClassClusterLoss(ClusterConfig(), num_classes=3, channels=5)
    with pytest.raises(ValueError, match="give the network a projection"):
        segmentation_loss(*batch, weights=LossWeights(), cluster=cluster)


@pytest.mark.parametrize("weights", [(0.0, 0.0, 0.0), (1.0, -1.0, 0.0)])
def test_weights_must_leave_something(weights):
    with pytest.raises(ValueError, match="not all be 0"):
        LossWeights(*weights)


def _of_a_rank(rank: int) -> torch.Tensor:
    logits = torch.arange(12.0).view(6, 2).sin().requires_grad_()
    labels = torch.tensor([0, 1, 255, 1, 0, 255])
    own = slice(0, 2) if rank == 0 else slice(2, None)
    (gradient,) = torch.autograd.grad(cross_entropy(logits[own], labels[own]), logits)
    torch.distributed.all_reduce(gradient)
    return gradient / 2


@pytest.mark.slow
def test_two_processes_average_to_the_joined_batch(on_two_ranks):
    logits = torch.arange(12.0).view(6, 2).sin().requires_grad_()
    labels = torch.tensor([0, 1, 255, 1, 0, 255])
    (expected,) = torch.autograd.grad(cross_entropy(logits, labels), logits)
    torch.testing.assert_close(on_two_ranks(_of_a_rank), expected)
