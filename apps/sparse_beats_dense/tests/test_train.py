import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets3d.nuscenes import read_records, write_records
from evaluators.depth import read_depth
from fusion3d_appkit.checkpoints import last_checkpoint
from fusion3d_appkit.loggers import read_metrics
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig
from sparse_beats_dense.__main__ import main
from sparse_beats_dense.train import build

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers, intervals and loggers

TINY = Path(__file__).with_name("tiny.yaml")
QUICK = "--trainer.limit_val_batches=0"
CALM = [f"--data.augmentation.{part}=null" for part in ("disruption", "colour", "blur")]


def series(run, name="train/loss") -> list[float]:
    return [value for _, value in read_metrics(run / "metrics.jsonl")[name]]


def message_of(capsys) -> str:
    error = capsys.readouterr().err
    message = error[error.index("sparse_beats_dense: ") :]
    assert "Traceback" not in message
    return message


def test_a_run_leaves_its_checkpoint_log_and_configuration(words, tmp_path):
    assert main(["fit", *words]) == 0
    run = tmp_path / "run"
    assert {"config.yaml", "metrics.jsonl", "checkpoints", "model.safetensors"} <= {
        path.name for path in run.iterdir()
    }
    assert len(series(run)) == 4
    assert np.isfinite(series(run)).all()
    parts = [series(run, f"train/{name}_{factor}")[0] for factor in (1, 2) for name in ("depth", "mask")]
    assert series(run)[0] == pytest.approx(parts[0] + parts[1] + (parts[2] + parts[3]) / 2, rel=1e-5)
    assert series(run, "train/lr")[0] == pytest.approx(4e-3)
    assert series(run, "val/mae_80_m")[-1] > 0
    content = torch.load(last_checkpoint(run), weights_only=True)
    assert content["network_config"]["base_width"] == 4
    assert content["depth_reading"]["query_radius_px"] == 1.0


@pytest.mark.slow
def test_two_samples_are_learnt_by_heart(words, street, tmp_path):
    two = tmp_path / "two.json"
    write_records(two, read_records(street / "train.json")[:2])
    options = [f"--data.splits.train={two}", f"--data.splits.val={two}", *CALM]
    options += ["--trainer.max_epochs=60", "--trainer.check_val_every_n_epoch=60"]
    assert main(["fit", *words, *options, "--model.network.levels=1"]) == 0
    values = series(tmp_path / "run", "train/depth_1")
    assert np.mean(values[-5:]) < 0.15 * values[0]
    assert series(tmp_path / "run", "val/mae_80_m")[-1] < 2.5  # walls at 12 and 20 m


@pytest.mark.slow
def test_an_interrupted_run_continues_bit_for_bit(words, tmp_path):
    whole_run = [*words, "--trainer.max_epochs=4", QUICK]
    main(["fit", *whole_run])
    whole = series(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    cli = build(whole_run, subcommand=False)

    def stop(trainer, task) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == 2

    callback = cli.trainer.callbacks[0].__class__.__mro__[-2]()
    callback.on_train_epoch_end = stop
    cli.trainer.callbacks.append(callback)
    cli.trainer.fit(cli.model, cli.datamodule)
    assert len(series(tmp_path / "run")) == 4
    main(["fit", *whole_run])
    assert series(tmp_path / "run") == whole


def test_every_weight_learns_in_every_step(words):
    """What lets several processes train without a search for unused weights."""
    cli = build([*words, QUICK], subcommand=False)
    found: set[str] = set()

    def look(optimizer) -> None:
        found.update(name for name, weight in cli.model.named_parameters() if weight.grad is None)

    cli.model.on_before_optimizer_step = look
    cli.trainer.fit(cli.model, cli.datamodule)
    assert not found


@pytest.fixture(scope="module")
def trained(street, tmp_path_factory):
    """A checkpoint of one epoch."""
    run = tmp_path_factory.mktemp("trained")
    words = [f"--config={TINY}", f"--data.root={street}", f"--trainer.default_root_dir={run}"]
    assert main(["fit", *words, "--trainer.max_epochs=1", QUICK]) == 0
    return last_checkpoint(run)


def test_test_writes_depths_metrics_and_report(trained, words, tmp_path, capsys):
    assert main(["test", *words, f"--ckpt_path={trained}"]) == 0
    run = tmp_path / "run"
    assert f"report: {run / 'report.html'}" in capsys.readouterr().out
    assert sorted(path.name for path in (run / "depth").iterdir()) == ["frame4.png", "frame5.png"]
    assert read_depth(run / "depth" / "frame4.png").shape == (54, 96)
    metrics = json.loads((run / "metrics.json").read_text())
    for source in ("lidar", "true_depth"):
        assert {"50 m", "70 m", "80 m"} == set(metrics[source]["caps"])
        assert {"image", "pixel"} <= set(metrics[source]["caps"]["80 m"])
    page = (run / "report.html").read_text()
    for title in ("Errors", "Stripes", "Errors by depth", "Training", "Pictures"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<img") == 2 * 5
    assert "by image, as published" in page and "over all pixels" in page
    assert "0-50 m" in page and "0-70 m" in page and "0-80 m" in page


def test_depth_files_are_left_out_on_request(trained, words, tmp_path):
    assert main(["test", *words, f"--ckpt_path={trained}", "--model.write_depths=false"]) == 0
    assert not list((tmp_path / "run" / "depth").iterdir())


def test_images_without_ground_truth_are_skipped_and_counted(trained, words, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    (root / "samples/LIDAR_TOP/frame4.pcd.bin").write_bytes(b"")
    assert main(["test", *words, f"--data.root={root}", f"--ckpt_path={trained}"]) == 0
    cap = json.loads((tmp_path / "run" / "metrics.json").read_text())["lidar"]["caps"]["80 m"]
    assert cap["n_empty_images"] == 1
    assert cap["image"]["mae_m"] == pytest.approx(cap["pixel"]["mae_m"])


def test_no_ground_truth_at_all_is_told_not_hidden(trained, words, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    for path in (root / "samples/LIDAR_TOP").iterdir():
        path.write_bytes(b"")
    assert main(["test", *words, f"--data.root={root}", f"--ckpt_path={trained}"]) == 0
    run = tmp_path / "run"
    cap = json.loads((run / "metrics.json").read_text())["lidar"]["caps"]["80 m"]
    assert cap["n_empty_images"] == 2 and cap["image"]["mae_m"] is None and not cap["evaluated"]
    assert "<td>none</td>" in (run / "report.html").read_text()


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A checkpoint as the authors release them: weights under `network`, beside plain values."""
    torch.manual_seed(0)
    state = SparseBeatsDense(SparseBeatsDenseConfig(base_width=4, levels=2)).state_dict()
    path = tmp_path_factory.mktemp("released") / "model.ckpt"
    torch.save({"network": state, "clock": {"epoch": 30}}, path)
    return path


def test_the_authors_checkpoint_is_evaluated_by_one_command(released, words, tmp_path):
    assert main(["test", *words, f"--ckpt_path={released}"]) == 0
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["lidar"]["caps"]["80 m"]["image"][
        "mae_m"
    ]
    assert np.isfinite(found)


def test_a_training_starts_from_the_authors_weights(released, words, tmp_path):
    cli = build([*words, f"--model.weights={released}"], subcommand=False)
    state = torch.load(released, weights_only=True)["network"]
    assert all(torch.equal(value, state[name]) for name, value in cli.model.network.state_dict().items())


def test_weights_alone_cannot_be_resumed(released, words, capsys):
    assert main(["fit", *words, f"--ckpt_path={released}"]) == 2
    assert "start a training from them by --model.weights" in message_of(capsys)


def test_another_models_checkpoint_names_the_first_difference(trained, words, capsys):
    assert main(["test", *words, f"--ckpt_path={trained}", "--model.network.base_width=8"]) == 2
    assert "made with another configuration, first difference" in message_of(capsys)


class Payload:
    """Something that would run code if it were unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_checkpoint_with_code_is_refused(words, tmp_path, capsys):
    torch.save({"network": Payload()}, tmp_path / "evil.ckpt")
    assert main(["test", *words, f"--ckpt_path={tmp_path / 'evil.ckpt'}"]) == 2
    assert "evil.ckpt: cannot be read" in message_of(capsys)


@pytest.mark.parametrize(
    "folder", ["samples/CAM_FRONT", "samples/RADAR_FRONT", "samples/LIDAR_TOP", "seg_mask"]
)
def test_a_frame_without_a_file_is_named(words, street, tmp_path, capsys, folder):
    root = shutil.copytree(street, tmp_path / "data")
    for file in (root / folder).iterdir():
        file.unlink()
    assert main(["fit", *words, f"--data.root={root}"]) == 2
    assert f"{folder}/frame" in message_of(capsys)


def test_missing_records_are_one_line(words, capsys):
    assert main(["fit", *words, "--data.splits.train=nowhere.json"]) == 2
    assert "records nowhere.json: no such file" in message_of(capsys)
