import math

import numpy as np
import pytest
import torch
from fusion_models.detection.cloud_copies import (
    TEST_COPIES,
    TRAIN_COPIES,
    CloudCopy,
    align_bev,
    copy_clouds,
    merge_bev,
    split_copies,
    vote,
)
from fusion_models.detection.voxel_backbone import VoxelBackbone, VoxelBackboneConfig, VoxelGrid
from fusion_models.imagepg.deform_fusion import ImageView, project_rows
from fusion_models.imagepg.weights import convert_released
from sparseops import SparseTensor

BOUNDS = (0.0, -4.0, -3.0, 8.0, 4.0, 1.0)
MIRRORS = CloudCopy(flip_x=True, flip_y=True, rotation_rad=0.3, scale=1.05)
ALL = [*TRAIN_COPIES, *TEST_COPIES, MIRRORS, CloudCopy()]
PROJECTIONS = ("identity", "flip", "flip_rot_scale", "rot_scale", "flip_padded", "rot_padded")


@pytest.mark.parametrize("copy", ALL, ids=str)
def test_points_and_boxes_come_back(copy):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(3, 5, 3, generator=generator) * 20
    torch.testing.assert_close(copy.restore_points(copy.points(points)), points, rtol=1e-5, atol=1e-5)
    boxes = torch.cat([points[0], torch.rand(5, 3, generator=generator) + 1, points[1, :, :1] / 20], dim=1)
    back = copy.restore_boxes(copy.boxes(boxes))
    torch.testing.assert_close(back[:, :6], boxes[:, :6], rtol=1e-5, atol=1e-5)
    turns = (back[:, 6] - boxes[:, 6]) / (2 * math.pi)
    torch.testing.assert_close(turns, turns.round(), rtol=0, atol=1e-5)
    centres = copy.points(boxes[:, :3])
    torch.testing.assert_close(copy.boxes(boxes)[:, :3], centres, rtol=1e-5, atol=1e-5)
    matrix = copy.scene_from_copy.float()
    back = copy.points(points) @ matrix[:3, :3].T + matrix[:3, 3]
    torch.testing.assert_close(back, points, rtol=1e-5, atol=1e-5)


def test_a_copy_is_mirrored_then_turned_then_enlarged():
    copy = CloudCopy(flip_y=True, rotation_rad=math.pi / 2, scale=2.0)
    found = copy.points(torch.tensor([1.0, 3.0, 0.5]))  # (1, -3), then (3, 1), then twice that
    torch.testing.assert_close(found, torch.tensor([6.0, 2.0, 1.0]))


def test_gradient_passes_through_a_copy():
    points = torch.zeros(1, 3, requires_grad=True)
    CloudCopy(flip_x=True, scale=2.0).points(points).sum().backward()
    assert points.grad.tolist() == [[-2.0, 2.0, 2.0]]


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match=r"CloudCopy\.scale must be positive, got 0\.0"):
        CloudCopy(scale=0.0)


def test_clouds_are_ordered_by_copy_and_then_by_frame():
    points = torch.tensor([[0.0, 1, 2, 3, 0.5], [1.0, 4, 5, 6, 0.7]])
    found = copy_clouds(points, (CloudCopy(flip_y=True), CloudCopy(flip_x=True)), batch_size=2)
    assert found.tolist() == [
        [0, 1, -2, 3, 0.5],
        [1, 4, -5, 6, pytest.approx(0.7)],
        [2, -1, 2, 3, 0.5],
        [3, -4, 5, 6, pytest.approx(0.7)],
        [4, 1, 2, 3, 0.5],
        [5, 4, 5, 6, pytest.approx(0.7)],
    ]
    assert copy_clouds(points[:0], TEST_COPIES, batch_size=2).shape == (0, 5)


def test_a_batch_of_copies_is_split_in_order():
    coords = torch.tensor([[0, 1, 1, 1], [3, 2, 2, 2], [1, 0, 0, 1], [2, 1, 0, 1]], dtype=torch.int32)
    joined = SparseTensor(torch.arange(4.0)[:, None], coords, (4, 4, 4), 4)
    first, second = split_copies(joined, count=2)
    assert first.batch_size == second.batch_size == 2
    assert first.coords.tolist() == [[0, 1, 1, 1], [1, 0, 0, 1]] and first.features.tolist() == [[0], [2]]
    assert second.coords.tolist() == [[1, 2, 2, 2], [0, 1, 0, 1]] and second.features.tolist() == [[1], [3]]
    with pytest.raises(ValueError, match="a batch of 4 grids does not consist of 3 copies"):
        split_copies(joined, count=3)


def _bump(x, y, *, cells=16):
    """A map that is a smooth bump around a place of the scene, in metres."""
    size = (BOUNDS[3] - BOUNDS[0]) / cells
    centres = (torch.arange(cells) + 0.5) * size
    columns, rows = centres + BOUNDS[0], centres + BOUNDS[1]
    return torch.exp(-((columns - x) ** 2 + (rows[:, None] - y) ** 2) / 2)[None, None]


def _centroid(bev):
    size = (BOUNDS[3] - BOUNDS[0]) / bev.shape[3]
    centres = (torch.arange(bev.shape[3]) + 0.5) * size
    weight = bev[0, 0] / bev.sum()
    return (weight.sum(0) @ centres + BOUNDS[0]).item(), (weight.sum(1) @ centres + BOUNDS[1]).item()


@pytest.mark.parametrize("copy", [CloudCopy(), CloudCopy(flip_y=True, scale=1.1), *TEST_COPIES[:1]], ids=str)
def test_exact_alignment_brings_a_bump_to_its_place(copy):
    place = torch.tensor([4.0, 0.5, 0.0])
    x, y, _ = copy.points(place).tolist()
    found = align_bev(_bump(x, y, cells=64), copy, bounds=BOUNDS, alignment="exact")
    assert _centroid(found) == pytest.approx((4.0, 0.5), abs=0.06)


def test_exact_alignment_of_the_scene_itself_changes_nothing():
    bev = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = align_bev(bev, CloudCopy(), bounds=BOUNDS, alignment="exact")
    torch.testing.assert_close(found, bev, rtol=1e-5, atol=1e-5)


def test_published_alignment_is_half_a_cell_off_and_empty_at_the_far_border():
    bev = torch.arange(256.0).view(1, 1, 16, 16)
    found = align_bev(bev, CloudCopy(), bounds=BOUNDS, alignment="published")
    means = (bev[..., :-1, :-1] + bev[..., 1:, :-1] + bev[..., :-1, 1:] + bev[..., 1:, 1:]) / 4
    torch.testing.assert_close(found[..., :-1, :-1], means)
    assert not found[..., -1, :].any() and not found[..., :, -1].any()


def test_merged_maps_are_the_maximum_and_carry_gradient():
    scene, other = (torch.full((1, 1, 4, 4), value, requires_grad=True) for value in (1.0, 2.0))
    copies = (CloudCopy(),)
    merged = merge_bev(scene, [other], copies, bounds=BOUNDS, alignment="published")
    # the copy reaches all but the last row and column
    assert merged[0, 0, :3, :3].eq(2).all() and merged[0, 0, 3].eq(1).all() and merged[0, 0, :, 3].eq(1).all()
    merged.sum().backward()
    assert scene.grad.sum() == 7 and other.grad.sum() == 9
    with pytest.raises(ValueError, match="expected one map per copy, got 0 for 1 copies"):
        merge_bev(scene, [], copies, bounds=BOUNDS)


def test_alignment_under_autocast_keeps_places_exact():
    bev = torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = align_bev(bev.bfloat16().float(), TEST_COPIES[0], bounds=BOUNDS, alignment="exact")
    with torch.autocast("cpu", torch.bfloat16):
        found = align_bev(bev.bfloat16(), TEST_COPIES[0], bounds=BOUNDS, alignment="exact")
        merged = merge_bev(bev, [bev.bfloat16()], TEST_COPIES[:1], bounds=BOUNDS)
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
    assert torch.isfinite(merged).all()


@pytest.fixture(scope="module")
def golden(imagepg_golden):
    return imagepg_golden("mr_and_boxes")


def _assert_same_boxes(found, expected):
    np.testing.assert_allclose(found[..., :6], expected[..., :6], rtol=0, atol=1e-5)
    turns = (found[..., 6].numpy() - expected[..., 6]) / (2 * math.pi)
    np.testing.assert_allclose(turns, np.round(turns), rtol=0, atol=1e-6)


@pytest.mark.golden
def test_boxes_of_copies_are_the_released_ones(golden):
    # the released function works in place: every copy in the record was made from the one before it, and
    # mapping a copy back gives what it was made from
    names = [*(f"train_copy{t + 1}" for t in range(3)), *(f"test_copy{t + 1}" for t in range(5))]
    starts = [golden[f"{name}_boxes_back"] for name in (*names, "flipxy_rot0.3_scale1.05")]
    copies = (*TRAIN_COPIES, *TEST_COPIES, MIRRORS)
    for copy, before, after in zip(copies, starts, [*starts[1:], golden["boxes"]], strict=True):
        assert np.abs(before - after).max() > 1
        _assert_same_boxes(copy.boxes(torch.from_numpy(before)), after)
        _assert_same_boxes(copy.restore_boxes(torch.from_numpy(after)), before)


@pytest.mark.golden
def test_voting_is_the_released_one(golden):
    boxes, logits = vote(
        torch.from_numpy(golden["vote_stage_boxes"]), torch.from_numpy(golden["vote_stage_logits"])[..., 0]
    )
    np.testing.assert_allclose(boxes, golden["vote_boxes"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits, golden["vote_logits"][..., 0], rtol=0, atol=1e-6)


def _projected(golden, name):
    """Pixels of augmented points: the augmentation is undone in the matrix, then the picture mirrored."""
    flip, turn, scale, pad_h, pad_w = (float(v) for v in golden[f"proj_{name}_flip_rot_scale_padh_padw"])
    height, width = (int(size) for size in golden["proj_image_hw"])
    augmentation = CloudCopy(flip_y=bool(flip), rotation_rad=turn, scale=scale)
    camera = torch.from_numpy(golden["calib_P2"]).double()
    camera[2, 3] = 0
    if flip:
        camera[0] = width * camera[2] - camera[0]
    cam_from_lidar = torch.eye(4, dtype=torch.float64)
    rectification, cam_from_points = (torch.from_numpy(golden[f"calib_{n}"]) for n in ("R0", "Tr_velo2cam"))
    cam_from_lidar[:3] = rectification.double() @ cam_from_points.double()
    matrix = (camera @ cam_from_lidar @ augmentation.scene_from_copy).float()
    height, width = height + int(pad_h), width + int(pad_w)
    view = ImageView(torch.zeros(1, height * width, 1, 1), height, width, matrix[None])
    points = torch.from_numpy(golden[f"proj_{name}_points_augmented"])
    pixels, inside = project_rows(points, torch.zeros(len(points), dtype=torch.int64), view)
    return pixels.numpy(), inside.numpy(), points


@pytest.mark.golden
@pytest.mark.parametrize("name", PROJECTIONS)
def test_augmented_points_project_as_released(golden, name):
    pixels, inside, points = _projected(golden, name)
    released, valid = golden[f"proj_{name}_uv"].copy(), golden[f"proj_{name}_valid"]
    if name == "flip_padded":
        # the released code moves v by the padding, which is below the picture; not copied
        both = inside & valid
        assert (np.trunc(released[both, 1]) != pixels[both, 1]).mean() > 0.9
        released[:, 1] += golden[f"proj_{name}_flip_rot_scale_padh_padw"][3]
        height, width = golden["proj_image_hw"] + golden[f"proj_{name}_flip_rot_scale_padh_padw"][3:]
        valid = (released >= 0).all(1) & (released < [width, height]).all(1)
        valid &= golden[f"proj_{name}_depth"] >= 0
    np.testing.assert_array_equal(inside, valid)
    np.testing.assert_array_equal(pixels[inside], np.trunc(released[inside]))
    assert 100 < inside.sum() < len(points)


@pytest.mark.golden
@pytest.mark.slow
def test_copies_in_one_batch_do_not_see_each_other(imagepg_golden, seeded_imagepg_state):
    golden = imagepg_golden("sparse_border")
    state = seeded_imagepg_state(imagepg_golden("eval_batched")["gain_json"], "backbone_3d.")
    own = {n.removeprefix("backbone."): v for n, v in convert_released(state).items()}
    shape = VoxelGrid().sparse_shape_zyx
    backbone = VoxelBackbone(VoxelBackboneConfig(), sparse_shape_zyx=shape, point_features=4).eval()
    backbone.load_state_dict({name: own.get(name, value) for name, value in backbone.state_dict().items()})
    coords, features = [], []
    for t, suffix in enumerate(("", "_1")):
        part = torch.from_numpy(golden[f"voxel_coords{suffix}"]).clone()
        part[:, 0] += 2 * t
        coords.append(part)
        features.append(torch.from_numpy(golden[f"voxel_features{suffix}"]))
    with torch.no_grad():
        joined = backbone(SparseTensor(torch.cat(features), torch.cat(coords), shape, 4))
    for name, tensor in (*joined.scales.items(), ("conv_out", joined.out)):
        for t, part in enumerate(split_copies(tensor, count=2)):
            expected = golden.get(f"batched_copy{t}_{name}_coords")
            if expected is None:
                continue
            order = np.lexsort(part.coords.numpy().T[::-1])
            np.testing.assert_array_equal(part.coords[order], expected)
            values = golden.get(f"batched_copy{t}_{name}_feat")
            if values is not None:
                found = part.features[order]
                np.testing.assert_allclose(found, values, rtol=0, atol=1e-5 * np.abs(values).max())
