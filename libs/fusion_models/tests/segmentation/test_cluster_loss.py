import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_models.segmentation.cluster_loss import (
    Anchors,
    ClusterConfig,
    WithinClassClusterLoss,
    anchors_of_kinds,
    contrast,
    draw_anchors,
)

RELEASED = ClusterConfig(compat="official", fewer_clusters={7: 10, 8: 10})
SMALL = ClusterConfig(clusters=6, memory=8, most_remembered=3, anchors=24)


def tensor(array) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array))


def points_of(count: int = 60, classes: int = 3, seed: int = 0):
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    features = torch.rand(count, 5, generator=random) + F.one_hot(labels, 5)
    return features, labels, torch.randint(classes, (count,), generator=random)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "others", "self_pairs"),
    [("memory", "memory", None), ("batch", "anchor", "negative"), ("center", "centers", None)],
)
def test_terms_and_their_gradients_are_the_released_ones(cluster3dseg_golden, name, others, self_pairs):
    golden = np.load(cluster3dseg_golden / "contrastive_terms.npz")
    anchors, ids = tensor(golden["anchor"]).requires_grad_(), tensor(golden["anchor_y"]).long()
    compared = anchors if others == "anchor" else tensor(golden[others]).float()
    loss = 0.05 * contrast(
        anchors, ids, compared, tensor(golden[f"{others}_y"]).long(), temperature=0.1, self_pairs=self_pairs
    )
    loss.backward()
    torch.testing.assert_close(loss.detach(), tensor(golden[f"loss_{name}"]), atol=1e-6, rtol=0)
    torch.testing.assert_close(anchors.grad, tensor(golden[f"grad_{name}"]), atol=2e-8, rtol=1e-4)


@pytest.mark.golden
def test_two_calls_change_centres_and_memory_as_the_released_loss_does(cluster3dseg_golden):
    golden = np.load(cluster3dseg_golden / "cluster_loss.npz")
    loss = WithinClassClusterLoss(RELEASED, num_classes=19, channels=64)
    loss.centres.copy_(tensor(golden["init_center"]))
    for call in ("c0", "c1"):
        ids, features = tensor(golden[f"{call}_anchor_y"]).long(), tensor(golden[f"{call}_anchor"])
        anchors = Anchors(features.requires_grad_(), ids // 40)
        before = loss.memory.clone()
        assert loss.pointers.tolist() == golden[f"{call}_queue_ptr_before"].tolist()
        assert loss.assign(anchors).tolist() == ids.tolist()
        found = loss.of_anchors(anchors, random=torch.Generator().manual_seed(0))
        # The released memory is not on file as a whole: this term is compared in the test above.
        torch.testing.assert_close(found.in_batch.detach(), tensor(golden[f"{call}_ppc_batch"]))
        torch.testing.assert_close(found.point_centre.detach(), tensor(golden[f"{call}_pcc"]))
        terms = found.point_memory + found.in_batch + found.point_centre
        torch.testing.assert_close(found.total, 0.5 * terms)
        torch.testing.assert_close(loss.centres, tensor(golden[f"{call}_center_after"]), atol=1e-7, rtol=0)
        assert loss.pointers.tolist() == golden[f"{call}_queue_ptr_after"].tolist()
        changed = (loss.memory != before).flatten(1).any(1).nonzero().squeeze(1)
        assert changed.tolist() == golden[f"{call}_queue_changed_rows"].tolist()
        stored = tensor(golden[f"{call}_queue_rows_after"]).float()
        for own, released, cluster in zip(loss.memory[changed], stored, changed.tolist(), strict=True):
            start = int(golden[f"{call}_queue_ptr_before"][cluster])
            count = min(int((ids == cluster).sum()), 10)
            # Which of them come in which order is drawn; all of them fit into the places on file.
            if start + count <= stored.shape[1] and int((ids == cluster).sum()) <= 10:
                gaps = torch.cdist(own[start : start + count], released[start : start + count])
                assert gaps.min(1).values.max() < 2e-3
                assert gaps.min(0).values.max() < 2e-3


@pytest.mark.golden
def test_the_gradient_of_the_features_is_the_released_one(cluster3dseg_golden):
    """Of the terms whose other points are on file; the memory has the rest of the recorded gradient."""
    golden = np.load(cluster3dseg_golden / "cluster_loss.npz")
    loss = WithinClassClusterLoss(RELEASED, num_classes=19, channels=64)
    loss.centres.copy_(tensor(golden["init_center"]))
    features, anchor = tensor(golden["c0_feats"]).requires_grad_(), tensor(golden["c0_anchor"])
    unit = F.normalize(features, dim=1)
    rows = (unit.detach() @ anchor.T).argmax(0)
    torch.testing.assert_close(unit[rows].detach(), anchor, atol=1e-6, rtol=0)
    classes = tensor(golden["c0_anchor_y"]).long() // 40
    found = loss.of_anchors(Anchors(unit[rows], classes), random=torch.Generator())
    (0.5 * (found.in_batch + found.point_centre)).backward()
    recorded = tensor(golden["c0_grad_feats"])
    untouched = torch.ones(len(features), dtype=torch.bool)
    untouched[rows] = False
    assert not features.grad[untouched].any() and not recorded[untouched].any()
    # Random memory pulls in all directions: what it adds is small beside the other terms.
    cosine = F.cosine_similarity(features.grad[rows].flatten(), recorded[rows].flatten(), dim=0)
    assert cosine > 0.95


def test_corrected_memory_holds_anchors_of_its_own_cluster():
    loss = WithinClassClusterLoss(SMALL, num_classes=3, channels=5)
    features, labels, _ = points_of()
    anchors = Anchors(F.normalize(features, dim=1), labels.sort().values)
    ids, before = loss.assign(anchors), loss.memory.clone()
    loss.of_anchors(anchors, random=torch.Generator().manual_seed(0))
    changed = (loss.memory != before).any(-1)
    assert changed.any(1).nonzero().squeeze(1).tolist() == ids.unique().tolist()
    for cluster in ids.unique().tolist():
        stored, own = loss.memory[cluster][changed[cluster]], anchors.features[ids == cluster]
        assert len(stored) == min(len(own), SMALL.most_remembered)
        assert torch.cdist(stored, own).min(1).values.max() < 1e-6


def test_memory_is_written_in_a_ring_whose_end_is_filled_up():
    loss = WithinClassClusterLoss(SMALL, num_classes=1, channels=2)
    for number, (count, pointer) in enumerate([(3, 3), (3, 6), (3, 0), (3, 3), (2, 5), (3, 0)]):
        loss._enqueue(0, torch.full((count, 2), float(number)))
        assert loss.pointers[0] == pointer
    assert loss.memory[0, :, 0].tolist() == [3, 3, 3, 4, 4, 5, 5, 5]


def test_centres_move_a_little_towards_their_points_and_others_stay():
    config = ClusterConfig(clusters=2, momentum=0.5, memory=4, most_remembered=2)
    loss = WithinClassClusterLoss(config, num_classes=2, channels=2)
    loss.centres.copy_(torch.tensor([[[1.0, 0], [0, 1]], [[1, 0], [0, 1]]]))
    anchors = Anchors(F.normalize(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), dim=1), torch.tensor([0, 0]))
    loss.of_anchors(anchors, random=torch.Generator())
    expected = F.normalize(torch.tensor([1 + 0.5**0.5, 0.5**0.5]), dim=0)
    torch.testing.assert_close(loss.centres[0, 0], expected)
    torch.testing.assert_close(loss.centres[0, 1], torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(loss.centres[1], torch.eye(2))


def test_classes_with_fewer_clusters_use_these_alone():
    config = ClusterConfig(clusters=6, fewer_clusters={1: 2}, memory=4, most_remembered=2)
    loss = WithinClassClusterLoss(config, num_classes=3, channels=5)
    features, labels, _ = points_of(90)
    ids = loss.assign(Anchors(F.normalize(features, dim=1), labels))
    assert set(ids[labels == 1].tolist()) == {6, 7}
    assert len(ids[labels == 0].unique()) > 2


def test_no_positive_pair_costs_nothing_and_has_no_gradient():
    points, ids = torch.eye(3, requires_grad=True), torch.tensor([0, 1, 2])
    for self_pairs in ("negative", "left out"):
        loss = contrast(points, ids, points, ids, temperature=0.1, self_pairs=self_pairs)
        (gradient,) = torch.autograd.grad(loss + 0 * points.sum(), points)
        if self_pairs == "negative":
            assert loss.item() == 0
            assert not gradient.any()


def test_a_point_is_not_compared_with_itself():
    points, ids = F.normalize(torch.rand(4, 3), dim=1), torch.tensor([0, 0, 1, 1])
    left_out = contrast(points, ids, points, ids, temperature=0.5, self_pairs="left out")
    scores = points @ points.T / 0.5
    expected = 0.0
    for i in range(4):
        positive = i ^ 1
        negatives = sum(scores[i, j].exp() for j in range(4) if ids[j] != ids[i])
        expected += -(scores[i, positive].exp() / (scores[i, positive].exp() + negatives)).log() / 4
    torch.testing.assert_close(left_out, expected)
    assert contrast(points, ids, points, ids, temperature=0.5, self_pairs="negative") > left_out


@pytest.mark.parametrize("labels", [[], [255, 255, 255]])
def test_a_batch_without_labels_costs_nothing_and_changes_nothing(labels):
    loss = WithinClassClusterLoss(SMALL, num_classes=3, channels=5)
    before = {name: value.clone() for name, value in loss.state_dict().items() if name != "calls"}
    features = torch.rand(len(labels), 5, requires_grad=True)
    labels = torch.tensor(labels, dtype=torch.int64)
    found = loss(features, labels, predictions=labels)
    found.total.backward()
    assert [value.item() for value in found] == [0, 0, 0, 0]
    assert not features.grad.any()
    state = loss.state_dict()
    torch.testing.assert_close({name: state[name] for name in before}, before, atol=1e-7, rtol=0)


def test_one_point_of_one_class_is_fine():
    loss = WithinClassClusterLoss(SMALL, num_classes=3, channels=5)
    found = loss(torch.rand(1, 5), torch.tensor([2]), predictions=torch.tensor([0]))
    assert torch.stack(list(found)).isfinite().all()
    assert found.in_batch == 0


def test_a_label_that_is_no_class_is_refused():
    loss = WithinClassClusterLoss(SMALL, num_classes=3, channels=5)
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2 or be 255, got 3"):
        loss(torch.rand(2, 5), torch.tensor([1, 3]), predictions=torch.tensor([0, 0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clusters": 0}, "at least 1"),
        ({"most_remembered": 51}, "at most memory"),
        ({"fewer_clusters": {1: 41}}, "1 to 40 clusters"),
        ({"momentum": 1.5}, r"momentum must lie in 0\.\.1"),
    ],
)
def test_numbers_out_of_range_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ClusterConfig(**change)


def test_fewer_clusters_of_an_unknown_class_are_refused():
    with pytest.raises(ValueError, match="class 7 is not among the 3"):
        WithinClassClusterLoss(RELEASED, num_classes=3, channels=5)


@pytest.mark.parametrize("wanted", range(12))
def test_anchors_are_half_hard_where_there_are_enough(wanted):
    for hard in range(15):
        for easy in range(15):
            found = anchors_of_kinds(wanted, hard, easy)
            assert found[0] <= hard and found[1] <= easy
            assert sum(found) == min(wanted, hard + easy) or sum(found) == hard + easy
            if min(hard, easy) >= wanted / 2:
                assert found == (wanted // 2, wanted - wanted // 2)


def test_anchors_are_drawn_from_every_class_hard_ones_first():
    labels, is_easy = torch.arange(60) % 3, torch.arange(60) // 3 % 2 == 0
    labels[::7] = 255
    found = draw_anchors(
        labels, is_easy, num_classes=4, most=30, most_per_class=9, random=torch.Generator().manual_seed(0)
    )
    assert found.places.tolist() == list(range(len(found.classes)))
    assert found.classes.tolist() == sorted(found.classes.tolist())
    assert len(found.rows.unique()) == len(found.rows)
    assert torch.equal(labels[found.rows], found.classes)
    for index in range(3):
        easy = is_easy[found.rows[found.classes == index]]
        assert len(easy) == 9
        assert not easy[:4].any() and easy[4:].all()


def test_state_is_kept_and_repeats_the_next_step():
    first = WithinClassClusterLoss(SMALL, num_classes=3, channels=5, seed=3)
    first(*points_of()[:2], predictions=points_of()[2])
    second = WithinClassClusterLoss(SMALL, num_classes=3, channels=5, seed=3)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    features, labels, predictions = points_of(seed=1)
    one, other = (loss(features, labels, predictions=predictions) for loss in (first, second))
    assert one == other
    assert all(torch.equal(first.state_dict()[name], value) for name, value in second.state_dict().items())


def test_evaluation_changes_nothing():
    loss = WithinClassClusterLoss(SMALL, num_classes=3, channels=5).eval()
    before = copy.deepcopy(loss.state_dict())
    loss(*points_of()[:2], predictions=points_of()[2])
    assert all(torch.equal(before[name], value) for name, value in loss.state_dict().items())


def test_half_precision_and_autocast_are_computed_in_single():
    loss = WithinClassClusterLoss(SMALL, num_classes=3, channels=5).eval()
    features, labels, predictions = points_of()
    plain = loss(features.bfloat16().float(), labels, predictions=predictions).total
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(features.bfloat16(), labels, predictions=predictions).total
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain)


def test_gradients_are_those_of_finite_differences():
    others = F.normalize(torch.randn(7, 4, dtype=torch.float64), dim=1)
    points = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    ids, other_ids = torch.tensor([0, 0, 1, 2, 1]), torch.tensor([0, 1, 1, 2, 0, 0, 3])
    for self_pairs in (None, "negative", "left out"):
        for_others = (others, other_ids) if self_pairs is None else None

        def value(x, pair=for_others, rule=self_pairs):
            compared, compared_ids = pair or (x, ids)
            return contrast(x, ids, compared, compared_ids, temperature=0.5, self_pairs=rule)

        assert torch.autograd.gradcheck(value, points)


def _of_a_rank(rank: int, compat: str) -> dict[str, torch.Tensor]:
    """Two calls on the half of every batch that belongs to a rank; unequal halves."""
    config = ClusterConfig(compat=compat, clusters=6, memory=8, most_remembered=3, anchors=24)
    loss = WithinClassClusterLoss(config, num_classes=3, channels=5)
    found = {}
    for call in range(2):
        features, labels, predictions = points_of(seed=call)
        own = slice(0, 37) if rank == 0 else slice(37, None)
        leaf = features.requires_grad_()
        total = loss(leaf[own], labels[own], predictions=predictions[own]).total
        (gradient,) = torch.autograd.grad(total, leaf)
        torch.distributed.all_reduce(gradient)
        found |= {f"total {call}": total.detach(), f"gradient {call}": gradient / 2}
    return found | loss.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("compat", ["official", "corrected"])
def test_two_processes_equal_one_on_the_joined_batch(on_two_ranks, compat):
    found = on_two_ranks(_of_a_rank, compat)
    config = ClusterConfig(compat=compat, clusters=6, memory=8, most_remembered=3, anchors=24)
    loss = WithinClassClusterLoss(config, num_classes=3, channels=5)
    for call in range(2):
        features, labels, predictions = points_of(seed=call)
        assert _both_halves_have_all(labels, predictions)
        leaf = features.requires_grad_()
        total = loss(leaf, labels, predictions=predictions).total
        (gradient,) = torch.autograd.grad(total, leaf)
        torch.testing.assert_close(found[f"total {call}"], total.detach())
        torch.testing.assert_close(found[f"gradient {call}"], gradient)
    for name, value in loss.state_dict().items():
        torch.testing.assert_close(found[name], value)


def _both_halves_have_all(labels: torch.Tensor, predictions: torch.Tensor) -> bool:
    """Whether each half holds hard and easy points of every class: else the test would tell little."""
    halves = (slice(0, 37), slice(37, None))
    kinds = [{*zip(labels[h].tolist(), (labels == predictions)[h].tolist(), strict=True)} for h in halves]
    return all(len(kind) == 6 for kind in kinds)
