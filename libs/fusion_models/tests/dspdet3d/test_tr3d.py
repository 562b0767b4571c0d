import math
from dataclasses import replace

import pytest
import torch
from fusion_models.dspdet3d import DSPDet3DOutputs, LevelOutputs, RoomBatch, detect
from fusion_models.dspdet3d.labelled import LabelledBoxes
from fusion_models.dspdet3d.tr3d import TR3D, TR3DConfig, tr3d
from fusion_models.dspdet3d.tr3d_losses import assign_nearest, levels_of_boxes, tr3d_loss

SMALL = TR3DConfig(
    class_names=("cup", "table", "sofa"),
    label_levels=(0, 1, 0),
    stem_channels=8,
    stage_blocks=(1, 1, 1, 1),
    stage_channels=(8, 8, 16, 16),
    out_channels=16,
)


def batch_of(*counts: int, box_counts: tuple[int, ...] | None = None) -> RoomBatch:
    box_counts = (2,) * len(counts) if box_counts is None else box_counts
    size = torch.tensor([2.0, 1.5, 0.8])
    boxes = torch.rand(sum(box_counts), 6) * size.repeat(2) + torch.tensor([0, 0, 0, 0.2, 0.2, 0.2])
    return RoomBatch(
        names=tuple(map(str, range(len(counts)))),
        points=torch.rand(sum(counts), 3) * size,
        point_counts=counts,
        boxes=boxes,
        labels=torch.randint(3, (len(boxes),)),
        box_counts=box_counts,
    )


def by_definition(
    points: torch.Tensor, boxes: LabelledBoxes, rooms: torch.Tensor, levels: torch.Tensor, config: TR3DConfig
) -> list[int]:
    """All distances of a room, one location and one box after the other."""
    found = [-1] * len(points)
    of_level = levels_of_boxes(boxes, config).tolist()
    squared = [
        [sum((a - b) ** 2 for a, b in zip(p, box[:3], strict=True)) for box in boxes.boxes.tolist()]
        for p in points.tolist()
    ]
    for i in range(len(points)):
        mine = [b for b in range(len(of_level)) if boxes.rooms[b] == rooms[i]]
        if not mine:
            continue
        nearest = min(mine, key=lambda b: (squared[i][b], b))
        if of_level[nearest] != levels[i]:
            continue
        others = sorted(
            squared[j][nearest] for j in range(len(points)) if rooms[j] == rooms[i] and levels[j] == levels[i]
        )
        limit = others[config.assign_top] if len(others) > config.assign_top else math.inf
        if squared[i][nearest] < limit:
            found[i] = nearest
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("label_levels", [(0, 1, 0), None])
def test_locations_learn_what_the_definition_says_ties_included(seed, label_levels):
    torch.manual_seed(seed)
    config = replace(SMALL, label_levels=label_levels)
    # On eighths of a metre distances are exact, and many are equal. Room 2 has no boxes, room 3 no locations.
    points = torch.randint(-8, 8, (160, 3)) / 8
    rooms, levels = torch.randint(3, (160,)), torch.randint(2, (160,))
    box_rooms = torch.tensor([0, 0, 0, 0, 1, 1, 3])
    sizes = torch.randint(4, 10, (7, 3)) / 8
    boxes = LabelledBoxes(
        torch.cat([torch.randint(-8, 8, (7, 3)) / 8, sizes], dim=1), torch.randint(3, (7,)), box_rooms
    )
    ours = assign_nearest(points, boxes, rooms=rooms, levels=levels, config=config)
    assert ours.tolist() == by_definition(points, boxes, rooms, levels, config)
    assert (ours >= 0).any()


def test_few_locations_all_learn_and_none_or_no_boxes_are_fine():
    boxes = LabelledBoxes(torch.ones(1, 6), torch.tensor([1]), torch.tensor([0]))
    points, zeros = torch.rand(3, 3), torch.zeros(3, dtype=torch.int64)

    def assign(rows: int, boxes: LabelledBoxes) -> list[int]:
        some = {"rooms": zeros[:rows], "levels": zeros[:rows] + 1}
        return assign_nearest(points[:rows], boxes, **some, config=SMALL).tolist()

    assert assign(3, boxes) == [0, 0, 0]
    assert assign(0, boxes) == []
    assert assign(3, LabelledBoxes(torch.zeros(0, 6), zeros[:0], zeros[:0])) == [-1, -1, -1]


def test_a_location_outside_the_box_may_learn_it():
    boxes = LabelledBoxes(torch.tensor([[0, 0, 0, 0.01, 2, 2]]), torch.tensor([1]), torch.tensor([0]))
    zeros = torch.zeros(1, dtype=torch.int64)
    found = assign_nearest(torch.tensor([[0.3, 0, 0]]), boxes, rooms=zeros, levels=zeros + 1, config=SMALL)
    assert found.tolist() == [0]


def outputs_of(points: torch.Tensor, logits: torch.Tensor, raw: torch.Tensor, rooms: torch.Tensor):
    """Both levels hold these locations."""
    cells = torch.cat([rooms[:, None], (points * 100).round()], dim=1).int()
    levels = [LevelOutputs(points, rooms, cells, raw, logits, None, stride) for stride in SMALL.strides]
    return DSPDet3DOutputs(tuple(levels))


def test_losses_are_those_of_the_formulas():
    """One cup of room 0 at the finer level, learnt by the only location there; focal loss by hand."""
    points, rooms = torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)
    logits = torch.tensor([[0.0, 0.0, 0.0]])
    raw = torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    batch = RoomBatch(
        names=("a",),
        points=points,
        point_counts=(1,),
        boxes=torch.tensor([[0.0, 0, 0, 1, 1, 1]]),
        labels=torch.tensor([0]),
        box_counts=(1,),
    )
    losses = tr3d_loss(outputs_of(points, logits, raw, rooms), batch, SMALL)
    one, zero = 0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2)
    assert losses.classes.item() == pytest.approx(one + 5 * zero)
    assert losses.boxes.item() == pytest.approx(1 + 1 / 6)  # no overlap; 1 by the diagonal of 2 x 1 x 1
    assert losses.total.item() == pytest.approx(losses.classes.item() + losses.boxes.item())


@pytest.mark.slow
def test_nothing_to_learn_gives_zero_and_no_gradient():
    model = TR3D(SMALL)
    for batch in (batch_of(200, 100, box_counts=(0, 0)), batch_of(0, 0, box_counts=(1, 0))):
        losses = tr3d_loss(model(batch), batch, SMALL)
        losses.total.backward()
        assert losses.classes.item() == losses.boxes.item() == 0
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_a_room_without_boxes_or_points_among_others_is_fine():
    model, batch = TR3D(SMALL), batch_of(300, 0, 200, 5, box_counts=(2, 1, 0, 3))
    losses = tr3d_loss(model(batch), batch, SMALL)
    losses.total.backward()
    assert losses.total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
def test_runs_repeat_bit_by_bit_and_a_room_gets_the_same_whoever_shares_its_batch():
    model = TR3D(SMALL).eval()
    batch = batch_of(200, 150)
    alone = RoomBatch(names=("1",), points=batch.points[200:], point_counts=(150,))
    outputs = model(batch), model(batch), model(alone)
    for first, again, single in zip(*(found.levels for found in outputs), strict=True):
        assert torch.equal(first.class_logits, again.class_logits)
        rows = first.batch_indices == 1
        assert torch.equal(first.points[rows], single.points)
        torch.testing.assert_close(first.class_logits[rows], single.class_logits)


def test_outputs_have_the_common_face_and_detections_come_from_it():
    model, batch = TR3D(replace(SMALL, nms_pre=20)).eval(), batch_of(300, 0)
    outputs = model(batch)
    assert [level.stride for level in outputs.levels] == [16, 32]
    assert all(level.prune_logits is None for level in outputs.levels)
    ours = model.predict(batch)
    again = detect(outputs, model.config, 2)
    assert [len(found) for found in ours] == [len(found) for found in again]
    assert len(ours[0]) > 0
    assert len(ours[1]) == 0
    assert len(ours[0]) <= 20 * 3


def test_autocast_leaves_places_and_boxes_in_single_precision():
    model, batch = TR3D(SMALL), batch_of(300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(batch)
        losses = tr3d_loss(outputs, batch, SMALL)
    assert {level.boxes_raw.dtype for level in outputs.levels} == {torch.float32}
    assert losses.total.dtype == torch.float32
    losses.total.backward()
    assert model.backbone.stem[0].weight.grad.isfinite().all()


def test_what_cannot_be_done_is_refused():
    model, batch = TR3D(SMALL), batch_of(50)
    with pytest.raises(ValueError, match="training mode"):
        model.predict(batch)
    with pytest.raises(ValueError, match="a row for each of the 50 points"):
        model(batch, point_features=torch.zeros(49, 3))
    outputs = model(batch)
    with pytest.raises(ValueError, match="has no boxes"):
        tr3d_loss(outputs, replace(batch, boxes=None, labels=None, box_counts=None), SMALL)
    with pytest.raises(ValueError, match="labels must lie in 0 to 2"):
        tr3d_loss(outputs, replace(batch, labels=torch.tensor([0, 3])), SMALL)
    with pytest.raises(ValueError, match="box_counts"):
        tr3d_loss(outputs, replace(batch, box_counts=(1,)), SMALL)
    with pytest.raises(ValueError, match="a column for each of 18 classes"):
        tr3d_loss(outputs, batch, tr3d())
    with pytest.raises(ValueError, match=r"levels of stride \(8, 16\)"):
        tr3d_loss(outputs, batch, replace(SMALL, stem_stride=2))
