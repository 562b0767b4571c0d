"""A narrow network learns a room with a bin and a sofa: levels, pruning, assignment and losses together."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets3d.indoor import Room, RoomObjects
from fusion_models.dspdet3d import DSPDet3D, DSPDet3DConfig, RoomBatch, collate_rooms
from fusion_models.dspdet3d.losses import dspdet3d_loss
from fusion_models.dspdet3d.targets import target_boxes
from sparseops import paired_iou_aligned_3d

pytestmark = pytest.mark.slow

CONFIG = DSPDet3DConfig(
    class_names=("bin", "sofa"),
    voxel_size_m=0.02,
    stem_channels=16,
    stage_blocks=(1, 1, 1, 1),
    stage_channels=(16, 16, 16, 16),
    out_channels=16,
    max_train_voxels=6000,
    keep_radius=3,
    keep_weight=1.0,
)
BOXES = np.array([[-0.35, -0.3, 0.18, 0.3, 0.26, 0.36], [0.3, 0.25, 0.3, 0.6, 0.5, 0.6]], np.float32)


def on_faces(rng: np.random.Generator, box: np.ndarray, count: int) -> np.ndarray:
    """Points on the faces of a box."""
    unit, axis = rng.uniform(-0.5, 0.5, (count, 3)), rng.integers(0, 3, count)
    unit[np.arange(count), axis] = rng.choice([-0.5, 0.5], count)
    return box[:3] + unit * box[3:]


@pytest.fixture(scope="module")
def batch() -> RoomBatch:
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(-0.6, 0.6, (400, 2)), np.zeros(400)])
    points = np.concatenate([floor, on_faces(rng, BOXES[0], 150), on_faces(rng, BOXES[1], 450)])
    objects = RoomObjects(names=CONFIG.class_names, boxes=BOXES)
    return collate_rooms(
        [Room(name="room", points=points.astype(np.float32), objects=objects)], CONFIG.class_names
    )


def train(model: DSPDet3D, batch: RoomBatch, *, steps: int) -> list[float]:
    """Train as published but for the first rate, which is higher; return the total loss of every step."""
    optimizer, totals = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-4), []
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [steps * 8 // 12, steps * 11 // 12])
    for _ in range(steps):
        optimizer.zero_grad()
        total = dspdet3d_loss(model(batch), batch, model.config).total
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0, error_if_nonfinite=True)
        optimizer.step()
        schedule.step()
        totals.append(total.item())
    return totals


def test_a_small_and_a_large_object_are_learnt_and_the_rest_is_pruned(batch):
    assert target_boxes(batch, CONFIG).levels.tolist() == [0, 1]
    model = DSPDet3D(CONFIG)
    totals = train(model, batch, steps=60)
    assert totals[-1] < 0.5 * totals[0]
    model.eval()
    # As published at a threshold above 0: voxels pruned in training have learnt nothing.
    [found] = model.predict(batch, prune_threshold=0.3)
    # Detections are sorted by score.
    best = torch.stack([found.boxes[found.labels == label][0] for label in (0, 1)])
    overlap = paired_iou_aligned_3d(F.pad(best, (0, 1)), F.pad(batch.boxes, (0, 1)))
    assert overlap.min() > 0.5
    with torch.no_grad():
        voxels = [len(model(batch, prune_threshold=threshold).levels[0].points) for threshold in (0.0, 0.3)]
    assert 0 < voxels[1] < 0.5 * voxels[0]


def test_training_in_bfloat16_lowers_the_loss(batch):
    model = DSPDet3D(CONFIG)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        totals = train(model, batch, steps=15)
    assert np.isfinite(totals).all()
    assert np.mean(totals[-5:]) < 0.7 * np.mean(totals[:5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_reach_every_parameter(batch, dtype):
    model = DSPDet3D(CONFIG)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
        losses = dspdet3d_loss(model(batch), batch, CONFIG)
    losses.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_keep_loss_alone_trains_the_heads_of_all_pruned_levels(batch):
    model = DSPDet3D(CONFIG)
    dspdet3d_loss(model(batch), batch, CONFIG).keep.backward()
    heads = itertools.chain.from_iterable(head.parameters() for head in model.prune_heads)
    assert all(parameter.grad.any() for parameter in heads)
    assert model.class_head.weight.grad is None or not model.class_head.weight.grad.any()
