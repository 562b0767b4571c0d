import os
import socket
import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")

# What one of two processes runs: a fit under DDP. Kept of the first step: the gradients as the optimiser gets
# them, and those that this process's own samples alone would give. Then an evaluation.
PROCESS = """
import sys, torch
from fusion_models.sparse_beats_dense.losses import depth_completion_loss
from sparse_beats_dense.train import build
cli = build(sys.argv[2:], subcommand=False)
task, batches, kept = cli.model, [], {}
task.on_train_batch_start = lambda batch, batch_idx: batches.append(batch)

def keep(optimizer):
    if not kept:
        names, weights = zip(*task.network.named_parameters())
        kept["averaged"] = {name: weight.grad.clone() for name, weight in zip(names, weights)}
        loss = depth_completion_loss(task.network(batches[0]), batches[0]).total
        kept["own"] = dict(zip(names, torch.autograd.grad(loss, weights)))
        kept["frames"] = batches[0].frame_ids

task.on_before_optimizer_step = keep
cli.trainer.fit(task, cli.datamodule)
kept["weights"] = dict(task.network.named_parameters())
kept["evaluated"] = task.scores.lidar.frames
kept["mae"] = task.scores.headline()["mae_80_m"]
torch.save(kept, f"{sys.argv[1]}/rank{cli.trainer.global_rank}.pt")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_processes_average_their_gradients_and_evaluate_together(words, tmp_path):
    """The released script goes past DDP's forward: its processes train on their own."""
    options = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.max_epochs=1"]
    options += ["--data.batch_size=2"]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROCESS, str(tmp_path), *words, *options],
            env={**os.environ, **address, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=280)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert not set(first["frames"]) & set(second["frames"])
    for name, averaged in first["averaged"].items():
        assert torch.equal(averaged, second["averaged"][name])
        expected = (first["own"][name] + second["own"][name]) / 2
        torch.testing.assert_close(
            averaged, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max() + 1e-3)
        )
    assert any(not torch.allclose(first["own"][name], second["own"][name]) for name in first["own"])
    assert all(torch.equal(weight, second["weights"][name]) for name, weight in first["weights"].items())
    assert first["evaluated"] == second["evaluated"] == ("frame4", "frame5")
    assert first["mae"] == second["mae"]
