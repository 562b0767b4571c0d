"""Both detectors learn one room by heart, and then find its objects."""

from dataclasses import replace

import pytest
import torch
from fusion_models.dspdet3d import RoomBatch
from fusion_models.dspdet3d.baseline_config import higher
from fusion_models.dspdet3d.fcaf3d import FCAF3D, fcaf3d
from fusion_models.dspdet3d.fcaf3d_losses import fcaf3d_loss
from fusion_models.dspdet3d.tr3d import TR3D, tr3d
from fusion_models.dspdet3d.tr3d_losses import tr3d_loss
from sparseops import iou_aligned_3d

pytestmark = pytest.mark.slow

SIZES = {
    "stem_channels": 16,
    "stage_blocks": (1, 1, 1, 1),
    "stage_channels": (16, 24, 32, 32),
    "out_channels": 32,
    "voxel_size_m": 0.02,
}
BOXES = torch.tensor([[0.5, 0.5, 0.5, 0.8, 0.8, 1.0], [2.2, 0.6, 0.4, 1.0, 1.0, 0.8]])


def room() -> RoomBatch:
    """Two boxes full of points on a floor."""
    inside = (torch.rand(2, 500, 3) - 0.5) * BOXES[:, None, 3:] + BOXES[:, None, :3]
    floor = torch.rand(500, 3) * torch.tensor([3.0, 1.5, 0.02])
    points = torch.cat([inside.flatten(0, 1), floor])
    return RoomBatch(
        names=("a",),
        points=points,
        point_counts=(len(points),),
        boxes=BOXES,
        labels=torch.tensor([0, 1]),
        box_counts=(2,),
    )


@pytest.mark.parametrize(
    ("make", "config", "loss_of"),
    [(TR3D, higher(tr3d(("chair", "table"))), tr3d_loss), (FCAF3D, fcaf3d(("chair", "table")), fcaf3d_loss)],
    ids=["tr3d", "fcaf3d"],
)
def test_a_room_can_be_learnt_by_heart(make, config, loss_of):
    config = replace(config, **SIZES)
    model, batch = make(config), room()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    losses = []
    for _ in range(50):
        loss = loss_of(model(batch), batch, config)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        # Centerness is left out: its targets lie between 0 and 1, where cross-entropy does not end at 0.
        losses.append((loss.classes + loss.boxes).item())
    assert losses[-1] < 0.2 * losses[0]
    (found,) = model.eval().predict(batch)
    for box, label in zip(BOXES, (0, 1), strict=True):
        best = found.boxes[found.labels == label][0]
        overlap = iou_aligned_3d(*(torch.nn.functional.pad(b[None], (0, 1)) for b in (box, best)))
        assert overlap.item() > 0.5
