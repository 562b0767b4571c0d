from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets3d.nuscenes import CAMERAS, RADAR_FIELDS, NuscenesDataset
from geom3d import boxes, cameras
from PIL import Image


def test_frames_of_a_tiny_tree(tiny_nuscenes: Path) -> None:
    dataset = NuscenesDataset(tiny_nuscenes, "v1.0-mini", ["scene-0103"])
    assert len(dataset) == 3
    frame = dataset[0]
    assert frame.frame_id == "scene-0103/0"
    assert frame.points.shape == (3, 4)
    assert set(frame.images) == set(frame.cameras) == set(CAMERAS)
    assert frame.images["CAM_BACK"].shape == (36, 64, 3)
    assert frame.objects is not None
    assert frame.objects.names == ("vehicle.car",)
    # A global box twelve metres ahead of the car, seen from 1.5 m ahead of its origin and 1.6 m above.
    np.testing.assert_allclose(
        frame.objects.boxes_lidar, [[0, 10.5, -0.6, 4, 2, 2, np.pi / 2]], rtol=1e-5, atol=1e-5
    )
    assert frame.objects.num_points is not None
    assert frame.objects.num_points.tolist() == [1]
    assert frame.objects.source_id == ("scene-0103/0_0",)


def test_what_nuscenes_does_not_know_is_unknown(tiny_nuscenes: Path) -> None:
    objects = NuscenesDataset(tiny_nuscenes, "v1.0-mini", radars=())[0].objects
    assert objects is not None
    assert objects.kitti is None


def test_radar_is_filtered_and_turned_into_the_lidar_frame(tree: Any) -> None:
    # A radar a metre ahead of the LiDAR that looks back.
    mount = tree.row("calibrated_sensor", "mount-RADAR_FRONT")
    mount["translation"], mount["rotation"] = [2.5, 0.0, 1.6], [0.0, 0.0, 0.0, 1.0]
    root = tree.write()
    frame = NuscenesDataset(root, "v1.0-mini", cameras=(), radars=("RADAR_FRONT",))[1]
    assert frame.radar is not None
    assert frame.radar.shape == (2, 18)
    assert frame.radar.dtype == np.float32
    # LiDAR: x right, y forward.
    np.testing.assert_allclose(frame.radar[:, :3], [[0, -4, 0], [0, -9, 0]], atol=1e-5)
    velocity = [RADAR_FIELDS.index(name) for name in ("vx", "vy", "vx_comp", "vy_comp")]
    np.testing.assert_allclose(frame.radar[:, velocity], [[0, -2, 0, 0]] * 2, atol=1e-6)
    assert frame.radar[:, RADAR_FIELDS.index("ambig_state")].tolist() == [3, 3]


def test_the_motion_between_sweep_and_picture_is_in_the_camera(tree: Any) -> None:
    # The picture is taken a metre further on.
    tree.row("ego_pose", "scene-0061/0/CAM_FRONT/0")["translation"] = [1.0, 0.0, 0.0]
    dataset = NuscenesDataset(tree.write(), "v1.0-mini", ["scene-0061"], cameras=("CAM_FRONT",), radars=())
    camera = dataset[0].cameras["CAM_FRONT"]
    _, depth_m = cameras.project(np.array([[0.0, 10.0, 0.0]]), camera.image_from_lidar)
    assert depth_m.tolist() == pytest.approx([9.0])


def test_a_picture_whose_size_the_tables_do_not_say(tree: Any) -> None:
    tree.row("sample_data", "scene-0061/0/CAM_FRONT/0")["width"] = 0
    dataset = NuscenesDataset(tree.write(), "v1.0-mini", ["scene-0061"], cameras=("CAM_FRONT",), radars=())
    assert dataset.records[0].key("CAM_FRONT").size_wh is None
    assert (dataset[0].cameras["CAM_FRONT"].width, dataset[0].cameras["CAM_FRONT"].height) == (64, 36)


def test_only_named_pictures_are_opened(tiny_nuscenes: Path) -> None:
    for path in tiny_nuscenes.glob("samples/CAM_*/*.jpg"):
        if path.parent.name != "CAM_FRONT":
            path.unlink()
    dataset = NuscenesDataset(tiny_nuscenes, "v1.0-mini", cameras=("CAM_FRONT",), radars=())
    assert list(dataset[0].images) == ["CAM_FRONT"]
    assert dataset[0].radar is None
    with pytest.raises(FileNotFoundError, match=r"no picture .*CAM_FRONT_RIGHT"):
        NuscenesDataset(tiny_nuscenes, "v1.0-mini", radars=())[0]


def test_the_test_split_has_no_objects(tree: Any) -> None:
    tree.tables["sample_annotation"].clear()
    dataset = NuscenesDataset(tree.write(), "v1.0-mini", radars=())
    assert dataset[0].objects is None
    assert dataset.annotations(0) is None


def test_a_frame_may_hold_no_object(tree: Any) -> None:
    tree.tables["sample_annotation"].remove(tree.row("sample_annotation", "scene-0103/1/box"))
    objects = NuscenesDataset(tree.write(), "v1.0-mini", radars=())[1].objects
    assert objects is not None
    assert len(objects) == 0


def test_annotations_stay_as_the_tables_have_them(tiny_nuscenes: Path) -> None:
    found = NuscenesDataset(tiny_nuscenes, "v1.0-mini", ["scene-0103"]).annotations(2)
    assert found is not None
    assert found.translation.tolist() == [[22.0, 0.0, 1.0]]
    assert found.size_wlh.tolist() == [[2.0, 4.0, 2.0]]
    assert found.instances == ("scene-0103/2/car",)


@pytest.mark.parametrize(
    ("table", "token", "field", "target"),
    [
        ("sample_annotation", "scene-0103/1/box", "instance_token", "instance"),
        ("sample_annotation", "scene-0103/1/box", "sample_token", "sample"),
        ("instance", "scene-0103/1/car", "category_token", "category"),
    ],
)
def test_a_dangling_token_is_named(tree: Any, table: str, token: str, field: str, target: str) -> None:
    tree.row(table, token)[field] = "nothing"
    message = rf"{target}\.json: no record with token 'nothing', which {table} '{token}' asks for as {field}"
    with pytest.raises(ValueError, match=message):
        NuscenesDataset(tree.write(), "v1.0-mini")


@pytest.mark.parametrize("name", ["sample_annotation", "instance", "category"])
def test_a_missing_table_is_named(tiny_nuscenes: Path, name: str) -> None:
    (tiny_nuscenes / f"v1.0-mini/{name}.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"no table .*{name}\.json"):
        NuscenesDataset(tiny_nuscenes, "v1.0-mini")


def test_a_wrong_box_is_named(tree: Any) -> None:
    tree.row("sample_annotation", "scene-0103/1/box")["size"] = [1, 2]
    with pytest.raises(
        ValueError, match="size of sample_annotation 'scene-0103/1/box' must be 3 finite numb"
    ):
        NuscenesDataset(tree.write(), "v1.0-mini")


def test_damaged_files_are_named(tiny_nuscenes: Path) -> None:
    dataset = NuscenesDataset(tiny_nuscenes, "v1.0-mini")
    files = {c: dataset.records[0].key(c).path(tiny_nuscenes) for c in ("CAM_FRONT", "LIDAR_TOP")}
    Image.new("RGB", (32, 36)).save(files["CAM_FRONT"])
    with pytest.raises(ValueError, match=r"Frame\.images\['CAM_FRONT'\]: expected shape \(36, 64, 3\)"):
        dataset[0]
    files["CAM_FRONT"].write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"\.jpg is no readable picture .*copy it again"):
        dataset[0]
    files["LIDAR_TOP"].write_bytes(bytes(30))
    with pytest.raises(ValueError, match=r"\.pcd\.bin has 30 bytes, not a multiple of 20"):
        dataset[0]


def test_a_lidar_is_no_camera(tiny_nuscenes: Path) -> None:
    with pytest.raises(ValueError, match="RADAR_FRONT is no camera; cameras are CAM_FRONT, CAM_FRONT_RIGHT"):
        NuscenesDataset(tiny_nuscenes, "v1.0-mini", cameras=("RADAR_FRONT",))


@pytest.mark.real_data
def test_the_real_key_frame(real_nuscenes: Path) -> None:
    frame = NuscenesDataset(real_nuscenes, "v1.0-mini", radars=())[0]
    assert frame.points.shape == (34688, 4)
    assert frame.objects is not None
    counts = Counter(frame.objects.names)
    assert counts["human.pedestrian.adult"] == 30
    assert counts["movable_object.barrier"] == 22
    assert (counts["vehicle.car"], len(frame.objects)) == (8, 68)
    points = frame.points[:, :3].astype(np.float64)
    corners = boxes.corners(frame.objects.boxes_lidar.astype(np.float64)).reshape(-1, 3)
    points_seen, boxes_seen = {}, {}
    for name, camera in frame.cameras.items():
        size = {"width": camera.width, "height": camera.height, "min_depth": 1.0}
        points_seen[name] = int(
            cameras.in_image(*cameras.project(points, camera.image_from_lidar), **size).sum()
        )
        uv, depth_m = cameras.project(corners, camera.image_from_lidar)
        # The kit's rule: one corner in the picture, all in front.
        inside = cameras.in_image(uv, depth_m, **size).reshape(-1, 8).any(axis=1)
        boxes_seen[name] = int((inside & (depth_m.reshape(-1, 8) > 0.1).all(axis=1)).sum())
    order = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
    assert [points_seen[name] for name in order] == [3067, 3079, 3704, 4826, 4097, 3379]
    assert [boxes_seen[name] for name in order] == [47, 18, 2, 10, 2, 5]


@pytest.mark.real_data
def test_real_boxes_hold_the_official_numbers_of_points(real_nuscenes: Path) -> None:
    from datasets3d.nuscenes.tables import stream

    official = [
        row.whole("num_lidar_pts") for row in stream(real_nuscenes / "v1.0-mini", "sample_annotation")
    ]
    objects = NuscenesDataset(real_nuscenes, "v1.0-mini", cameras=(), radars=())[0].objects
    assert objects is not None
    assert objects.num_points is not None
    difference = np.abs(objects.num_points - np.array(official))
    assert (difference == 0).sum() == 60
    assert difference.max() == 16
