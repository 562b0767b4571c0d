"""The command line of an app: LightningCLI with short errors that name the nearest option."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

# How jsonargparse words it: for a sub-command, on the command line, in a file.
UNKNOWN_OPTION = re.compile(r"(?:does not accept option|unrecognized arguments:|^Option) '?(?:--)?([\w.]+)")


class AppParser(LightningArgumentParser):
    """A parser whose errors are a few lines: what is wrong, the nearest valid option, where to look."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the error and leave with status 2."""
        lines = [f"error: {message}"]
        if match := UNKNOWN_OPTION.search(message):
            nearest = nearest_options(match[1], self._known_options())
            if nearest:
                lines.append(f"did you mean {' or '.join(nearest)}?")
        lines.append(
            f"`{self.prog.split()[0]} fit --help` lists every option; a YAML file has the same names, nested"
        )
        print("\n".join(lines), file=sys.stderr)  # noqa: T201
        sys.exit(2)

    def _known_options(self) -> list[str]:
        actions = list(self._actions)
        for action in self._actions:
            for child in (getattr(action, "choices", None) or {}).values() if _is_subcommands(action) else ():
                actions += child._actions
        return sorted({action.dest for action in actions if action.option_strings})


def _is_subcommands(action: object) -> bool:
    choices = getattr(action, "choices", None)
    return isinstance(choices, Mapping) and all(hasattr(child, "_actions") for child in choices.values())


def nearest_options(name: str, known: Sequence[str]) -> list[str]:
    """Return up to three known option names closest to `name`, best first.

    The parts between dots are compared too, so that a wrong word in the middle of a long name is found.

    Example:
        >>> nearest_options("data.batch_sise", ["data.batch_size", "data.root", "trainer.max_epochs"])
        ['data.batch_size']
    """

    def likeness(option: str) -> float:
        whole = difflib.SequenceMatcher(None, name, option).ratio()
        words, known_words = name.split("."), option.split(".")
        pairs = zip(words, known_words, strict=False)
        parts = [difflib.SequenceMatcher(None, word, other).ratio() for word, other in pairs]
        return whole + sum(parts) / max(len(words), len(known_words))

    ranked = sorted(known, key=lambda option: (-likeness(option), option))
    return [option for option in ranked if likeness(option) > 1.5][:3] if ranked else []


class AppCLI(LightningCLI):
    """LightningCLI with `AppParser`; the task makes its own optimiser."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, parser_class=AppParser, auto_configure_optimizers=False, **kwargs)  # type: ignore[arg-type]


def plain_defaults(prefix: str, config: object) -> dict[str, object]:
    """Return the fields of a configuration that hold tuples of dataclasses, as lists of plain dictionaries.

    jsonargparse cannot write such instances to YAML; given as plain values it can, and checks them too.

    Args:
        prefix: Name of the option that holds `config`; keys of the result are dotted below it.
        config: A dataclass instance, searched through nested dataclasses.
    """
    found: dict[str, object] = {}
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        value, name = getattr(config, item.name), f"{prefix}.{item.name}"
        if dataclasses.is_dataclass(value):
            found |= plain_defaults(name, value)
        elif isinstance(value, tuple) and value and all(map(dataclasses.is_dataclass, value)):
            found[name] = [dataclasses.asdict(part) for part in value]
    return found
