import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from datasets3d import Frame, Objects
from datasets3d.frame import KittiColumns, KittiFrame, check_same_columns
from geom3d.cameras import PinholeCamera


def columns_of(count: int) -> KittiColumns:
    return KittiColumns(
        truncation=np.zeros(count, np.float32),
        occlusion=np.arange(count, dtype=np.int32),
        alpha=np.zeros(count, np.float32),
        difficulty=np.zeros(count, np.int32),
    )


def objects_of(count: int) -> Objects:
    return Objects(
        names=tuple(f"c{i}" for i in range(count)),
        boxes_lidar=np.arange(count * 7, dtype=np.float32).reshape(count, 7),
        source_id=tuple(f"0_{i}" for i in range(count)),
        kitti=columns_of(count),
    )


def test_objects_may_be_empty() -> None:
    assert len(Objects.empty()) == 0
    assert len(Objects.empty().take([])) == 0


def test_take_keeps_the_given_order_in_every_column() -> None:
    taken = objects_of(3).take([2, 0])
    assert taken.names == ("c2", "c0")
    assert taken.kitti is not None and taken.kitti.occlusion.tolist() == [2, 0]
    assert taken.source_id == ("0_2", "0_0")
    assert taken.kitti.boxes_image is None


def test_concatenate_keeps_optional_columns_only_if_both_have_them() -> None:
    both = Objects.concatenate(objects_of(2), replace(objects_of(1), source_id=None))
    assert both.names == ("c0", "c1", "c0")
    assert both.source_id is None
    assert both.boxes_lidar.shape == (3, 7)
    assert both.kitti is not None and both.kitti.occlusion.tolist() == [0, 1, 0]
    assert Objects.concatenate(objects_of(2), replace(objects_of(1), kitti=None)).kitti is None


def test_zero_objects_leave_the_others_as_they_are() -> None:
    for pair in ((Objects.empty(), objects_of(2)), (objects_of(2), Objects.empty())):
        joined = Objects.concatenate(*pair)
        assert joined.names == ("c0", "c1") and joined.kitti is not None


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
        ("num_points", np.zeros(1, np.int32), ValueError, "num_points: expected shape (2), got (1,)"),
        ("kitti", columns_of(1), ValueError, "kitti: expected 2 entries, got 1"),
        ("source_id", ("a",), ValueError, "source_id: expected 2 entries, got 1"),
    ],
)
def test_objects_name_the_wrong_column(column: str, value: object, error: type, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        replace(objects_of(2), **{column: value})


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("column", "value", "error", "message"),
    [
        ("truncation", np.zeros(3, np.float32), ValueError, "truncation: expected shape (2), got (3,)"),
        ("occlusion", [0, 0], TypeError, "occlusion: expected a numpy array of int32, got list"),
        ("boxes_image", np.zeros((2, 3), np.float32), ValueError, "boxes_image: expected shape (2, 4)"),
    ],
)
def test_kitti_columns_name_the_wrong_one(column: str, value: object, error: type, message: str) -> None:
    with pytest.raises(error, match=re.escape(f"KittiColumns.{message}")):
        replace(columns_of(2), **{column: value})


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
    with pytest.raises(TypeError, match=r"KittiFrame.road_plane: expected float64, got float32"):
        KittiFrame(road_plane=np.zeros(4, np.float32))
    with pytest.raises(
        ValueError, match=r"KittiFrame.dont_care_image: expected shape \(any, 4\), got \(2, 3\)"
    ):
        KittiFrame(dont_care_image=np.zeros((2, 3), np.float32))


def test_points_have_as_many_columns_as_are_named() -> None:
    points = np.zeros((2, 6), np.float32)
    coloured = ("x", "y", "z", "red", "green", "blue")
    assert Frame(frame_id="0", points=points, point_columns=coloured).points is points
    assert (
        Frame(frame_id="0", points=points[:, :3].copy(), point_columns=coloured[:3]).point_columns[-1] == "z"
    )
    with pytest.raises(ValueError, match=r"Frame.points: expected shape \(any, 6\), got \(2, 4\)"):
        Frame(frame_id="0", points=points[:, :4].copy(), point_columns=coloured)
    for columns in (("x", "y"), ("y", "x", "z"), ("x", "y", "z", "red", "red")):
        with pytest.raises(ValueError, match="expected x, y, z and then other names, each once"):
            Frame(frame_id="0", points=points, point_columns=columns)


def test_clouds_of_other_columns_are_not_put_together() -> None:
    columns = {
        "the frame": ("x", "y", "z"),
        "the map": ("x", "y", "z"),
        "the database": ("x", "y", "z", "lag"),
    }
    with pytest.raises(
        ValueError, match="paste: the points of the frame have the columns x y z, those of the database"
    ):
        check_same_columns("paste", columns)


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
