from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_models.dspdet3d import DSPDet3DConfig, RoomBatch
from fusion_models.dspdet3d.targets import TargetBoxes, box_levels, keep_targets, target_boxes
from hypothesis import given
from hypothesis import strategies as st

CONFIG = DSPDet3DConfig(class_names=("cup", "sofa"))
V1 = replace(CONFIG, keep_rule="v1", keep_radius=13, assign_cells=None)
# Voxels of a quarter of a power of two, so that every centre, edge and distance is exact in single precision.
BINARY = replace(CONFIG, voxel_size_m=2.0**-6)
BINARY_V1 = replace(V1, voxel_size_m=2.0**-6)


def labelled(boxes: torch.Tensor, labels: torch.Tensor, counts: tuple[int, ...]) -> RoomBatch:
    return RoomBatch(
        names=tuple(map(str, range(len(counts)))),
        points=torch.zeros(0, 3),
        point_counts=(0,) * len(counts),
        boxes=boxes,
        labels=labels,
        box_counts=counts,
    )


def test_a_box_belongs_to_the_coarsest_level_of_which_it_fills_more_than_27_cells():
    edges = [0.24 - 1e-4, 0.24 + 1e-4, 0.48 - 1e-4, 0.48 + 1e-4, 0.96 - 1e-4, 0.96 + 1e-4, 30.0]
    levels = box_levels(torch.tensor(edges)[:, None].expand(-1, 3), CONFIG)
    assert levels.tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_a_box_of_exactly_as_many_cells_belongs_to_the_finer_level():
    edges = 3 * torch.tensor(BINARY.cells_m)
    assert box_levels(edges[:, None].expand(-1, 3), BINARY).tolist() == [0, 0, 1, 2]
    above = edges.nextafter(torch.tensor(9.0))
    assert box_levels(torch.stack([edges, edges, above], 1), BINARY).tolist() == [0, 1, 2, 3]


def test_volume_alone_decides_on_the_level():
    sizes = torch.tensor([[4.0, 0.01, 0.3], [0.3, 4.0, 0.01], [0.0, 5.0, 5.0]])
    assert box_levels(sizes, CONFIG).tolist() == [0, 0, 0]
    assert box_levels(sizes[:0], CONFIG).tolist() == []


def test_levels_scale_with_the_voxels():
    sizes = torch.rand(50, 3)
    assert torch.equal(box_levels(sizes, CONFIG), box_levels(4 * sizes, replace(CONFIG, voxel_size_m=0.04)))


def test_boxes_know_their_rooms():
    found = target_boxes(labelled(torch.rand(3, 6), torch.tensor([0, 1, 0]), (1, 0, 2)), CONFIG)
    assert found.rooms.tolist() == [0, 2, 2]
    assert torch.equal(found.levels, box_levels(found.boxes[:, 3:], CONFIG))


def test_a_batch_without_boxes_has_no_targets():
    found = target_boxes(labelled(torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64), (0, 0)), CONFIG)
    assert len(found.boxes) == len(found.labels) == len(found.rooms) == len(found.levels) == 0
    points, rooms = torch.rand(5, 3), torch.zeros(5, dtype=torch.int64)
    assert not keep_targets(points, found, rooms=rooms, level=3, config=CONFIG).any()


def test_an_unlabelled_batch_is_refused():
    batch = RoomBatch(names=("a",), points=torch.zeros(0, 3), point_counts=(0,))
    with pytest.raises(ValueError, match="train on labelled rooms"):
        target_boxes(batch, CONFIG)


@pytest.mark.parametrize("counts", [(1,), (3,), (1, 1, 1), ()])
def test_numbers_of_boxes_must_fit(counts):
    batch = replace(labelled(torch.rand(2, 6), torch.tensor([0, 1]), (1, 1)), box_counts=counts)
    with pytest.raises(ValueError, match=r"RoomBatch.box_counts: .* see collate_rooms"):
        target_boxes(batch, CONFIG)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_must_be_a_class(label):
    with pytest.raises(ValueError, match="labels must lie in 0 to 1"):
        target_boxes(labelled(torch.rand(2, 6), torch.tensor([0, label]), (1, 1)), CONFIG)


def kept(points, rooms, boxes: TargetBoxes, level: int, config: DSPDet3DConfig) -> list[bool]:
    """The rule of the paper, voxel by voxel and box by box."""
    found = []
    for point, room in zip(points.numpy(), rooms.tolist(), strict=True):
        keep = False
        for box, box_room, box_level in zip(
            boxes.boxes.numpy(), boxes.rooms.tolist(), boxes.levels.tolist(), strict=True
        ):
            cell_m = config.voxel_size_m * 4 * 2 ** (level if config.keep_rule == "v4" else box_level + 1)
            edge = config.keep_radius if config.keep_rule == "v4" else (config.keep_radius + 1) / 2
            near = np.abs(point - box[:3]).max() < edge * cell_m / 2
            keep |= bool(box_room == room and box_level < level and near)
        found.append(keep)
    return found


def random_room(rng: np.random.Generator, config: DSPDet3DConfig, level: int, voxels: int, boxes: int):
    """Voxels of a level and boxes with centres on corners of half a finest cell, in two rooms."""
    cell_m = config.cells_m[level]
    points = torch.from_numpy(rng.integers(-6, 6, (voxels, 3)) * cell_m).float()
    centers = rng.integers(-24, 24, (boxes, 3)) * config.cells_m[0] / 2
    sizes = rng.choice([0.05, 0.3, 0.6, 1.5], (boxes, 1)) * np.ones(3)
    rooms, box_rooms = rng.integers(0, 2, voxels), np.sort(rng.integers(0, 2, boxes))
    found = TargetBoxes(
        torch.from_numpy(np.hstack([centers, sizes])).float(),
        torch.zeros(boxes, dtype=torch.int64),
        torch.from_numpy(box_rooms),
        torch.from_numpy(rng.integers(0, 4, boxes)),
    )
    return points, torch.from_numpy(rooms), found


@given(
    seed=st.integers(0, 10_000),
    level=st.integers(0, 3),
    voxels=st.integers(0, 40),
    boxes=st.integers(0, 6),
    config=st.sampled_from(
        [BINARY, BINARY_V1, replace(BINARY, keep_radius=4), replace(BINARY, keep_radius=1)]
    ),
)
def test_voxels_to_keep_are_those_of_the_rule(seed, level, voxels, boxes, config):
    points, rooms, found = random_room(np.random.default_rng(seed), config, level, voxels, boxes)
    keep = keep_targets(points, found, rooms=rooms, level=level, config=config)
    assert keep.tolist() == kept(points, rooms, found, level, config)


def cup_at_origin(level: int = 0) -> TargetBoxes:
    zero = torch.zeros(1, dtype=torch.int64)
    return TargetBoxes(torch.zeros(1, 6), zero, rooms=zero, levels=zero + level)


@pytest.mark.parametrize(("level", "half_m"), [(1, 0.28), (2, 0.56), (3, 1.12)])
def test_the_cube_to_keep_grows_with_the_level(level, half_m):
    points = torch.tensor([[half_m - 1e-4, 0, 0], [0, half_m + 1e-4, 0], [0, 1e-4 - half_m, half_m - 1e-4]])
    rooms = torch.zeros(3, dtype=torch.int64)
    keep = keep_targets(points, cup_at_origin(), rooms=rooms, level=level, config=CONFIG)
    assert keep.tolist() == [True, False, True]


@pytest.mark.parametrize(("box_level", "half_m"), [(0, 0.28), (1, 0.56), (2, 1.12)])
def test_by_the_rule_of_2023_the_cube_depends_on_the_box_alone(box_level, half_m):
    points = torch.tensor([[half_m - 1e-4, 0, 0], [0, half_m + 1e-4, 0]])
    rooms = torch.zeros(2, dtype=torch.int64)
    for level in range(box_level + 1, 4):
        keep = keep_targets(points, cup_at_origin(box_level), rooms=rooms, level=level, config=V1)
        assert keep.tolist() == [True, False]


def test_a_voxel_half_an_edge_away_may_be_pruned():
    half_m = 3.5 * BINARY.cells_m[1]
    points = torch.tensor([[half_m, 0.0, 0.0], [-half_m, 0.0, 0.0], [half_m - 2**-12, 0.0, 0.0]])
    rooms = torch.zeros(3, dtype=torch.int64)
    keep = keep_targets(points, cup_at_origin(), rooms=rooms, level=1, config=BINARY)
    assert keep.tolist() == [False, False, True]


@pytest.mark.parametrize("config", [CONFIG, V1])
def test_order_of_voxels_and_boxes_does_not_matter(config):
    points, rooms, boxes = random_room(np.random.default_rng(0), config, 1, 200, 12)
    keep = keep_targets(points, boxes, rooms=rooms, level=1, config=config)
    assert 0 < keep.sum() < 200
    order, box_order = torch.randperm(200), torch.randperm(12)
    box_order = box_order[boxes.rooms[box_order].argsort(stable=True)]
    shuffled = TargetBoxes(
        *(column[box_order] for column in (boxes.boxes, boxes.labels, boxes.rooms, boxes.levels))
    )
    again = keep_targets(points[order], shuffled, rooms=rooms[order], level=1, config=config)
    assert torch.equal(again, keep[order])
