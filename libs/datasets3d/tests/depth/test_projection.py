import numpy as np
import pytest
from datasets3d.depth.projection import column_map, on_canvas, point_map, project

CAMERA = np.array([[10.0, 0.0, 3.0], [0.0, 10.0, 2.0], [0.0, 0.0, 1.0]])


def by_loop(uv, depth, width, height, *, columns):
    canvas = np.zeros((height, width), np.float32)
    for (u, v), z in zip(uv, depth, strict=True):
        if 0 <= u < width and 0 <= v < height:
            canvas[slice(None) if columns else int(v), int(u)] = z
    return canvas


def test_pixels_by_hand():
    uv, depth = project(np.array([[0.1, -0.1, 2.0]]), CAMERA)
    np.testing.assert_allclose(uv, [[3.5, 1.5]], rtol=1e-15)
    assert depth.tolist() == [2.0]


def test_points_behind_are_mirrored_with_negative_depth():
    front, behind = np.array([[0.1, -0.1, 2.0]]), np.array([[-0.1, 0.1, -2.0]])
    assert np.array_equal(project(front, CAMERA)[0], project(behind, CAMERA)[0])
    assert project(behind, CAMERA)[1].tolist() == [-2.0]


def test_a_point_in_the_plane_of_the_camera_has_no_pixel():
    # Without division its coordinates would be 3 and 2, inside the picture.
    uv, depth = project(np.array([[0.3, 0.2, 0.0], [0.0, 0.0, 0.0]]), CAMERA)
    assert np.isnan(uv).all()
    assert not on_canvas(uv, width=6, height=4).any()
    assert not point_map(uv, depth, width=6, height=4).any()


def test_canvas_borders():
    uv = np.array([[0.0, 0.0], [5.999, 3.999], [6.0, 0.0], [0.0, 4.0], [-1e-9, 0.0], [0.0, -0.5]])
    assert on_canvas(uv, width=6, height=4).tolist() == [True, True, False, False, False, False]
    assert on_canvas(uv, width=6, height=4, margin_px=1.0).all()


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("count", [0, 1, 500])
def test_maps_equal_a_plain_loop(count, columns):
    rng = np.random.default_rng(count)
    uv = rng.uniform(-3, 15, (count, 2))
    depth = rng.uniform(-50, 80, count)
    found = (column_map if columns else point_map)(uv, depth, width=12, height=9)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, by_loop(uv, depth, 12, 9, columns=columns))


def test_the_last_point_wins_not_the_nearest():
    uv = np.array([[1.2, 1.2], [1.8, 1.1]])
    assert point_map(uv, np.array([5.0, 60.0]), width=3, height=3)[1, 1] == 60
    assert point_map(uv, np.array([5.0, -60.0]), width=3, height=3)[1, 1] == -60
    assert column_map(uv, np.array([5.0, 60.0]), width=3, height=3)[:, 1].tolist() == [60, 60, 60]


def test_a_radar_point_above_the_picture_fills_no_column():
    assert not column_map(np.array([[1.0, -1.0]]), np.array([5.0]), width=3, height=3).any()
