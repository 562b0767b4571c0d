from dataclasses import replace

import pytest
import torch
from fusion_models.segmentation import (
    BlockWidths,
    SegmentationBatch,
    SegmentationNet,
    SegmentationNetConfig,
    StageWidths,
    point_classes,
)
from sparseops.ops import kernel_map

_STAGES = tuple(
    StageWidths(5 + i, (BlockWidths(4, 6 + i, "linear"), BlockWidths(3, 6 + i))) for i in range(4)
)
POINTS = SegmentationNetConfig(
    class_names=("road", "car", "tree"), stem=4, downs=_STAGES, ups=_STAGES, projection=(6, 5)
)
VOXELS = replace(POINTS, point_branch=False)
BOTH = pytest.mark.parametrize("config", [POINTS, VOXELS], ids=["points", "voxels"])


def batch_of(*counts: int, seed: int = 0, extent: int = 40) -> SegmentationBatch:
    """Scans of so many distinct random cells in any order, each with a point, in a cube of cells."""
    generator = torch.Generator().manual_seed(seed)
    cells = [torch.randperm(extent**3, generator=generator)[:count] for count in counts]
    zyx = [torch.stack([c // extent**2, c // extent % extent, c % extent], dim=1) for c in cells]
    coords = [torch.nn.functional.pad(c, (1, 0), value=b) for b, c in enumerate(zyx)]
    total = sum(counts)
    return SegmentationBatch(
        frame_ids=tuple(f"{b}" for b in range(len(counts))),
        features=torch.randn(total, 4, generator=generator),
        coords_bzyx=torch.cat(coords).int(),
        inverse=torch.arange(total),
        point_counts=counts,
    )


def net_of(config: SegmentationNetConfig, *, seed: int = 0) -> SegmentationNet:
    """A network whose every weight and statistic is random."""
    torch.manual_seed(seed)
    net = SegmentationNet(config)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.mark.slow
@BOTH
def test_a_batch_of_two_is_two_batches_of_one(config):
    both, net = batch_of(300, 200), net_of(config)
    logits = net(both).logits
    for number, rows in enumerate((slice(0, 300), slice(300, 500))):
        coords = both.coords_bzyx[rows].clone()
        coords[:, 0] = 0
        alone = SegmentationBatch(
            frame_ids=("a",),
            features=both.features[rows],
            coords_bzyx=coords,
            inverse=torch.arange(len(coords)),
            point_counts=(len(coords),),
        )
        torch.testing.assert_close(net(alone).logits, logits[rows], msg=f"scan {number}")


@BOTH
def test_the_order_of_voxels_does_not_matter(config):
    batch, net = batch_of(300, 100), net_of(config)
    order = torch.randperm(400)
    shuffled = replace(batch, features=batch.features[order], coords_bzyx=batch.coords_bzyx[order])
    torch.testing.assert_close(net(shuffled).logits, net(batch).logits[order])


@pytest.mark.slow
def test_moving_a_scan_by_whole_coarse_voxels_changes_nothing():
    batch, net = batch_of(300), net_of(POINTS)
    moved = replace(batch, coords_bzyx=batch.coords_bzyx + torch.tensor([0, 16, 0, 32]).int())
    torch.testing.assert_close(net(moved).logits, net(batch).logits)


@BOTH
def test_gradients_reach_every_parameter(config):
    net = net_of(config).train()
    outputs = net(batch_of(2000, 1000))
    (outputs.logits.square().mean() + outputs.embedding.square().mean()).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.slow
@BOTH
def test_one_step_lowers_the_loss(config):
    net, batch = net_of(replace(config, dropout=0.0)).train(), batch_of(1000)
    classes = torch.randint(0, 3, (1000,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    before = torch.nn.functional.cross_entropy(net(batch).logits, classes)
    before.backward()
    optimizer.step()
    assert torch.nn.functional.cross_entropy(net(batch).logits, classes) < before


def test_embeddings_are_made_in_training_alone_and_are_not_negative():
    net, batch = net_of(POINTS), batch_of(100)
    called = []
    net.projection.register_forward_hook(lambda *_: called.append(1))
    assert net(batch).embedding is None and not called
    embedding = net.train()(batch).embedding
    assert embedding.shape == (100, 5) and (embedding >= 0).all() and called


def test_a_network_without_projection_has_no_embedding_and_no_weights_for_it():
    net = net_of(replace(POINTS, projection=None)).train()
    assert net(batch_of(100)).embedding is None
    assert not any(name.startswith("projection") for name in net.state_dict())


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("counts", [(0,), (1,), (0, 50), (50, 0), (1, 0, 1)])
@pytest.mark.parametrize("training", [False, True])
def test_scans_with_no_point_or_one_are_fine(config, counts, training):
    net = net_of(config).train(training)
    outputs = net(batch_of(*counts))
    assert outputs.logits.shape == (sum(counts), 3) and outputs.logits.isfinite().all()
    outputs.logits.sum().backward()


@pytest.mark.slow
@BOTH
def test_the_same_batch_gives_the_same_bits(config):
    batch = batch_of(500, 300)
    runs = []
    for _ in range(2):
        net = net_of(config).train()
        torch.manual_seed(1)
        outputs = net(batch)
        outputs.logits.square().sum().backward()
        runs.append([outputs.logits, *(p.grad for p in net.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.slow
@BOTH
def test_autocast_trains(config):
    net, batch = net_of(config).train(), batch_of(800)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = net(batch)
        loss = outputs.logits.float().square().mean() + outputs.embedding.float().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    torch.manual_seed(1)
    exact = net(batch).logits
    assert (outputs.logits.float() - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.slow
def test_dropout_acts_in_training_alone():
    net, batch = net_of(replace(POINTS, dropout=0.5)), batch_of(200)
    assert torch.equal(net(batch).logits, net(batch).logits)
    torch.manual_seed(1)
    first = net.train()(batch).logits
    assert not torch.equal(net(batch).logits, first)


def test_every_map_is_planned_once(monkeypatch):
    planned = []
    for name in ("submanifold_map", "strided_map", "transposed_map"):
        plan = getattr(kernel_map, name)

        def counted(*args, name=name, plan=plan, **kwargs):
            planned.append(name)
            return plan(*args, **kwargs)

        monkeypatch.setattr(f"sparseops.nn._maps.{name}", counted)
    net_of(POINTS)(batch_of(300))
    assert sorted(planned) == ["strided_map"] * 4 + ["submanifold_map"] * 5


def test_points_get_the_class_of_their_voxel_scan_by_scan():
    batch = replace(batch_of(2, 1), inverse=torch.tensor([1, 0, -1, 1, 2]), point_counts=(4, 1))
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    first, second = point_classes(logits, batch)
    assert first.classes.tolist() == [0, 1, 255, 0] and second.classes.tolist() == [0]
    assert torch.equal(first.probabilities[1], logits[0].softmax(0))
    assert first.probabilities[2].tolist() == [0, 0, 0]


@pytest.mark.slow
def test_predictions_are_those_of_the_forward_pass():
    net, batch = net_of(POINTS), batch_of(50, 0, 30)
    found = net.predict(batch)
    assert [len(scan.classes) for scan in found] == [50, 0, 30]
    assert torch.equal(torch.cat([scan.classes for scan in found]), net(batch).logits.argmax(1))
    assert not found[0].probabilities.requires_grad


def test_what_cannot_be_predicted_is_refused():
    net, batch = net_of(POINTS), batch_of(10)
    with pytest.raises(ValueError, match=r"training mode; call .eval\(\) first"):
        SegmentationNet(POINTS).predict(batch)
    with pytest.raises(ValueError, match="features has 3 columns, expected 4"):
        net(replace(batch, features=batch.features[:, :3]))
    with pytest.raises(ValueError, match="coords repeat a cell in 10 of 20 rows"):
        net(replace(batch, features=batch.features.repeat(2, 1), coords_bzyx=batch.coords_bzyx.repeat(2, 1)))
    with pytest.raises(ValueError, match=r"coords column z must lie in \[0, "):
        net(replace(batch, coords_bzyx=batch.coords_bzyx - torch.tensor([0, 50, 0, 0]).int()))
