"""Options and outputs that every protocol shares."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from evaluators._parallel import Progress
    from evaluators.page import Result

# argparse has no public name for what add_subparsers returns.
Protocols: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]


def new_parser(
    protocols: Protocols, name: str, *, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add the command `name`; its help shows `description`, the options and the `examples`."""
    return protocols.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_split(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add --split; `listed` reads it."""
    parser.add_argument(
        "--split", type=Path, metavar="FILE", help=f"{kind} names, one per line (default: all of --gt)"
    )


def listed(path: Path | None) -> list[str] | None:
    """Return the names in a file, one per line, or None for no file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not such a list.
    """
    from evaluators._files import read_frame_list

    return None if path is None else read_frame_list(path)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add --json and --html."""
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything, curves included, as JSON"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with tables and curves")


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add --processes."""
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="processes that read files (default: 1)"
    )


def add_missing(parser: argparse.ArgumentParser) -> None:
    """Add --missing."""
    parser.add_argument(
        "--missing",
        default="error",
        choices=["error", "empty"],
        help="a frame without predictions: stop, or take it as empty and say so (default: error)",
    )


def add_on_invalid(parser: argparse.ArgumentParser) -> None:
    """Add --on-invalid."""
    parser.add_argument(
        "--on-invalid",
        default="error",
        choices=["error", "drop"],
        help="a row with a NaN or an impossible box: stop, or drop it and say so (default: error)",
    )


def check_outputs(options: argparse.Namespace) -> None:
    """Refuse output files whose folder is not there, before the work and not after it.

    Raises:
        FileNotFoundError: Names the option and the folder.
    """
    for name in ("json", "html"):
        path: Path | None = getattr(options, name)
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"--{name}: no folder {path.parent}; create it first")


def progress_bar(unit: str = "frames") -> Progress:
    """Return a progress bar over frame names; it stays away when the output is not a terminal."""
    from tqdm import tqdm

    return functools.partial(tqdm, desc="reading", unit=f" {unit}", disable=None)


def publish(options: argparse.Namespace, results: Mapping[str, Result], *, title: str) -> None:
    """Print the tables and write the files that were asked for; a single result is not nested by name."""
    from evaluators._report import write_json
    from evaluators.page import write_page

    if options.json is not None:
        reports = {name: result.to_json() for name, result in results.items()}
        write_json(options.json, reports if len(reports) > 1 else next(iter(reports.values())))
    if options.html is not None:
        write_page(options.html, title, results)
    print("\n\n".join(result.table() for result in results.values()))  # noqa: T201 - a command line
