"""The base of an app's task: how Lightning trains a model, evaluates it and keeps it."""

from __future__ import annotations

import dataclasses
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import lightning.pytorch as pl
import torch
from evaluators.page import Result
from evaluators.state import Evaluator
from torch import Tensor, nn

from fusion3d_appkit.optim import Schedule
from fusion3d_appkit.weights import CLASSES, WeightFiles

PLANNED_STEPS = "planned_steps"
"""Entry of a checkpoint: the steps that the training was to take when it was written."""
Batch = TypeVar("Batch")
Data = TypeVar("Data", bound=pl.LightningDataModule)


class StepLosses(NamedTuple):
    """What a training step minimises, and what it is made of."""

    total: Tensor
    parts: Mapping[str, Tensor]
    """For the log, by name."""


class Evaluation(NamedTuple):
    """What an evaluation found."""

    results: Mapping[str, Result]
    """By name, such as one for each set of thresholds; `test` reports them."""
    figures: Mapping[str, float]
    """What to log, by name."""


class TrainingTask(pl.LightningModule, ABC, Generic[Batch, Data]):
    """Train and evaluate one model.

    An app's task sets the class attributes, makes the model in `__init__`, whose arguments are the options
    `--model.*`, under the name that `files` has for it, and says by three methods what is its own: `losses`,
    `write_predictions` and `evaluate`.

    Args:
        config: Of the model.
        optim: Optimiser and schedule, whose length is the trainer's.
        seed: Of dropout and of all random choices that are not a frame's own.
    """

    files: ClassVar[WeightFiles]
    """The files of weights."""
    predictions: ClassVar[str]
    """Name of the folder, inside that of the run, in which an evaluation leaves its predictions."""

    def __init__(self, config: Any, *, optim: Schedule, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.optim = optim
        self.seed = seed
        self.evaluators: Mapping[str, Any] = {}
        """`Evaluator`s of predictions as they come; `evaluate` finds in them what all processes saw."""
        self.results: Mapping[str, Result] = {}
        """Of the last evaluation, on the first process."""

    @abstractmethod
    def losses(self, batch: Batch) -> StepLosses:
        """Return the losses of a training batch."""

    @abstractmethod
    def write_predictions(self, batch: Batch) -> None:
        """Predict; write the predictions into `predictions_dir` or give them to `evaluators`, or both."""

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Return what the predictions are worth; no results where there are no labels.

        Runs on the first process, after all have written.
        """

    @property
    def model(self) -> nn.Module:
        """The model, however the app calls it."""
        return self.get_submodule(self.files.model.name)

    @property
    def data(self) -> Data:
        """The data module in use."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @property
    def run_dir(self) -> Path:
        """The folder of the run."""
        return Path(self.trainer.default_root_dir)

    @property
    def sees_all(self) -> bool:
        """Whether an evaluation sees every frame; `fast_dev_run` and `limit_val_batches` leave some out."""
        trainer = self.trainer
        limit = trainer.limit_test_batches if trainer.testing else trainer.limit_val_batches
        return isinstance(limit, float) and limit == 1.0

    @property
    def predictions_dir(self) -> Path:
        """Where the predictions of the last evaluation are."""
        return self.run_dir / self.predictions

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule, stepped after every optimiser step."""
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = self.optim.build(self.parameters(), steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Derive random numbers from epoch, batch and process, so that a resumed run repeats them."""
        torch.manual_seed(hash((self.seed, self.current_epoch, batch_idx, self.global_rank)) % 2**31)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the summed loss; log it, its parts and the learning rate.

        The trainer calls this through DistributedDataParallel, so that processes average their gradients.
        """
        total, parts = self.losses(batch)
        logged = {f"train/{name}": value.detach() for name, value in parts.items()}
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log_dict({**logged, "train/lr": rate}, batch_size=len(batch))
        self.log("train/loss", total, batch_size=len(batch), prog_bar=True)
        return total

    def on_train_epoch_end(self) -> None:
        """Log the most memory a step has taken so far, on a GPU."""
        if self.device.type == "cuda":
            self.log("train/peak_memory_gb", torch.cuda.max_memory_allocated(self.device) / 2**30)

    def on_fit_end(self) -> None:
        """Write the weights alone, without the trainer's state, as `model.safetensors`."""
        from fusion_models.weights import save_weights

        if self.trainer.is_global_zero and not getattr(self.trainer, "fast_dev_run", False):
            names = {CLASSES: self.files.class_names(self.config)}
            save_weights(self.model, self.run_dir / "model.safetensors", metadata=names)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the configuration in the checkpoint, as plain values: the file alone rebuilds the model."""
        inputs = getattr(self.data, self.files.inputs.name)
        checkpoint[self.files.model.entry] = dataclasses.asdict(self.config)
        checkpoint[self.files.inputs.entry] = dataclasses.asdict(inputs)
        checkpoint[CLASSES] = self.files.class_names(self.config)
        checkpoint[PLANNED_STEPS] = int(self.trainer.estimated_stepping_batches)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on with a training of other classes."""
        self.files.require_classes(self.config, checkpoint.get(CLASSES), "the checkpoint to go on from")
        planned = checkpoint.get(PLANNED_STEPS)
        if self.trainer.training and self.trainer.is_global_zero and planned is not None:
            steps = int(self.trainer.estimated_stepping_batches)
            if planned != steps:
                print(  # noqa: T201
                    f"the training was planned for {planned} steps and goes on to {steps}: from here on the"
                    f" learning rate is that of a training of {steps} steps"
                )
        for schedule in checkpoint.get("lr_schedulers", ()):
            # How long a schedule runs is what the options say now; the rest of its state is where it stands.
            for name in ("total_steps", "_schedule_phases"):
                schedule.pop(name, None)

    def on_validation_epoch_start(self) -> None:
        """Forget the last evaluation and its files."""
        for evaluator in self.evaluators.values():
            evaluator.reset()
        if self.trainer.is_global_zero:
            shutil.rmtree(self.predictions_dir, ignore_errors=True)
            self.predictions_dir.mkdir(parents=True)
        self.trainer.strategy.barrier("folder of the predictions")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Predict, and keep the predictions."""
        self.write_predictions(batch)

    def on_validation_epoch_end(self) -> None:
        """Evaluate on the first process what all have predicted, and log the figures."""
        merge_processes(self.evaluators)
        self.trainer.strategy.barrier("predictions written")
        if not self.trainer.is_global_zero or self.trainer.sanity_checking:
            return
        self.results, figures = self.evaluate()
        if not self.results:
            print(f"not evaluated: the split has no labels; see {self.predictions_dir}")  # noqa: T201
        elif not self.sees_all:
            print("evaluated on the frames of some batches only, not on the whole split")  # noqa: T201
        for name, value in figures.items():
            self.log(name, value, rank_zero_only=True)

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end


def merge_processes(evaluators: Mapping[str, Evaluator]) -> None:
    """Give each process of a distributed evaluation what the others have gathered, as plain arrays."""
    if not evaluators or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    states: list[Any] = [None] * torch.distributed.get_world_size()
    own = {name: evaluator.state() for name, evaluator in evaluators.items()}
    torch.distributed.all_gather_object(states, own)
    del states[torch.distributed.get_rank()]
    for state in states:
        for name, evaluator in evaluators.items():
            evaluator.merge_state(state[name])
