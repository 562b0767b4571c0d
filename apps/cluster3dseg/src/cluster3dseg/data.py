"""Scans for training and evaluation: SemanticKITTI, real or synthetic, or anything laid out like it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from datasets3d.prepare.semantickitti import instances_path
from datasets3d.segmentation import (
    InstanceStore,
    MixConfig,
    PasteConfig,
    SamplingConfig,
    SegmentationAugmentation,
    SegmentationSample,
    augment,
    make_sample,
    mix,
    paste,
)
from datasets3d.semantickitti import SemanticKittiDataset
from fusion3d_appkit.data import TrainingData
from fusion3d_appkit.sampling import Draw
from fusion_models.segmentation import SegmentationBatch, SegmentationNetConfig, collate_segmentation
from torch.utils.data import Dataset

from cluster3dseg.reading import Reading


class SegmentationFrames(Dataset[SegmentationSample]):
    """Scans as samples; drawn by `Draw(epoch, frame)`.

    Random numbers come from (seed, epoch, frame) alone, so every worker, process and resumed run gets the
    same sample.

    Args:
        augmentation: None leaves the scans as they are, with all their voxels.
        mixing: How another scan of the split, drawn at random, is mixed in; before the augmentation.
        pasting: How many objects of a store are pasted in, before all else.
        store: These objects.
    """

    def __init__(
        self,
        scans: SemanticKittiDataset,
        sampling: SamplingConfig,
        *,
        augmentation: SegmentationAugmentation | None = None,
        mixing: MixConfig | None = None,
        pasting: PasteConfig | None = None,
        store: InstanceStore | None = None,
        seed: int = 0,
    ) -> None:
        self.scans = scans
        self.sampling = sampling
        self.augmentation = augmentation
        self.mixing = mixing
        self.pasting = pasting
        self.store = store
        self.seed = seed

    def __len__(self) -> int:
        return len(self.scans)

    def __getitem__(self, draw: Draw) -> SegmentationSample:
        scan = self.scans[draw.frame]
        if self.augmentation is None:
            return make_sample(scan, self.sampling)
        rng = np.random.default_rng((self.seed, draw.epoch, draw.frame))
        if self.pasting is not None and self.store is not None:
            scan = paste(scan, self.store, rng, self.pasting)
        if self.mixing is not None:
            scan = mix(scan, self.scans[int(rng.integers(len(self.scans)))], self.mixing, rng)
        return make_sample(augment(scan, self.augmentation, rng), self.sampling, rng=rng)


class SegmentationData(TrainingData[SegmentationNetConfig, SegmentationBatch]):
    """Batches of a tree in SemanticKITTI's layout.

    A split is `train`, `val`, `trainval` or `test`, or names sequences: `00+05`.

    Args:
        root: Folder that holds sequences/.
        train_split: Scans to train on. The published test results come from a training on `trainval`.
        val_split: What `validate` evaluates, and `fit` now and then.
        test_split: What `test` evaluates; without labels it writes predictions only.
        reading: Classes and voxels.
        augmentation: Of training scans.
        mixing: LaserMix and PolarMix of training scans; the published recipe has none.
        pasting: Objects of rare classes pasted into training scans, cut out by `python -m datasets3d prepare
            semantickitti`; the published recipe has none.
        batch_size: Training scans a step and process.
        eval_batch_size: Scans a step and process in evaluation.
        workers: Processes that read scans; 0 reads in the training process.
        seed: Of frame order, augmentation and mixing.
    """

    def __init__(  # noqa: PLR0913  (the options --data.*)
        self,
        root: str,
        train_split: str = "train",
        val_split: str = "val",
        test_split: str = "val",
        reading: Reading = Reading(),  # noqa: B008  (frozen)
        augmentation: SegmentationAugmentation = SegmentationAugmentation(),  # noqa: B008
        mixing: MixConfig | None = None,
        pasting: PasteConfig | None = None,
        batch_size: int = 4,
        eval_batch_size: int = 1,
        workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root,
            val_split=val_split,
            test_split=test_split,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            workers=workers,
            seed=seed,
        )
        self.train_split = train_split
        self.reading = reading
        self.augmentation = augmentation
        self.mixing = mixing
        self.pasting = pasting

    def source(self, split: str) -> SemanticKittiDataset:
        """Return the scans of a split as they are on disk.

        Raises:
            ValueError: The classes of the labels, or the voxels, are not those of the model.
        """
        config, voxel_m = self.model_config, self.reading.sampling.voxel_m
        self.reading.require_classes(config.class_names)
        if config.voxel_m != voxel_m:
            raise ValueError(
                f"data.reading.sampling.voxel_m is {voxel_m}, the network is for voxels of {config.voxel_m} "
                "m (model.network.voxel_m); give both the same"
            )
        return self.reading.scans(self.root, split)

    def training_frames(self) -> SegmentationFrames:
        """Return the training samples, augmented.

        Raises:
            FileNotFoundError: Objects are to be pasted, and none have been cut out.
            ValueError: The split has no labels to learn from, or the objects are of other labels.
        """
        scans = self.source(self.train_split)
        if not scans.is_labelled:
            raise ValueError(f"--data.train_split {self.train_split}: has no labels to learn from")
        return SegmentationFrames(
            scans,
            self.reading.sampling,
            augmentation=self.augmentation,
            mixing=self.mixing,
            pasting=self.pasting,
            store=None if self.pasting is None else self._store(scans),
            seed=self.seed,
        )

    def _store(self, scans: SemanticKittiDataset) -> InstanceStore:
        # Whether labels have changed since, `python -m datasets3d check` tells: it reads them all.
        store = InstanceStore.load(instances_path(self.root, scans.split))
        if store.classes != scans.table.classes:
            raise ValueError(
                f"--data.pasting: the objects were cut out with the classes {', '.join(store.classes)}, the "
                f"labels have {', '.join(scans.table.classes)}; run `python -m datasets3d prepare "
                "semantickitti` with the same"
            )
        return store

    def evaluation_frames(self, split: str) -> SegmentationFrames:
        """Return the samples of a split with all their voxels."""
        return SegmentationFrames(self.source(split), replace(self.reading.sampling, max_voxels=None))

    def collation(self) -> Callable[[list[SegmentationSample]], SegmentationBatch]:
        """Return what makes a batch."""
        return collate_segmentation
