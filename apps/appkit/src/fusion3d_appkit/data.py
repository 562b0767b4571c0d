"""The base of an app's data: frames for training and evaluation, in batches, on any number of processes."""

from __future__ import annotations

import dataclasses
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset

from fusion3d_appkit.sampling import EpochSampler

Config = TypeVar("Config")
Batch = TypeVar("Batch")


SHARED_MEMORY = Path("/dev/shm")
"""Where PyTorch puts the tensors that a worker hands over, on Linux."""


class TrainingData(pl.LightningDataModule, ABC, Generic[Config, Batch]):
    """Batches for training and evaluation.

    An app's data module says which frames there are, as data sets that are indexed by
    `fusion3d_appkit.sampling.Draw` and derive all random numbers from it and the seed, and how frames become
    a batch. The arguments of its `__init__` are the options `--data.*`.

    Args:
        root: Folder of the data set.
        val_split: What `validate` evaluates, and `fit` now and then.
        test_split: What `test` evaluates.
        batch_size: Training frames a step and process.
        eval_batch_size: Frames a step and process in evaluation.
        workers: Processes that read frames; 0 reads in the training process.
        seed: Of frame order and augmentation.
    """

    def __init__(
        self,
        root: str,
        *,
        val_split: str,
        test_split: str,
        batch_size: int,
        eval_batch_size: int,
        workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.val_split = val_split
        self.test_split = test_split
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.workers = workers
        self.seed = seed

    @abstractmethod
    def training_frames(self) -> Dataset[Any]:
        """Return the training frames, augmented.

        Raises:
            FileNotFoundError: Something that the training wants is not there; the message names the cure.
        """

    @abstractmethod
    def evaluation_frames(self, split: str) -> Dataset[Any]:
        """Return the frames of a split as they are evaluated."""

    @abstractmethod
    def collation(self) -> Callable[[list[Any]], Batch]:
        """Return the function that makes a batch of frames; processes that read frames get a copy."""

    @property
    def model_config(self) -> Config:
        """The configuration of the model that the batches are for.

        Raises:
            ValueError: There is no trainer yet.
        """
        if self.trainer is None:
            raise ValueError(
                f"{type(self).__name__}: no trainer yet; batches are made for the model that a trainer runs"
            )
        return self.trainer.lightning_module.config  # type: ignore[return-value]

    @property
    def validates(self) -> bool:
        """Whether `fit` evaluates at all."""
        return self.trainer is None or self.trainer.limit_val_batches != 0

    def train_dataloader(self) -> DataLoader[Any]:
        """Return shuffled, augmented batches; the last frames of an epoch that fill no batch are left out.

        With `overfit_batches` the frames come in their order, so that they are the same in every epoch.
        """
        shuffle = self.trainer is None or not getattr(self.trainer, "overfit_batches", 0)
        return self._loader(
            self.training_frames(), self.batch_size, shuffle=shuffle, persistent_workers=self.workers > 0
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the frames of the validation split in order."""
        return self._loader(self.evaluation_frames(self.val_split), self.eval_batch_size, shuffle=False)

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the frames of the test split in order."""
        return self._loader(self.evaluation_frames(self.test_split), self.eval_batch_size, shuffle=False)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move the batch."""
        return batch.to(device)

    def _loader(self, frames: Any, batch_size: int, *, shuffle: bool, **options: Any) -> DataLoader[Any]:
        count = len(frames)
        return DataLoader(
            frames,
            batch_size=batch_size,
            sampler=EpochSampler(count, seed=self.seed, shuffle=shuffle),
            num_workers=self.workers,
            collate_fn=_Shared(self.collation()) if self.workers else self.collation(),
            drop_last=shuffle and count >= batch_size,
            **options,
        )


class _Shared:
    """A collation for workers, which refuses a batch that has no room in the memory shared with the trainer.

    Without this the worker would say so on its own and go on, and the trainer wait for the batch for ever.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        batch = self.collate(samples)
        if SHARED_MEMORY.is_dir():
            needed, free = _tensor_bytes(batch), shutil.disk_usage(SHARED_MEMORY).free
            if needed > free:
                raise OSError(
                    f"a batch takes {needed / 1e6:.0f} MB of shared memory, {SHARED_MEMORY} has "
                    f"{free / 1e6:.0f} MB left; give it more (docker run --shm-size 8g), or read without "
                    "workers (--data.workers 0)"
                )
        return batch


def _tensor_bytes(value: Any) -> int:
    """Count the bytes of all tensors inside dataclasses, tuples, lists and mappings."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if dataclasses.is_dataclass(value):
        return sum(_tensor_bytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return sum(map(_tensor_bytes, value.values()))
    return sum(map(_tensor_bytes, value)) if isinstance(value, (tuple, list)) else 0
