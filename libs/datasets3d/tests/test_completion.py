import numpy as np
import pytest
from datasets3d._completion import CompletionConfig, _Completer, complete
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


@pytest.mark.parametrize("seed", range(5))
def test_the_cheapest_donor_is_the_one_of_the_full_cost_table(seed: int) -> None:
    """The search skips donors whose lower bound is too high; here every cost is computed."""
    rng = np.random.default_rng(seed)
    clouds = [rng.normal(0, [0.9, 0.4, 0.4], (int(rng.integers(5, 60)), 3)) for _ in range(12)]
    sizes = SIZE * rng.uniform(0.93, 1.07, (12, 3))
    completer = _Completer(clouds, sizes, CompletionConfig(min_donor_cells=3))
    for index in range(12):
        iou = completer._iou(index)
        donors = completer._candidates(index, iou)
        gains = [completer._new_cells(d, index, completer.cells[index]) for d in donors]
        costs = [
            cdist(clouds[index], clouds[d]).min(axis=1).max()
            + (50.0 / len(g) if len(g) else np.inf)
            + 2.0 * (iou[d] < 0.9)
            + 1.0 * (len(g) < 30)
            for d, g in zip(donors, gains, strict=True)
        ]
        assert completer._cheapest(index, donors, gains, iou, {}) == int(np.argmin(costs))


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"CompletionConfig\.cell_m must be positive, got 0"):
        CompletionConfig(cell_m=0.0)
