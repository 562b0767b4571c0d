from pathlib import Path

import numpy as np
import pytest
from datasets3d.segmentation import find_mistakes, repair
from datasets3d.semantickitti import SemanticKittiDataset

RNG = np.random.default_rng(0)
HEIGHT = np.where(RNG.random(4000) < 0.7, -1.7, RNG.uniform(-1.7, 6.0, 4000))
STREET = np.column_stack([RNG.normal(0, 15, (4000, 2)), HEIGHT, RNG.random(4000)]).astype(np.float32)
TURNS = {
    "x": [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    "-x": [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
    "y": [[0, -1, 0], [0, 0, 1], [-1, 0, 0]],
    "-y": [[0, -1, 0], [0, 0, -1], [1, 0, 0]],
}
"""What maps z up to the axis that is up in the wrong scan."""


def changed(turn: list = [[1, 0, 0], [0, 1, 0], [0, 0, 1]], *, scale: float = 1.0) -> np.ndarray:  # noqa: B006
    points = STREET.copy()
    points[:, :3] = points[:, :3] @ np.array(turn, np.float32).T * scale
    return points


def test_a_right_scan_has_no_mistakes() -> None:
    assert find_mistakes(STREET) == ()
    assert find_mistakes(STREET + np.float32([3, -2, 30, 0])) == ()


@pytest.mark.parametrize("up", TURNS)
def test_another_axis_that_is_up_is_found_and_turned_without_mirroring(up: str) -> None:
    wrong = changed(TURNS[up])
    (mistake,) = find_mistakes(wrong)
    assert mistake.kind == "axis" and mistake.text.endswith(f"z must be up; here it seems to be {up}")
    fixed = repair(wrong, [mistake])
    assert find_mistakes(fixed) == ()
    np.testing.assert_array_equal(fixed[:, 2], STREET[:, 2])
    turn, *_ = np.linalg.lstsq(STREET[:, :3], fixed[:, :3], rcond=None)
    assert np.linalg.det(turn) == pytest.approx(1.0, abs=1e-4)


def test_millimetres_bytes_and_cameras_axes_are_found_together() -> None:
    wrong = changed(TURNS["-y"], scale=1000.0)
    wrong[:, 3] *= 255
    mistakes = find_mistakes(wrong)
    assert [mistake.kind for mistake in mistakes] == ["unit", "axis", "intensity"]
    np.testing.assert_allclose(repair(wrong, mistakes), STREET, atol=1e-3)


@pytest.mark.parametrize(("greatest", "scale"), [(255, 255), (100, 255), (65535, 65535), (4000, 65535)])
def test_the_scale_of_intensities_is_found(greatest: float, scale: float) -> None:
    wrong = STREET.copy()
    wrong[:, 3] *= greatest
    (mistake,) = find_mistakes(wrong)
    assert (mistake.kind, mistake.intensity_scale) == ("intensity", scale)


def test_the_origin_of_a_map_is_found() -> None:
    wrong = STREET + np.float32([4e5, 5e4, 0, 0])
    (mistake,) = find_mistakes(wrong)
    assert mistake.kind == "origin" and "must be the sensor, not that of a map" in mistake.text
    assert find_mistakes(repair(wrong, [mistake])) == ()


def test_few_points_prove_nothing() -> None:
    assert find_mistakes(changed(scale=1000.0)[:199]) == ()
    assert find_mistakes(STREET[:0]) == ()


def test_points_that_are_not_finite_do_not_count() -> None:
    wrong = STREET.copy()
    wrong[:50, 3] = np.inf
    assert find_mistakes(wrong) == ()


@pytest.mark.real_data
def test_a_real_scan_has_no_mistakes_until_it_is_changed(real_semantickitti: Path) -> None:
    points = SemanticKittiDataset(real_semantickitti, "val").points("08/000000")
    assert find_mistakes(points) == ()
    for up, turn in TURNS.items():
        wrong = points.copy()
        wrong[:, :3] = points[:, :3] @ np.array(turn, np.float32).T
        assert [m.text.split()[-1] for m in find_mistakes(wrong)] == [up]
