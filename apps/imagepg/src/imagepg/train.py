"""`imagepg fit|validate|test`: LightningCLI around the task, with loggers, checkpoints and resume set up."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from appkit.checkpoints import last_checkpoint, read_checkpoint
from appkit.cli import AppCLI, plain_defaults
from appkit.loggers import JsonlLogger
from fusion_models.imagepg import DetectorConfig
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from imagepg.data import KittiData
from imagepg.task import DetectionTask
from imagepg.weights import is_trainer_checkpoint

DEFAULT_RUN = "runs/imagepg"


class ImagePgCLI(AppCLI):
    """Puts everything of a run into one folder, `trainer.default_root_dir`."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Give defaults that are tuples of dataclasses in a form that YAML can hold."""
        parser.set_defaults(plain_defaults("model.detector", DetectorConfig()))

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Return the trainer with TensorBoard and JSONL logs, a checkpoint every epoch and a progress bar."""
        run_dir = self._get(self.config_init, "trainer.default_root_dir")
        checkpoints = ModelCheckpoint(
            dirpath=str(Path(run_dir) / "checkpoints"),
            filename="epoch_{epoch:04d}",
            auto_insert_metric_name=False,
            save_top_k=1,
            monitor="epoch",
            mode="max",
            save_last=True,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        kwargs["logger"] = [TensorBoardLogger(run_dir, name="", version=""), JsonlLogger(run_dir)]
        kwargs["callbacks"] = [checkpoints, TQDMProgressBar(refresh_rate=10), *kwargs.get("callbacks", [])]
        return super().instantiate_trainer(**kwargs)


TRAINER_DEFAULTS = {
    "default_root_dir": DEFAULT_RUN,
    "gradient_clip_val": 10.0,
    "max_epochs": 80,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 10,
}


def build(arguments: Sequence[str], *, subcommand: bool) -> ImagePgCLI:
    """Parse the arguments and build task, data and trainer; with a sub-command, run it.

    `fit` alone writes `config.yaml`: the file tells how the run was trained.
    """
    saves = subcommand and arguments[0] == "fit"
    with warnings.catch_warnings():
        # Called from our own entry point the arguments are given, not read from sys.argv: that is meant.
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
        return ImagePgCLI(
            DetectionTask,
            KittiData,
            args=list(arguments),
            run=subcommand,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            save_config_callback=SaveConfigCallback if saves else None,
            save_config_kwargs={"overwrite": True},
        )


def _option(arguments: Sequence[str], name: str) -> str | None:
    """Return the last value given by `--name value` or `--name=value`, None if there is none."""
    value = None
    for position, word in enumerate(arguments):
        if word == f"--{name}" and position + 1 < len(arguments):
            value = arguments[position + 1]
        elif word.startswith(f"--{name}="):
            value = word.split("=", 1)[1]
    return value


def _without_option(arguments: Sequence[str], name: str) -> list[str]:
    """Return the arguments without `--name value` and `--name=value`."""
    kept: list[str] = []
    skip = False
    for word in arguments:
        if not skip and word != f"--{name}" and not word.startswith(f"--{name}="):
            kept.append(word)
        skip = not skip and word == f"--{name}"
    return kept


def run(command: str, arguments: Sequence[str]) -> int:
    """Run one of Lightning's sub-commands; `fit` goes on from the last checkpoint of the run if there is one.

    A given `--ckpt_path` is read once beforehand (tensors and plain values only), so that a corrupt file is
    named before any work is done. It may hold weights alone, as the authors' checkpoint does, except for
    `fit`, which starts from weights by `--model.weights`. `--ckpt_path none` starts `fit` afresh.
    """
    words = list(arguments)
    path = _option(words, "ckpt_path")
    if path == "none":
        words = _without_option(words, "ckpt_path")
    elif path is not None and path not in ("last", "best"):
        words = _with_weights(command, words, Path(path))
    elif path is None and command == "fit" and not {"--help", "-h", "--print_config"} & set(words):
        words += _resume(words)
    if _option(words, "weights_only") is None and not {"--help", "-h"} & set(words):
        words += ["--weights_only", "true"]
    cli = build([command, *words], subcommand=True)
    if command == "test" and cli.trainer.is_global_zero:
        from imagepg.page import write_run_report

        run_dir = Path(cli.trainer.default_root_dir)
        write_run_report(run_dir, cli.datamodule, cli.model, title="ImagePG evaluation")
        print(f"report: {run_dir / 'report.html'}")  # noqa: T201
    return 0


def _with_weights(command: str, words: Sequence[str], path: Path) -> list[str]:
    """Return the arguments with what `--ckpt_path` has to become for the kind of file that it names."""
    resumable = is_trainer_checkpoint(path)
    if command == "fit":
        if not resumable:
            raise ValueError(
                f"--ckpt_path {path}: holds weights alone, not a training to go on with; start a training "
                f"from them by --model.weights {path}"
            )
        return list(words)
    kept = list(words) if resumable else _without_option(words, "ckpt_path")
    # All weights come from the file: nothing else, such as ImageNet's, is to be fetched.
    return [*kept, "--model.weights", str(path)]


def _resume(words: Sequence[str]) -> list[str]:
    """Return the arguments that make `fit` go on from the newest checkpoint of its run folder."""
    run_dir = _option(words, "trainer.default_root_dir") or _run_dir_of_config(_option(words, "config"))
    newest = last_checkpoint(run_dir)
    if newest is None:
        return []
    read_checkpoint(newest)
    print(f"resuming from {newest} (start afresh with --ckpt_path none)")  # noqa: T201
    return ["--ckpt_path", str(newest)]


def _run_dir_of_config(config: str | None) -> str:
    if config is None:
        return DEFAULT_RUN
    import yaml

    content = yaml.safe_load(Path(config).read_text(encoding="utf-8")) or {}
    return (content.get("trainer") or {}).get("default_root_dir", DEFAULT_RUN)
