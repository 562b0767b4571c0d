import numpy as np
import pytest
from fusion3d_appkit.draw_room import (
    MAX_POINTS,
    ShownBox,
    class_colours,
    draw_close_up,
    draw_room,
    draw_room_from_above,
    gallery,
    point_spacings,
)
from PIL import Image

RED, BLUE = (230, 0, 0), (0, 0, 230)
BOX = ShownBox(np.array([1.0, 0.5, 0.4, 0.6, 0.6, 0.8]), RED)


def a_room() -> tuple[np.ndarray, np.ndarray]:
    """A floor, four walls and a ceiling, grey, with a blue block at (1, 0.5)."""
    rng = np.random.default_rng(0)
    room = rng.uniform([-2, -1.5, 0], [2, 1.5, 2.5], (30_000, 3))
    side = rng.integers(0, 6, len(room))
    ends = np.array([[-2, -1.5, 0], [2, 1.5, 2.5]])
    room[np.arange(len(room)), side % 3] = ends[side // 3, side % 3]
    block = BOX.box[:3] + BOX.box[3:] * rng.uniform(-0.5, 0.5, (3000, 3))
    block[:, 2] = np.where(rng.random(3000) < 0.7, 0.8, block[:, 2])
    points = np.concatenate([room, block]).astype(np.float32)
    colours = np.full((len(points), 3), 150, np.uint8)
    colours[len(room) :] = BLUE
    return points, colours


def coloured(picture: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """Columns and rows of the pixels that are nearly of a colour."""
    rows, columns = np.nonzero((np.abs(np.asarray(picture).astype(int) - colour) < 60).all(axis=-1))
    return np.stack([columns, rows], axis=1)


@pytest.mark.slow
def test_from_above_the_block_and_its_box_are_where_they_are_and_the_ceiling_is_off() -> None:
    picture = draw_room_from_above(*a_room(), [BOX], width=424)  # 100 pixels a metre, 12 around
    block, edges = coloured(picture, BLUE), coloured(picture, RED)
    np.testing.assert_allclose(block.mean(axis=0), [12 + 300, 12 + 100], atol=4)
    np.testing.assert_allclose(edges.min(axis=0), [12 + 270, 12 + 70], atol=4)
    np.testing.assert_allclose(edges.max(axis=0), [12 + 330, 12 + 130], atol=4)


@pytest.mark.slow
def test_from_outside_walls_and_ceiling_on_the_side_of_the_eye_do_not_hide_the_block() -> None:
    for azimuth in (-125.0, 40.0, 0.0):
        picture = draw_room(*a_room(), [BOX], size=(400, 300), azimuth_deg=azimuth)
        assert picture.size == (400, 300)
        assert len(coloured(picture, BLUE)) > 200, azimuth
        assert len(coloured(picture, RED)) > 100, azimuth


@pytest.mark.slow
def test_edges_behind_a_wall_are_dotted() -> None:
    points, colours = a_room()
    behind = ShownBox(np.array([1.0, 3.0, 0.5, 0.6, 0.6, 1.0]), RED)
    free = draw_room(points[:0], colours[:0], [behind], size=(400, 300))
    hidden = draw_room(
        points, colours, [behind, BOX._replace(colour=BLUE)], size=(400, 300), azimuth_deg=-90.0
    )
    alone = draw_room(
        points[:0], None, [behind, BOX._replace(colour=BLUE)], size=(400, 300), azimuth_deg=-90.0
    )
    assert len(coloured(free, RED)) > 0
    assert 0 < len(coloured(hidden, RED)) < 0.8 * len(coloured(alone, RED))


@pytest.mark.slow
def test_texts_stand_in_the_colour_of_their_boxes_without_hiding_each_other() -> None:
    boxes = [BOX._replace(text="chair 0.91"), BOX._replace(text="table 0.52", colour=BLUE)]
    points, _ = a_room()
    plain = draw_room_from_above(points[:0], None, [box._replace(text="") for box in boxes], width=424)
    named = draw_room_from_above(points[:0], None, boxes, width=424)
    for colour in (RED, BLUE):
        assert len(coloured(named, colour)) > len(coloured(plain, colour)) + 300


def test_a_close_up_shows_the_object_in_the_middle_from_an_open_side() -> None:
    points, colours = a_room()
    # A wall right behind the block, seen from -125 degrees, would hide it.
    rng = np.random.default_rng(1)
    screen = np.column_stack([rng.uniform(0.6, 1.4, 4000), np.full(4000, 0.1), rng.uniform(0, 1.2, 4000)])
    points = np.concatenate([points, screen.astype(np.float32)])
    colours = np.concatenate([colours, np.full((4000, 3), 150, np.uint8)])
    picture = draw_close_up(points, colours, BOX, size=(200, 160))
    assert picture.size == (200, 160)
    block = coloured(picture, BLUE)
    assert len(block) > 1500
    np.testing.assert_allclose(block.mean(axis=0), [100, 80], atol=30)


def test_a_close_up_of_nothing_shows_the_box() -> None:
    picture = draw_close_up(np.zeros((0, 3), np.float32), None, BOX)
    assert len(coloured(picture, RED)) > 100


def test_points_without_colours_are_grey() -> None:
    points, _ = a_room()
    picture = np.asarray(draw_room(points, None, size=(200, 150))).astype(int)
    assert np.ptp(picture, axis=-1).max() == 0
    assert (picture < 250).any()


@pytest.mark.slow
def test_an_empty_room_is_a_white_picture() -> None:
    for picture in (draw_room(np.zeros((0, 3)), None), draw_room_from_above(np.zeros((0, 3)), None)):
        assert (np.asarray(picture) == 255).all()


def test_a_gallery_has_its_pictures_row_by_row_and_cuts_long_texts() -> None:
    tiles = [(Image.new("RGB", (50, 40), colour), "a very long text indeed") for colour in (RED, BLUE, RED)]
    sheet = gallery(tiles, columns=2)
    assert sheet.size == (2 * 50 + 8, 2 * 60 + 8)
    assert sheet.getpixel((10, 10)) == RED and sheet.getpixel((70, 10)) == BLUE
    assert sheet.getpixel((10, 80)) == RED and sheet.getpixel((70, 80)) == (255, 255, 255)
    assert sheet.getpixel((53, 50)) == (255, 255, 255)
    assert gallery([]).size == (1, 1)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        gallery(tiles, columns=0)


def test_colours_of_many_classes_differ_and_are_dark_enough_for_white_letters() -> None:
    colours = np.array(class_colours(40))
    assert len(np.unique(colours, axis=0)) == 40
    assert (colours @ [0.299, 0.587, 0.114] < 190).all()


def test_the_spacing_of_points_is_found() -> None:
    grid = np.stack(np.meshgrid(np.arange(0, 2, 0.05), np.arange(0, 2, 0.05)), axis=-1).reshape(-1, 2)
    points = np.column_stack([grid, np.zeros(len(grid))])
    assert np.median(point_spacings(points)) == pytest.approx(0.05, rel=0.05)


@pytest.mark.slow
def test_more_points_than_are_drawn_still_cover_the_floor() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-2, -2, 0], [2, 2, 0.01], (2 * MAX_POINTS, 3)).astype(np.float32)
    picture = draw_room_from_above(points, np.full((len(points), 3), RED, np.uint8), width=124)
    assert len(coloured(picture, RED)) > 0.97 * 100 * 100
