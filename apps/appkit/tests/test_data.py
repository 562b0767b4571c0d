from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fusion3d_appkit.data import TrainingData
from fusion3d_appkit.sampling import Draw
from torch.utils.data import Dataset


@dataclass
class Pair:
    numbers: torch.Tensor
    others: tuple[torch.Tensor, ...]


class Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, draw: Draw):
        return torch.full((1000,), float(draw.frame))


class Toy(TrainingData):
    def training_frames(self):
        return Numbers()

    def evaluation_frames(self, split):
        return Numbers()

    def collation(self):
        return lambda rows: Pair(torch.stack(rows), (torch.zeros(500),))


def toy(workers: int) -> Toy:
    return Toy(
        ".", val_split="val", test_split="val", batch_size=2, eval_batch_size=2, workers=workers, seed=0
    )


@pytest.fixture
def little_shared_memory(monkeypatch):
    """Room for one number less than a batch of two rows has."""
    usage = namedtuple("usage", "free")(2 * 4000 + 2000 - 4)
    monkeypatch.setattr("fusion3d_appkit.data.shutil", SimpleNamespace(disk_usage=lambda _: usage))
    monkeypatch.setattr("fusion3d_appkit.data.SHARED_MEMORY", Path.cwd())


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_come_from_workers_as_from_the_process_itself(workers):
    first, second = toy(workers).val_dataloader()
    assert first.numbers[:, 0].tolist() == [0, 1]
    assert second.numbers[:, 0].tolist() == [2, 3]


def test_a_worker_without_shared_memory_ends_the_run_with_the_cure(little_shared_memory):
    with pytest.raises(OSError, match=r"--shm-size 8g.*--data\.workers 0"):
        next(iter(toy(1).val_dataloader()))


def test_without_workers_no_shared_memory_is_needed(little_shared_memory):
    assert len(list(toy(0).val_dataloader())) == 2
