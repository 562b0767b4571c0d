from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets3d import Frame, Objects
from fusion_models.detection.batch import Batch, ImageInput, collate
from geom3d.cameras import PinholeCamera

NAMES = ("Car", "Pedestrian", "Cyclist")
CAM_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]])
IMAGE_FROM_CAM = np.array([[50.0, 0, 8, 40], [0, 50, 6, 2], [0, 0, 1, 0.003]])


def _objects(*names):
    boxes = np.arange(7 * len(names), dtype=np.float32).reshape(len(names), 7)
    return Objects(names=names, boxes_lidar=boxes)


def _frame(name="000001", *, points=3, objects=None, size=(12, 16), dense=None):
    height, width = size
    rng = np.random.default_rng(0)
    return Frame(
        frame_id=name,
        points=rng.random((points, 4), np.float32),
        images={"image_2": rng.integers(0, 255, (height, width, 3), np.uint8)},
        cameras={
            "image_2": PinholeCamera(
                image_from_cam=IMAGE_FROM_CAM, cam_from_lidar=CAM_FROM_LIDAR, width=width, height=height
            )
        },
        objects=objects,
        dense_points=dense,
    )


def test_points_carry_the_number_of_their_frame():
    frames = [_frame("a", points=2), _frame("b", points=0), _frame("c", points=1)]
    batch = collate(frames, NAMES)
    assert batch.frame_ids == ("a", "b", "c") and len(batch) == 3
    assert batch.points[:, 0].tolist() == [0, 0, 2]
    np.testing.assert_array_equal(batch.points[:2, 1:], frames[0].points)


def test_objects_of_other_classes_are_left_out_and_rows_are_padded():
    frames = [_frame("a", objects=_objects("Van", "Cyclist", "Car")), _frame("b", objects=_objects("Tram"))]
    batch = collate(frames, NAMES)
    assert batch.labels.tolist() == [[3, 1], [0, 0]]
    assert batch.boxes[0, :, 0].tolist() == [7, 14] and (batch.boxes[1] == 0).all()


def test_frames_without_any_object_have_no_rows():
    batch = collate([_frame(objects=_objects())], NAMES)
    assert batch.boxes.shape == (1, 0, 7) and batch.labels.shape == (1, 0)


def test_unlabelled_frames_have_no_boxes_at_all():
    batch = collate([_frame()], NAMES)
    assert batch.boxes is None and batch.labels is None and batch.dense_points is None


def test_dense_points_name_the_row_of_their_box():
    dense = np.array([[1, 2, 3, 0], [4, 5, 6, 1], [7, 8, 9, 2]], np.float32)
    batch = collate([_frame("a", objects=_objects("Car", "Van", "Car"), dense=dense)] * 2, NAMES)
    assert batch.dense_points.tolist() == [[0, 1, 2, 3, 0], [0, 7, 8, 9, 1], [1, 1, 2, 3, 0], [1, 7, 8, 9, 1]]


def test_images_are_normalised_and_padded_right_and_below():
    frames = [_frame("a", size=(12, 16)), _frame("b", size=(10, 14))]
    batch = collate(frames, NAMES, image=ImageInput())
    assert batch.images.shape == (2, 3, 12, 16) and batch.image_sizes.tolist() == [[12, 16], [10, 14]]
    assert (batch.images[1, :, 10:] == 0).all() and (batch.images[1, :, :, 14:] == 0).all()
    pixel = frames[1].images["image_2"][9, 13] / 255
    np.testing.assert_allclose(
        batch.images[1, :, 9, 13],
        (pixel - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
        rtol=1e-4,
        atol=1e-5,
    )


def test_projection_divides_by_the_rectified_depth():
    batch = collate([_frame()], NAMES, image=ImageInput())
    point = np.array([10.0, 1.0, -0.5, 1.0])
    rectified = CAM_FROM_LIDAR @ point
    expected = (IMAGE_FROM_CAM @ rectified)[:2] / rectified[2]
    found = batch.image_from_points[0].double().numpy() @ point
    np.testing.assert_allclose(found[2], rectified[2], rtol=1e-5)
    np.testing.assert_allclose(found[:2] / found[2], expected, rtol=1e-5)


def test_image_scale_shrinks_pixels_and_projection_alike():
    full, half = (collate([_frame()], NAMES, image=ImageInput(scale=s)) for s in (1.0, 0.5))
    assert half.images.shape == (1, 3, 6, 8) and half.image_sizes.tolist() == [[6, 8]]
    point = torch.tensor([10.0, 1.0, -0.5, 1.0])
    large, small = (b.image_from_points[0] @ point for b in (full, half))
    ratio = (small / small[2])[:2] / (large / large[2])[:2]
    np.testing.assert_allclose(ratio, [0.5, 0.5], rtol=0.05)


def test_the_seed_of_a_frame_depends_on_its_content_not_on_its_place():
    a, b = _frame("a"), _frame("b")
    forward, backward = collate([a, b], NAMES).seeds, collate([b, a], NAMES).seeds
    assert forward.tolist() == backward.tolist()[::-1] and forward[0] != forward[1]
    assert collate([a], NAMES, seed=1).seeds[0] != forward[0]
    assert collate([_frame("a", points=4)], NAMES).seeds[0] != forward[0]


def test_moving_a_batch_keeps_what_is_not_a_tensor():
    batch = collate([_frame("a", objects=_objects("Car"))], NAMES, image=ImageInput()).to("meta")
    assert batch.frame_ids == ("a",) and batch.images.device.type == "meta" and batch.dense_points is None


def test_an_empty_list_of_frames_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        collate([], NAMES)


def test_labelled_and_unlabelled_frames_do_not_mix():
    with pytest.raises(ValueError, match=r"frames \['b'\] have no labels"):
        collate([_frame("a", objects=_objects("Car")), _frame("b")], NAMES)


def test_a_missing_image_names_the_frame_and_the_cameras():
    with pytest.raises(ValueError, match=r"frame 000001 has no image 'image_3', it has \['image_2'\]"):
        collate([_frame()], NAMES, image=ImageInput(camera="image_3"))


def test_a_scale_of_zero_is_refused():
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        ImageInput(scale=0.0)


def test_half_a_batch_is_refused():
    parts = {"frame_ids": ("a",), "points": torch.zeros(0, 5), "seeds": torch.zeros(1, dtype=torch.int64)}
    with pytest.raises(ValueError, match="boxes and labels must both"):
        Batch(**parts, boxes=torch.zeros(1, 0, 7))
    with pytest.raises(ValueError, match="must all be given or all be None"):
        Batch(**parts, images=torch.zeros(1, 3, 2, 2))


def test_frames_whose_points_have_other_columns_are_refused():
    coloured = replace(
        _frame("b"),
        points=np.zeros((1, 6), np.float32),
        point_columns=("x", "y", "z", "red", "green", "blue"),
    )
    assert collate([coloured], NAMES).points.shape == (1, 7)
    message = "frame a have the columns x y z intensity, those of frame b have x y z red green blue"
    with pytest.raises(ValueError, match=message):
        collate([_frame("a"), coloured], NAMES)
