import dataclasses
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from geom3d import boxes, frustum, overlap, transforms
from geom3d.angles import angle_difference
from geom3d.cameras import project
from geom3d.kitti import (
    _ENTRIES,
    KittiCalibration,
    alpha_from_boxes,
    boxes_camera_from_lidar,
    boxes_image_from_lidar,
    boxes_lidar_from_camera,
    read_calibration,
    write_calibration,
)
from hypothesis import given
from hypothesis import strategies as st

P2 = np.array([[721.5, 0, 609.6, 44.86], [0, 721.5, 172.9, 0.216], [0, 0, 1, 0.00275]])
AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
# The camera looks down by 0.02 rad, about as in the real calibrations.
TILT = np.array([[1, 0, 0], [0, math.cos(0.02), -math.sin(0.02)], [0, math.sin(0.02), math.cos(0.02)]])


def make_calibration(tilt: np.ndarray = TILT) -> KittiCalibration:
    return KittiCalibration(
        p0=P2 * [1, 1, 1, 0],
        p1=P2,
        p2=P2,
        p3=P2,
        r0_rect=tilt,
        velo_to_cam=np.c_[AXES, [-0.004, -0.076, -0.27]],
        imu_to_velo=np.eye(4)[:3],
    )


CALIBRATION = make_calibration()
LEVEL = make_calibration(np.eye(3))
CAMERA = CALIBRATION.camera(1242, 375)

METRES, EDGE = st.floats(-40, 40), st.floats(0.3, 5)
BOX = st.tuples(METRES, METRES, st.floats(-3, 1), EDGE, EDGE, EDGE, st.floats(-3.1, 3.1)).map(np.array)


@pytest.fixture
def calibration_file(tmp_path) -> Path:
    path = tmp_path / "000000.txt"
    write_calibration(path, CALIBRATION)
    return path


def test_a_written_file_reads_back(calibration_file):
    found = read_calibration(calibration_file)
    for field in dataclasses.fields(KittiCalibration):
        assert np.allclose(getattr(found, field.name), getattr(CALIBRATION, field.name), rtol=1e-12, atol=0)


def test_the_imu_matrix_may_be_missing(calibration_file, tmp_path):
    without = dataclasses.replace(CALIBRATION, imu_to_velo=None)
    write_calibration(tmp_path / "b.txt", without)
    assert "imu" not in (tmp_path / "b.txt").read_text()
    assert read_calibration(tmp_path / "b.txt").imu_to_velo is None


def written_as(names: dict[str, str], *, end: str = "\n") -> str:
    """Return the matrices of CALIBRATION under other names; those named "" are left out."""
    lines = []
    for name, key, _ in _ENTRIES:
        values = " ".join(f"{value:.12e}" for value in getattr(CALIBRATION, name).ravel())
        if names.get(key, key):
            lines.append(f"{names.get(key, key + ':')} {values}{end}")
    return "".join(lines)


NEEDED = {"P0": "", "P1": "", "P3": "", "Tr_imu_to_velo": ""}
TRACKING = {"R0_rect": "R_rect", "Tr_velo_to_cam": "Tr_velo_cam", "Tr_imu_to_velo": "Tr_imu_velo"}
RAW = {f"P{i}": f"P_rect_0{i}:" for i in range(4)} | {"R0_rect": "R_rect_00:", "Tr_imu_to_velo": ""}


@pytest.mark.parametrize("names", [NEEDED, TRACKING, RAW], ids=["needed", "tracking", "raw"])
def test_calibrations_of_all_benchmarks_are_read(tmp_path, names):
    (tmp_path / "c.txt").write_text("calib_time: 09-Jan-2012 13:57:47\n" + written_as(names))
    found = read_calibration(tmp_path / "c.txt")
    for name, key, _ in _ENTRIES:
        if names.get(key) == "":
            assert getattr(found, name) is None
        else:
            assert np.allclose(getattr(found, name), getattr(CALIBRATION, name), rtol=1e-12, atol=0)


def test_rotation_and_translation_of_a_raw_recording_are_joined(tmp_path):
    matrix = CALIBRATION.velo_to_cam
    parts = [("R", matrix[:, :3]), ("T", matrix[:, 3])]
    text = "".join(f"{key}: {' '.join(f'{v:.12e}' for v in part.ravel())}\n" for key, part in parts)
    (tmp_path / "c.txt").write_text(written_as(RAW | {"Tr_velo_to_cam": ""}) + text)
    assert np.allclose(read_calibration(tmp_path / "c.txt").velo_to_cam, matrix, rtol=1e-12, atol=0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_calibration_reads_however_an_editor_saved_it(tmp_path, encoding):
    (tmp_path / "c.txt").write_bytes(written_as({}, end="\r\n").encode(encoding))
    assert np.allclose(read_calibration(tmp_path / "c.txt").p2, CALIBRATION.p2, rtol=1e-12, atol=0)


def test_a_matrix_that_is_there_twice_is_refused(calibration_file):
    calibration_file.write_text(calibration_file.read_text() + "P_rect_02: 1\n")
    with pytest.raises(ValueError, match="line 8: P2 is there already"):
        read_calibration(calibration_file)


def test_rectification_comes_after_the_lidar_transform():
    point = np.array([[10.0, 2.0, -1.0]])
    expected = TILT @ (CALIBRATION.velo_to_cam @ [10.0, 2.0, -1.0, 1.0])
    assert np.allclose(transforms.apply(CALIBRATION.cam_from_lidar, point)[0], expected)


def test_the_camera_projects_with_p2():
    uv, _ = project(np.array([[10.0, 0.0, 0.0]]), CAMERA.image_from_lidar)
    cam = transforms.apply(CALIBRATION.cam_from_lidar, np.array([[10.0, 0.0, 0.0]]))
    assert np.allclose(uv, project(cam, P2)[0])


@given(BOX)
def test_lidar_to_camera_and_back_is_the_identity(box):
    back = boxes_lidar_from_camera(*boxes_camera_from_lidar(box[None], CALIBRATION), CALIBRATION)[0]
    assert np.allclose(back[:6], box[:6], atol=1e-9)
    assert abs(angle_difference(back[6:], box[6:])[0]) < 1e-9


def test_location_is_the_centre_of_the_bottom_face():
    box = np.array([[10.0, 2.0, -1.0, 4.0, 1.6, 1.5, 0.0]])
    location, size_lhw, rotation_y = boxes_camera_from_lidar(box, LEVEL)
    assert np.allclose(location, [[-2.0 - 0.004, 1.0 + 0.75 - 0.076, 10.0 - 0.27]])
    assert size_lhw.tolist() == [[4.0, 1.5, 1.6]]
    assert rotation_y == pytest.approx(-math.pi / 2)


@pytest.mark.parametrize(
    ("rotation_y", "yaw"), [(0.0, -math.pi / 2), (-math.pi / 2, 0), (math.pi / 2, -math.pi)]
)
def test_yaw_is_minus_a_quarter_turn_minus_rotation_y(rotation_y, yaw):
    box = boxes_lidar_from_camera(np.zeros((1, 3)), np.ones((1, 3)), np.array([rotation_y]), LEVEL)
    assert box[0, 6] == pytest.approx(yaw)


@given(BOX)
def test_the_image_box_surrounds_the_projected_corners(box):
    box[0] = 8 + abs(box[0])
    camera = LEVEL.camera(1242, 375)
    uv, _ = project(boxes.corners(box), camera.image_from_lidar)
    expected = np.clip([*uv.min(axis=0), *uv.max(axis=0)], 0, [1241, 374, 1241, 374])
    assert np.allclose(boxes_image_from_lidar(box[None], camera)[0], expected, atol=1e-6)


def test_a_box_around_the_camera_fills_the_picture_and_one_behind_is_empty():
    around, behind = np.array([0.0, 0, 0, 6, 6, 6, 0]), np.array([-20.0, 0, 0, 4, 2, 2, 0])
    found = boxes_image_from_lidar(np.stack([around, behind]), CAMERA)
    assert found.tolist() == [[0, 0, 1241, 374], [0, 0, 0, 0]]


def test_the_part_behind_the_camera_does_not_wrap_around():
    # A long wall at the left, from 30 m behind to 30 m ahead: it must stay left of its far end.
    wall = np.array([[0.0, 5.0, 0.0, 60.0, 0.2, 3.0, 0.0]])
    x0, _, x1, _ = boxes_image_from_lidar(wall, LEVEL.camera(1242, 375))[0]
    far_end, _ = project(np.array([[30.0, 4.9, 0.0]]), LEVEL.camera(1242, 375).image_from_lidar)
    assert x0 == 0
    assert x1 == pytest.approx(far_end[0, 0], abs=1)


def test_alpha_is_rotation_y_minus_the_bearing():
    box = np.array([[10.0 + 0.27, -10.0 - 0.004, 0.0, 4.0, 2.0, 1.5, -math.pi / 2]])
    assert alpha_from_boxes(box, LEVEL) == pytest.approx(0.0 - math.pi / 4, abs=1e-6)


def test_no_boxes_stay_no_boxes():
    none = np.zeros((0, 7))
    location, size_lhw, rotation_y = boxes_camera_from_lidar(none, CALIBRATION)
    assert boxes_lidar_from_camera(location, size_lhw, rotation_y, CALIBRATION).shape == (0, 7)
    assert boxes_image_from_lidar(none, CAMERA).shape == (0, 4)
    assert alpha_from_boxes(none, CALIBRATION).shape == (0,)


def test_float32_labels_are_computed_in_float64():
    parts = (np.ones((1, 3), np.float32), np.ones((1, 3), np.float32), np.ones(1, np.float32))
    assert boxes_lidar_from_camera(*parts, CALIBRATION).dtype == np.float64


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*000007\.txt; expected the official tree"):
        read_calibration(tmp_path / "000007.txt")


def test_a_missing_key_is_named(calibration_file):
    lines = [line for line in calibration_file.read_text().splitlines() if not line.startswith("P2")]
    calibration_file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"000000\.txt has no key P2, only \['P0', .*object benchmark"):
        read_calibration(calibration_file)


def test_a_wrong_number_of_values_is_named_with_its_line(calibration_file):
    calibration_file.write_text(calibration_file.read_text().replace("P2: ", "P2: 1.0 "))
    with pytest.raises(ValueError, match=r"000000\.txt, line 3, P2: expected 12 numbers, got 13; .* again"):
        read_calibration(calibration_file)


def test_a_value_that_is_no_number_is_named_with_its_line(calibration_file):
    calibration_file.write_text(calibration_file.read_text().replace("R0_rect: 1", "R0_rect: x1"))
    with pytest.raises(ValueError, match=r"000000\.txt, line 5, R0_rect: could not .*; the file is damaged"):
        read_calibration(calibration_file)


def test_matrices_of_the_wrong_shape_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"KittiCalibration: r0_rect must have shape \[3, 3\], got \[4, 4\]"):
        dataclasses.replace(CALIBRATION, r0_rect=np.eye(4))
    with pytest.raises(ValueError, match=r"KittiCalibration: p2 holds NaN or infinity"):
        dataclasses.replace(CALIBRATION, p2=np.full((3, 4), np.nan))


def test_boxes_of_the_wrong_shape_are_refused(unchecked):
    three, one = np.zeros((2, 3)), np.zeros(2)
    with pytest.raises(
        ValueError, match=r"_from_camera: location must have shape \[\.\.\., 3\], got \[2, 4\]"
    ):
        boxes_lidar_from_camera(np.zeros((2, 4)), three, one, CALIBRATION)
    with pytest.raises(ValueError, match=r"boxes_lidar_from_camera: size_lhw must have shape"):
        boxes_lidar_from_camera(three, np.zeros((2, 4)), one, CALIBRATION)
    with pytest.raises(ValueError, match=r"expected shapes .* and \[m\], got \[2, 3\], \[2, 3\], \[3\]"):
        boxes_lidar_from_camera(three, three, np.zeros(3), CALIBRATION)
    for function, extra in (
        (boxes_camera_from_lidar, CALIBRATION),
        (alpha_from_boxes, CALIBRATION),
        (boxes_image_from_lidar, CAMERA),
    ):
        with pytest.raises(
            ValueError, match=rf"kitti\.{function.__name__}: boxes must have shape \[\.\.\., 7\]"
        ):
            function(np.zeros((2, 8)), extra)


# Frame: points in the image; points in each labelled box, upright in the camera frame,
# where the labels were made; the same, upright in the LiDAR frame;
# IoU of the projected with the labelled image box.
FRAMES = {
    "000000": (20285, [376], [377], [0.89]),
    "000001": (18630, [70, 9, 18], [71, 9, 18], [0.94, 0.98, 0.96]),
    "000002": (20210, [1351, 67], [1349, 67], [0.97, 0.97]),
    "000003": (18911, [680], [674], [0.96]),
    "000004": (19063, [77, 26], [78, 26], [0.98, 0.98]),
    "000005": (19962, [70], [70], [0.81]),
    "000008": (
        17238,
        [1424, 1940, 878, 668, 53, 164],
        [1325, 1900, 881, 659, 55, 162],
        [0.99, 0.99, 0.99, 0.97, 0.96, 0.97],
    ),
}


@dataclasses.dataclass
class RealFrame:
    calibration: KittiCalibration
    points: np.ndarray
    size: tuple[int, int]
    labels: np.ndarray

    @property
    def boxes_lidar(self) -> np.ndarray:
        v = self.labels
        return boxes_lidar_from_camera(v[:, 10:13], v[:, [9, 7, 8]], v[:, 13], self.calibration)


@pytest.fixture(params=sorted(FRAMES))
def real_frame(request, real_data) -> tuple[RealFrame, tuple]:
    """One labelled frame: columns of labels after the name, DontCare left out."""
    root, name = real_data / "kitti" / "training", request.param
    folder = "velodyne" if (root / "velodyne" / f"{name}.bin").exists() else "velodyne_reduced"
    points = np.fromfile(root / folder / f"{name}.bin", dtype=np.float32).reshape(-1, 4)
    header = (root / "image_2" / f"{name}.png").read_bytes()[16:24]
    rows = [line.split() for line in (root / "label_2" / f"{name}.txt").read_text().splitlines()]
    labels = np.array([[float(value) for value in row[1:]] for row in rows if row[0] != "DontCare"])
    frame = RealFrame(
        calibration=read_calibration(root / "calib" / f"{name}.txt"),
        points=points[:, :3].astype(np.float64),
        size=struct.unpack(">II", header),
        labels=labels,
    )
    return frame, FRAMES[name]


@pytest.mark.real_data
def test_real_points_in_the_image(real_frame):
    frame, (in_image, *_) = real_frame
    camera = frame.calibration.camera(*frame.size)
    assert frustum.frustum_mask(frame.points, camera).sum() == in_image
    assert frustum.frustum_mask(frame.points.astype(np.float32), camera).sum() == in_image


@pytest.mark.real_data
def test_real_points_in_boxes_upright_in_the_camera_frame(real_frame):
    frame, (_, counts, *_) = real_frame
    # The rectified camera frame with its axes renamed to forward, left, up.
    upright_from_cam = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    points = transforms.apply(upright_from_cam @ frame.calibration.cam_from_lidar, frame.points)
    v = frame.labels
    centre = transforms.apply(upright_from_cam, v[:, 10:13]) + v[:, 7:8] * np.array([0.0, 0.0, 0.5])
    table = np.c_[centre, v[:, [9, 8, 7]], -(math.pi / 2 + v[:, 13])]
    assert boxes.contains(points, table).sum(axis=0).tolist() == counts


@pytest.mark.real_data
def test_real_points_in_lidar_boxes(real_frame):
    frame, (_, _, counts, _) = real_frame
    assert boxes.contains(frame.points, frame.boxes_lidar).sum(axis=0).tolist() == counts


@pytest.mark.real_data
def test_real_boxes_project_onto_their_image_boxes(real_frame):
    frame, (*_, ious) = real_frame
    found = boxes_image_from_lidar(frame.boxes_lidar, frame.calibration.camera(*frame.size))
    assert np.diag(overlap.iou_2d(found, frame.labels[:, 3:7])).round(2).tolist() == ious


@pytest.mark.real_data
def test_real_labels_come_back(real_frame):
    frame, _ = real_frame
    location, size_lhw, rotation_y = boxes_camera_from_lidar(frame.boxes_lidar, frame.calibration)
    v = frame.labels
    assert np.allclose(location, v[:, 10:13], atol=1e-9)
    assert np.allclose(size_lhw, v[:, [9, 7, 8]], atol=1e-12)
    assert np.allclose(angle_difference(rotation_y, v[:, 13]), 0, atol=1e-12)
    # The labelled angles have two decimals and a rounding of their own: the nearest car is off by 0.033.
    assert (
        np.abs(angle_difference(alpha_from_boxes(frame.boxes_lidar, frame.calibration), v[:, 2])).max()
        < 0.035
    )


@pytest.mark.real_data
def test_real_calibration_files_read_back_bit_by_bit(real_frame, tmp_path):
    frame, _ = real_frame
    write_calibration(tmp_path / "c.txt", frame.calibration)
    again = read_calibration(tmp_path / "c.txt")
    for field in dataclasses.fields(KittiCalibration):
        assert np.array_equal(getattr(again, field.name), getattr(frame.calibration, field.name))
