import numpy as np
import pytest
from sparse_beats_dense.baselines import best_constant, nearest_radar
from sparse_beats_dense.evaluation import score_maps


def test_no_other_constant_is_better():
    rng = np.random.default_rng(0)
    maps = [
        (rng.gamma(2.0, 10.0, (20, 30)) * (rng.random((20, 30)) < share)).astype(np.float32)
        for share in (0.05, 0.3, 0.9)
    ]
    truth = {str(i): depth for i, depth in enumerate(maps)}

    def mae(depth: float) -> float:
        return score_maps(truth, {name: np.full((20, 30), depth) for name in truth}).value("mae_m", cap_m=80)

    best = best_constant(maps)
    assert mae(best) <= min(mae(depth) for depth in np.arange(0.25, 80, 0.25)) + 1e-9


def test_depths_beyond_the_cap_and_behind_do_not_count():
    depths = np.array([[5.0, 200.0, 300.0, -4.0, 0.0]], np.float32)
    assert best_constant([depths]) == 5.0


def test_a_map_without_depth_gives_no_vote():
    assert best_constant([np.zeros((2, 2), np.float32), np.full((1, 1), 7.0, np.float32)]) == 7.0


def test_no_depth_at_all_is_an_error():
    with pytest.raises(ValueError, match="no map has a depth"):
        best_constant([np.zeros((2, 2), np.float32)])


def test_of_two_columns_equally_near_the_left_one_counts():
    assert nearest_radar(np.array([[3, 0, 8]], np.float32), otherwise_m=1.0).tolist() == [[3, 3, 8]]


def test_without_a_return_the_constant_stands():
    assert nearest_radar(np.zeros((2, 3), np.float32), otherwise_m=4.0).tolist() == [[4.0] * 3] * 2
