from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_models.dspdet3d import DSPDet3DConfig
from fusion_models.dspdet3d.assign import assign
from fusion_models.dspdet3d.targets import TargetBoxes
from hypothesis import given, settings
from hypothesis import strategies as st

CONFIG = DSPDet3DConfig()
# Every point, centre and distance is exact in single precision: ties are ties.
BINARY = replace(CONFIG, voxel_size_m=2.0**-6)


def boxes_at(centers, levels, rooms=None) -> TargetBoxes:
    centers = torch.as_tensor(centers, dtype=torch.float32).reshape(-1, 3)
    levels = torch.as_tensor(levels, dtype=torch.int64)
    rooms = torch.zeros_like(levels) if rooms is None else torch.as_tensor(rooms, dtype=torch.int64)
    boxes = torch.cat([centers, torch.full_like(centers, 0.1)], 1)
    return TargetBoxes(boxes, torch.zeros_like(levels), rooms, levels)


def assigned_one_by_one(points, rooms, levels, boxes: TargetBoxes, config: DSPDet3DConfig) -> list[int]:
    """The three rules, one room after the other, with the table of all distances."""
    result = np.full(len(points), -1)
    for room in np.unique(rooms):
        rows, box_rows = np.flatnonzero(rooms == room), np.flatnonzero(boxes.rooms.numpy() == room)
        if not len(box_rows):
            continue
        centers, box_levels = boxes.boxes.numpy()[box_rows, :3], boxes.levels.numpy()[box_rows]
        offset = points[rows][:, None] - centers
        squared = (offset**2).sum(-1)
        candidate = levels[rows][:, None] == box_levels
        if config.assign_cells is not None:
            half_m = config.assign_cells * config.voxel_size_m * 4 * 2.0**box_levels / 2
            candidate &= (np.abs(offset) < half_m[:, None]).all(-1)
        for column in range(len(box_rows)):
            distances = np.sort(squared[candidate[:, column], column])
            if len(distances) > config.assign_top:
                candidate[:, column] &= squared[:, column] < distances[config.assign_top]
        among = np.where(candidate, squared, np.inf)
        nearest, chosen = squared.argmin(1), among.argmin(1)
        positive = np.isfinite(among.min(1)) & (nearest == chosen)
        result[rows[positive]] = box_rows[chosen[positive]]
    return result.tolist()


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    voxels=st.integers(0, 120),
    boxes=st.integers(0, 8),
    config=st.sampled_from(
        [
            BINARY,
            replace(BINARY, assign_cells=None),
            replace(BINARY, assign_cells=2, assign_top=1),
            replace(BINARY, assign_top=30),
        ]
    ),
    step=st.sampled_from([1, 2]),
)
def test_voxels_learn_the_boxes_of_the_three_rules(seed, voxels, boxes, config, step):
    rng = np.random.default_rng(seed)
    levels, rooms = rng.integers(0, 2, voxels), rng.integers(0, 2, voxels)
    cells = np.array(config.cells_m)
    # few places, so that many distances are equal and voxels coincide with centres
    points = (rng.integers(-4, 4, (voxels, 3)) * cells[levels][:, None]).astype(np.float32)
    found = boxes_at(
        rng.integers(-6, 6, (boxes, 3)) * cells[0] / step,
        rng.integers(0, 3, boxes),
        np.sort(rng.integers(0, 3, boxes)),
    )
    assigned = assign(
        torch.from_numpy(points),
        found,
        rooms=torch.from_numpy(rooms),
        levels=torch.from_numpy(levels),
        config=config,
    )
    assert assigned.tolist() == assigned_one_by_one(points, rooms, levels, found, config)


def line(count: int, step_m: float = 0.01) -> torch.Tensor:
    """Points on the x axis from the origin on, all at different distances from it."""
    return torch.nn.functional.pad(torch.arange(count)[:, None] * step_m, (0, 2))


def of_level_0(points: torch.Tensor, boxes: TargetBoxes, config: DSPDet3DConfig = CONFIG) -> list[int]:
    zeros = torch.zeros(len(points), dtype=torch.int64)
    return assign(points, boxes, rooms=zeros, levels=zeros, config=config).tolist()


def test_the_six_nearest_voxels_learn_the_box():
    assert of_level_0(line(10), boxes_at([0, 0, 0], [0])) == [0] * 6 + [-1] * 4


@pytest.mark.parametrize("count", [1, 5, 6])
def test_with_fewer_than_seven_candidates_all_learn_the_box(count):
    assert of_level_0(line(count), boxes_at([0, 0, 0], [0])) == [0] * count


def test_voxels_as_far_as_the_seventh_drop_out():
    points = torch.cat([line(5, 0.25), -line(4, 0.25)[1:]])  # distances 0, 1, 2, 3, 4 and 1, 2, 3 quarters
    config = replace(CONFIG, assign_cells=None)
    assert of_level_0(points, boxes_at([0, 0, 0], [0]), config) == [0, 0, 0, -1, -1, 0, 0, -1]


def test_voxels_outside_the_cube_are_no_candidates():
    points = torch.tensor([[0.13, 0.13, 0.13], [0.141, 0.0, 0.0], [0.0, -0.141, 0.0], [0.139, 0.0, 0.0]])
    assert of_level_0(points, boxes_at([0, 0, 0], [0])) == [0, -1, -1, 0]
    assert of_level_0(points, boxes_at([0, 0, 0], [0]), replace(CONFIG, assign_cells=None)) == [0] * 4


def test_the_cube_scales_with_level_and_voxels():
    points, two = line(5, 0.1), torch.full((5,), 2)
    zeros = torch.zeros_like(two)
    found = assign(points, boxes_at([0, 0, 0], [2]), rooms=zeros, levels=two, config=CONFIG)
    assert found.tolist() == [0, 0, 0, 0, 0]  # 0.56 m
    config = replace(CONFIG, voxel_size_m=0.005)
    found = assign(points, boxes_at([0, 0, 0], [2]), rooms=zeros, levels=two, config=config)
    assert found.tolist() == [0, 0, 0, -1, -1]  # 0.28 m


def test_a_voxel_that_is_nearer_to_a_box_of_another_level_is_background():
    points = line(3, 0.05)
    assert of_level_0(points, boxes_at([[0, 0, 0], [0.1, 0, 0]], [0, 3])) == [0, 0, -1]


def test_of_boxes_with_one_centre_the_first_counts():
    assert of_level_0(line(1), boxes_at([[0, 0, 0], [0, 0, 0]], [0, 0])) == [0]
    assert of_level_0(line(1), boxes_at([[0, 0, 0], [0, 0, 0]], [1, 0])) == [-1]


def test_boxes_of_other_rooms_do_not_count():
    points, zeros = line(2, 0.02).repeat(2, 1), torch.zeros(4, dtype=torch.int64)
    rooms = torch.tensor([0, 0, 2, 2])
    boxes = boxes_at([[0, 0, 0], [0.02, 0, 0]], [0, 0], [1, 2])
    assert assign(points, boxes, rooms=rooms, levels=zeros, config=CONFIG).tolist() == [-1, -1, 1, 1]


def test_without_boxes_or_voxels_nothing_is_learnt():
    assert of_level_0(line(3), boxes_at(torch.zeros(0, 3), [])) == [-1, -1, -1]
    assert of_level_0(line(0), boxes_at([0, 0, 0], [0])) == []
    assert of_level_0(line(3), boxes_at([100, 0, 0], [0])) == [-1, -1, -1]


def test_order_of_voxels_and_boxes_does_not_matter():
    rng = np.random.default_rng(0)
    levels = torch.from_numpy(rng.integers(0, 4, 3000))
    points = torch.from_numpy(rng.random((3000, 3))).float()
    rooms = torch.from_numpy(rng.integers(0, 2, 3000))
    boxes = boxes_at(rng.random((12, 3)), rng.integers(0, 4, 12), [0] * 7 + [1] * 5)
    found = assign(points, boxes, rooms=rooms, levels=levels, config=CONFIG)
    assert len(found.unique()) > 6
    order = torch.randperm(3000)
    box_order = torch.cat([torch.randperm(7), 7 + torch.randperm(5)])
    shuffled = TargetBoxes(
        *(column[box_order] for column in (boxes.boxes, boxes.labels, boxes.rooms, boxes.levels))
    )
    again = assign(points[order], shuffled, rooms=rooms[order], levels=levels[order], config=CONFIG)
    assert torch.equal(torch.where(again < 0, -1, box_order[again]), found[order])
