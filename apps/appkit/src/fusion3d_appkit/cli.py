"""The command line of an app: LightningCLI with short errors that name the nearest option."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import CheckpointIO, TorchCheckpointIO

from fusion3d_appkit.files import put_in_place, write_text
from fusion3d_appkit.loggers import JsonlLogger

# How jsonargparse words it: for a sub-command, on the command line, in a file.
UNKNOWN_OPTION = re.compile(r"(?:does not accept option|unrecognized arguments:|^Option) '?(?:--)?([\w.]+)")

# What it says about every `X | None` that does not fit, around the line that tells what is wrong.
UNION_DETAIL = re.compile(
    r" *(Does not validate against any|Subtypes:|Errors:|- Problem with given class|- Expected a .*NoneType"
    r"|Given value type:|Given value: NestedArg)"
)


class AppParser(LightningArgumentParser):
    """A parser whose errors are a few lines: what is wrong, the nearest valid option, where to look."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the error and leave with status 2; a parser that jsonargparse makes for a part raises."""
        if not self.exit_on_error:
            super().error(message, ex)
        kept = [line for line in message.splitlines() if not UNION_DETAIL.match(line)]
        lines = ["error: " + "\n".join(kept)]
        if match := UNKNOWN_OPTION.search(message):
            nearest = nearest_options(match[1], self._known_options())
            if nearest:
                lines.append(f"did you mean {' or '.join(nearest)}?")
        lines.append(
            f"`{self.prog.split()[0]} fit --help` lists every option; a YAML file has the same names, nested"
        )
        print("\n".join(lines), file=sys.stderr)  # noqa: T201
        sys.exit(2)

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Any:
        """Parse; refuse unknown options of parts that may be None, which jsonargparse would let pass."""
        parts, known = self._optional_parts(), set(self._known_options())
        words = sys.argv[1:] if args is None else list(args)
        if not self.exit_on_error:
            # jsonargparse hands values to the parser of such a part as str() writes them, None as well.
            words = [re.sub(r"=None$", "=null", word) for word in words]
        for word in words:
            name = word.removeprefix("--").split("=")[0]
            if word.startswith("--") and name.startswith(parts) and name not in known:
                self.error(f"unrecognized arguments: --{name}")
        return super().parse_args(words, *rest, **kwargs)

    def _option_actions(self) -> list[argparse.Action]:
        actions = list(self._actions)
        for action in self._actions:
            for child in (getattr(action, "choices", None) or {}).values() if _is_subcommands(action) else ():
                actions += child._actions
        return [action for action in actions if action.option_strings and not action.dest.endswith(".help")]

    def _known_options(self) -> list[str]:
        names: set[str] = set()
        for action in self._option_actions():
            names |= {action.dest, *_options_below(action.dest, getattr(action, "_typehint", None))}
        return sorted(names)

    def _optional_parts(self) -> tuple[str, ...]:
        """Return the beginnings of the options below the parts that may be None."""
        found = [
            action.dest
            for action in self._option_actions()
            if any(_options_below("", getattr(action, "_typehint", None)))
        ]
        return tuple(f"{name}." for name in found)


def _options_below(prefix: str, hint: object) -> Iterator[str]:
    """Yield the names of the fields of `SomeDataclass | None`, and of dataclasses and such unions inside."""
    inner = [part for part in typing.get_args(hint) if part is not type(None)]
    if len(inner) == 1 and type(None) in typing.get_args(hint) and dataclasses.is_dataclass(inner[0]):
        yield from _fields_below(prefix, inner[0])


def _fields_below(prefix: str, part: Any) -> Iterator[str]:
    for name, hint in typing.get_type_hints(part).items():
        yield f"{prefix}.{name}"
        if dataclasses.is_dataclass(hint):
            yield from _fields_below(f"{prefix}.{name}", hint)
        else:
            yield from _options_below(f"{prefix}.{name}", hint)


def _is_subcommands(action: object) -> bool:
    choices = getattr(action, "choices", None)
    return isinstance(choices, Mapping) and all(hasattr(child, "_actions") for child in choices.values())


def nearest_options(name: str, known: Sequence[str]) -> list[str]:
    """Return up to three known option names closest to `name`, best first.

    The parts between dots are compared too, so that a wrong word in the middle of a long name is found. A
    name may lack its first parts, as in messages about one part of a configuration.

    Example:
        >>> nearest_options("data.batch_sise", ["data.batch_size", "data.root", "trainer.max_epochs"])
        ['data.batch_size']
    """
    words = name.split(".")

    def likeness(known_words: Sequence[str]) -> float:
        whole = difflib.SequenceMatcher(None, name, ".".join(known_words)).ratio()
        pairs = zip(words, known_words, strict=False)
        parts = [difflib.SequenceMatcher(None, word, other).ratio() for word, other in pairs]
        return whole + sum(parts) / max(len(words), len(known_words))

    scores = {
        option: max(likeness(option.split(".")), likeness(option.split(".")[-len(words) :]))
        for option in known
    }
    ranked = sorted(scores, key=lambda option: (-scores[option], option))
    return [option for option in ranked if scores[option] > 1.5][:3]


class AppCLI(LightningCLI):
    """LightningCLI with `AppParser`, everything of a run in one folder; the task makes its own optimiser.

    Args:
        plain: Defaults of options that YAML cannot hold as they are, see `plain_defaults`.
    """

    def __init__(self, *args: Any, plain: Mapping[str, object], **kwargs: Any) -> None:
        self._plain = dict(plain)
        super().__init__(*args, parser_class=AppParser, auto_configure_optimizers=False, **kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Give defaults that are tuples of dataclasses in a form that YAML can hold."""
        parser.set_defaults(self._plain)

    def before_instantiate_classes(self) -> None:
        """Look for the data before the model is made, whose weights may have to be fetched.

        Raises:
            FileNotFoundError: There is no folder `--data.root`.
        """
        root = Path(self._get(self.config, "data.root"))
        if not root.is_dir():
            raise FileNotFoundError(
                f"--data.root {root}: no such folder; expected that of the data set (`python -m datasets3d "
                "synth` makes a synthetic one)"
            )

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Return the trainer with TensorBoard and JSONL logs, a checkpoint every epoch and a progress bar.

        Loggers, callbacks and plugins of the options come on top; `--trainer.logger false`,
        `enable_checkpointing false` and `enable_progress_bar false` leave ours out.
        """
        run_dir = Path(self._trainer_option("default_root_dir"))
        logger = self._trainer_option("logger")
        loggers = [TensorBoardLogger(run_dir, name="", version=""), JsonlLogger(str(run_dir))]
        given = _listed(None if isinstance(logger, bool) else logger)
        kwargs["logger"] = False if logger is False else [*loggers, *given]
        callbacks: list[Callback] = []
        keeps = self._trainer_option("enable_checkpointing") is not False
        if keeps and not self._trainer_option("fast_dev_run"):
            callbacks.append(_checkpoints(run_dir))
        if self._trainer_option("enable_progress_bar") is not False:
            callbacks.append(TQDMProgressBar(refresh_rate=10))
        kwargs["callbacks"] = [*callbacks, *_listed(self._trainer_option("callbacks"))]
        plugins = _listed(self._trainer_option("plugins"))
        own = [] if any(isinstance(plugin, CheckpointIO) for plugin in plugins) else [WholeFiles()]
        kwargs["plugins"] = [*plugins, *own]
        return super().instantiate_trainer(**kwargs)

    def _trainer_option(self, name: str) -> Any:
        return self._get(self.config_init, f"trainer.{name}")


def _listed(value: Any) -> list[Any]:
    """Return what an option holds, nothing, one thing or several, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _checkpoints(run_dir: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=str(run_dir / "checkpoints"),
        filename="epoch_{epoch:04d}",
        auto_insert_metric_name=False,
        save_top_k=1,
        monitor="epoch",
        mode="max",
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it once it is on the disk.

    The trainer's own way goes by the folder for temporary files: from another file system, or on a full disk,
    half a file would get the final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a file; an older one of that name stays until the new one is whole."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        torch.save(checkpoint, partial)
        put_in_place(partial, path)


class SaveConfig(SaveConfigCallback):
    """Write what a training was called with as `config.yaml` into its folder, whole or not at all.

    Where it was resumed from is left out: it is no part of how a run is done again.
    """

    def __init__(self, parser: LightningArgumentParser, config: Any) -> None:
        kept = config.clone()
        kept["ckpt_path"] = None
        super().__init__(parser, kept, save_to_log_dir=False)

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write the file."""
        text = self.parser.dump(self.config, skip_none=False)
        write_text(Path(trainer.default_root_dir) / "config.yaml", text)


def plain_defaults(prefix: str, config: object) -> dict[str, object]:
    """Return, as plain values, the fields of a configuration that jsonargparse cannot write to YAML itself.

    These are tuples of dataclasses, and parts that may be None: such a part is one option to jsonargparse,
    and only over a plain default does it merge what a file or the command line says about some of its fields.

    Args:
        prefix: Name of the option that holds `config`; keys of the result are dotted below it.
        config: A dataclass instance, searched through nested dataclasses.
    """
    found: dict[str, object] = {}
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        value, name = getattr(config, item.name), f"{prefix}.{item.name}"
        if dataclasses.is_dataclass(value) and dataclasses.is_dataclass(hints[item.name]):
            found |= plain_defaults(name, value)
        elif _holds_dataclass(value):
            found[name] = _plain(value)
    return found


def _holds_dataclass(value: object) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return bool(parts) and all(map(dataclasses.is_dataclass, parts))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
