import json
from pathlib import Path

import numpy as np
import pytest
from geom3d import boxes, transforms
from geom3d.angles import angle_difference
from geom3d.nuscenes import boxes_from_nuscenes, boxes_to_nuscenes
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

METRES, EDGE = st.floats(-1000, 1000), st.floats(0.1, 10)
BOX = st.tuples(METRES, METRES, METRES, EDGE, EDGE, EDGE, st.floats(-3.1, 3.1)).map(np.array)


@given(BOX)
def test_there_and_back_is_the_identity(box):
    back = boxes_from_nuscenes(*boxes_to_nuscenes(box))
    assert np.allclose(back[:6], box[:6])
    assert abs(angle_difference(back[6:], box[6:])[0]) < 1e-12


def test_length_runs_along_the_heading():
    box = boxes_from_nuscenes(np.zeros(3), np.array([2.0, 4.0, 1.5]), np.array([1.0, 0, 0, 0]))
    assert box.tolist() == [0, 0, 0, 4.0, 2.0, 1.5, 0]


def test_yaw_of_a_tilted_box_is_the_direction_of_its_x_axis_seen_from_above():
    rotation = Rotation.from_euler("ZYX", [2.0, 0.1, -0.05])
    wxyz = rotation.as_quat()[[3, 0, 1, 2]]
    assert boxes_from_nuscenes(np.zeros(3), np.ones(3), wxyz)[6] == pytest.approx(2.0)
    assert boxes_from_nuscenes(np.zeros(3), np.ones(3), -wxyz)[6] == pytest.approx(2.0)


def test_no_boxes_stay_no_boxes():
    assert boxes_from_nuscenes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 4))).shape == (0, 7)


def test_wrong_shapes_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"boxes_from_nuscenes: quaternion_wxyz must have .* 4\], got \[3\]"):
        boxes_from_nuscenes(np.zeros(3), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=r"boxes_from_nuscenes: size_wlh must have shape"):
        boxes_from_nuscenes(np.zeros(3), np.ones(2), np.ones(4))
    with pytest.raises(ValueError, match=r"boxes_from_nuscenes: translation must have shape"):
        boxes_from_nuscenes(np.zeros(2), np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match=r"boxes_to_nuscenes: boxes must have shape \[\.\.\., 7\]"):
        boxes_to_nuscenes(np.zeros((1, 9)))


class Scene:
    """The one real key frame: points in the LiDAR and the global frame, annotations, the pose."""

    def __init__(self, root: Path) -> None:
        def table(name: str) -> list[dict]:
            return json.loads((root / "v1.0-mini" / f"{name}.json").read_text())

        def pose(name: str, token: str) -> np.ndarray:
            row = next(row for row in table(name) if row["token"] == token)
            rotation = transforms.rotation_from_quaternion(np.array(row["rotation"], dtype=np.float64))
            return transforms.from_parts(rotation, np.array(row["translation"], dtype=np.float64))

        sweep = next(row for row in table("sample_data") if "LIDAR_TOP" in row["filename"])
        self.global_from_lidar = transforms.compose(
            pose("ego_pose", sweep["ego_pose_token"]),
            pose("calibrated_sensor", sweep["calibrated_sensor_token"]),
        )
        columns = np.fromfile(root / sweep["filename"], dtype=np.float32).reshape(-1, 5)
        self.points_lidar = columns[:, :3].astype(np.float64)
        rows = table("sample_annotation")
        self.num_lidar_pts = [row["num_lidar_pts"] for row in rows]
        parts = (np.array([row[key] for row in rows]) for key in ("translation", "size", "rotation"))
        self.boxes_global = boxes_from_nuscenes(*parts)
        instances = json.loads((root / "v1.0-mini" / "source_instances_lidar_frame.json").read_text())
        self.instances_lidar = np.array([row["bbox_3d"] for row in instances])


@pytest.fixture
def scene(real_data) -> Scene:
    return Scene(real_data / "nuscenes")


@pytest.mark.real_data
def test_real_boxes_hold_the_official_numbers_of_points(scene):
    points_global = transforms.apply(scene.global_from_lidar, scene.points_lidar)
    assert boxes.contains(points_global, scene.boxes_global).sum(axis=0).tolist() == scene.num_lidar_pts


@pytest.mark.real_data
def test_real_boxes_laid_flat_in_the_lidar_frame_nearly_do(scene):
    boxes_lidar = boxes.transform(transforms.invert(scene.global_from_lidar), scene.boxes_global)
    counts = boxes.contains(scene.points_lidar, boxes_lidar).sum(axis=0)
    differences = np.abs(counts - scene.num_lidar_pts)
    assert (np.sum(differences == 0), differences.max()) == (60, 16)


@pytest.mark.real_data
def test_real_boxes_moved_to_the_lidar_frame_are_those_of_the_common_code_base(scene):
    boxes_lidar = boxes.transform(transforms.invert(scene.global_from_lidar), scene.boxes_global)
    distance = np.linalg.norm(scene.instances_lidar[:, None, :3] - boxes_lidar[:, :3], axis=-1)
    nearest = scene.instances_lidar[distance.argmin(axis=0)]
    assert np.allclose(nearest[:, :6], boxes_lidar[:, :6], atol=1e-5)
    # It composes the tilted quaternions, we lay the heading flat: less than 0.05 degrees.
    assert np.abs(angle_difference(nearest[:, 6], boxes_lidar[:, 6])).max() < 8e-4
