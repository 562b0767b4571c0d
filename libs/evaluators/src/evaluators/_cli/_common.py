"""What the commands share: options, the files to read, and what becomes of the results."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluators._parallel import Progress
    from evaluators.page import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a command found."""

    title: str = ""
    results: Mapping[str, Result]
    """By name; a single one is not nested by name in the files."""
    remark: str = ""
    """Printed after the tables."""


def add_folders(parser: argparse.ArgumentParser, *, gt: str, pred: str) -> None:
    """Add --gt and --pred, both needed, with what they hold."""
    parser.add_argument("--gt", required=True, type=Path, metavar="DIR", help=gt)
    parser.add_argument("--pred", required=True, type=Path, metavar="DIR", help=pred)


def add_frames(parser: argparse.ArgumentParser, default: str = "all of --gt") -> None:
    """Add --frames; `listed_frames` reads it."""
    parser.add_argument(
        "--frames", type=Path, metavar="FILE", help=f"frames to evaluate, one per line (default: {default})"
    )


def add_sequences(parser: argparse.ArgumentParser) -> None:
    """Add --split and --sequences of SemanticKITTI; `chosen_sequences` reads them."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--split",
        default="valid",
        choices=["train", "valid", "test"],
        help="sequences to evaluate: train 00-07 09 10, valid 08, test 11-21 (default: valid)",
    )
    chosen.add_argument(
        "--sequences", nargs="+", metavar="SS", help="sequences to evaluate, instead of a split"
    )


def add_choice(parser: argparse.ArgumentParser, name: str, choices: Sequence[str], text: str) -> None:
    """Add an option with these values, the first of them the default."""
    parser.add_argument(name, default=choices[0], choices=choices, help=f"{text} (default: {choices[0]})")


def add_missing(parser: argparse.ArgumentParser) -> None:
    """Add --missing."""
    text = "a frame without predictions: stop, or take it as empty and say so"
    add_choice(parser, "--missing", ["error", "empty"], text)


def add_on_invalid(parser: argparse.ArgumentParser) -> None:
    """Add --on-invalid."""
    text = "a row with a NaN or an impossible box: stop, or drop it and say so"
    add_choice(parser, "--on-invalid", ["error", "drop"], text)


def add_unknown(parser: argparse.ArgumentParser) -> None:
    """Add --unknown."""
    text = "a raw id that the label map does not list: stop, or take it as unlabeled and say so"
    add_choice(parser, "--unknown", ["error", "unlabeled"], text)


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add --processes."""
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="processes that read files (default: 1)"
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add --json and --html."""
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything, curves included, as JSON"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with tables and curves")


def reading(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that `collect_folders` of every benchmark takes from the options."""
    return {
        "gt_dir": options.gt,
        "pred_dir": options.pred,
        "processes": options.processes,
        "progress": progress_bar(),
    }


def listed_frames(options: argparse.Namespace) -> list[str] | None:
    """Return the frames in the file of --frames, or None for no file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not such a list.
    """
    from evaluators._files import read_frame_list

    return None if options.frames is None else read_frame_list(options.frames)


def chosen_sequences(options: argparse.Namespace) -> Sequence[str]:
    """Return the sequences of --sequences or --split."""
    from evaluators.semantickitti.protocol import SPLITS

    return options.sequences or SPLITS[options.split]


def progress_bar() -> Progress:
    """Return a progress bar over frame names; it stays away when the output is not a terminal."""
    from tqdm import tqdm

    return functools.partial(tqdm, desc="reading", unit=" frames", disable=None)


def check_outputs(options: argparse.Namespace) -> None:
    """Refuse output files whose folder is not there, before the work and not after it.

    Raises:
        FileNotFoundError: Names the option and the folder.
    """
    for name in ("json", "html"):
        path: Path | None = getattr(options, name)
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"--{name}: no folder {path.parent}; create it first")


def publish(report: Report, options: argparse.Namespace) -> None:
    """Write the files that were asked for and print the tables."""
    from evaluators._report import write_json
    from evaluators.page import write_page

    results = report.results
    if options.json is not None and results:
        found = {name: result.to_json() for name, result in results.items()}
        write_json(options.json, found if len(found) > 1 else next(iter(found.values())))
    if options.html is not None and results:
        write_page(options.html, report.title, results)
    texts = [result.table() for result in results.values()]
    print("\n\n".join([*texts, report.remark] if report.remark else texts))  # noqa: T201 - a command line
