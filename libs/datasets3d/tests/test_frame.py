import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from datasets3d import Frame, Objects
from geom3d.cameras import PinholeCamera


def objects_of(count: int) -> Objects:
    return Objects(
        names=tuple(f"c{i}" for i in range(count)),
        boxes_lidar=np.arange(count * 7, dtype=np.float32).reshape(count, 7),
        truncation=np.zeros(count, np.float32),
        occlusion=np.arange(count, dtype=np.int32),
        alpha=np.zeros(count, np.float32),
        difficulty=np.zeros(count, np.int32),
        source_id=tuple(f"0_{i}" for i in range(count)),
    )


def test_objects_may_be_empty() -> None:
    assert len(Objects.empty()) == 0
    assert len(Objects.empty().take([])) == 0


def test_take_keeps_the_given_order_in_every_column() -> None:
    taken = objects_of(3).take([2, 0])
    assert taken.names == ("c2", "c0")
    assert taken.occlusion.tolist() == [2, 0]
    assert taken.source_id == ("0_2", "0_0")
    assert taken.boxes_image is None


def test_concatenate_keeps_optional_columns_only_if_both_have_them() -> None:
    both = Objects.concatenate(objects_of(2), replace(objects_of(1), source_id=None))
    assert both.names == ("c0", "c1", "c0")
    assert both.source_id is None
    assert both.boxes_lidar.shape == (3, 7)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("column", "value", "error", "message"),
    [
        (
            "boxes_lidar",
            np.zeros((2, 6), np.float32),
            ValueError,
            "boxes_lidar: expected shape (2, 7), got (2, 6)",
        ),
        (
            "boxes_lidar",
            np.zeros((2, 7)),
            TypeError,
            "boxes_lidar: expected float32, got float64; convert with",
        ),
        ("alpha", np.zeros(3, np.float32), ValueError, "alpha: expected shape (2), got (3,)"),
        ("occlusion", [0, 0], TypeError, "occlusion: expected a numpy array of int32, got list"),
        ("num_points", np.zeros(1, np.int32), ValueError, "num_points: expected shape (2), got (1,)"),
        ("boxes_image", np.zeros((2, 3), np.float32), ValueError, "boxes_image: expected shape (2, 4)"),
        ("source_id", ("a",), ValueError, "source_id: expected 2 entries, got 1"),
    ],
)
def test_objects_name_the_wrong_column(column: str, value: object, error: type, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        replace(objects_of(2), **{column: value})


def test_frames_travel_between_processes() -> None:
    frame = Frame(frame_id="7", points=np.ones((2, 4), np.float32), objects=objects_of(2))
    copy = pickle.loads(pickle.dumps(frame))
    assert copy.frame_id == "7" and copy.objects.names == ("c0", "c1")
    np.testing.assert_array_equal(copy.points, frame.points)


def camera() -> PinholeCamera:
    return PinholeCamera(image_from_cam=np.eye(3, 4), cam_from_lidar=np.eye(4), width=8, height=4)


@pytest.mark.usefixtures("unchecked_shapes")
def test_frame_names_the_wrong_array() -> None:
    with pytest.raises(ValueError, match=r"Frame.points: expected shape \(any, 4\), got \(2, 3\)"):
        Frame(frame_id="0", points=np.zeros((2, 3), np.float32))
    with pytest.raises(TypeError, match=r"Frame.road_plane: expected float64, got float32"):
        Frame(frame_id="0", points=np.zeros((2, 4), np.float32), road_plane=np.zeros(4, np.float32))
    with pytest.raises(ValueError, match=r"Frame.semantics: expected shape \(2\), got \(3,\)"):
        Frame(frame_id="0", points=np.zeros((2, 4), np.float32), semantics=np.zeros(3, np.int32))


def test_an_image_needs_a_camera_of_its_size() -> None:
    points = np.zeros((0, 4), np.float32)
    image = np.zeros((4, 8, 3), np.uint8)
    assert Frame(frame_id="0", points=points, images={"image_2": image}, cameras={"image_2": camera()}).images
    with pytest.raises(ValueError, match=r"'image_2' has no camera; Frame.cameras holds \[\]"):
        Frame(frame_id="0", points=points, images={"image_2": image})
    with pytest.raises(ValueError, match=r"'image_2'\]: expected shape \(4, 8, 3\), got \(5, 8, 3\)"):
        Frame(
            frame_id="0",
            points=points,
            images={"image_2": np.zeros((5, 8, 3), np.uint8)},
            cameras={"image_2": camera()},
        )
