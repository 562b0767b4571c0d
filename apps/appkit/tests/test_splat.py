import numpy as np
import pytest
from fusion3d_appkit.splat import splat, view_aslant, view_from_above

LOW, HIGH = np.array([-2.0, -1.0, 0.0]), np.array([2.0, 1.0, 2.5])
RED, BLUE = (200, 10, 10), (10, 10, 200)


def one_colour(count: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.tile(np.array(colour, np.uint8), (count, 1))


def test_a_map_shows_x_to_the_right_and_y_up_within_its_margin() -> None:
    view = view_from_above(LOW, HIGH, width=400, margin_px=10)
    uv, _ = view.to_pixels(np.array([[-2.0, -1.0, 0.0], [2.0, 1.0, 2.0], [0.0, 0.0, 1.0]]))
    assert view.size == (400, 210)
    np.testing.assert_allclose(uv, [[10, 200], [390, 10], [200, 105]], atol=1e-9)


@pytest.mark.parametrize("azimuth", [-170.0, -125.0, 0.0, 30.0, 90.0])
@pytest.mark.parametrize("elevation", [5.0, 42.0, 85.0])
def test_a_view_aslant_fits_the_room_into_the_picture_and_fills_it(azimuth: float, elevation: float) -> None:
    view = view_aslant(LOW, HIGH, size=(300, 200), azimuth_deg=azimuth, elevation_deg=elevation, margin_px=8)
    corners = np.array([[x, y, z] for x in (-2, 2) for y in (-1, 1) for z in (0, 2.5)], np.float64)
    uv, depth = view.to_pixels(corners)
    assert (depth > 0).all()
    assert (uv >= 7.99).all() and (uv <= [292.01, 192.01]).all()
    assert np.isclose(np.ptp(uv, axis=0), [284, 184], atol=0.5).any()


def test_a_view_aslant_is_no_mirror_image_and_has_z_up() -> None:
    view = view_aslant(LOW, HIGH, size=(300, 200), azimuth_deg=-90.0, elevation_deg=20.0)
    uv, depth = view.to_pixels(np.array([[-1.0, 0, 1], [1.0, 0, 1], [0, 0, 0.5], [0, 0, 2.0], [0, 0.9, 1]]))
    assert uv[0, 0] < uv[1, 0]  # seen from -y, x goes to the right
    assert uv[3, 1] < uv[2, 1]
    assert depth[4] > depth[0]
    assert np.linalg.det(view.view_from_room[:, :3]) == pytest.approx(1.0)


def test_the_nearest_point_is_seen_in_its_place_and_the_rest_is_white() -> None:
    view = view_from_above(LOW, HIGH, width=400, margin_px=0)
    points = np.array([[0.0, 0.0, 0.2], [0.0, 0.0, 1.0], [0.0, 0.0, 0.1]])
    colours = np.array([RED, BLUE, RED], np.uint8)
    picture, depths = splat(points, colours, view, sides_m=np.full(3, 0.05))
    rows, columns = np.nonzero(np.isfinite(depths))
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], [200, 100], atol=1)
    assert np.ptp(columns) + 1 == 5  # 0.05 m at 100 pixels a metre
    assert (picture[rows, columns] == BLUE).all()
    assert depths[rows[0], columns[0]] == pytest.approx(HIGH[2] + 1 - 1.0)
    assert (picture[~np.isfinite(depths)] == 255).all()


def test_of_overlapping_discs_each_pixel_shows_the_nearer_centre() -> None:
    view = view_from_above(LOW, HIGH, width=400, margin_px=0)
    points = np.array([[-0.03, 0.0, 1.0], [0.03, 0.0, 1.0]])
    picture, depths = splat(points, np.array([RED, BLUE], np.uint8), view, sides_m=np.full(2, 0.2))
    row = picture[100]
    there = np.flatnonzero(np.isfinite(depths[100]))
    is_red = row[there, 0] > row[there, 2]
    assert is_red[there < 199].all()
    assert not is_red[there > 201].any()


def test_points_behind_the_eye_and_beside_the_picture_are_left_out() -> None:
    view = view_aslant(LOW, HIGH, size=(100, 100))
    eye = -view.view_from_room[:, :3].T @ view.view_from_room[:, 3]
    beyond = eye + 2 * (eye - (LOW + HIGH) / 2)
    points = np.array([eye, beyond, [50.0, 0.0, 0.0], [0.0, 900.0, 0.0]])
    _, depths = splat(points, one_colour(4, RED), view, sides_m=np.full(4, 0.1))
    assert not np.isfinite(depths).any()


def test_what_is_behind_an_edge_is_shaded_and_the_edge_is_not() -> None:
    view = view_aslant(LOW, HIGH, size=(200, 200), azimuth_deg=-90.0, elevation_deg=5.0)
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 200), np.linspace(0, 2.5, 150)), axis=-1).reshape(-1, 2)
    back = np.column_stack([grid[:, 0], np.ones(len(grid)), grid[:, 1]])
    front = np.column_stack([grid[:, 0] / 4, -np.ones(len(grid)), grid[:, 1] / 2])
    points = np.concatenate([back, front])
    picture, depths = splat(
        points, one_colour(len(points), (200, 200, 200)), view, sides_m=np.full(len(points), 0.05)
    )
    dark = picture[..., 0] < 190
    assert dark.any()
    middle = (
        np.nanmin(np.where(np.isfinite(depths), depths, np.nan)) + depths[np.isfinite(depths)].max()
    ) / 2
    assert (depths[dark] > middle).all()


def test_no_points_give_a_white_picture() -> None:
    view = view_from_above(LOW, HIGH, width=50)
    picture, depths = splat(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), view, sides_m=np.zeros(0))
    assert (picture == 255).all() and np.isinf(depths).all()
