from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_models.dspdet3d import DSPDet3DConfig, DSPDet3DOutputs, LevelOutputs, RoomBatch
from fusion_models.dspdet3d.losses import DSPDet3DLosses, aligned_diou_loss, dspdet3d_loss, keep_loss
from geom3d.overlap import diou_3d
from torch.utils._pytree import tree_map

CONFIG = DSPDet3DConfig(class_names=("cup", "box", "sofa"))
VOXELS = (800, 300, 80, 40)


def labelled(*rooms: list[list[float]]) -> RoomBatch:
    """Rooms of boxes; the class of a box is its row in the room modulo 3."""
    boxes = torch.tensor([box for room in rooms for box in room]).reshape(-1, 6)
    return RoomBatch(
        names=tuple(map(str, range(len(rooms)))),
        points=torch.zeros(0, 3),
        point_counts=(0,) * len(rooms),
        boxes=boxes,
        labels=torch.tensor([row % 3 for room in rooms for row in range(len(room))], dtype=torch.int64),
        box_counts=tuple(map(len, rooms)),
    )


# A box of every level, and a room with a cup alone.
ROOMS = (
    [
        [0.2, 0.2, 0.2, 0.1, 0.1, 0.1],
        [0.5, -0.3, 0.2, 0.3, 0.3, 0.3],
        [-0.6, 0.4, 0.1, 0.6, 0.6, 0.6],
        [-0.2, -0.7, 0.5, 1.5, 1.0, 0.9],
    ],
    [[0.1, 0.3, -0.2, 0.1, 0.2, 0.1]],
)


def made_up(batch_size: int = 2, voxels: tuple[int, ...] = VOXELS, seed: int = 0) -> DSPDet3DOutputs:
    """Outputs of voxels anywhere within a metre, sorted by room; leaves that ask for gradients."""
    rng = np.random.default_rng(seed)
    levels = []
    for stride, count in zip(CONFIG.strides, voxels, strict=True):
        steps = 100 // stride
        xyz = rng.integers(-steps, steps, (count, 3)) * stride
        cells = np.column_stack([np.sort(rng.integers(0, batch_size, count)), xyz]).astype(np.int32)
        heads = [rng.standard_normal((count, width)).astype(np.float32) for width in (6, 3, 1)]
        boxes_raw, class_logits, prune = (torch.from_numpy(head).requires_grad_() for head in heads)
        levels.append(
            LevelOutputs(
                points=torch.from_numpy(cells[:, 1:]).float() * 0.01,
                batch_indices=torch.from_numpy(cells[:, 0]).long(),
                cells=torch.from_numpy(cells),
                boxes_raw=boxes_raw,
                class_logits=class_logits,
                prune_logits=prune[:, 0] if stride > 4 else None,
                stride=stride,
            )
        )
    return DSPDet3DOutputs(tuple(levels))


def heads_of(outputs: DSPDet3DOutputs) -> list[torch.Tensor]:
    heads = [[level.boxes_raw, level.class_logits, level.prune_logits] for level in outputs.levels]
    return [head for level in heads for head in level if head is not None]


def focal_of(logit: float, target: int) -> float:
    """The focal loss as in RetinaNet, equation 5, one by one."""
    p = 1 / (1 + np.exp(-float(logit)))
    return -0.25 * (1 - p) ** 2 * np.log(p) if target else -0.75 * p**2 * np.log(1 - p)


def close(found: DSPDet3DLosses, expected: DSPDet3DLosses) -> None:
    for name in ("classes", "boxes", "keep", "total"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), msg=name)


def random_boxes(count: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.hstack([rng.uniform(-1, 1, (count, 3)), rng.uniform(0.1, 2, (count, 3))]))


@pytest.mark.slow
def test_the_box_loss_is_one_minus_distance_iou():
    boxes, targets = random_boxes(60, 0), random_boxes(60, 1)
    with_yaw = (np.pad(rows.numpy(), ((0, 0), (0, 1))) for rows in (boxes, targets))
    expected = 1 - np.diag(diou_3d(*with_yaw))
    assert (expected < 1).any() and (expected > 1).any()
    np.testing.assert_allclose(aligned_diou_loss(boxes, targets), expected, rtol=1e-12)


@pytest.mark.slow
def test_the_box_loss_has_the_gradient_of_its_value():
    boxes = random_boxes(8, 0).requires_grad_()
    assert torch.autograd.gradcheck(aligned_diou_loss, (boxes, random_boxes(8, 1)))


def test_a_box_far_away_is_drawn_near():
    box = torch.tensor([[5.0, 0.0, 0.0, 1.0, 1.0, 1.0]], requires_grad=True)
    aligned_diou_loss(box, torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])).sum().backward()
    assert box.grad[0, 0] > 0


def test_boxes_without_volume_have_a_finite_loss_and_gradient():
    flat = torch.tensor([[1.0, 2.0, 3.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 1.0, 1.0, 0.0]], requires_grad=True)
    loss = aligned_diou_loss(flat, flat.detach().clone())
    loss.sum().backward()
    assert loss.tolist() == [1, 1]
    assert flat.grad.isfinite().all()


def test_the_class_loss_is_the_focal_loss_of_all_voxels_per_voxel_that_learns():
    # Of level 0 two voxels are near the cup, one is not; the others are empty or far away.
    outputs = made_up(1, (3, 0, 1, 0))
    near = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.04, 0.0], [2.0, 0.0, 0.0]])
    outputs = replace(outputs, levels=(replace(outputs.levels[0], points=near), *outputs.levels[1:]))
    batch = labelled([[0.0, 0.0, 0.0, 0.1, 0.1, 0.1]])
    batch = replace(batch, labels=torch.tensor([1]))
    found = dspdet3d_loss(outputs, batch, CONFIG)
    targets = ([0, 1, 0], [0, 1, 0], [0, 0, 0]), ([0, 0, 0],)
    expected = sum(
        focal_of(logit, target)
        for level, rows in zip(outputs.levels[::2], targets, strict=True)
        for logits, row in zip(level.class_logits.tolist(), rows, strict=True)
        for logit, target in zip(logits, row, strict=True)
    )
    np.testing.assert_allclose(found.classes.item(), expected / 2, rtol=1e-6)
    raw = outputs.levels[0].boxes_raw[:2]
    boxes = torch.cat([near[:2] + raw[:, :3], raw[:, 3:].exp()], 1)
    torch.testing.assert_close(found.boxes, aligned_diou_loss(boxes, batch.boxes.expand(2, 6)).mean())


def test_the_keep_loss_counts_room_by_room():
    rng = np.random.default_rng(0)
    # Room 0 has something to keep, room 1 nothing, room 2 no voxels.
    rooms, keep, logits = np.repeat([0, 1], [20, 10]), np.arange(30) < 4, rng.standard_normal(30)
    found = keep_loss(
        torch.from_numpy(logits).float(),
        torch.from_numpy(keep),
        rooms=torch.from_numpy(rooms),
        batch_size=3,
        config=CONFIG,
    )
    focal = [focal_of(logit, not kept) for logit, kept in zip(logits, keep, strict=True)]
    np.testing.assert_allclose(found, sum(focal[:20]) / 4 + sum(focal[20:]) / 10, rtol=1e-6)


def test_the_keep_loss_drives_the_probability_of_pruning():
    logits = torch.zeros(2, requires_grad=True)
    keep, rooms = torch.tensor([True, False]), torch.zeros(2, dtype=torch.int64)
    keep_loss(logits, keep, rooms=rooms, batch_size=1, config=CONFIG).backward()
    assert logits.grad[0] > 0 > logits.grad[1]


def test_the_keep_loss_is_the_mean_over_rooms_and_levels():
    outputs, batch = made_up(), labelled(*ROOMS)
    found = dspdet3d_loss(outputs, batch, CONFIG).keep
    alone = []
    for room in range(2):
        levels = []
        for level in outputs.levels:
            rows = level.batch_indices == room
            own = tree_map(lambda x, rows=rows: x[rows] if isinstance(x, torch.Tensor) else x, level)
            levels.append(replace(own, batch_indices=torch.zeros_like(own.batch_indices)))
        alone.append(dspdet3d_loss(DSPDet3DOutputs(tuple(levels)), labelled(ROOMS[room]), CONFIG).keep)
    torch.testing.assert_close(found, torch.stack(alone).mean())


def test_losses_are_weighted():
    outputs, batch = made_up(), labelled(*ROOMS)
    plain = dspdet3d_loss(outputs, batch, replace(CONFIG, keep_weight=1.0))
    config = replace(CONFIG, class_weight=2.0, box_weight=3.0, keep_weight=0.5)
    close(
        dspdet3d_loss(outputs, batch, config),
        DSPDet3DLosses(2 * plain.classes, 3 * plain.boxes, 0.5 * plain.keep),
    )
    assert min(plain.classes, plain.boxes, plain.keep) > 0


def test_gradients_reach_all_that_the_heads_say():
    outputs = made_up()
    loss = dspdet3d_loss(outputs, labelled(*ROOMS), CONFIG)
    gradients = torch.autograd.grad(loss.total, heads_of(outputs))
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("rooms", "voxels"),
    [
        pytest.param(([], []), VOXELS, id="no boxes"),
        pytest.param(([], ROOMS[1]), VOXELS, id="no boxes in a room"),
        pytest.param(([[50.0, 0, 0, 0.1, 0.1, 0.1]], []), VOXELS, id="no voxel near a box"),
        pytest.param(ROOMS, (0, 0, 0, 0), id="no voxels"),
        pytest.param(ROOMS, (0, 0, 30, 15), id="no voxels on fine levels"),
        pytest.param(ROOMS, (120, 60, 0, 0), id="no voxels on coarse levels"),
    ],
)
def test_losses_and_gradients_are_finite(rooms, voxels):
    outputs = made_up(voxels=voxels)
    loss = dspdet3d_loss(outputs, labelled(*rooms), CONFIG)
    gradients = torch.autograd.grad(loss.total, heads_of(outputs))
    assert loss.total.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("rooms", [([], []), ([[50.0, 0, 0, 0.1, 0.1, 0.1]], [])])
def test_where_nothing_learns_a_box_classes_and_boxes_have_no_loss(rooms):
    outputs = made_up()
    loss = dspdet3d_loss(outputs, labelled(*rooms), CONFIG)
    assert loss.classes == loss.boxes == 0 < loss.keep
    (loss.classes + loss.boxes).backward()
    assert not any(level.class_logits.grad.any() or level.boxes_raw.grad.any() for level in outputs.levels)


def test_order_of_voxels_and_boxes_does_not_matter():
    outputs, batch = made_up(), labelled(*ROOMS)
    shuffled = []
    for level in outputs.levels:
        order = torch.randperm(len(level.points))
        shuffled.append(
            tree_map(lambda x, order=order: x[order] if isinstance(x, torch.Tensor) else x, level)
        )
    order = torch.tensor([2, 0, 3, 1, 4])
    other = replace(batch, boxes=batch.boxes[order], labels=batch.labels[order])
    close(
        dspdet3d_loss(DSPDet3DOutputs(tuple(shuffled)), other, CONFIG), dspdet3d_loss(outputs, batch, CONFIG)
    )


def test_losses_are_in_single_precision_under_autocast():
    outputs, batch = made_up(), labelled(*ROOMS)
    expected = dspdet3d_loss(outputs, batch, CONFIG)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(dspdet3d_loss(outputs, batch, CONFIG), expected)


def test_targets_of_2023_train_as_well():
    config = replace(CONFIG, keep_rule="v1", keep_radius=13, assign_cells=None)
    outputs, batch = made_up(), labelled(*ROOMS)
    old, new = dspdet3d_loss(outputs, batch, config), dspdet3d_loss(outputs, batch, CONFIG)
    assert old.total.isfinite()
    assert old.keep != new.keep and old.boxes != new.boxes


def test_an_unlabelled_batch_is_refused():
    batch = RoomBatch(names=("a", "b"), points=torch.zeros(0, 3), point_counts=(0, 0))
    with pytest.raises(ValueError, match="train on labelled rooms"):
        dspdet3d_loss(made_up(), batch, CONFIG)


def test_outputs_must_be_of_the_configuration():
    outputs, batch = made_up(), labelled(*ROOMS)
    with pytest.raises(ValueError, match=r"expected levels of stride \(4, 8, 16, 32\), got \(4, 8\)"):
        dspdet3d_loss(DSPDet3DOutputs(outputs.levels[:2]), batch, CONFIG)
    with pytest.raises(ValueError, match=r"a column for each of 22 classes, got 3"):
        dspdet3d_loss(outputs, batch, DSPDet3DConfig())
    without = replace(outputs.levels[2], prune_logits=None)
    with pytest.raises(ValueError, match=r"levels\[2\].prune_logits: expected one number per voxel"):
        dspdet3d_loss(DSPDet3DOutputs((*outputs.levels[:2], without, outputs.levels[3])), batch, CONFIG)


def _rank_gradients(rank: int) -> list[torch.Tensor]:
    """Gradients of one room out of two, averaged over the ranks; the second rank's room has other boxes."""
    outputs = made_up(1, seed=rank)
    found = torch.autograd.grad(
        dspdet3d_loss(outputs, labelled(ROOMS[rank]), CONFIG).total, heads_of(outputs)
    )
    both = []
    for gradient in found:
        ranks = [torch.empty_like(gradient) for _ in range(2)]
        torch.distributed.all_gather(ranks, gradient)
        both += [torch.cat(ranks) / 2]
    return both


@pytest.mark.slow
def test_two_processes_average_to_the_joined_batch(on_two_ranks):
    parts = made_up(1, seed=0), made_up(1, seed=1)
    levels = []
    for first, second in zip(*(part.levels for part in parts), strict=True):
        columns = {
            name: torch.cat([getattr(first, name), getattr(second, name)]).detach().requires_grad_()
            for name in ("boxes_raw", "class_logits", *(["prune_logits"] if first.stride > 4 else []))
        }
        fixed = {
            name: torch.cat([getattr(first, name), getattr(second, name)]) for name in ("points", "cells")
        }
        rooms = torch.cat([first.batch_indices, second.batch_indices + 1])
        levels.append(replace(first, batch_indices=rooms, **columns, **fixed))
    joined = DSPDet3DOutputs(tuple(levels))
    expected = torch.autograd.grad(dspdet3d_loss(joined, labelled(*ROOMS), CONFIG).total, heads_of(joined))
    for found, gradient in zip(on_two_ranks(_rank_gradients), expected, strict=True):
        torch.testing.assert_close(found, gradient)
