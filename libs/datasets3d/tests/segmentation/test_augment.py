import math

import numpy as np
import pytest
from datasets3d.segmentation import LabelledScan, SegmentationAugmentation, augment
from datasets3d.segmentation.augment import flip_y, jitter, rotate_scale
from hypothesis import given
from hypothesis import strategies as st


def make(count: int = 200, seed: int = 0) -> LabelledScan:
    rng = np.random.default_rng(seed)
    return LabelledScan(
        frame_id="08/000001",
        points=rng.normal(scale=20, size=(count, 5)).astype(np.float32),
        point_columns=("x", "y", "z", "intensity", "ring"),
        classes=rng.integers(0, 19, count).astype(np.uint8),
        instances=rng.integers(0, 4, count).astype(np.int32),
        world_from_lidar=np.eye(4),
        time_s=1.5,
    )


@given(yaw_rad=st.floats(-7, 7), factor=st.floats(0.5, 2))
def test_turning_keeps_heights_and_ranges_but_for_the_factor(yaw_rad: float, factor: float) -> None:
    scan = make()
    after = rotate_scale(scan, yaw_rad, factor)
    xyz, moved = scan.points[:, :3].astype(np.float64), after.points[:, :3].astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), factor * np.linalg.norm(xyz, axis=1), rtol=1e-6)
    np.testing.assert_allclose(moved[:, 2], factor * xyz[:, 2], rtol=1e-6)
    turned = np.angle((moved[:, 0] + 1j * moved[:, 1]) / (xyz[:, 0] + 1j * xyz[:, 1]) * np.exp(-1j * yaw_rad))
    np.testing.assert_allclose(turned, 0, atol=1e-5)


def test_what_is_no_coordinate_stays_and_the_pose_goes() -> None:
    scan = make()
    after = augment(
        scan, SegmentationAugmentation(flip_probability=1.0, jitter_m=0.1), np.random.default_rng(0)
    )
    np.testing.assert_array_equal(after.points[:, 3:], scan.points[:, 3:])
    assert after.classes is scan.classes and after.instances is scan.instances
    assert after.world_from_lidar is None and after.time_s == scan.time_s
    assert not np.shares_memory(after.points, scan.points)


def test_published_ranges_neither_mirror_nor_add_noise() -> None:
    scan = make()
    rng = np.random.default_rng(7)
    after = augment(scan, SegmentationAugmentation(), rng)
    draws = np.random.default_rng(7)
    expected = rotate_scale(scan, draws.uniform(0, 2 * math.pi), draws.uniform(0.95, 1.05))
    np.testing.assert_array_equal(after.points, expected.points)


def test_the_same_generator_gives_the_same_scan() -> None:
    config = SegmentationAugmentation(flip_probability=0.5, jitter_m=0.05)
    first, again, other = (augment(make(), config, np.random.default_rng(seed)).points for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_mirroring_twice_changes_nothing() -> None:
    scan = make()
    np.testing.assert_array_equal(flip_y(flip_y(scan)).points, scan.points)
    np.testing.assert_array_equal(flip_y(scan).points[:, 1], -scan.points[:, 1])


def test_the_noise_has_its_deviation() -> None:
    moved = jitter(make(20_000), 0.1, np.random.default_rng(0)).points - make(20_000).points
    np.testing.assert_allclose(moved[:, :3].std(axis=0), 0.1, rtol=0.03)
    np.testing.assert_array_equal(moved[:, 3:], 0)


def test_a_scan_without_points_stays_one() -> None:
    config = SegmentationAugmentation(flip_probability=1.0, jitter_m=0.1)
    assert len(augment(make(0), config, np.random.default_rng(0))) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotation_rad": (1.0, 0.0)}, r"rotation_rad must be \(least, greatest\)"),
        ({"scale": (1.1, 1.0)}, r"scale must be \(least, greatest\)"),
        ({"scale": (0.0, 1.0)}, "scale must be positive"),
        ({"flip_probability": 1.5}, r"flip_probability must lie in 0..1, got 1.5"),
        ({"jitter_m": -0.1}, "jitter_m must be at least 0, got -0.1"),
    ],
)
def test_wrong_ranges_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentationAugmentation(**settings)


def test_wrong_amounts_are_refused() -> None:
    with pytest.raises(ValueError, match="rotate_scale: factor must be positive, got 0"):
        rotate_scale(make(), 0.0, 0.0)
    with pytest.raises(ValueError, match="jitter: sigma_m must be at least 0, got -1"):
        jitter(make(), -1.0, np.random.default_rng(0))
