import math

from fusion3d_appkit.loggers import JsonlLogger, read_metrics


def test_what_is_logged_is_read_back(tmp_path):
    logger = JsonlLogger(str(tmp_path))
    logger.log_metrics({"train/loss": 2.0}, step=0)
    logger.log_metrics({"train/loss": 1.5, "train/lr": 0.1}, step=1)
    series = read_metrics(logger.path)
    assert series == {"train/loss": [(0, 2.0), (1, 1.5)], "train/lr": [(1, 0.1)]}


def test_nan_becomes_null_and_is_left_out(tmp_path):
    logger = JsonlLogger(str(tmp_path))
    logger.log_metrics({"train/loss": math.nan}, step=0)
    assert '"train/loss": null' in logger.path.read_text()
    assert read_metrics(logger.path) == {}


def test_a_resumed_run_replaces_the_steps_it_repeats(tmp_path):
    for value in (5.0, 4.0):
        JsonlLogger(str(tmp_path)).log_metrics({"train/loss": value}, step=7)
    assert read_metrics(tmp_path / "metrics.jsonl") == {"train/loss": [(7, 4.0)]}


def test_a_line_cut_off_by_a_killed_run_is_left_out(tmp_path):
    logger = JsonlLogger(str(tmp_path))
    logger.log_metrics({"train/loss": 1.0}, step=0)
    with logger.path.open("a") as file:
        file.write('{"step": 1, "train/lo')
    assert read_metrics(logger.path) == {"train/loss": [(0, 1.0)]}
