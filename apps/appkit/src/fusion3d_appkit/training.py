"""`fit|validate|test` of an app: its task on its data, in one run folder, resumed after an interruption."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusion3d_appkit.checkpoints import checkpoints
from fusion3d_appkit.cli import AppCLI, SaveConfig
from fusion3d_appkit.data import TrainingData
from fusion3d_appkit.files import read_yaml
from fusion3d_appkit.report import (
    MODEL,
    Chapter,
    Compare,
    Others,
    loss_chapter,
    result_chapters,
    text_table,
    write_report,
    write_results,
)
from fusion3d_appkit.task import TrainingTask

TRAINER_DEFAULTS = {"use_distributed_sampler": False, "num_sanity_val_steps": 0, "log_every_n_steps": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingApp:
    """What an app adds to the training commands."""

    name: str
    """Of the program. Its run folder is `runs/<name>`, unless `trainer.default_root_dir` names another."""
    title: str
    """What reports call the model."""
    task: type[TrainingTask]
    """Its `files` say what `--ckpt_path` takes beside the trainer's own checkpoints."""
    data: type[TrainingData]
    results: Mapping[str, str]
    """Titles of the task's results, by name."""
    compare: Compare
    """Puts results of one kind side by side."""
    chapters: Callable[[Any], list[Chapter]]
    """Returns what the report shows after figures and curves, of a task that has just evaluated: pictures."""
    trainer: Mapping[str, object] = field(default_factory=dict)
    """Defaults of the trainer's options."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Of options that YAML cannot hold as they are, see `fusion3d_appkit.cli.plain_defaults`."""

    @property
    def default_run(self) -> str:
        """The run folder where none is named."""
        return f"runs/{self.name}"

    def build(self, arguments: Sequence[str], *, subcommand: bool) -> AppCLI:
        """Parse the arguments and build task, data and trainer; with a sub-command, run it.

        `fit` alone writes `config.yaml`: the file tells how the run was trained.
        """
        saves = subcommand and arguments[0] == "fit"
        with warnings.catch_warnings():
            # Called from an app's own entry point the arguments are given, not read from sys.argv: that is
            # meant.
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
            return AppCLI(
                self.task,
                self.data,
                plain=self.defaults,
                args=list(arguments),
                run=subcommand,
                trainer_defaults={
                    "default_root_dir": self.default_run,
                    **TRAINER_DEFAULTS,
                    **self.trainer,
                },
                seed_everything_default=0,
                save_config_callback=SaveConfig if saves else None,
            )

    def run(self, command: str, arguments: Sequence[str]) -> int:
        """Run a command; `fit` goes on from the last checkpoint of the run if there is one.

        A given `--ckpt_path` is read once beforehand (tensors and plain values only), so that a corrupt file
        is named before any work is done. It may hold weights alone, as the authors' checkpoints do, except
        for `fit`, which starts from weights by `--model.weights`. `--ckpt_path none` starts `fit` afresh.
        """
        words = list(arguments)
        path, others = take_option(words, "ckpt_path")
        if path == "none":
            words = others
        elif path is not None and path not in ("last", "best"):
            words = self._with_weights(command, words, Path(path))
        elif path is None and command == "fit" and not {"--help", "-h", "--print_config"} & set(words):
            words += self._resume(words)
        if take_option(words, "weights_only")[0] is None and not {"--help", "-h"} & set(words):
            words += ["--weights_only", "true"]
        cli = self.build([command, *words], subcommand=True)
        if command == "test" and cli.trainer.is_global_zero:
            print(f"report: {self.write_report(cli.model, title=f'{self.title} evaluation')}")  # noqa: T201
        return 0

    def write_report(self, task: TrainingTask, *, title: str, others: Others | None = None) -> Path:
        """Write `results.json` and then `report.html` of what a task evaluated last; return the page's path.

        Args:
            task: It has just run `test`.
            title: Of the page.
            others: Results to show beside.
        """
        others, data = others or {}, task.data
        write_results(task.run_dir / "results.json", task.results, others)
        chapters = [
            *result_chapters(task.results, titles=self.results, compare=self.compare, others=others),
            loss_chapter(task.run_dir / "metrics.jsonl"),
            *self.chapters(task),
        ]
        subtitle = f"Split {data.test_split!r} of {data.root}, data seed {data.seed}."
        path = task.run_dir / "report.html"
        write_report(path, title=title, subtitle=subtitle, chapters=chapters)
        return path

    def comparison(self, task: TrainingTask, result: str, others: Others) -> str:
        """Return one of the results a task evaluated last, beside others, as lines of text."""
        found = {other: results[result] for other, results in others.items() if result in results}
        return text_table(self.compare({MODEL: task.results[result], **found}))

    def _with_weights(self, command: str, words: Sequence[str], path: Path) -> list[str]:
        """Return the arguments with what `--ckpt_path` has to become for the kind of file that it names."""
        resumable = self.task.files.is_trainer_checkpoint(path)
        if command == "fit":
            if not resumable:
                raise ValueError(
                    f"--ckpt_path {path}: holds weights alone, not a training to go on with; start a "
                    f"training from them by --model.weights {path}"
                )
            return list(words)
        kept = list(words) if resumable else take_option(words, "ckpt_path")[1]
        # All weights come from the file: nothing else, such as ImageNet's, is to be fetched.
        return [*kept, "--model.weights", str(path)]

    def _resume(self, words: Sequence[str]) -> list[str]:
        """Return the arguments that make `fit` go on from the newest checkpoint that can be read."""
        run_dir = take_option(words, "trainer.default_root_dir")[0]
        run_dir = run_dir or self._run_dir(take_option(words, "config")[0])
        found = checkpoints(run_dir)
        if not found:
            return []
        from fusion_models.weights import read_checkpoint

        damaged: list[str] = []
        for path in found:
            try:
                read_checkpoint(path)
            except ValueError as error:
                damaged.append(str(error))
                continue
            for message in damaged:
                print(f"passed over: {message}")  # noqa: T201
            print(f"resuming from {path} (start afresh with --ckpt_path none)")  # noqa: T201
            return ["--ckpt_path", str(path)]
        raise ValueError(
            f"no checkpoint of {run_dir} can be read: {'; '.join(damaged)}; start afresh with --ckpt_path"
            " none"
        )

    def _run_dir(self, config: str | None) -> str:
        if config is None:
            return self.default_run
        return (read_yaml(Path(config)).get("trainer") or {}).get("default_root_dir", self.default_run)


def take_option(arguments: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """Return the last value given by `--name value` or `--name=value`, None without, and the other arguments.

    Example:
        >>> take_option(["--data.root", "a", "--seed", "1", "--data.root=b"], "data.root")
        ('b', ['--seed', '1'])
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{name}", dest="value", nargs="?")
    found, others = parser.parse_known_args(arguments)
    return found.value, others
