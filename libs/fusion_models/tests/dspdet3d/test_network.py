import itertools
import math
from dataclasses import replace

import pytest
import torch
from fusion_models.dspdet3d import DSPDet3D, DSPDet3DConfig, RoomBatch, detect
from fusion_models.dspdet3d.network import partial_add
from sparseops import SparseTensor
from sparseops.ops import kernel_map
from torch import nn

SMALL = DSPDet3DConfig(
    class_names=("cup", "table"),
    stem_channels=8,
    stage_blocks=(1, 2, 1, 1),
    stage_channels=(8, 8, 16, 16),
    out_channels=16,
)


def model_of(config: DSPDet3DConfig = SMALL) -> DSPDet3D:
    """A network whose heads and norms are no constants."""
    model = DSPDet3D(config).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
    return model


def batch_of(*counts: int, seed: int = 1) -> RoomBatch:
    draw = torch.Generator().manual_seed(seed)
    return RoomBatch(
        names=tuple(map(str, range(len(counts)))),
        points=torch.rand(sum(counts), 3, generator=draw) * torch.tensor([0.6, 0.3, 0.25]) - 0.2,
        point_counts=counts,
    )


def cells_of(level, room: int) -> set[tuple[int, ...]]:
    return {tuple(cell[1:]) for cell in level.cells[level.batch_indices == room].tolist()}


def leaves(outputs) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]


class Decides(nn.Module):
    """In place of a prune head: logits of every row, as a function of their number."""

    def __init__(self, logits_of) -> None:
        super().__init__()
        self.logits_of = logits_of

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.logits_of(torch.arange(len(rows)))[:, None].float()


@pytest.mark.slow
@torch.no_grad()
def test_every_level_reaches_all_cells_around_those_of_the_coarser_one():
    outputs = model_of()(batch_of(200, 100), prune_threshold=0.0)
    assert [level.stride for level in outputs.levels] == [4, 8, 16, 32]
    for fine, coarse in itertools.pairwise(outputs.levels):
        for room in (0, 1):
            assert cells_of(fine, room) == {
                tuple(axis + step * fine.stride for axis, step in zip(cell, steps, strict=True))
                for cell in cells_of(coarse, room)
                for steps in itertools.product((-1, 0, 1), repeat=3)
            }


@torch.no_grad()
def test_the_coarsest_level_is_where_points_are_and_places_are_in_metres():
    batch = batch_of(200, 100)
    outputs = model_of()(batch)
    rooms = batch.points.split(list(batch.point_counts))
    for room, points in enumerate(rooms):
        expected = {
            tuple(cell)
            for cell in ((points / 0.01).floor().int().div(32, rounding_mode="floor") * 32).tolist()
        }
        assert cells_of(outputs.levels[3], room) == expected
    for level in outputs.levels:
        assert torch.equal(level.points, level.cells[:, 1:].float() * 0.01)
        assert torch.equal(level.batch_indices, level.cells[:, 0].long())
        assert level.boxes_raw.shape == (len(level.cells), 6) and level.class_logits.shape == (
            len(level.cells),
            2,
        )
    assert outputs.levels[0].prune_logits is None


@torch.no_grad()
def test_a_voxel_has_to_exceed_the_threshold():
    model, batch = model_of(), batch_of(100)
    model.prune_heads[2] = Decides(lambda rows: 0.0 * rows)  # a probability of exactly one half
    assert len(model(batch, prune_threshold=0.5).levels[2].cells) == 0
    assert len(model(batch, prune_threshold=0.4999).levels[2].cells) > 0


@torch.no_grad()
def test_a_threshold_of_0_keeps_what_is_all_but_certain_to_go():
    model, batch = model_of(), batch_of(100)
    kept = model(batch, prune_threshold=0.0)
    model.prune_heads[2] = Decides(lambda rows: 80.0 + 0.0 * rows)
    assert len(model(batch, prune_threshold=0.0).levels[2].cells) == len(kept.levels[2].cells)


@pytest.mark.slow
@torch.no_grad()
def test_the_same_voxels_are_judged_at_every_threshold_and_fewer_kept_at_higher_ones():
    model, batch = model_of(), batch_of(300, 200)
    coarse = model(batch, prune_threshold=0.0).levels[3]
    keep = (-coarse.prune_logits).sigmoid().sort().values
    sizes = []
    for threshold in (0.0, float(keep[1]), float(keep[-2]), 1.0):
        outputs = model(batch, prune_threshold=threshold)
        assert torch.equal(outputs.levels[3].class_logits, coarse.class_logits)
        reached = {
            (room, *(axis + step * 16 for axis, step in zip(cell, steps, strict=True)))
            for room, *cell in coarse.cells[(-coarse.prune_logits).sigmoid() > threshold].tolist()
            for steps in itertools.product((-1, 0, 1), repeat=3)
        }
        assert {tuple(cell) for cell in outputs.levels[2].cells.tolist()} == reached
        sizes.append(len(reached))
    assert sizes[0] > sizes[1] > sizes[2] > sizes[3] == 0


@pytest.mark.slow
@torch.no_grad()
def test_the_configured_threshold_counts_unless_another_is_given():
    model, batch = model_of(replace(SMALL, prune_threshold=0.5)), batch_of(200)
    for ours, theirs in zip(leaves(model(batch)), leaves(model(batch, prune_threshold=0.5)), strict=True):
        assert torch.equal(ours, theirs)
    assert len(model(batch).levels[0].cells) != len(model(batch, prune_threshold=0.0).levels[0].cells)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("head", [0, 1, 2])
def test_all_voxels_of_one_room_or_of_all_may_go_at_any_level(head):
    model, batch = model_of(), batch_of(150, 80)
    level = head + 1
    rooms = model(batch, prune_threshold=0.0).levels[level].batch_indices
    model.prune_heads[head] = Decides(lambda rows: torch.where(rooms[rows] == 0, 50.0, -50.0))
    for coarser in range(head + 1, 3):
        model.prune_heads[coarser] = Decides(lambda rows: -50.0 + 0.0 * rows)
    outputs = model(batch)
    assert len(cells_of(outputs.levels[level], 0)) > 0
    assert len(cells_of(outputs.levels[level - 1], 0)) == 0 < len(cells_of(outputs.levels[level - 1], 1))
    model.prune_heads[head] = Decides(lambda rows: 50.0 + 0.0 * rows)
    outputs = model(batch)
    assert all(len(fine.cells) == len(fine.class_logits) == 0 for fine in outputs.levels[:level])
    assert [len(found.boxes) > 0 for found in detect(outputs, SMALL, 2)] == [True, True]


@pytest.mark.slow
@torch.no_grad()
def test_rooms_without_points_or_with_a_single_one_are_fine():
    model = model_of()
    outputs = model(batch_of(0, 1, 0), prune_threshold=0.0)
    for level, edge in zip(outputs.levels, (15, 7, 3, 1), strict=True):
        assert len(level.cells) == edge**3 and set(level.batch_indices.tolist()) == {1}
    assert [len(found) > 0 for found in model.predict(batch_of(0, 1, 0))] == [False, True, False]
    assert [len(found) for found in model.predict(batch_of(0, 0))] == [0, 0]
    assert [len(level.cells) for level in model(batch_of(0)).levels] == [0, 0, 0, 0]


@torch.no_grad()
def test_a_room_gets_the_same_whoever_shares_its_batch():
    model, one, two = model_of(), batch_of(200, seed=1), batch_of(150, seed=2)
    both = RoomBatch(names=("a", "b"), points=torch.cat([two.points, one.points]), point_counts=(150, 200))
    alone, joined = model(one), model(both)
    for own, shared in zip(alone.levels, joined.levels, strict=True):
        rows = shared.batch_indices == 1
        assert torch.equal(own.cells[:, 1:], shared.cells[rows][:, 1:])
        torch.testing.assert_close(own.class_logits, shared.class_logits[rows], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(own.boxes_raw, shared.boxes_raw[rows], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_runs_repeat_bit_by_bit_and_weights_can_be_saved():
    batch, other = batch_of(200, 100), DSPDet3D(SMALL).eval()
    model = model_of()
    other.load_state_dict(model.state_dict())
    first = leaves(model(batch))
    for again in (model(batch), other(batch)):
        assert all(torch.equal(a, b) for a, b in zip(first, leaves(again), strict=True))


@torch.no_grad()
def test_training_keeps_the_voxels_that_the_coarser_level_finds_best():
    model, batch = model_of(replace(SMALL, max_train_voxels=30)), batch_of(150, 1, 0)
    everything = model(batch, prune_threshold=0.0)
    # Only what lies around the first cell of the room is any good.
    model.prune_heads[2] = Decides(lambda rows: torch.where(rows == 0, -9.0, 0.0))
    for module in model.train().modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    outputs = model(batch)
    counts = [torch.bincount(level.batch_indices, minlength=3).tolist() for level in outputs.levels]
    assert torch.equal(outputs.levels[3].cells, everything.levels[3].cells)
    assert counts == [[30, 30, 0], [30, 30, 0], [30, 27, 0], counts[3]]
    best = outputs.levels[3].cells[0, 1:]
    assert {
        tuple((best + torch.tensor(step) * 16).tolist()) for step in ((0, 0, 0), (1, 0, 0), (0, 0, -1))
    } <= (cells_of(outputs.levels[2], 0))


@pytest.mark.slow
def test_training_reaches_every_weight_and_a_limit_that_does_not_bind_leaves_all_voxels():
    model, batch = model_of().train(), batch_of(150, 80)
    outputs = model(batch)
    sum(leaf.square().sum() for leaf in leaves(outputs) if leaf.requires_grad).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and bool(weight.grad.isfinite().all()) and bool(weight.grad.any()), (
            name
        )
    assert int(model.backbone.stem[1].num_batches_tracked) == 1
    with torch.no_grad():
        everything = model.eval()(batch, prune_threshold=0.0)
    for ours, wanted in zip(outputs.levels, everything.levels, strict=True):
        assert torch.equal(ours.cells, wanted.cells)


def test_training_on_almost_nothing_is_fine():
    outputs = model_of().train()(batch_of(0, 1))
    sum(leaf.square().sum() for leaf in leaves(outputs) if leaf.requires_grad).backward()
    outputs = model_of().train()(batch_of(0, 0))
    assert all(len(level.cells) == 0 for level in outputs.levels)


def test_every_map_is_planned_once(monkeypatch):
    planned = []
    for name, places in {
        "submanifold_map": ("sparseops.nn._maps",),
        "strided_map": ("sparseops.nn._maps", "fusion_models.dspdet3d.backbone"),
        "transposed_map": ("sparseops.nn._maps",),
    }.items():
        plan = getattr(kernel_map, name)

        def counted(*args, name=name, plan=plan, **kwargs):
            planned.append(name)
            return plan(*args, **kwargs)

        for place in places:
            monkeypatch.setattr(f"{place}.{name}", counted)
    with torch.no_grad():
        model_of()(batch_of(300), prune_threshold=0.4)
    # Down: the stem, and twice for a stage (block and shortcut). On a level: backbone, decoder but for the
    # coarsest one, whose voxels are those of the backbone.
    assert {name: planned.count(name) for name in planned} == {
        "strided_map": 1 + 2 * 4,
        "submanifold_map": 4 + 3,
        "transposed_map": 3,
    }


def test_autocast_leaves_places_boxes_and_decisions_in_single_precision():
    model, batch = model_of(), batch_of(200)
    with torch.no_grad():
        exact = model(batch, prune_threshold=0.0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(batch, prune_threshold=0.0)
    for ours, wanted in zip(outputs.levels, exact.levels, strict=True):
        assert torch.equal(ours.points, wanted.points)
        for name in ("boxes_raw", "class_logits", "prune_logits"):
            value, other = getattr(ours, name), getattr(wanted, name)
            if value is not None:
                assert value.dtype == torch.float32
                assert (value - other).abs().max() < 0.1 * other.abs().max()


def test_weights_start_as_released():
    model = DSPDet3D(replace(SMALL, stage_channels=(32, 32, 32, 32), out_channels=64))
    conv = model.backbone.stages[0][0].body[3].weight
    assert conv.std().item() == pytest.approx(math.sqrt(2 / (32 * 27)), rel=0.05)
    assert model.outs[0][0].weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 27)), rel=0.05)
    corner = model.backbone.stages[1][0].shortcut.conv.weight
    assert corner.std().item() == pytest.approx(math.sqrt(2 / 32), rel=0.1)
    bound = 1 / math.sqrt(32 * 27)
    assert 0.95 * bound < model.ups[0][0].weight.abs().max().item() <= bound
    for head in (model.class_head, model.box_head, *model.prune_heads):
        assert head.weight.std().item() == pytest.approx(0.01, rel=0.35)
    assert model.class_head.bias.tolist() == pytest.approx([-math.log(99)] * 2)
    assert 0 < model.box_head.bias.abs().max().item() <= 1 / 8


@torch.no_grad()
def test_predictions_are_those_of_the_forward_pass():
    model, batch = model_of(), batch_of(200, 0, 50)
    expected = detect(model(batch, prune_threshold=0.2), SMALL, 3)
    for ours, theirs in zip(model.predict(batch, prune_threshold=0.2), expected, strict=True):
        assert torch.equal(ours.boxes, theirs.boxes) and torch.equal(ours.scores, theirs.scores)


def test_what_cannot_be_done_is_refused():
    model, batch = model_of(), batch_of(10)
    with pytest.raises(ValueError, match=r"prune_threshold must lie in 0 to 1, got 1\.5"):
        model(batch, prune_threshold=1.5)
    with pytest.raises(ValueError, match=r"point_counts: \(9,\) must add up to the 10 rows"):
        model(replace(batch, point_counts=(9,)))
    model.train()
    with pytest.raises(ValueError, match=r"training mode; call .eval\(\) first"):
        model.predict(batch)
    with pytest.raises(ValueError, match="prune_threshold is for evaluation"):
        model(batch, prune_threshold=0.3)


def test_partial_addition_adds_on_shared_sites_alone_with_gradients_to_both():
    grid = torch.tensor(list(itertools.product([0], range(3), range(3), range(3))), dtype=torch.int32)
    here, there = grid[torch.randperm(27)[:15]], grid[torch.randperm(27)[:12]]
    left, right = torch.randn(15, 2, requires_grad=True), torch.randn(12, 2, requires_grad=True)
    found = partial_add(SparseTensor(left, here, (3, 3, 3), 1), SparseTensor(right, there, (3, 3, 3), 1))
    dense = SparseTensor(right, there, (3, 3, 3), 1).dense()[0]
    expected = left + dense[:, here[:, 1].long(), here[:, 2].long(), here[:, 3].long()].T
    assert torch.equal(found.features, expected) and torch.equal(found.coords, here)
    found.features.sum().backward()
    shared = (there[:, None] == here[None]).all(-1).any(1)
    assert torch.equal(right.grad[:, 0], shared.float()) and bool((left.grad == 1).all())
