import numpy as np
import pytest
from geom3d import transforms
from geom3d.cameras import PinholeCamera, in_image, project, unproject
from hypothesis import given
from hypothesis import strategies as st

# Focal length, centre and offsets as in KITTI's left colour camera.
IMAGE_FROM_CAM = np.array([[721.5, 0, 609.6, 44.86], [0, 721.5, 172.9, 0.216], [0, 0, 1, 0.00275]])
CAM_FROM_LIDAR = np.array([[0.0, -1, 0, 0.01], [0, 0, -1, -0.07], [1, 0, 0, -0.27], [0, 0, 0, 1]])
CAMERA = PinholeCamera(image_from_cam=IMAGE_FROM_CAM, cam_from_lidar=CAM_FROM_LIDAR, width=1242, height=375)

POINT = st.tuples(st.floats(-20, 20), st.floats(-5, 5), st.floats(0.5, 80))
POINTS_CAM = st.lists(POINT, max_size=5).map(lambda rows: np.array(rows, dtype=np.float64).reshape(-1, 3))


def pixels(camera: PinholeCamera, points_lidar: np.ndarray) -> np.ndarray:
    return project(points_lidar, camera.image_from_lidar)[0]


POINTS_LIDAR = np.random.default_rng(0).uniform([5, -10, -2], [70, 10, 1], (50, 3))


@given(POINTS_CAM)
def test_project_divides_by_the_third_homogeneous_coordinate(points):
    homogeneous = np.c_[points, np.ones(len(points))] @ IMAGE_FROM_CAM.T
    uv, depth = project(points, IMAGE_FROM_CAM)
    assert np.allclose(uv, homogeneous[:, :2] / homogeneous[:, 2:])
    assert np.allclose(depth, points[:, 2] + 0.00275)


@given(POINTS_CAM)
def test_unproject_undoes_project(points):
    assert np.allclose(unproject(*project(points, IMAGE_FROM_CAM), IMAGE_FROM_CAM), points, atol=1e-9)


def test_a_point_in_the_camera_plane_gives_finite_pixels_that_are_not_in_the_image():
    uv, depth = project(np.array([[1.0, 1.0, 0.0]]), np.eye(4)[:3])
    assert np.isfinite(uv).all()
    assert not in_image(uv, depth, width=10, height=10).any()


def test_points_behind_the_camera_are_not_in_the_image():
    uv, depth = project(np.array([[-1.0, -1.0, -1.0]]), np.eye(4)[:3])
    assert uv.tolist() == [[1.0, 1.0]]
    assert not in_image(uv, depth, width=10, height=10).any()


def test_the_image_is_half_open():
    uv = np.array([[0, 0], [9.999, 4.999], [10, 0], [0, 5], [-1e-9, 0], [0, -1e-9]])
    assert in_image(uv, np.ones(6), width=10, height=5).tolist() == [True, True, False, False, False, False]


def test_min_depth_is_excluded():
    assert in_image(np.zeros((2, 2)), np.array([1.0, 1.1]), width=1, height=1, min_depth=1.0).tolist() == [
        False,
        True,
    ]


def test_nan_is_not_in_the_image():
    assert not in_image(np.full((1, 2), np.nan), np.ones(1), width=1, height=1).any()


def test_mirroring_maps_u_to_width_minus_u():
    there, back = pixels(CAMERA, POINTS_LIDAR), pixels(CAMERA.mirrored(), POINTS_LIDAR)
    assert np.allclose(back, there * [-1, 1] + [1242, 0])
    assert np.allclose(CAMERA.mirrored().mirrored().image_from_cam, IMAGE_FROM_CAM)


def test_resizing_scales_pixels():
    camera = CAMERA.resized(621, 750)
    assert (camera.width, camera.height) == (621, 750)
    assert np.allclose(pixels(camera, POINTS_LIDAR), pixels(CAMERA, POINTS_LIDAR) * [0.5, 2.0])


def test_cropping_shifts_pixels():
    camera = CAMERA.cropped(100, 20, 300, 200)
    assert (camera.width, camera.height) == (300, 200)
    assert np.allclose(pixels(camera, POINTS_LIDAR), pixels(CAMERA, POINTS_LIDAR) - [100, 20])


def test_points_of_a_moved_scene_keep_their_pixels():
    scene_from_lidar = transforms.from_parts(1.05 * transforms.rotation_z(0.3), np.array([1.0, 2.0, 0.0]))
    camera = CAMERA.with_scene(transforms.invert(scene_from_lidar))
    moved = transforms.apply(scene_from_lidar, POINTS_LIDAR)
    assert np.allclose(pixels(camera, moved), pixels(CAMERA, POINTS_LIDAR))


def test_a_mirrored_scene_fits_the_mirrored_picture():
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    camera = CAMERA.with_scene(flip).mirrored()
    expected = pixels(CAMERA, POINTS_LIDAR) * [-1, 1] + [1242, 0]
    assert np.allclose(pixels(camera, POINTS_LIDAR * [1, -1, 1]), expected)


def test_the_camera_keeps_float64_copies():
    matrix = np.eye(4, dtype=np.float32)
    camera = PinholeCamera(image_from_cam=matrix[:3], cam_from_lidar=matrix, width=4, height=3)
    matrix[0, 0] = 5
    assert camera.cam_from_lidar[0, 0] == 1
    assert camera.image_from_lidar.dtype == np.float64


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-1, 5)])
def test_picture_sizes_that_are_not_positive_are_refused(width, height):
    message = rf"width and height must be positive, got {width} x {height}"
    with pytest.raises(ValueError, match=r"cameras\.PinholeCamera: " + message):
        PinholeCamera(image_from_cam=IMAGE_FROM_CAM, cam_from_lidar=np.eye(4), width=width, height=height)
    with pytest.raises(ValueError, match=message):
        CAMERA.resized(width, height)
    with pytest.raises(ValueError, match=r"cameras\.in_image: " + message):
        in_image(np.zeros((1, 2)), np.ones(1), width=width, height=height)


def test_wrong_matrices_are_refused(unchecked):
    with pytest.raises(
        ValueError, match=r"PinholeCamera: image_from_cam must have shape \[3, 4\], got \[3, 3\]"
    ):
        PinholeCamera(image_from_cam=np.eye(3), cam_from_lidar=np.eye(4), width=4, height=3)
    with pytest.raises(ValueError, match=r"PinholeCamera: cam_from_lidar holds NaN or infinity"):
        PinholeCamera(image_from_cam=np.eye(4)[:3], cam_from_lidar=np.full((4, 4), np.nan), width=4, height=3)
    with pytest.raises(ValueError, match=r"with_scene: lidar_from_scene must have shape \[\.\.\., 4, 4\]"):
        CAMERA.with_scene(np.eye(3))
    with pytest.raises(
        ValueError, match=r"project: image_from_points must have shape \[\.\.\., 3, 4\], got \[4, 4\]"
    ):
        project(np.zeros((1, 3)), np.eye(4))
    with pytest.raises(ValueError, match=r"unproject: image_from_cam must have shape \[\.\.\., 3, 4\]"):
        unproject(np.zeros((1, 2)), np.ones(1), np.eye(4))


def test_wrong_points_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"project: points must have shape \[\.\.\., 3\], got \[1, 4\]"):
        project(np.zeros((1, 4)), IMAGE_FROM_CAM)
    with pytest.raises(ValueError, match=r"uv must have shape \[\.\.\., 2\], got \[1, 3\]"):
        in_image(np.zeros((1, 3)), np.ones(1), width=4, height=3)
    with pytest.raises(ValueError, match=r"uv must have shape \[\.\.\., 2\], got \[1, 3\]"):
        unproject(np.zeros((1, 3)), np.ones(1), IMAGE_FROM_CAM)


def test_a_singular_projection_is_refused():
    with pytest.raises(ValueError, match=r"cameras\.unproject: image_from_cam is singular"):
        unproject(np.zeros((1, 2)), np.ones(1), np.ones((3, 4)))
