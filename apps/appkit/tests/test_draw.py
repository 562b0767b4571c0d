import numpy as np
from fusion3d_appkit.draw import (
    FOUND,
    HEAT_SCALE,
    INK,
    TRUTH,
    BevView,
    below,
    beside,
    colour_bar,
    draw_bev,
    draw_dots,
    draw_image,
    draw_map,
    legend,
    outline_cells,
    scan_from_above,
    shades,
    titled,
)
from geom3d.cameras import PinholeCamera
from PIL import Image, ImageDraw

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
    rows, columns = np.nonzero(picture[..., 0] < 255)
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


def test_higher_points_are_darker():
    view = BevView(x=(0, 10), y=(-5, 5), pixels_per_metre=1)
    points = np.array([[2.5, 0.5, -2.0], [7.5, 0.5, 1.0]])
    picture = np.asarray(draw_bev(points, truth=NO_BOXES, found=NO_BOXES, scores=NO_SCORES, view=view))
    assert picture[2, 4, 0] < picture[7, 4, 0] < 255


def test_a_scan_is_drawn_in_its_grey():
    view = BevView(x=(0, 4), y=(-2, 2), pixels_per_metre=1)
    picture = np.asarray(scan_from_above(np.array([[0.5, -1.5]]), 120, view=view))
    assert (picture[3, 3] == 120).all()
    assert (picture != 255).any(axis=2).sum() == 1


def test_a_map_points_up_and_its_y_to_the_left():
    view = BevView(x=(0, 30), y=(-10, 10), pixels_per_metre=1)
    values = np.zeros((2, 3))  # y, x
    values[1, 2] = 1.0  # left and far
    picture = np.asarray(draw_map(values, view=view))
    assert picture.shape == (30, 20, 3)
    zero, one = shades(np.array([0.0, 1.0]), scale=HEAT_SCALE)
    assert (picture[:10, :10] == one).all()
    assert (picture[10:] == zero).all() and (picture[:10, 10:] == zero).all()


def test_cells_are_outlined_where_the_map_draws_them():
    cells = np.zeros((2, 3), bool)
    cells[1, 2] = True
    picture = Image.new("RGB", (20, 30), "white")
    outline_cells(picture, cells, colour=FOUND)
    drawn = (np.asarray(picture) == FOUND).all(axis=2)
    assert drawn[0, :10].all() and drawn[9, :10].all() and drawn[:10, 0].all() and drawn[:10, 9].all()
    assert drawn.sum() == 36


def test_dots_have_their_colours_and_later_ones_are_on_top():
    picture = Image.new("RGB", (20, 20), "white")
    pen = ImageDraw.Draw(picture)
    draw_dots(pen, np.array([[5.0, 5], [15, 15], [15, 15]]), np.array([FOUND, FOUND, TRUTH]), radius=2)
    assert picture.getpixel((5, 5)) == FOUND
    assert picture.getpixel((15, 15)) == TRUTH


def test_a_colour_bar_runs_from_0_to_1():
    bar = np.asarray(colour_bar("score", scale="Greys", width=400))
    strip = bar[10].astype(int)
    grey = strip[(strip == strip[:, :1]).all(axis=1)][:, 0]
    assert bar.shape == (22, 400, 3)
    assert (strip == INK).all(axis=1).sum() < 20  # the letters
    assert {0, 255} <= set(grey.tolist())


def test_a_legend_has_a_line_in_every_colour():
    picture = legend([("label", TRUTH), ("box", FOUND)])
    assert picture.getpixel((10, 11)) == TRUTH
    assert picture.getpixel((10, 33)) == FOUND


def test_pictures_are_put_together_without_loss():
    red, blue = Image.new("RGB", (10, 6), "red"), Image.new("RGB", (4, 8), "blue")
    row, column = beside(red, blue), below(red, blue)
    assert row.size == (22, 8) and column.size == (10, 22)
    assert row.getpixel((18, 7)) == (0, 0, 255) == column.getpixel((3, 14))
    assert titled(red, "t").getpixel((9, 25)) == (255, 0, 0)
