import numpy as np
import pytest
from datasets3d.depth import DepthReading, read_evaluation_sample
from datasets3d.nuscenes import read_records
from sparse_beats_dense import demo
from sparse_beats_dense.data import DepthData, Splits
from sparse_beats_dense.evaluation import DepthScores, score_maps

READING = DepthReading(true_depth_folder="depth")


@pytest.fixture(scope="module")
def others(street):
    return demo.baselines(DepthData(str(street), Splits("train.json", "val.json"), reading=READING))


def test_the_baselines_are_measured_on_the_held_out_frames(others, street):
    assert all(result.frames == ("frame4", "frame5") for result in others.values())
    # The radar of this street sees the wall, the LiDAR the road as well.
    errors = {name: result.value("mae_m", cap_m=80) for name, result in others.items()}
    assert 0 < errors[demo.RADAR] < 20 and 0 < errors[demo.CONSTANT] < 20


def test_the_constant_comes_from_the_training_frames(street):
    swapped = demo.baselines(DepthData(str(street), Splits("val.json", "val.json"), reading=READING))
    own = demo.baselines(DepthData(str(street), Splits("train.json", "val.json"), reading=READING))
    assert swapped[demo.CONSTANT].value("mae_m") <= own[demo.CONSTANT].value("mae_m")
    assert swapped[demo.CONSTANT].value("mae_m") != own[demo.CONSTANT].value("mae_m")


def test_the_table_has_model_and_baselines_side_by_side(others, street):
    samples = [read_evaluation_sample(r, street, READING) for r in read_records(street / "val.json")]
    truth = {sample.frame_id: sample.lidar_map for sample in samples}
    near = {name: np.where(depth > 0, depth + 0.5, 1).astype(np.float32) for name, depth in truth.items()}
    lines = demo.result_table(DepthScores(score_maps(truth, near), None), others).splitlines()
    assert [line.split("  ")[0] for line in lines[2:5]] == ["this model", demo.CONSTANT, demo.RADAR]
    assert lines[2].count("500 / 500") == 3
    best = min(result.value("mae_m", cap_m=80) for result in others.values())
    assert lines[5] == f"MAE at 0-80 m: {1 - 0.5 / best:.0%} below the better baseline"


def test_options_have_the_defaults_of_the_demo():
    assert demo.parser().parse_args([]).scenes == demo.SCENES


def test_data_that_is_there_is_used(tmp_path, capsys):
    demo.make_data(tmp_path, scenes=3)
    assert not list(tmp_path.iterdir())
    assert "using the data in" in capsys.readouterr().out
