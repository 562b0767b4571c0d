import numpy as np
from sparse_beats_dense.pictures import draw_depth, draw_errors, draw_stripes, row_bends


def road(height=60, width=80) -> np.ndarray:
    """A plane: inverse depth is linear in the row."""
    return np.broadcast_to(50.0 / (1 + np.arange(height)[:, None]), (height, width)).copy()


def test_a_plane_has_no_bends():
    assert np.abs(row_bends(road(), step_px=2)).max() < 1e-12


def test_a_row_that_is_too_near_stands_out_and_its_neighbours_bend_the_other_way():
    depth = road()
    depth[30] /= 1.1
    bends = row_bends(depth, step_px=1)
    assert np.allclose(bends[30], 2 * 0.1 / 2.1)
    assert (bends[[29, 31]] < -0.04).all()
    assert np.abs(bends[:28]).max() < 1e-12


def test_unknown_pixels_do_not_bend():
    depth = road()
    depth[20:25] = 0
    assert (row_bends(depth, step_px=1)[19:26] == 0).all()


def test_pictures_have_the_size_of_the_map_and_a_line_above_and_below():
    depth = road()
    truth = np.where(np.random.default_rng(0).random(depth.shape) < 0.05, depth + 1, 0).astype(np.float32)
    pictures = [draw_depth(depth, title="a"), draw_stripes(depth, title="b")]
    pictures += [draw_errors(depth, truth, title="c"), draw_errors(depth, depth, title="d")]
    assert {picture.size for picture in pictures} == {(80, 60 + 20 + 8 + 22)}
