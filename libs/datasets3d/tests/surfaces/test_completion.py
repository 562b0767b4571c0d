from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from datasets3d.surfaces._kernels import farthest_nearest
from datasets3d.surfaces.completion import Completer, CompletionConfig
from scipy.spatial.distance import cdist

SIZE = np.array([3.9, 1.6, 1.5])
EASY = CompletionConfig(min_donor_cells=5)


def shell(rng: np.random.Generator, count: int = 1500) -> np.ndarray:
    """Points on the sides and the roof of a car-sized box, 2 cm inside."""
    local = rng.uniform(-0.5, 0.5, (count, 3)) * (SIZE - 0.04)
    axis = rng.integers(0, 3, count)
    face = np.sign(local[np.arange(count), axis])
    face[axis == 2] = 1.0
    local[np.arange(count), axis] = (face * (SIZE - 0.04)[axis]) / 2
    return local


def left_half(cloud: np.ndarray) -> np.ndarray:
    return cloud[cloud[:, 1] > 0.1]


def front(cloud: np.ndarray) -> np.ndarray:
    return cloud[cloud[:, 0] > 0.3]


def complete(clouds: list[np.ndarray], sizes: np.ndarray, config: CompletionConfig) -> Iterator[np.ndarray]:
    return map(Completer(clouds, sizes, config).completed, range(len(clouds)))


def single(cloud: np.ndarray, config: CompletionConfig = EASY) -> np.ndarray:
    return next(complete([cloud], SIZE[None], config))


def test_the_seen_half_is_mirrored() -> None:
    half = left_half(shell(np.random.default_rng(0)))
    whole = single(half)
    above = half[half[:, 2] > -0.6]
    np.testing.assert_array_equal(whole[: len(above)], above)
    np.testing.assert_allclose(whole[len(above) :], above * [1, -1, 1])


def test_mirrored_points_near_measured_ones_are_left_out() -> None:
    cloud = np.array([[0.0, 0.02, 0.5], [1.0, 0.5, 0.5]])
    assert single(cloud).tolist() == [[0.0, 0.02, 0.5], [1.0, 0.5, 0.5], [1.0, -0.5, 0.5]]
    np.testing.assert_array_equal(single(single(cloud)), single(cloud))


def test_ground_points_go() -> None:
    assert len(single(np.array([[0.0, 0.5, -0.70], [0.0, 0.5, -0.60]]))) == 0
    assert len(single(np.array([[0.0, 0.5, -0.59]]))) == 2


def test_pedestrians_are_not_mirrored() -> None:
    assert len(single(np.array([[0.0, 0.5, 0.0]]), CompletionConfig(mirror=False))) == 1


def test_a_fitting_donor_completes_the_other_end() -> None:
    rng = np.random.default_rng(0)
    partial, donor = left_half(front(shell(rng))), left_half(shell(rng))
    completed, _ = complete([partial, donor], np.stack([SIZE, SIZE]), EASY)
    assert partial[:, 0].min() > 0.2
    assert completed[:, 0].min() < -1.8
    own = single(partial)
    added = completed[len(own) :]
    np.testing.assert_array_equal(completed[: len(own)], own)
    assert len(added) > 100
    assert cdist(added, own).min() > EASY.min_distance_m


def test_a_donor_of_another_size_is_not_used() -> None:
    rng = np.random.default_rng(0)
    partial, donor = front(shell(rng)), shell(rng)
    completed, _ = complete([partial, donor], np.stack([SIZE, SIZE * 1.05]), EASY)
    np.testing.assert_array_equal(completed, single(partial))


def test_an_object_without_points_takes_even_a_donor_of_another_size() -> None:
    donor = shell(np.random.default_rng(0))
    completed, _ = complete([np.zeros((0, 3)), donor], np.stack([SIZE, SIZE * 1.05]), EASY)
    np.testing.assert_array_equal(completed, next(complete([donor], (SIZE * 1.05)[None], EASY)))


def test_a_donor_that_covers_little_is_not_asked() -> None:
    rng = np.random.default_rng(0)
    partial, donor = front(shell(rng)), shell(rng)
    config = CompletionConfig(min_donor_cells=10_000)
    completed, _ = complete([partial, donor], np.stack([SIZE, SIZE]), config)
    np.testing.assert_array_equal(completed, single(partial))


@pytest.mark.parametrize(("count", "used"), [(4, False), (5, True)])
def test_a_donor_adds_more_than_four_points_or_nothing(count: int, used: bool) -> None:
    own = np.array([[1.5, 0.0, 0.5], [1.0, 0.0, 0.5]])
    donor = np.array([[-0.3 * i, 0.0, 0.5] for i in range(count)])
    config = CompletionConfig(mirror=False, min_donor_cells=2)
    completed = next(complete([own, donor], np.stack([SIZE, SIZE]), config))
    assert completed.tolist() == [*own.tolist(), *(donor.tolist() if used else [])]


def test_no_more_donors_than_allowed_are_used() -> None:
    rng = np.random.default_rng(1)
    whole = shell(rng)
    thirds = [whole[(whole[:, 0] > low) & (whole[:, 0] < low + 1.2)] for low in (-2.0, -0.8, 0.4)]
    sizes = np.stack([SIZE] * 3)
    reach = [
        np.ptp(next(complete(thirds, sizes, CompletionConfig(min_donor_cells=5, max_donors=donors)))[:, 0])
        for donors in (0, 1, 2)
    ]
    assert reach[0] < 1.3 < reach[1] < 2.6 < reach[2] or reach[0] < 1.3 < 2.6 < reach[1] <= reach[2]


def mirrored(cloud: np.ndarray, size: np.ndarray, config: CompletionConfig) -> np.ndarray:
    kept = np.array([p for p in cloud if p[2] > -size[2] / 2 + 0.15]).reshape(-1, 3)
    twins = kept * [1, -1, 1] if config.mirror else np.zeros((0, 3))
    far = [t for t in twins if np.linalg.norm(kept - t, axis=1).min() > 0.05]
    return np.concatenate([kept, np.array(far).reshape(-1, 3)])


def brute_force(clouds: list[np.ndarray], sizes: np.ndarray, config: CompletionConfig) -> list[np.ndarray]:
    """The specification once more, as plainly as can be: all distances, sets of cells, every cost."""
    own = [mirrored(cloud, size, config) for cloud, size in zip(clouds, sizes, strict=True)]
    low = np.concatenate(own)[:, :2].min(axis=0)

    def cells(points: np.ndarray) -> set[tuple[int, ...]]:
        return {tuple(np.floor((p[:2] - low) / 0.16).astype(int).tolist()) for p in points}

    def iou(first: np.ndarray, second: np.ndarray) -> float:
        common = float(np.prod(np.minimum(first, second)))
        return common / (float(np.prod(first)) + float(np.prod(second)) - common)

    donors = [i for i in range(len(own)) if len(cells(own[i])) > config.min_donor_cells]
    completed = []
    for o, size in enumerate(sizes):
        left = sorted(donors, key=lambda d: -iou(size, sizes[d]))[: config.max_candidates]
        now, map_now = own[o], cells(own[o])
        for _ in range(config.max_donors):
            costs = []
            for d in left:
                extra = len(cells(np.array([p for p in own[d] if (abs(p) <= size / 2).all()])) - map_now)
                farthest = cdist(own[o], own[d]).min(axis=1).max() if len(own[o]) else 0.0
                cost = farthest + config.coverage_weight / extra if extra else np.inf
                costs.append(cost + 2 * (iou(size, sizes[d]) < config.min_iou) + (extra < 30))
            if not costs or min(costs) == np.inf:
                break
            d = left.pop(int(np.argmin(costs)))
            if iou(size, sizes[d]) < config.min_iou and len(now):
                break
            new = [p for p in own[d] if not len(now) or cdist([p], now).min() > config.min_distance_m]
            if len(new) > 4:
                now = np.concatenate([now, new])
                map_now |= cells(np.array([p for p in own[d] if (abs(p) <= size / 2).all()]))
                if len(map_now) >= config.max_cells:
                    break
        completed.append(now)
    return completed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_a_plain_implementation_of_the_specification_gives_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 12
    clouds = [rng.normal(0, [0.9, 0.4, 0.4], (int(rng.integers(4, 60)), 3)) for _ in range(count)]
    clouds[3] = np.array([[0.0, 0.1, -0.9]])  # ground only, and no other car is as large
    sizes = SIZE * rng.uniform(0.96, 1.04, (count, 3))
    sizes[3] *= 1.2
    config = CompletionConfig(
        mirror=seed % 3 > 0,
        min_donor_cells=3,
        coverage_weight=(50.0, 5.0)[seed % 2],
        max_candidates=(800, 5)[seed % 2],
        max_cells=(2000, 60)[seed // 4],
        min_distance_m=0.3,
    )
    expected = brute_force(clouds, sizes, config)
    for found, wanted in zip(complete(clouds, sizes, config), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    grown = [
        len(e) - len(single(c, replace(config, max_donors=0))) for c, e in zip(clouds, expected, strict=True)
    ]
    assert sum(g > 0 for g in grown) > 3


def test_two_cars_become_the_mirrored_union() -> None:
    """One shows its left front, the other its left rear: both become the whole car."""
    whole = shell(np.random.default_rng(2), 3000)
    front_left, rear_left = left_half(front(whole)), left_half(whole[whole[:, 0] < 0.2])
    both = np.concatenate([single(front_left), single(rear_left)])
    config = CompletionConfig(min_donor_cells=5, min_distance_m=1e-6)
    for completed in complete([front_left, rear_left], np.stack([SIZE, SIZE]), config):
        assert sorted(map(tuple, completed.tolist())) == sorted(map(tuple, both.tolist()))


def test_completing_twice_changes_nothing() -> None:
    """A complete car finds nothing new in its partial self, nor in its equal."""
    whole = single(shell(np.random.default_rng(3)))
    sizes = np.stack([SIZE, SIZE])
    again, partial = complete([whole, left_half(whole)], sizes, EASY)
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_array_equal(next(complete([whole, whole], sizes, EASY)), whole)
    # A mirrored point within 5 cm of a measured one is dropped: the partial car grows back to the same cells.
    assert cdist(whole, partial).min(axis=1).max() < 0.15


def test_an_object_itself_takes_the_place_of_a_candidate() -> None:
    rng = np.random.default_rng(0)
    partial, donor = left_half(front(shell(rng))), shell(rng)
    clouds, sizes = [partial, donor], np.stack([SIZE, SIZE])
    alone, _ = complete(clouds, sizes, replace(EASY, max_candidates=1))
    helped, _ = complete(clouds, sizes, replace(EASY, max_candidates=2))
    np.testing.assert_array_equal(alone, single(partial))
    assert len(helped) > len(alone)


@pytest.mark.parametrize("limit", [np.inf, 1.0, 0.3])
def test_the_farthest_nearest_point_is_found_up_to_the_limit(limit: float) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        cloud, other = rng.normal(0, 0.4, (int(rng.integers(0, 30)), 3)), rng.normal(0, 0.4, (40, 3))
        expected = cdist(cloud, other).min(axis=1).max(initial=0.0)
        found = farthest_nearest(cloud, other, limit)
        assert found == (pytest.approx(expected, rel=1e-12) if expected <= limit else np.inf)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"CompletionConfig\.cell_m must be positive, got 0"):
        CompletionConfig(cell_m=0.0)
