import numpy as np
import pytest
from datasets3d.database import _paste
from geom3d import boxes, cameras
from geom3d.cameras import PinholeCamera
from geom3d.kitti import KittiCalibration


def other_camera(calibration: KittiCalibration) -> PinholeCamera:
    """A longer lens, mounted a little elsewhere."""
    camera = calibration.camera(320, 96)
    image_from_cam = np.array(camera.image_from_cam)
    image_from_cam[0, 0] *= 1.05
    image_from_cam[1, 1] *= 1.05
    cam_from_lidar = np.array(camera.cam_from_lidar)
    cam_from_lidar[:3, 3] += [0.1, -0.05, 0.2]
    return PinholeCamera(image_from_cam=image_from_cam, cam_from_lidar=cam_from_lidar, width=320, height=96)


def test_points_keep_pixel_and_depth(calibration: KittiCalibration) -> None:
    source, target = calibration.camera(320, 96), other_camera(calibration)
    xyz = np.random.default_rng(0).uniform([5, -5, -2], [40, 5, 1], (50, 3))
    moved = _paste.reproject(xyz, source=source, target=target)
    for before, after in zip(
        cameras.project(xyz, source.image_from_lidar),
        cameras.project(moved, target.image_from_lidar),
        strict=True,
    ):
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)
    assert np.abs(moved - xyz).max() > 0.1


def test_the_same_camera_changes_nothing(calibration: KittiCalibration) -> None:
    camera = calibration.camera(320, 96)
    box = np.array([12.0, 2.0, -0.9, 3.9, 1.6, 1.5, 2.5])
    np.testing.assert_allclose(_paste.reproject_box(box, source=camera, target=camera), box, atol=1e-9)


@pytest.mark.parametrize("yaw_rad", [-3.0, -1.5, 0.0, 0.7, 3.1])
def test_a_box_is_found_from_its_corners(yaw_rad: float) -> None:
    box = np.array([1.0, 2.0, 3.0, 4.0, 2.0, 1.5, yaw_rad])
    np.testing.assert_allclose(_paste.refit_box(boxes.corners(box)), box, atol=1e-12)


def test_the_road_is_found_below_a_place(calibration: KittiCalibration) -> None:
    camera = calibration.camera(320, 96)
    plane = np.array([0.0, -1.0, 0.0, 1.65])
    xyz = np.array([[10.0, 0.0, 5.0], [30.0, 3.0, -9.0]])
    at_road = np.column_stack([xyz[:, :2], _paste.road_height(xyz, plane, camera)])
    # The foot moves a little along the slanted camera axis: the published rule takes the height there.
    cam = at_road @ camera.cam_from_lidar[:3, :3].T + camera.cam_from_lidar[:3, 3]
    np.testing.assert_allclose(cam[:, 1], 1.65, atol=0.1)


def canvas() -> _paste.Canvas:
    return _paste.Canvas(np.zeros((20, 30, 3), np.uint8))


def numbered(height: int, width: int) -> np.ndarray:
    return np.arange(height * width, dtype=np.uint8).reshape(height, width, 1).repeat(3, axis=2)


def test_a_crop_is_pasted_about_its_boxs_centre() -> None:
    c, crop = canvas(), numbered(10, 12)
    # The crop starts at pixel (100, 50) of its picture; its box is 104..108 x 53..57, the new one as large.
    c.paste(
        0,
        crop,
        crop_origin=(100, 50),
        source_box=(104.0, 53.0, 108.0, 57.0),
        box=np.array([10.0, 5.0, 14.0, 9.0]),
    )
    np.testing.assert_array_equal(c.image[5:9, 10:14], crop[3:7, 4:8])
    assert c.image.sum() == crop[3:7, 4:8].sum()
    assert (c.owner == 0).sum() == 16 and (c.owner[5:9, 10:14] == 0).all()


def test_a_larger_box_takes_more_of_the_surroundings() -> None:
    c, crop = canvas(), numbered(10, 12)
    c.paste(
        0,
        crop,
        crop_origin=(100, 50),
        source_box=(104.0, 53.0, 108.0, 57.0),
        box=np.array([10.0, 5.0, 16.0, 11.0]),
    )
    np.testing.assert_array_equal(c.image[5:11, 10:16], crop[2:8, 3:9])


def test_what_the_crop_lacks_is_not_pasted_and_the_piece_is_centred() -> None:
    c, crop = canvas(), numbered(4, 4)
    c.paste(
        0, crop, crop_origin=(0, 0), source_box=(0.0, 0.0, 4.0, 4.0), box=np.array([10.0, 5.0, 18.0, 13.0])
    )
    np.testing.assert_array_equal(c.image[7:11, 12:16], crop)
    assert (c.owner == 0).sum() == 16


def test_later_pastes_own_the_pixels_they_cover() -> None:
    c = canvas()
    for number, left in enumerate((5.0, 7.0)):
        box = np.array([left, 5.0, left + 4, 9.0])
        c.paste(number, numbered(4, 4), crop_origin=(0, 0), source_box=(0.0, 0.0, 4.0, 4.0), box=box)
    assert (c.owner == 0).sum() == 8 and (c.owner == 1).sum() == 16
    uv = np.array([[6.9, 6.0], [7.0, 6.0], [-3.0, 6.0], [6.0, 99.0]])
    assert c.owned(uv, 0).tolist() == [True, False, False, False]
    assert c.owned(uv, 1).tolist() == [False, True, False, False]


def test_the_given_picture_is_not_changed() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    c = _paste.Canvas(image)
    c.paste(
        0,
        numbered(4, 4),
        crop_origin=(0, 0),
        source_box=(0.0, 0.0, 4.0, 4.0),
        box=np.array([25.9, 15.9, 29.0, 19.0]),
    )
    assert image.sum() == 0
    assert (c.owner[15:19, 25:29] == 0).all() and (c.owner == 0).sum() == 16


def test_pixels_are_cut_off_not_rounded() -> None:
    c, crop = canvas(), numbered(10, 12)
    # 4 wide and 3 high about (106.9, 55.8): from 104.9 to 108.9 and from 54.3 to 57.3 in the source picture.
    c.paste(
        0,
        crop,
        crop_origin=(100, 50),
        source_box=(104.0, 53.0, 109.8, 58.6),
        box=np.array([10.9, 5.9, 14.2, 8.9]),
    )
    np.testing.assert_array_equal(c.image[5:8, 10:14], crop[4:7, 4:8])
    assert (c.owner == 0).sum() == 12


def test_outside_the_picture_the_border_pixel_decides() -> None:
    c = canvas()
    c.owner[:, 0] = 3
    c.owner[19, 29] = 4
    uv = np.array([[-5.0, 7.0], [-0.1, 7.0], [1.0, 7.0], [40.0, 25.0], [29.5, 19.5]])
    assert c.owned(uv, 3).tolist() == [True, True, False, False, False]
    assert c.owned(uv, 4).tolist() == [False, False, False, True, True]


def test_edges_of_a_crooked_box_are_averaged_by_their_lengths() -> None:
    corners = boxes.corners(np.array([0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0]))
    corners[[4, 5], 1] += 0.5  # the roof's front slides sideways: its long edges grow
    edges = [4.0, 4.0, np.hypot(4.0, 0.5), np.hypot(4.0, 0.5)]
    found = _paste.refit_box(corners)
    np.testing.assert_allclose(found[3], np.mean(edges))
    np.testing.assert_allclose(found[6], np.arctan2(0.25, 4.0))
