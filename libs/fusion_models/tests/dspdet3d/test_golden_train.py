"""Targets and losses of DSPDet3D against the released code, on two rooms, with weak pruning and without.

Recorded rows are sorted by x, y, z. The recorded targets to keep are those of the released rule with the rows
of the official code put right. Losses were computed with batch norm in evaluation mode.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_models.dspdet3d import DSPDet3D, DSPDet3DConfig, RoomBatch, load_released
from fusion_models.dspdet3d.assign import assign
from fusion_models.dspdet3d.losses import dspdet3d_loss
from fusion_models.dspdet3d.targets import TargetBoxes, keep_targets, target_boxes

pytestmark = [pytest.mark.golden, pytest.mark.parametrize("case", ["train", "train_weak"])]

CONFIG = DSPDet3DConfig()


@pytest.fixture(params=[0, 1])
def batch(request, dspdet3d_golden) -> RoomBatch:
    """One of the rooms."""
    points, boxes, labels = (
        torch.from_numpy(dspdet3d_golden[f"{name}_{request.param}"])
        for name in ("points", "gt_boxes", "gt_labels")
    )
    return RoomBatch(
        names=(str(request.param),),
        points=points,
        point_counts=(len(points),),
        boxes=boxes,
        labels=labels,
        box_counts=(len(boxes),),
    )


@pytest.fixture
def recorded(case, batch, dspdet3d_golden) -> dict[str, np.ndarray]:
    """What was recorded of that room."""
    start = f"{case}.scene{batch.names[0]}."
    return {
        name.removeprefix(start): value for name, value in dspdet3d_golden.items() if name.startswith(start)
    }


@pytest.fixture
def boxes(batch) -> TargetBoxes:
    return target_boxes(batch, CONFIG)


def points_of(cells: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(cells).float() * CONFIG.voxel_size_m


def test_boxes_belong_to_the_recorded_levels(boxes, recorded):
    assert boxes.levels.tolist() == recorded["box_levels"].tolist()


def test_recorded_voxels_are_to_be_kept(boxes, recorded):
    for level in (1, 2, 3):
        points = points_of(recorded[f"keep_gt.level{level}.coords"][:, 1:])
        rooms = torch.zeros(len(points), dtype=torch.int64)
        keep = keep_targets(points, boxes, rooms=rooms, level=level, config=CONFIG)
        assert np.array_equal(keep.numpy(), recorded[f"keep_gt.level{level}"])


def test_voxels_learn_the_recorded_boxes(boxes, recorded):
    points = [points_of(recorded[f"assigned.level{level}.coords"]) for level in range(4)]
    levels = torch.cat([torch.full((len(rows),), level) for level, rows in enumerate(points)])
    assigned = assign(torch.cat(points), boxes, rooms=torch.zeros_like(levels), levels=levels, config=CONFIG)
    expected = np.concatenate([recorded[f"assigned.level{level}"] for level in range(4)])
    assert (expected >= 0).sum() >= 15
    assert np.array_equal(assigned.numpy(), expected)


@pytest.mark.slow
def test_losses_are_those_of_the_released_code(batch, recorded, seeded_dspdet3d_state):
    config = replace(CONFIG, max_train_voxels=int(recorded["pts_prune_threshold"]))
    model = DSPDet3D(config).eval()
    load_released(model, seeded_dspdet3d_state)
    model.training = True  # of the decoder alone, batch norm stays in evaluation mode
    with torch.no_grad():
        found = dspdet3d_loss(model(batch), batch, config)
    expected = [recorded[f"{name}_loss"] for name in ("cls", "bbox", "keep")]
    np.testing.assert_allclose([found.classes, found.boxes, found.keep], expected, rtol=1e-5)
    np.testing.assert_allclose(found.total, sum(expected), rtol=1e-5)
