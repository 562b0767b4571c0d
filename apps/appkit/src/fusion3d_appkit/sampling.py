"""The order in which frames are seen: fixed by seed and epoch, whatever the processes or restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import SequentialSampler


class Draw(NamedTuple):
    """One frame to be drawn in one epoch; a data set derives its random numbers from this and the seed."""

    epoch: int
    frame: int


class EpochSampler(SequentialSampler):
    """Yield every index once an epoch, in an order that depends on (seed, epoch) alone, split over the ranks.

    The trainer calls `set_epoch`. Because a draw carries its epoch, random augmentation can be derived from
    it: a resumed training sees exactly the frames it would have seen without the interruption. With several
    ranks the order is dealt out in turn and the last indices are dropped so that all ranks get equally many.
    To the trainer it is a sequential sampler, so that `overfit_batches` leaves it in its place.

    Args:
        count: Number of frames, at least one for every rank: one without any would make the others wait.
        seed: Of the run.
        shuffle: In order of index if False (validation).
    """

    def __init__(self, count: int, *, seed: int, shuffle: bool) -> None:
        if count < 1:
            raise ValueError(
                "EpochSampler: the split holds no frame; check ImageSets/<split>.txt under the data root"
            )
        if count < _world_size():
            raise ValueError(
                f"EpochSampler: the split holds {count} frames, fewer than the {_world_size()} processes; "
                f"use at most --trainer.devices {count}, or add frames"
            )
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        ranks = _world_size()
        return self.count // ranks if self.shuffle else len(range(_rank(), self.count, ranks))

    def __iter__(self) -> Iterator[Draw]:  # type: ignore[override]  # draws, not plain indices
        order = np.arange(self.count)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
            order = order[: len(self) * _world_size()]
        for index in order[_rank() :: _world_size()]:
            yield Draw(self.epoch, int(index))


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _rank() -> int:
    return torch.distributed.get_rank() if _distributed() else 0


def _world_size() -> int:
    return torch.distributed.get_world_size() if _distributed() else 1
