"""Frames for training and evaluation: a KITTI tree, augmented, cut to the model's range, in batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from appkit.sampling import Draw, EpochSampler
from datasets3d import augment as augmentation
from datasets3d.augment import RandomAugmentation
from datasets3d.database import ObjectDatabase, SamplingConfig, sample_objects
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from datasets3d.shapes import ObjectShapes, add_dense_points
from fusion_models.batch import Batch, ImageInput, collate
from fusion_models.imagepg import DetectorConfig
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True)
class TrainingConfig:
    """What happens to training frames; evaluation frames are only cut to the model's range."""

    augmentation: RandomAugmentation | None = field(default_factory=RandomAugmentation)
    """Flip, rotation and scaling; None for none."""
    sampling: SamplingConfig | None = None
    """Pasting of objects from the database (`gt_database` under the root, `python -m datasets3d prepare`)."""
    dense_points: bool = True
    """Take along the complete object surfaces that generated points are compared with; synthetic data has
    them, `python -m datasets3d prepare kitti` makes them for KITTI."""
    min_points: int = 1
    """Objects with fewer points are no targets."""


class DetectionFrames(Dataset[Any]):
    """The frames of a split as the model wants them; drawn by `Draw(epoch, frame)`.

    Random numbers come from (seed, epoch, frame) alone, so every worker, process and resumed run gets the
    same frame.
    """

    def __init__(
        self,
        source: KittiDataset,
        model: DetectorConfig,
        *,
        seed: int,
        training: TrainingConfig | None = None,
        database: ObjectDatabase | None = None,
        shapes: ObjectShapes | None = None,
    ) -> None:
        self.source = source
        self.model = model
        self.seed = seed
        self.training = training
        self.database = database
        self.shapes = shapes

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, draw: Draw) -> Frame:
        frame = self.source[draw.frame]
        if self.training is not None:
            rng = np.random.default_rng((self.seed, draw.epoch, draw.frame))
            return self._augmented(frame, self.training, rng)
        return augmentation.crop_range(frame, self.model.voxels.bounds)

    def _augmented(self, frame: Frame, config: TrainingConfig, rng: np.random.Generator) -> Frame:
        if self.database is not None and config.sampling is not None:
            frame = sample_objects(frame, self.database, config.sampling, rng)
        if self.shapes is not None:
            frame = add_dense_points(frame, self.shapes)
        if config.augmentation is not None:
            frame = augmentation.augment(frame, config.augmentation, rng)
        frame = augmentation.crop_range(frame, self.model.voxels.bounds)
        frame = augmentation.filter_objects(frame, names=self.model.class_names, min_points=config.min_points)
        return augmentation.shuffle_points(frame, rng)


class KittiData(pl.LightningDataModule):
    """Batches of a KITTI tree (real or synthetic). Classes and range are those of the model.

    Args:
        root: Folder with ImageSets/, training/ and testing/.
        training: Augmentation of training frames.
        image: How the camera image is taken along, if the model has an image branch.
        train_split: Name in ImageSets to train on.
        val_split: Name in ImageSets to evaluate on, for `validate` and `test`.
        batch_size: Frames a step and process.
        workers: Processes that read frames; 0 reads in the training process.
        seed: Of frame order, augmentation and sampling.
    """

    def __init__(
        self,
        root: str,
        training: TrainingConfig = TrainingConfig(),
        image: ImageInput = ImageInput(),  # noqa: B008
        train_split: str = "train",
        val_split: str = "val",
        batch_size: int = 2,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.training = training
        self.image = image
        self.train_split = train_split
        self.val_split = val_split
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed

    @property
    def model(self) -> DetectorConfig:
        """The model that the batches are for."""
        if self.trainer is None:
            raise ValueError("KittiData: no trainer yet; batches are made for the model that a trainer runs")
        return self.trainer.lightning_module.config  # type: ignore[return-value]

    def source(self, split: str) -> KittiDataset:
        """Return the frames of a split as they are on disk."""
        return KittiDataset(self.root, split)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return shuffled, augmented batches."""
        database = None
        if self.training.sampling is not None:
            database = ObjectDatabase.read(self.root / "gt_database")
        shapes = ObjectShapes.read(self.root) if self.training.dense_points else None
        frames = DetectionFrames(
            self.source(self.train_split),
            self.model,
            seed=self.seed,
            training=self.training,
            database=database,
            shapes=shapes,
        )
        return self._loader(frames, drop_last=len(frames) >= self.batch_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the frames of the validation split in order."""
        return self._loader(DetectionFrames(self.source(self.val_split), self.model, seed=self.seed))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the same as for validation."""
        return self.val_dataloader()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the batch."""
        return batch.to(device)

    def _loader(self, frames: DetectionFrames, *, drop_last: bool = False) -> DataLoader[Batch]:
        image = None if self.model.image is None else self.image
        return DataLoader(
            frames,
            batch_size=self.batch_size,
            sampler=EpochSampler(len(frames), seed=self.seed, shuffle=frames.training is not None),
            num_workers=self.workers,
            collate_fn=partial(collate, class_names=self.model.class_names, image=image, seed=self.seed),
            drop_last=drop_last,
        )
