"""`evaluators indoor`: two folders in, a table and a JSON report out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluators.indoor.protocol import ClassTable

from evaluators._cli._common import (
    Report,
    add_choice,
    add_folders,
    add_frames,
    add_missing,
    add_on_invalid,
    add_processes,
    listed_frames,
    reading,
)

SUMMARY = "indoor 3D detection: ScanNet, SUN RGB-D, ScanNet-md40, TO-SCENE"
DESCRIPTION = """\
Indoor 3D detection as VoteNet, mmdet3d and their followers score it: average precision (AP) and recall per
class and their means, at overlap thresholds of 0.25 and 0.5. Shares from 0 to 1.

A frame, one scene, is a file with the same name in both folders, SCENE.npz (NumPy) or SCENE.json, with
  boxes    [n, 6] or [n, 7]: centre x y z, sizes dx dy dz, and yaw (0 if left out)
  labels   [n]: class numbers, or class names as text
  scores   [n]: predictions only, higher is better
in metres and radians; z points up, x y z is the middle of the box (not of its bottom), yaw turns
counter-clockwise from x to y seen from above. A frame in which nothing was found has empty arrays:
  {"boxes": [], "labels": [], "scores": []}
"""
EXAMPLES = """\
  evaluators indoor --gt gt --pred results
  evaluators indoor --gt gt --pred results --classes sunrgbd --json report.json --html report.html
  evaluators indoor --gt gt --pred results --classes scannet-md40      (adds mean_S and mean_O)
  evaluators indoor --gt gt --pred results --classes names.txt --small cup bottle
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_folders(parser, gt="folder of ground truth files", pred="folder of prediction files")
    add_frames(parser)
    parser.add_argument(
        "--classes",
        default="scannet",
        metavar="TABLE",
        help="scannet (18 classes), sunrgbd (10), scannet-md40 (22), to-scene (70), or a text file with one"
        " class name per line in label order (default: scannet)",
    )
    parser.add_argument(
        "--small",
        nargs="+",
        metavar="NAME",
        help="classes whose mean is printed as mean_S, that of the others as mean_O",
    )
    parser.add_argument(
        "--thresholds",
        nargs="+",
        type=float,
        default=[0.25, 0.5],
        metavar="IOU",
        help="overlaps that a hit must exceed (default: 0.25 0.5)",
    )
    text = (
        "classes in the means: those with ground truth, all listed (absent ones as 0), or as the reference"
        " tools, which get NaN when a predicted class has no ground truth"
    )
    add_choice(parser, "--mean-over", ["gt", "listed", "reference"], text)
    text = "exact overlaps, or VoteNet's own, which are wrong where edges coincide"
    add_choice(parser, "--protocol", ["mmdet3d", "votenet"], text)
    add_missing(parser)
    add_on_invalid(parser)
    add_processes(parser)


def evaluate(options: argparse.Namespace) -> Report:
    """Return the scores."""
    from evaluators.indoor import IndoorEvaluator, collect_folders

    table = _table(options.classes, options.small)
    evaluator = collect_folders(
        **reading(options),
        like=IndoorEvaluator(classes=table, protocol=options.protocol, on_invalid=options.on_invalid),
        frames=listed_frames(options),
        missing=options.missing,
    )
    result = evaluator.compute(thresholds=options.thresholds, mean_over=options.mean_over)
    return Report(title="Indoor 3D detection", results={table.name: result})


def _table(name: str, small: list[str] | None) -> ClassTable:
    from evaluators.indoor.protocol import TABLES, ClassTable

    if name in TABLES:
        table = TABLES[name]
    elif Path(name).is_file():
        table = ClassTable(name=Path(name).stem, classes=tuple(_lines(Path(name))))
    else:
        raise ValueError(f"--classes must be one of {', '.join(TABLES)}, or a text file; got {name!r}")
    return table if small is None else ClassTable.with_small(table.name, table.classes, small=small)


def _lines(path: Path) -> list[str]:
    from evaluators._files import decoded

    return [name for line in decoded(path, path.read_bytes()).splitlines() if (name := line.strip())]
