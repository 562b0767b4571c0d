from pathlib import Path

import numpy as np
import pytest
from datasets3d.kitti import KittiDataset
from geom3d import boxes, kitti

README_FIGURES = {
    # frame: points, picture, in the picture, points per box (counted in the rectified camera frame)
    "000000": (115384, (1224, 370), 20285, (376,)),
    "000001": (120268, (1242, 375), 18630, (70, 9, 18)),
    "000002": (126891, (1242, 375), 20210, (1351, 67)),
    "000003": (113110, (1242, 375), 18911, (680,)),
    "000004": (115976, (1242, 375), 19063, (77, 26)),
    "000005": (125086, (1242, 375), 19962, (70,)),
    "000008": (17238, (1242, 375), 17238, (1424, 1940, 878, 668, 53, 164)),
}
OFFICIAL_COUNTS_000008 = [1325, 1900, 881, 659, 55, 162]


def test_boxes_come_back_in_the_lidar_frame(tiny_root: Path) -> None:
    frame = KittiDataset(tiny_root, "train")[0]
    assert frame.frame_id == "000000"
    assert frame.objects is not None
    assert frame.objects.names == ("Car", "Pedestrian")
    expected = [[12.0, 2.0, -0.9, 3.9, 1.6, 1.5, 0.1], [9.0, -2.0, -0.8, 0.8, 0.6, 1.7, 1.0]]
    # The labels have four decimals.
    np.testing.assert_allclose(frame.objects.boxes_lidar, expected, atol=2e-4)
    assert frame.objects.source_id == ("000000_0", "000000_1")
    assert frame.kitti is not None and frame.kitti.dont_care_image is not None
    assert frame.kitti.dont_care_image.tolist() == [[5.0, 6.0, 25.0, 16.0]]
    assert frame.kitti.road_plane is not None
    np.testing.assert_allclose(frame.kitti.road_plane, [0, -1, 0, 1.65])


def test_points_outside_the_picture_are_dropped_unless_wanted(tiny_root: Path) -> None:
    cropped = KittiDataset(tiny_root, "train")[0]
    whole = KittiDataset(tiny_root, "train", crop_to_image=False)[0]
    assert len(whole.points) == 2260 > len(cropped.points) > 260
    assert (cropped.points[:, 0] > 0).all()


def test_the_counted_points_are_those_of_the_frame(tiny_root: Path) -> None:
    objects = KittiDataset(tiny_root, "train", crop_to_image=False)[0].objects
    assert objects is not None and objects.num_points is not None
    assert objects.num_points.tolist() == [200, 60]


def test_a_test_frame_has_no_labels(tiny_root: Path) -> None:
    frame = KittiDataset(tiny_root, "test")[0]
    assert frame.objects is None
    assert frame.kitti is not None and frame.kitti.dont_care_image is None


def test_a_frame_without_points_and_without_objects_is_valid(tiny_root: Path) -> None:
    (tiny_root / "training/velodyne/000000.bin").write_bytes(b"")
    (tiny_root / "training/label_2/000000.txt").write_text("")
    frame = KittiDataset(tiny_root, "train")[0]
    assert frame.points.shape == (0, 4)
    assert frame.objects is not None and len(frame.objects) == 0


def test_the_reduced_scan_stands_in_for_a_missing_one(tiny_root: Path) -> None:
    scan = tiny_root / "training/velodyne/000000.bin"
    content = scan.read_bytes()
    scan.unlink()
    reduced = tiny_root / "training/velodyne_reduced"
    reduced.mkdir()
    (reduced / "000000.bin").write_bytes(content[: 16 * 100])
    assert len(KittiDataset(tiny_root, "train", crop_to_image=False)[0].points) == 100


def test_the_right_camera_has_its_own_matrix_and_no_labelled_boxes(tiny_root: Path) -> None:
    (tiny_root / "training/image_2").rename(tiny_root / "training/image_3")
    frame = KittiDataset(tiny_root, "train", camera="image_3")[0]
    assert frame.kitti is not None and frame.kitti.calibration is not None
    np.testing.assert_array_equal(frame.cameras["image_3"].image_from_cam, frame.kitti.calibration.p3)
    assert frame.objects is not None and frame.objects.kitti is not None
    assert frame.objects.kitti.boxes_image is None


def test_points_that_are_not_finite_are_dropped_on_demand(tiny_root: Path) -> None:
    path = tiny_root / "training/velodyne/000000.bin"
    scan = np.fromfile(path, "<f4").reshape(-1, 4)
    scan[:7] = np.nan
    path.write_bytes(scan.tobytes())
    with pytest.raises(ValueError, match=r"velodyne/000000\.bin holds 7 of 2260 points with NaN"):
        KittiDataset(tiny_root, "train")[0]
    frame = KittiDataset(tiny_root, "train", crop_to_image=False, invalid_points="drop")[0]
    assert len(frame.points) == 2253


@pytest.mark.parametrize(
    "name", ["calib/000001.txt", "image_2/000001.png", "label_2/000001.txt", "velodyne/000001.bin"]
)
def test_a_missing_file_is_named_with_the_layout(tiny_root: Path, name: str) -> None:
    (tiny_root / "training" / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"no {name} under .*training \(1 files missing for 2 frames\)"
    ):
        KittiDataset(tiny_root, "train")


def test_a_frame_id_without_files_is_named(tiny_root: Path) -> None:
    (tiny_root / "ImageSets/train.txt").write_text("000000\n000777\n")
    with pytest.raises(FileNotFoundError, match=r"no calib/000777\.txt .*remove the frames from ImageSets"):
        KittiDataset(tiny_root, "train")


def test_an_unknown_split_gets_the_nearest_name(tiny_root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no split 'trian' in .*did you mean 'train'"):
        KittiDataset(tiny_root, "trian")


def test_a_missing_root_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*official KITTI object tree"):
        KittiDataset(tmp_path / "nowhere", "train")


def test_a_wrong_root_says_what_was_found(tiny_root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks ImageSets/ and training/; found calib/, image_2/"):
        KittiDataset(tiny_root / "training", "train")


def test_the_folder_above_points_to_the_right_one(tiny_root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"did you mean .*kitti\?"):
        KittiDataset(tiny_root.parent, "train")


@pytest.mark.parametrize(
    ("text", "message"), [("\n", "lists no frame"), ("000000\n000000\n", "lists frame 000000 more than once")]
)
def test_bad_split_files_are_named(tiny_root: Path, text: str, message: str) -> None:
    (tiny_root / "ImageSets/train.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"train\.txt {message}"):
        KittiDataset(tiny_root, "train")


def test_an_unknown_camera_gets_the_nearest_name(tiny_root: Path) -> None:
    with pytest.raises(ValueError, match="unknown camera 'image2'; did you mean 'image_2'"):
        KittiDataset(tiny_root, "train", camera="image2")


def test_an_unfinished_tree_is_refused(tiny_root: Path) -> None:
    (tiny_root / ".incomplete").write_text("{}")
    with pytest.raises(ValueError, match="is incomplete: its writer was interrupted"):
        KittiDataset(tiny_root, "train")


def test_an_index_past_the_end_is_an_index_error(tiny_root: Path) -> None:
    dataset = KittiDataset(tiny_root, "train")
    assert len(dataset) == 2
    with pytest.raises(IndexError):
        dataset[2]


def count_in_camera_frame(dataset: KittiDataset, frame_id: str) -> tuple[int, ...]:
    """Count points per box where the labels live: boxes upright in the rectified camera frame."""
    calibration = dataset.calibration(frame_id)
    points = dataset.points(frame_id)[:, :3].astype(np.float64)
    cam = points @ calibration.cam_from_lidar[:3, :3].T + calibration.cam_from_lidar[:3, 3]
    counts = []
    for label in dataset.labels(frame_id) or []:
        if label.is_dont_care:
            continue
        height, width, length = label.size_hwl
        offset = cam - np.array(label.location)
        cos, sin = np.cos(label.rotation_y), np.sin(label.rotation_y)
        along, across = cos * offset[:, 0] - sin * offset[:, 2], sin * offset[:, 0] + cos * offset[:, 2]
        inside = (abs(along) <= length / 2) & (abs(across) <= width / 2)
        counts.append(int((inside & (offset[:, 1] <= 0) & (offset[:, 1] >= -height)).sum()))
    return tuple(counts)


@pytest.mark.real_data
@pytest.mark.parametrize("frame_id", sorted(README_FIGURES))
def test_real_frames_give_their_known_figures(real_kitti: Path, frame_id: str) -> None:
    split = "train" if frame_id in ("000000", "000001", "000002", "000003") else "val"
    dataset = KittiDataset(real_kitti, split)
    frame = dataset[dataset.frame_ids.index(frame_id)]
    points, size, in_picture, per_box = README_FIGURES[frame_id]
    assert len(dataset.points(frame_id)) == points
    assert dataset.image_size(frame_id) == size
    assert len(frame.points) == in_picture
    assert count_in_camera_frame(dataset, frame_id) == per_box
    assert frame.objects is not None and frame.objects.num_points is not None
    # Our boxes are upright in the LiDAR frame, which the cameras' tilt of some hundredths of a radian turns.
    np.testing.assert_allclose(frame.objects.num_points, per_box, rtol=0.08, atol=2)


@pytest.mark.real_data
def test_points_per_box_equal_the_official_counts(real_kitti: Path) -> None:
    dataset = KittiDataset(real_kitti, "val")
    objects = dataset[dataset.frame_ids.index("000008")].objects
    assert objects is not None and objects.num_points is not None
    assert objects.num_points.tolist() == OFFICIAL_COUNTS_000008


@pytest.mark.real_data
def test_real_boxes_survive_the_way_to_the_camera_and_back(real_kitti: Path) -> None:
    for frame in (KittiDataset(real_kitti, "train")[i] for i in range(4)):
        assert frame.objects is not None and frame.kitti is not None
        calibration = frame.kitti.calibration
        assert calibration is not None
        once = kitti.boxes_camera_from_lidar(frame.objects.boxes_lidar.astype(np.float64), calibration)
        back = kitti.boxes_lidar_from_camera(*once, calibration)
        np.testing.assert_allclose(boxes.corners(back), boxes.corners(frame.objects.boxes_lidar), atol=1e-4)
