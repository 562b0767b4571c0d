"""Augmentation of rooms: boxes go along with their points."""

import numpy as np
import pytest
from datasets3d.indoor import Room, RoomAugmentation, RoomObjects, augment_room, sample_points


@pytest.fixture
def room():
    rng = np.random.default_rng(0)
    center, size = np.array([1.0, -2.0, 0.5]), np.array([0.4, 1.0, 0.8])
    corners = center + (np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T / 2) * size
    points = np.concatenate([corners, rng.uniform(-3, 3, (50, 3))])
    return Room(
        name="made",
        points=points.astype(np.float32),
        aligned_from_scan=np.eye(4),
        objects=RoomObjects(names=("desk",), boxes=np.concatenate([center, size])[None].astype(np.float32)),
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_box_is_the_one_around_its_changed_corners(room, seed):
    config = RoomAugmentation(yaw_rad=0.3)
    changed = augment_room(room, config, rng=np.random.default_rng(seed))
    low, high = changed.points[:8].min(axis=0), changed.points[:8].max(axis=0)
    (box,) = changed.objects.boxes
    np.testing.assert_allclose(box, np.concatenate([(low + high) / 2, high - low]), atol=2e-6)
    assert changed.aligned_from_scan is None


def test_the_published_ranges(room):
    rng = np.random.default_rng(0)
    factors, sines = [], []
    for _ in range(200):
        changed = augment_room(room, RoomAugmentation(shift_m=0.0), rng=rng)
        matrix = np.linalg.lstsq(room.points, changed.points, rcond=None)[0].T
        factors.append(matrix[2, 2])
        sines.append(matrix[0, 1] / matrix[2, 2])
    assert min(factors) + 1e-6 >= 0.9 and min(factors) < 0.92 and 1.08 < max(factors) < 1.1 + 1e-6
    assert 0.018 < np.abs(sines).max() < np.sin(0.02) + 1e-6


def test_the_same_numbers_give_the_same_room(room):
    first, second = (augment_room(room, RoomAugmentation(), rng=np.random.default_rng(3)) for _ in range(2))
    assert (first.points == second.points).all() and (first.objects.boxes == second.objects.boxes).all()


def test_points_are_drawn_twice_only_if_there_are_too_few(room):
    rng = np.random.default_rng(0)
    fewer, more = sample_points(room, 20, rng=rng), sample_points(room, 100, rng=rng)
    assert len(np.unique(fewer.points, axis=0)) == 20 and len(more) == 100
    with pytest.raises(ValueError, match="no points"):
        sample_points(room.take(np.zeros(len(room), bool)), 5, rng=rng)
    with pytest.raises(ValueError, match="at least 1"):
        sample_points(room, 0, rng=rng)


@pytest.mark.parametrize(
    "field", [{"flip_share": 1.5}, {"yaw_rad": -1.0}, {"smallest_scale": 0.0}, {"largest_scale": 0.5}]
)
def test_absurd_ranges_are_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        RoomAugmentation(**field)
