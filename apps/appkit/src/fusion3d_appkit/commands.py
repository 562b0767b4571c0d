"""An app's program and its sub-commands. Nothing heavy is imported before the sub-command is known."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command: a line for the help, and what runs with the other arguments and returns the status."""

    summary: str
    run: Callable[[Sequence[str]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The command line of an app: `fit`, `validate`, `test`, what is its own, and `demo`.

    The package of that name has `train.APP` (`fusion3d_appkit.training.TrainingApp`) and `demo.DEMO`
    (`fusion3d_appkit.demo.Demo`), which are imported when one of their commands is called.
    """

    name: str
    """Of the program and of its package."""
    about: str
    epilog: str
    """Examples, shown below the list of commands."""
    own: Mapping[str, Command] = field(default_factory=dict)
    """The app's own commands; `command_of` makes one of a module."""

    @property
    def commands(self) -> dict[str, Command]:
        """Every command, in the order of the help."""
        summaries = {
            "fit": "train; resumes from the last checkpoint of the run",
            "validate": "evaluate a checkpoint on the validation split",
            "test": "evaluate; write predictions, results.json and report.html",
        }

        def training(command: str) -> Callable[[Sequence[str]], int]:
            return lambda words: importlib.import_module(f"{self.name}.train").APP.run(command, words)

        def demo(words: Sequence[str]) -> int:
            return importlib.import_module(f"{self.name}.demo").DEMO.main(words)

        return {
            **{name: Command(summary, training(name)) for name, summary in summaries.items()},
            **self.own,
            "demo": Command("make synthetic data, train minutes on a CPU, evaluate, draw the report", demo),
        }

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run the program; return the exit status."""
        words = list(sys.argv[1:] if arguments is None else arguments)
        if not words or words[0] in ("-h", "--help"):
            listing = "\n".join(f"  {name:<8}  {command.summary}" for name, command in self.commands.items())
            sys.stdout.write(
                f"usage: {self.name} COMMAND [options]\n\n{self.about}\n\ncommands:\n{listing}\n\n"
                f"{self.epilog}\n\n`{self.name} COMMAND --help` lists the options of a command.\n"
            )
            return 0
        return dispatch(self.name, self.commands, words)


def command_of(module: str, summary: str) -> Command:
    """Return a sub-command that imports a module when it is called, and runs its `main(arguments)`."""
    return Command(summary, lambda words: importlib.import_module(module).main(words))


def dispatch(program: str, commands: Mapping[str, Command], words: Sequence[str]) -> int:
    """Run the sub-command that the first word names; answer an unknown one with the nearest name.

    Errors that say what the user can mend (ValueError, FileNotFoundError and other OSErrors) end the program
    with their message and status 2, without a traceback.
    """
    if words[0] not in commands:
        nearest = difflib.get_close_matches(words[0], commands, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        sys.stderr.write(
            f"{program}: there is no command '{words[0]}'{hint} "
            f"Commands: {', '.join(commands)}. See {program} --help\n"
        )
        return 2
    try:
        return commands[words[0]].run(words[1:])
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{program}: {_message(error)}\n")
        return 2


def _message(error: Exception) -> str:
    """Return the message; that of a process that reads data comes after its traceback."""
    return str(error).rpartition(f"\n{type(error).__name__}: ")[2].rstrip()
