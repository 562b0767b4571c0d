"""Frames for training and evaluation: a KITTI tree, augmented, objects in the model's range, in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from datasets3d import augment as augmentation
from datasets3d.augment import RandomAugmentation
from datasets3d.database import ObjectDatabase, SamplingConfig, sample_objects
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from datasets3d.surfaces import ObjectShapes, add_dense_points
from fusion3d_appkit.data import TrainingData
from fusion3d_appkit.sampling import Draw
from fusion_models.detection.batch import Batch, ImageInput, collate
from fusion_models.imagepg import DetectorConfig
from torch.utils.data import Dataset

from imagepg.classes import lacking_targets, require_objects


@dataclass(frozen=True)
class TrainingConfig:
    """What happens to training frames; evaluation frames only lose the objects outside the model's range."""

    augmentation: RandomAugmentation | None = field(default_factory=RandomAugmentation)
    """Flip, rotation and scaling; None for none."""
    sampling: SamplingConfig | None = None
    """Pasting of objects from the database (`gt_database` under the root, `python -m datasets3d prepare`).
    Counts of classes that the model does not have are passed over."""
    dense_points: bool = True
    """Take along the complete object surfaces that generated points and occupancy are compared with.
    Synthetic data has them; for KITTI, put the published `train_mirror_target/` under the root or make them
    with `python -m datasets3d complete kitti`. A single object may lack its own."""
    min_points: int = 1
    """Objects with fewer points inside the range are no targets. Source: filter_empty_boxes."""


class DetectionFrames(Dataset[Any]):
    """The frames of a split as the model wants them; drawn by `Draw(epoch, frame)`.

    Random numbers come from (seed, epoch, frame) alone, so every worker, process and resumed run gets the
    same frame. Objects outside the model's range are no targets, but points outside it stay: they may enter a
    turned copy of the scene, and the voxels leave out what lies outside.

    A training frame that no object is left in is kept; the released code draws another one instead. The dense
    points of an object that is no target go with it; there they stay.
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
        return augmentation.filter_range(frame, self.model.voxels.bounds)

    def _augmented(self, frame: Frame, config: TrainingConfig, rng: np.random.Generator) -> Frame:
        if self.database is not None and config.sampling is not None:
            frame = sample_objects(frame, self.database, config.sampling, rng)
        if self.shapes is not None:
            frame = add_dense_points(frame, self.shapes)
        if config.augmentation is not None:
            frame = augmentation.augment(frame, config.augmentation, rng)
        frame = augmentation.filter_objects(frame, names=self.model.class_names)
        frame = augmentation.filter_range(frame, self.model.voxels.bounds, min_points=config.min_points)
        return augmentation.shuffle_points(frame, rng)


class KittiData(TrainingData[DetectorConfig, Batch]):
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
        super().__init__(
            root,
            val_split=val_split,
            test_split=val_split,
            batch_size=batch_size,
            eval_batch_size=batch_size,
            workers=workers,
            seed=seed,
        )
        self.training = training
        self.image = image
        self.train_split = train_split

    def setup(self, stage: str) -> None:
        """Refuse labels that hold nothing to learn from, or nothing to score.

        Raises:
            FileNotFoundError, ValueError: See `KittiDataset` and `imagepg.classes.require_objects`.
        """
        classes = self.model_config.class_names
        notes = []
        if stage == "fit":
            source = self.source(self.train_split)
            notes.append(require_objects(source, classes, purpose="learn from"))
            if self.training.dense_points:
                notes.append(lacking_targets(source, classes, self._shapes()))
        if stage != "fit" or self.validates:
            notes.append(require_objects(self.source(self.val_split), classes, purpose="score"))
        if self.trainer is None or self.trainer.is_global_zero:
            for note in filter(None, notes):
                print(note)  # noqa: T201

    def source(self, split: str) -> KittiDataset:
        """Return the frames of a split as they are on disk."""
        return KittiDataset(self.root, split)

    def training_frames(self) -> DetectionFrames:
        """Return the training frames, augmented.

        Raises:
            FileNotFoundError: Dense targets or the object database are wanted and not there; names the cure.
            ValueError: The split has no labels.
        """
        source, classes = self.source(self.train_split), self.model_config.class_names
        if source.label_dir is None:
            raise ValueError(f"--data.train_split {self.train_split}: frames under testing/ have no labels")
        shapes = self._shapes() if self.training.dense_points else None
        training, database = self.training, None
        if training.sampling is not None:
            counts = {name: count for name, count in training.sampling.counts.items() if name in classes}
            training = replace(training, sampling=replace(training.sampling, counts=counts))
            database = ObjectDatabase.read(self.root / "gt_database")
        return DetectionFrames(
            source,
            self.model_config,
            seed=self.seed,
            training=training,
            database=database,
            shapes=shapes,
        )

    def evaluation_frames(self, split: str) -> DetectionFrames:
        """Return the frames of a split; only objects outside the model's range are left out."""
        return DetectionFrames(self.source(split), self.model_config, seed=self.seed)

    def collation(self) -> Callable[[list[Frame]], Batch]:
        """Return what makes a batch, with images if the model looks at them."""
        config = self.model_config
        image = None if config.image is None else self.image
        return partial(collate, class_names=config.class_names, image=image, seed=self.seed)

    def _shapes(self) -> ObjectShapes:
        try:
            return ObjectShapes.read(self.root, classes=self.model_config.class_names)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{error}; or train without them: --data.training.dense_points false "
                "--model.detector.roi.losses.chamfer_weight 0 --model.detector.occupancy.loss_weight 0"
            ) from None
