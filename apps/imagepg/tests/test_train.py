import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from datasets3d.__main__ import main as datasets3d_main
from fusion3d_appkit.checkpoints import last_checkpoint
from fusion3d_appkit.loggers import read_metrics
from imagepg.__main__ import main
from imagepg.train import build

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers, intervals and loggers


def losses(run) -> list[float]:
    return [value for _, value in read_metrics(run / "metrics.jsonl")["train/loss"]]


def test_a_run_leaves_its_checkpoint_log_and_configuration(words, tmp_path):
    assert main(["fit", *words]) == 0
    run = tmp_path / "run"
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "checkpoints", "model.safetensors"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert last_checkpoint(run) is not None
    assert np.isfinite(losses(run)).all()
    assert len(losses(run)) == 4


def test_the_loss_falls_on_four_frames(words, tmp_path):
    main(
        [
            "fit",
            *words,
            "--trainer.max_epochs=12",
            "--data.training.augmentation=null",
            "--trainer.limit_val_batches=0",
        ]
    )
    values = losses(tmp_path / "run")
    assert np.mean(values[-4:]) < 0.6 * np.mean(values[:4])


def test_an_interrupted_run_continues_bit_for_bit(words, tmp_path):
    main(["fit", *words, "--trainer.max_epochs=4", "--trainer.limit_val_batches=0"])
    whole = losses(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    # The schedule spans four epochs; the first process leaves after two.
    cli = build([*words, "--trainer.max_epochs=4", "--trainer.limit_val_batches=0"], subcommand=False)
    stop_after(cli, epochs=2)
    cli.trainer.fit(cli.model, cli.datamodule)
    assert len(losses(tmp_path / "run")) == 4
    main(["fit", *words, "--trainer.max_epochs=4", "--trainer.limit_val_batches=0"])
    assert losses(tmp_path / "run") == whole


def stop_after(cli, *, epochs: int) -> None:
    def stop(trainer, task) -> None:
        if trainer.current_epoch + 1 == epochs:
            trainer.should_stop = True

    callback = cli.trainer.callbacks[0].__class__.__mro__[-2]()
    callback.on_train_epoch_end = stop
    cli.trainer.callbacks.append(callback)


@pytest.mark.slow
def test_a_killed_run_continues_from_its_last_checkpoint(words, tmp_path):
    arguments = [*words, "--trainer.max_epochs=60", "--trainer.limit_val_batches=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "imagepg", "fit", *arguments], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while last_checkpoint(tmp_path / "run") is None and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    newest = last_checkpoint(tmp_path / "run")
    assert newest is not None
    reached = torch.load(newest, weights_only=True)["epoch"] + 1
    assert reached < 60
    finished = subprocess.run(
        [sys.executable, "-m", "imagepg", "fit", *words, f"--trainer.max_epochs={reached + 1}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"resuming from {newest}" in finished.stdout
    assert torch.load(last_checkpoint(tmp_path / "run"), weights_only=True)["epoch"] == reached


def test_test_writes_results_and_report(words, tmp_path):
    main(["fit", *words])
    checkpoint = last_checkpoint(tmp_path / "run")
    assert main(["test", *words, f"--ckpt_path={checkpoint}"]) == 0
    run = tmp_path / "run"
    results = json.loads((run / "results.json").read_text())
    assert set(results) == {"strict", "loose"}
    page = (run / "report.html").read_text()
    assert "Average precision" in page
    frames = [path.stem for path in (run / "detections").glob("*.txt")]
    assert all(frame in page for frame in frames)
    assert page.count("<img") >= 2 * len(frames)  # seen from above and in the picture
    assert len(list((run / "detections").glob("*.txt"))) == 2


def test_objects_of_the_database_are_pasted(words, street, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(street, root)
    assert datasets3d_main(["prepare", "kitti", "--root", str(root)]) == 0
    pasted = ["--data.training.sampling.min_points=1", "--trainer.limit_val_batches=0"]
    assert main(["fit", *words, f"--data.root={root}", *pasted]) == 0
    assert np.isfinite(losses(tmp_path / "run")).all()


def test_frames_without_points_or_objects_train_on(words, street, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(street, root)
    frames = (root / "ImageSets" / "train.txt").read_text().split()
    (root / "training" / "velodyne" / f"{frames[0]}.bin").write_bytes(b"")
    (root / "training" / "label_2" / f"{frames[1]}.txt").write_text("")
    with warnings.catch_warnings():
        assert main(["fit", *words, f"--data.root={root}"]) == 0
    assert np.isfinite(losses(tmp_path / "run")).all()


def test_weights_of_a_checkpoint_are_plain_tensors(words, tmp_path):
    main(["fit", *words, "--trainer.max_epochs=1", "--trainer.limit_val_batches=0"])
    content = torch.load(last_checkpoint(tmp_path / "run"), weights_only=True)
    assert content["detector_config"]["voxels"]["size"] == (0.2, 0.2, 0.1)
    assert content["image_input"]["scale"] == 0.25
