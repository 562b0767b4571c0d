import math

import numpy as np
import pytest
from datasets3d.segmentation import VIEWS, LabelledScan, View, apply_view


def make() -> LabelledScan:
    points = np.random.default_rng(0).normal(scale=20, size=(100, 4)).astype(np.float32)
    return LabelledScan(frame_id="0", points=points, world_from_lidar=np.eye(4))


@pytest.mark.parametrize("count", [1, 4, 12])
def test_presets_hold_as_many_different_views_as_they_say(count: int) -> None:
    views = VIEWS[count]
    assert len(views) == count == len(set(views))
    assert views[0] == View()
    assert not any(view.flip for view in views)


def test_larger_presets_begin_with_the_smaller_ones() -> None:
    assert VIEWS[12][:4] == VIEWS[4]
    assert sorted({view.scale for view in VIEWS[12]}) == [0.95, 1.0, 1.05]


def test_the_first_view_is_the_scan_itself() -> None:
    scan = make()
    assert apply_view(scan, VIEWS[1][0]) is scan


def test_a_view_mirrors_first() -> None:
    points = np.array([[1, 2, 3, 0.5]], np.float32)
    view = View(rotation_rad=math.pi / 2, flip=True, scale=2.0)
    seen = apply_view(LabelledScan(frame_id="0", points=points, world_from_lidar=np.eye(4)), view)
    np.testing.assert_allclose(seen.points, [[4, 2, 6, 0.5]], atol=1e-6)
    assert seen.world_from_lidar is None


def test_four_quarter_turns_see_every_side() -> None:
    points = np.array([[10, 0, 1, 0.5]], np.float32)
    scan = LabelledScan(frame_id="0", points=points)
    seen = [apply_view(scan, view).points[0, :2].round(4).tolist() for view in VIEWS[4]]
    assert seen == [[10, 0], [0, 10], [-10, 0], [0, -10]]


def test_presets_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        VIEWS[2] = ()  # pyright: ignore[reportIndexIssue]


def test_a_scale_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"View.scale must be positive, got 0"):
        View(scale=0.0)
