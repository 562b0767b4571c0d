import math
from dataclasses import replace

import pytest
import torch
from fusion_models.dspdet3d import LevelOutputs, RoomBatch
from fusion_models.dspdet3d.fcaf3d import (
    FCAF3D,
    FCAF3DConfig,
    FCAF3DOutputs,
    best_voxels,
    boxes_from_faces,
    detect_central,
)
from fusion_models.dspdet3d.fcaf3d_losses import assign_central, centerness, fcaf3d_loss
from fusion_models.dspdet3d.labelled import LabelledBoxes
from sparseops import SparseTensor

SMALL = FCAF3DConfig(
    class_names=("cup", "table", "sofa"),
    stem_channels=8,
    stage_blocks=(1, 1, 1, 1),
    stage_channels=(8, 8, 16, 16),
    out_channels=16,
)


def batch_of(*counts: int, box_counts: tuple[int, ...] | None = None) -> RoomBatch:
    box_counts = (2,) * len(counts) if box_counts is None else box_counts
    size = torch.tensor([1.2, 1.0, 0.8])
    boxes = torch.rand(sum(box_counts), 6) * size.repeat(2) + torch.tensor([0, 0, 0, 0.3, 0.3, 0.3])
    return RoomBatch(
        names=tuple(map(str, range(len(counts)))),
        points=torch.rand(sum(counts), 3) * size,
        point_counts=counts,
        boxes=boxes,
        labels=torch.randint(3, (len(boxes),)),
        box_counts=box_counts,
    )


def central_by_definition(point: list[float], box: list[float]) -> float | None:
    """None outside; in the order of operations of single precision, which decides ties."""
    product = torch.tensor(1.0)
    for axis in range(3):
        shift, half = torch.tensor(point[axis] - box[axis]), torch.tensor(box[3 + axis] / 2)
        low, high = shift + half, half - shift
        if min(low, high) <= 0:
            return None
        product = product * (torch.minimum(low, high) / torch.maximum(low, high))
    return float(product.sqrt())


def by_definition(
    points: torch.Tensor,
    boxes: LabelledBoxes,
    rooms: torch.Tensor,
    levels: torch.Tensor,
    config: FCAF3DConfig,
) -> list[int]:
    """One box after the other, then one location after the other."""
    candidates: list[list[int]] = [[] for _ in points]
    for number, box in enumerate(boxes.boxes.tolist()):
        central = {
            i: value
            for i, point in enumerate(points.tolist())
            if rooms[i] == boxes.rooms[number] and (value := central_by_definition(point, box)) is not None
        }
        counts = [sum(1 for i in central if levels[i] == level) for level in range(len(config.strides))]
        level = 0
        while level + 1 < len(counts) and min(counts[: level + 2]) >= config.assign_least:
            level += 1
        best = sorted((value for i, value in central.items() if levels[i] == level), reverse=True)
        limit = best[config.assign_top] if len(best) > config.assign_top else -1.0
        for i, value in central.items():
            if levels[i] == level and value > limit:
                candidates[i].append(number)
    volumes = boxes.boxes[:, 3:].prod(1).tolist()
    return [min(found, key=lambda b: (volumes[b], b)) if found else -1 for found in candidates]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("least", "top"), [(27, 18), (6, 4), (1, 2)])
def test_locations_learn_what_the_definition_says_ties_included(seed, least, top):
    torch.manual_seed(seed)
    config = replace(SMALL, assign_least=least, assign_top=top)
    # On eighths of a metre faces are exact, and many centernesses equal. Room 2 has no boxes.
    points = torch.randint(-8, 8, (500, 3)) / 8
    rooms = torch.randint(3, (500,))
    levels = torch.multinomial(torch.tensor([4.0, 3.0, 2.0, 1.0]), 500, replacement=True)
    sizes = torch.randint(4, 16, (7, 3)) / 8
    sizes[3] = sizes[1]  # Of equal volume, and at the same place.
    centers = torch.randint(-6, 6, (7, 3)) / 8
    centers[3] = centers[1]
    boxes = LabelledBoxes(
        torch.cat([centers, sizes], dim=1), torch.randint(3, (7,)), torch.tensor([0, 0, 0, 0, 1, 1, 3])
    )
    ours = assign_central(points, boxes, rooms=rooms, levels=levels, config=config)
    assert ours.tolist() == by_definition(points, boxes, rooms, levels, config)
    assert (ours >= 0).any()


def test_the_level_is_the_last_one_before_the_first_with_few_locations():
    """Six locations at levels 0, 1 and 3, five at level 2: level 1, though level 3 has enough."""
    levels = torch.tensor([0] * 6 + [1] * 6 + [2] * 5 + [3] * 6)
    zeros = torch.zeros(len(levels), dtype=torch.int64)
    box = LabelledBoxes(torch.tensor([[0.5, 0.5, 0.5, 2, 2, 2]]), zeros[:1], zeros[:1])
    config = replace(SMALL, assign_least=6, assign_top=100)
    found = assign_central(torch.rand(len(levels), 3), box, rooms=zeros, levels=levels, config=config)
    assert (found == 0).tolist() == (levels == 1).tolist()


def test_no_locations_or_boxes_are_fine_and_a_location_on_a_face_is_outside():
    zeros = torch.zeros(2, dtype=torch.int64)
    box = LabelledBoxes(torch.tensor([[0.0, 0, 0, 1, 1, 1]]), zeros[:1], zeros[:1])
    none = LabelledBoxes(torch.zeros(0, 6), zeros[:0], zeros[:0])
    points = torch.tensor([[0.5, 0, 0], [0.25, 0, 0]])

    def assign(rows: int, boxes: LabelledBoxes) -> list[int]:
        some = {"rooms": zeros[:rows], "levels": zeros[:rows]}
        return assign_central(points[:rows], boxes, **some, config=SMALL).tolist()

    assert assign(2, box) == [-1, 0]
    assert assign(0, box) == []
    assert assign(2, none) == [-1, -1]


def outputs_of(points: torch.Tensor, rooms: torch.Tensor, *, requires_grad: bool = False) -> FCAF3DOutputs:
    """All levels hold these locations, with numbers drawn at random."""
    cells = torch.cat([rooms[:, None], (points * 100).round()], dim=1).int()
    draw = lambda *shape: torch.randn(shape, requires_grad=requires_grad)  # noqa: E731
    levels = [
        LevelOutputs(points, rooms, cells, draw(len(points), 6) / 2, draw(len(points), 3), None, stride)
        for stride in SMALL.strides
    ]
    return FCAF3DOutputs(tuple(levels), tuple(draw(len(points)) for _ in levels))


def loss_of_room(outputs: FCAF3DOutputs, batch: RoomBatch, room: int) -> tuple[float, float, float]:
    """Location by location, from the definition of what learns what."""
    points = torch.cat([level.points for level in outputs.levels])
    rooms = torch.cat([level.batch_indices for level in outputs.levels])
    levels = torch.cat([torch.full_like(level.batch_indices, i) for i, level in enumerate(outputs.levels)])
    raw = torch.cat([level.boxes_raw for level in outputs.levels])
    logits = torch.cat([level.class_logits for level in outputs.levels]).sigmoid()
    centers = torch.cat(outputs.center_logits).sigmoid()
    box_rooms = torch.arange(len(batch)).repeat_interleave(torch.tensor(batch.box_counts))
    boxes = LabelledBoxes(batch.boxes, batch.labels, box_rooms)
    assigned = by_definition(points, boxes, rooms, levels, SMALL)
    focal, entropy, overlap, weights, positives = 0.0, 0.0, 0.0, 0.0, 0
    for i in (rooms == room).nonzero()[:, 0].tolist():
        box = assigned[i]
        for c, p in enumerate(logits[i].tolist()):
            is_one = box >= 0 and c == int(batch.labels[box])
            focal += -0.25 * (1 - p) ** 2 * math.log(p) if is_one else -0.75 * p**2 * math.log(1 - p)
        if box < 0:
            continue
        target = central_by_definition(points[i].tolist(), batch.boxes[box].tolist())
        p = float(centers[i])
        entropy -= target * math.log(p) + (1 - target) * math.log(1 - p)
        center, size = points[i] + raw[i, :3], raw[i, 3:].exp()
        other, other_size = batch.boxes[box, :3], batch.boxes[box, 3:]
        low = torch.maximum(center - size / 2, other - other_size / 2)
        high = torch.minimum(center + size / 2, other + other_size / 2)
        shared = float((high - low).clamp(min=0).prod())
        overlap += target * (1 - shared / (float(size.prod() + other_size.prod()) - shared))
        weights, positives = weights + target, positives + 1
    return focal / max(positives, 1), overlap / max(weights, 1e-6), entropy / max(positives, 1)


def test_losses_are_those_of_the_definition_mean_over_rooms():
    points = torch.randint(-4, 4, (45, 3)) / 8
    rooms = torch.arange(45) // 15
    batch = replace(
        batch_of(15, 15, 15, 0, box_counts=(2, 0, 1, 1)), boxes=torch.tensor([[0.0, 0, 0, 1.5, 1.5, 1]] * 4)
    )
    outputs = outputs_of(points, rooms)
    losses = fcaf3d_loss(outputs, batch, SMALL)
    expected = torch.tensor([loss_of_room(outputs, batch, room) for room in range(4)]).mean(0)
    ours = torch.stack([losses.classes, losses.boxes, losses.centers])
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses.total, expected.sum(), rtol=1e-5, atol=1e-6)
    assert expected.min() > 0
    halved = fcaf3d_loss(outputs, batch, replace(SMALL, box_weight=0.5, center_weight=0.0))
    torch.testing.assert_close(halved.total, losses.classes + losses.boxes / 2)


@pytest.mark.slow
def test_without_boxes_only_the_classes_are_learnt():
    batch = batch_of(200, 100, box_counts=(0, 0))
    model = FCAF3D(SMALL)
    losses = fcaf3d_loss(model(batch), batch, SMALL)
    losses.total.backward()
    assert losses.boxes.item() == losses.centers.item() == 0
    assert losses.classes.item() > 0
    assert model.box_head.weight.grad is None or not model.box_head.weight.grad.any()
    assert model.class_head.weight.grad.any()


@pytest.mark.slow
def test_rooms_without_points_or_boxes_among_others_are_fine():
    model, batch = FCAF3D(SMALL), batch_of(300, 0, 200, 5, box_counts=(2, 1, 0, 3))
    losses = fcaf3d_loss(model(batch), batch, SMALL)
    losses.total.backward()
    assert losses.total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    nothing = batch_of(0, 0, box_counts=(1, 0))
    assert fcaf3d_loss(model(nothing), nothing, SMALL).total.item() == 0


def test_boxes_from_faces_are_those_of_the_distances():
    points, distances = torch.randn(5, 3), torch.rand(5, 6) + 0.1
    raw = boxes_from_faces(distances.log())
    low, high = points - distances[:, 0::2], points + distances[:, 1::2]
    torch.testing.assert_close(points + raw[:, :3], (low + high) / 2)
    torch.testing.assert_close(raw[:, 3:].exp(), high - low)


def test_centerness_is_one_at_the_centre_and_falls_to_the_faces():
    box = torch.tensor([[0.0, 0, 0, 2, 2, 2]])
    values = [float(centerness(torch.tensor([[x, 0.0, 0.0]]), box)) for x in (0.0, 0.5, 0.9)]
    assert values == pytest.approx([1.0, math.sqrt(1 / 3), math.sqrt(0.1 / 1.9)])


def test_where_the_coarser_level_has_no_voxel_a_score_counts_as_zero():
    """Released weights say so: logits are below 0 nearly everywhere, so such voxels come first."""
    coarse = torch.tensor([[0, 0, 0, 0]], dtype=torch.int32)
    fine = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 5]], dtype=torch.int32)
    tensor = SparseTensor(torch.arange(3.0)[:, None], fine, (2, 2, 6), 1)
    kept = best_voxels(
        tensor, torch.tensor([-4.0]), SparseTensor(torch.zeros(1, 1), coarse, (1, 1, 3), 1), limit=2
    )
    assert kept.features[:, 0].tolist() == [1.0, 2.0]
    assert best_voxels(tensor, torch.tensor([-4.0]), kept, limit=3) is tensor


def test_scores_are_of_class_times_centre_and_every_level_gives_its_best():
    points = torch.arange(6.0)[:, None].expand(6, 3) * 10
    outputs = outputs_of(points, torch.zeros(6, dtype=torch.int64))
    config = replace(SMALL, nms_pre=2, nms_iou=1.0, score_threshold=0.0)
    (found, nothing) = detect_central(outputs, config, 2)
    assert len(nothing) == 0
    expected = []
    for level, centers in zip(outputs.levels, outputs.center_logits, strict=True):
        scores = level.class_logits.sigmoid() * centers.sigmoid()[:, None]
        expected += scores[scores.amax(1).topk(2).indices].flatten().tolist()
    assert found.scores.tolist() == pytest.approx(sorted(expected, reverse=True))


@pytest.mark.slow
def test_runs_repeat_bit_by_bit_and_a_room_gets_the_same_whoever_shares_its_batch():
    for limit in (SMALL.max_voxels, 500):
        model = FCAF3D(replace(SMALL, max_voxels=limit)).eval()
        batch = batch_of(200, 150)
        alone = RoomBatch(names=("1",), points=batch.points[200:], point_counts=(150,))
        outputs = model(batch), model(batch), model(alone)
        for first, again, single in zip(*(found.levels for found in outputs), strict=True):
            assert torch.equal(first.class_logits, again.class_logits)
            rows = first.batch_indices == 1
            assert torch.equal(first.points[rows], single.points)
            torch.testing.assert_close(first.class_logits[rows], single.class_logits)


def test_outputs_have_the_common_face():
    model, batch = FCAF3D(SMALL).eval(), batch_of(300, 0)
    outputs = model(batch)
    assert [level.stride for level in outputs.levels] == [8, 16, 32, 64]
    assert all(level.prune_logits is None for level in outputs.levels)
    assert [len(c) for c in outputs.center_logits] == [len(level.points) for level in outputs.levels]
    model.config = replace(SMALL, score_threshold=0.001)
    found = model.predict(batch)
    assert len(found[0]) > 0
    assert len(found[1]) == 0


@pytest.mark.slow
def test_autocast_leaves_places_and_boxes_in_single_precision():
    model, batch = FCAF3D(SMALL), batch_of(300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(batch)
        losses = fcaf3d_loss(outputs, batch, SMALL)
    assert {level.boxes_raw.dtype for level in outputs.levels} == {torch.float32}
    assert losses.total.dtype == torch.float32
    losses.total.backward()
    assert model.backbone.stem[0].weight.grad.isfinite().all()


def test_what_cannot_be_done_is_refused():
    model, batch = FCAF3D(SMALL), batch_of(50)
    with pytest.raises(ValueError, match="training mode"):
        model.predict(batch)
    outputs = model(batch)
    with pytest.raises(ValueError, match="has no boxes"):
        fcaf3d_loss(outputs, replace(batch, boxes=None, labels=None, box_counts=None), SMALL)
    with pytest.raises(ValueError, match="a column for each of 2 classes"):
        fcaf3d_loss(outputs, batch, replace(SMALL, class_names=("a", "b")))
