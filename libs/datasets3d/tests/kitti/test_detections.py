from pathlib import Path

import numpy as np
import pytest
from datasets3d.kitti import KittiDataset, write_detections
from geom3d import kitti as geom_kitti
from geom3d.kitti import KittiCalibration


def write(folder: Path, calibration: KittiCalibration, boxes_lidar: np.ndarray, **changed: object) -> Path:
    given = {
        "names": ["Car"] * len(boxes_lidar),
        "boxes_lidar": boxes_lidar,
        "scores": np.full(len(boxes_lidar), 0.5),
        "camera": calibration.camera(320, 96),
        "calibration": calibration,
    }
    return write_detections(folder, "000007", **{**given, **changed})  # pyright: ignore[reportArgumentType]


def test_written_labels_of_a_frame_are_its_boxes(tiny_root: Path, tmp_path: Path) -> None:
    """What the adapter read, written as detections, is the label file plus a score."""
    dataset = KittiDataset(tiny_root, "train")
    frame = dataset[1]
    assert frame.objects is not None
    assert frame.kitti is not None and frame.kitti.calibration is not None
    path = write_detections(
        tmp_path / "out",
        frame.frame_id,
        names=frame.objects.names,
        boxes_lidar=frame.objects.boxes_lidar,
        scores=np.array([0.9, 0.8, 0.7], np.float32),
        camera=frame.cameras["image_2"],
        calibration=frame.kitti.calibration,
    )
    rows = [line.split() for line in path.read_text().splitlines()]
    labels = [label for label in dataset.labels("000001") or [] if not label.is_dont_care]
    assert [len(row) for row in rows] == [16, 16, 16]
    for row, label, score in zip(rows, labels, (0.9, 0.8, 0.7), strict=True):
        assert row[:3] == [label.name, "-1", "-1"]
        expected = [label.alpha, *label.box_image, *label.size_hwl, *label.location, label.rotation_y, score]
        np.testing.assert_allclose([float(v) for v in row[3:]], expected, atol=2e-2)


def test_no_detections_give_an_empty_file(tmp_path: Path, calibration: KittiCalibration) -> None:
    path = write(tmp_path / "new/folder", calibration, np.zeros((0, 7)))
    assert path.name == "000007.txt"
    assert path.read_text() == ""


def test_boxes_outside_the_picture_are_left_out(tmp_path: Path, calibration: KittiCalibration) -> None:
    behind, beside, seen = [-9.0, 0, 0, 4, 2, 2, 0], [9.0, 90, 0, 4, 2, 2, 0], [9.0, 0, 0, 4, 2, 2, 0]
    path = write(tmp_path, calibration, np.array([behind, seen, beside]), names=["Van", "Car", "Tram"])
    assert [line.split()[0] for line in path.read_text().splitlines()] == ["Car"]


def test_the_written_location_is_the_bottom_face(tmp_path: Path, calibration: KittiCalibration) -> None:
    box = np.array([[9.0, 1.0, 0.0, 4.0, 2.0, 1.5, 0.3]])
    row = write(tmp_path, calibration, box).read_text().split()
    location, _, _ = geom_kitti.boxes_camera_from_lidar(box, calibration)
    np.testing.assert_allclose([float(v) for v in row[11:14]], location[0], atol=1e-4)
    assert [float(v) for v in row[8:11]] == [1.5, 2.0, 4.0]


@pytest.mark.usefixtures("unchecked_shapes")
def test_unequal_lengths_and_nan_are_refused(tmp_path: Path, calibration: KittiCalibration) -> None:
    box = np.array([[9.0, 1.0, 0.0, 4.0, 2.0, 1.5, 0.3]])
    with pytest.raises(ValueError, match="must be equally long, got 1, 1, 2 for frame 000007"):
        write(tmp_path, calibration, box, scores=np.zeros(2))
    with pytest.raises(ValueError, match="boxes_lidar or scores of frame 000007 are not finite"):
        write(tmp_path, calibration, box, scores=np.array([np.nan]))
    assert list(tmp_path.iterdir()) == []
