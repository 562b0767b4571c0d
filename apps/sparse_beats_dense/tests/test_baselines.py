import numpy as np
import pytest
from datasets3d.depth import DepthReading, read_evaluation_sample
from datasets3d.nuscenes import read_records
from sparse_beats_dense.baselines import CONSTANT, RADAR, baselines, best_constant, nearest_radar
from sparse_beats_dense.data import DepthData, Splits
from sparse_beats_dense.evaluation import score_maps
from sparse_beats_dense.page import compare

READING = DepthReading(true_depth_folder="depth")


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def others(street):
    return baselines(DepthData(str(street), Splits("train.json", "val.json"), reading=READING))


def test_the_baselines_are_measured_on_the_held_out_frames(others, street):
    assert all(result.frames == ("frame4", "frame5") for result in others.values())
    # The radar of this street sees the wall, the LiDAR the road as well.
    errors = {name: result.value("mae_m", cap_m=80) for name, result in others.items()}
    assert 0 < errors[RADAR] < 20 and 0 < errors[CONSTANT] < 20


def test_the_constant_comes_from_the_training_frames(street):
    swapped = baselines(DepthData(str(street), Splits("val.json", "val.json"), reading=READING))
    own = baselines(DepthData(str(street), Splits("train.json", "val.json"), reading=READING))
    assert swapped[CONSTANT].value("mae_m") <= own[CONSTANT].value("mae_m")
    assert swapped[CONSTANT].value("mae_m") != own[CONSTANT].value("mae_m")


def test_model_and_baselines_stand_side_by_side(others, street):
    samples = [read_evaluation_sample(r, street, READING) for r in read_records(street / "val.json")]
    truth = {sample.frame_id: sample.lidar_map for sample in samples}
    near = {name: np.where(depth > 0, depth + 0.5, 1).astype(np.float32) for name, depth in truth.items()}
    table = compare({"this model": score_maps(truth, near), **others})
    assert [row[0] for row in table.rows] == ["this model", CONSTANT, RADAR]
    assert table.rows[0][1:] == ["500"] * 6
    assert table.rows[1][5] == f"{1000 * others[CONSTANT].value('mae_m', cap_m=80):.0f}"
