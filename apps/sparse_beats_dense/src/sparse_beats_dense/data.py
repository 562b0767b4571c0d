"""Frames for training and evaluation: key frames of nuScenes, real or synthetic, as batches of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from datasets3d.depth import (
    DepthAugmentation,
    DepthReading,
    DepthSample,
    augment,
    read_evaluation_sample,
    read_training_sample,
)
from datasets3d.nuscenes import SampleRecord
from fusion3d_appkit.data import TrainingData
from fusion3d_appkit.sampling import Draw
from fusion_models.sparse_beats_dense.batch import DepthBatch, collate_depth
from fusion_models.sparse_beats_dense.model import SparseBeatsDenseConfig
from torch.utils.data import Dataset

from sparse_beats_dense.records import load_records

_records = lru_cache(maxsize=3)(load_records)
"""Tables of a large data set take minutes: training, evaluation and report read them once."""
ReadSample = Callable[[SampleRecord, Path, DepthReading], DepthSample]


@dataclass(frozen=True)
class Splits:
    """Which key frames are used for what.

    `v1.0-trainval/train` is the split `train` built from the tables of `v1.0-trainval`; a path that ends in
    `.json` or `.pkl` is a file of records, our own or the authors' `nuscenes_radar_5sweeps_infos_*.pkl`, as
    given or below the root of the data.
    """

    train: str = "v1.0-trainval/train"
    """Source: the released `train_DDP.py` reads the authors' file of this name."""
    val: str = "v1.0-trainval/val"
    """What `validate` evaluates, and `fit` now and then."""
    test: str | None = None
    """What `test` evaluates; the frames of `val` if None."""


class DepthFrames(Dataset[DepthSample]):
    """Key frames as samples; drawn by `Draw(epoch, frame)`.

    Random numbers come from (seed, epoch, frame) alone, so every worker, process and resumed run gets the
    same sample.

    Args:
        read: How a sample and its target are made, `read_training_sample` or `read_evaluation_sample`.
        augmentation: None leaves the samples as they are read.
    """

    def __init__(
        self,
        records: Sequence[SampleRecord],
        root: Path,
        reading: DepthReading,
        *,
        read: ReadSample,
        augmentation: DepthAugmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.records = records
        self.root = root
        self.reading = reading
        self.read = read
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, draw: Draw) -> DepthSample:
        sample = self.read(self.records[draw.frame], self.root, self.reading)
        if self.augmentation is None:
            return sample
        rng = np.random.default_rng((self.seed, draw.epoch, draw.frame))
        return augment(sample, self.augmentation, rng)


class DepthData(TrainingData[SparseBeatsDenseConfig, DepthBatch]):
    """Batches of a nuScenes tree, real or synthetic.

    Args:
        root: Folder with samples/ and, for splits built from tables, the folders of the tables.
        splits: The key frames to train on and to evaluate.
        reading: Which files make a sample, and how.
        augmentation: Of training samples. `disruption: null` leaves out the paper's intrinsics disruption.
        batch_size: Training samples a step and process.
        eval_batch_size: Samples a step and process in evaluation.
        workers: Processes that read samples; 0 reads in the training process.
        seed: Of frame order, augmentation and the choice among more radar returns than the model takes.
    """

    def __init__(
        self,
        root: str,
        splits: Splits = Splits(),
        reading: DepthReading = DepthReading(),  # noqa: B008
        augmentation: DepthAugmentation = DepthAugmentation(),  # noqa: B008
        batch_size: int = 10,
        eval_batch_size: int = 1,
        workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root,
            val_split=splits.val,
            test_split=splits.val if splits.test is None else splits.test,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            workers=workers,
            seed=seed,
        )
        self.splits = splits
        self.reading = reading
        self.augmentation = augmentation

    def records(self, split: str) -> list[SampleRecord]:
        """Return the key frames of a split.

        Raises:
            FileNotFoundError, ValueError: See `sparse_beats_dense.records.load_records`.
        """
        return _records(self.root, split, self.reading)

    def training_frames(self) -> DepthFrames:
        """Return the training samples, augmented."""
        reading = self.reading if self.model_config.mask_decoder else replace(self.reading, mask_folder=None)
        return DepthFrames(
            self.records(self.splits.train),
            self.root,
            reading,
            read=read_training_sample,
            augmentation=self.augmentation,
            seed=self.seed,
        )

    def evaluation_frames(self, split: str) -> DepthFrames:
        """Return the samples of a split as they are, with the official evaluation target."""
        return DepthFrames(self.records(split), self.root, self.reading, read=read_evaluation_sample)

    def collation(self) -> Callable[[list[DepthSample]], DepthBatch]:
        """Return what makes a batch."""
        return partial(collate_depth, max_points=self.model_config.max_points, seed=self.seed)
