"""The first word of an app's command line. Nothing heavy is imported before the word is known."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command: a line for the help, and what runs with the other arguments and returns the status."""

    summary: str
    run: Callable[[Sequence[str]], int]


def dispatch(
    program: str,
    commands: Mapping[str, Command],
    *,
    about: str,
    epilog: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run the named sub-command; without one print the help, with an unknown one the nearest name.

    Errors that say what the user can mend (ValueError, FileNotFoundError and other OSErrors) end the program
    with their message and status 2, without a traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, commands))
        listing = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in commands.items())
        sys.stdout.write(
            f"usage: {program} COMMAND [options]\n\n{about}\n\ncommands:\n{listing}\n\n{epilog}\n"
        )
        return 0
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


def config_file(module: str, name: str) -> Path:
    """Return `configs/<name>.yaml` of an app: inside its installed package, or beside its sources.

    Args:
        module: `__file__` of a module directly in the package.
    """
    package = Path(module).parent
    installed = package / "configs" / f"{name}.yaml"
    return installed if installed.is_file() else package.parents[1] / "configs" / f"{name}.yaml"
