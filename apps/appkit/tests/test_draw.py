import numpy as np
from appkit.draw import FOUND, TRUTH, BevView, draw_bev, draw_image
from geom3d.cameras import PinholeCamera

NO_BOXES, NO_SCORES = np.zeros((0, 7)), np.zeros(0)
CAR = np.array([[20.0, 3.0, 0.0, 4.0, 2.0, 1.5, 0.0]])
CAMERA = PinholeCamera(
    image_from_cam=np.array([[200.0, 0, 100, 0], [0, 200.0, 50, 0], [0, 0, 1, 0]]),
    cam_from_lidar=np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
    width=200,
    height=100,
)


def centre_of(picture, colour) -> np.ndarray:
    rows, columns = np.nonzero((np.asarray(picture) == colour).all(axis=-1))
    return np.array([columns.mean(), rows.mean()])


def test_a_car_ahead_and_left_is_drawn_up_and_left_in_the_bev():
    view = BevView(x=(0, 40), y=(-20, 20), pixels_per_metre=5)
    picture = draw_bev(np.zeros((0, 4)), truth=CAR, found=NO_BOXES, scores=NO_SCORES, view=view)
    assert picture.size == (200, 200)
    np.testing.assert_allclose(centre_of(picture, TRUTH), [(20 - 3) * 5, (40 - 20) * 5], atol=5)


def test_points_are_drawn_where_they_are():
    view = BevView(x=(0, 10), y=(-5, 5), pixels_per_metre=10)
    points = np.array([[5.05, 0.05, 0.0, 1.0], [50.0, 0, 0, 1]])
    picture = np.asarray(draw_bev(points, truth=NO_BOXES, found=NO_BOXES, scores=NO_SCORES, view=view))
    rows, columns = np.nonzero(picture[..., 0] > 14)
    assert rows.tolist() == [49]
    assert columns.tolist() == [49]


def test_a_detection_is_drawn_around_its_projection():
    image = np.zeros((100, 200, 3), np.uint8)
    picture = draw_image(image, truth=NO_BOXES, found=CAR, scores=np.array([0.9]), camera=CAMERA)
    expected = [100 - 200 * 3 / 20, 50]
    np.testing.assert_allclose(centre_of(picture, FOUND), expected, atol=6)


def test_a_box_behind_the_camera_is_not_drawn():
    behind = CAR * np.array([-1, 1, 1, 1, 1, 1, 1])
    image = np.zeros((100, 200, 3), np.uint8)
    picture = draw_image(image, truth=behind, found=NO_BOXES, scores=NO_SCORES, camera=CAMERA)
    assert not np.asarray(picture).any()


def test_a_box_around_the_camera_is_cut_not_mirrored():
    around = np.array([[0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0]])
    image = np.zeros((100, 200, 3), np.uint8)
    picture = draw_image(image, truth=around, found=NO_BOXES, scores=NO_SCORES, camera=CAMERA)
    assert np.asarray(picture).any()
