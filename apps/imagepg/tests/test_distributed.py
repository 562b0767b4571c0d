import os
import shutil
import socket
import subprocess
import sys
import warnings

import pytest
import torch
from fusion3d_appkit.loggers import read_metrics
from imagepg.__main__ import main
from imagepg.train import build

pytestmark = pytest.mark.filterwarnings("ignore")

# What one of two processes runs: a fit under DDP, then its weights into a file of its own.
PROCESS = """
import sys, torch
from imagepg.train import build
cli = build(sys.argv[2:], subcommand=False)
cli.trainer.fit(cli.model, cli.datamodule)
torch.save(cli.model.detector.state_dict(), f"{sys.argv[1]}/rank{cli.trainer.global_rank}.pt")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def losses(run) -> list[float]:
    return [value for _, value in read_metrics(run / "metrics.jsonl")["train/loss"]]


def weights_without_gradient(cli) -> set[str]:
    """Train; return the names of the weights that some step left out."""
    found: set[str] = set()

    def look(optimizer) -> None:
        named = cli.model.named_parameters()
        found.update(name for name, weight in named if weight.requires_grad and weight.grad is None)

    cli.model.on_before_optimizer_step = look
    cli.trainer.fit(cli.model, cli.datamodule)
    return found


@pytest.mark.slow
def test_two_processes_train_one_model(words, tmp_path):
    options = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.limit_val_batches=0"]
    options += ["--data.batch_size=1", "--data.seed=1", "--model.detector.image.swin.drop_path=0.0"]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROCESS, str(tmp_path), *words, *options],
            env={**os.environ, **address, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=280)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    own_statistics = ("running_mean", "running_var")  # of each process's own frames, as published
    shared = [name for name in first if not name.endswith(own_statistics)]
    assert all(torch.equal(first[name], second[name]) for name in shared)
    assert any(not torch.equal(first[name], second[name]) for name in first.keys() - shared)
    values = losses(tmp_path / "run")
    assert len(values) == 4  # four frames, one a process and step, two epochs
    assert torch.tensor(values).isfinite().all()


def test_every_weight_learns_in_every_step(words, tmp_path):
    """What lets several processes train without a search for unused weights."""
    cli = build([*words, "--trainer.max_epochs=2", "--trainer.limit_val_batches=0"], subcommand=False)
    assert not weights_without_gradient(cli)


def test_every_weight_learns_from_frames_without_objects(words, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    for frame in (root / "ImageSets" / "train.txt").read_text().split():
        (root / "training" / "label_2" / f"{frame}.txt").write_text("")
    options = [f"--data.root={root}", "--trainer.max_epochs=1", "--trainer.limit_val_batches=0"]
    cli = build([*words, *options], subcommand=False)
    assert not weights_without_gradient(cli)


def test_the_schedule_counts_steps_of_the_optimiser(words, tmp_path):
    """Two batches make up a step: the rate rises, peaks and ends by steps, not by batches."""
    options = ["--trainer.max_epochs=5", "--data.batch_size=1", "--trainer.accumulate_grad_batches=2"]
    cli = build([*words, *options, "--trainer.limit_val_batches=0"], subcommand=False)
    rates: list[float] = []

    def note(optimizer) -> None:
        rates.append(optimizer.param_groups[0]["lr"])

    cli.model.on_before_optimizer_step = note
    cli.trainer.fit(cli.model, cli.datamodule)
    assert len(rates) == 10  # four frames, two a step, five epochs
    assert rates.index(max(rates)) == 3
    assert max(rates) == pytest.approx(0.003)
    assert rates[0] == pytest.approx(0.0003)
    assert rates[-1] == pytest.approx(0.0003 / 1e4, rel=0.01)


@pytest.mark.slow
def test_training_in_bfloat16_keeps_the_loss(words, tmp_path):
    single = ["fit", *words, "--trainer.limit_val_batches=0", "--data.training.augmentation=null"]
    assert main(single) == 0
    expected = losses(tmp_path / "run")
    half = [*single, f"--trainer.default_root_dir={tmp_path / 'half'}", "--trainer.precision=bf16-mixed"]
    with warnings.catch_warnings():
        assert main(half) == 0
    found = losses(tmp_path / "half")
    assert found[0] == pytest.approx(expected[0], rel=0.1)
    assert len(found) == len(expected)
    assert torch.tensor(found).isfinite().all()
    state = torch.load(tmp_path / "half" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(value.dtype == torch.float32 for value in state.values() if value.is_floating_point())
