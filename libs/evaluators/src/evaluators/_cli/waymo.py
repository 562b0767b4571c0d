"""`evaluators waymo`: two folders of arrays in, a table and a report out."""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluators._cli._common import (
    Protocols,
    add_missing,
    add_on_invalid,
    add_outputs,
    add_processes,
    add_split,
    check_outputs,
    listed,
    new_parser,
    progress_bar,
    publish,
)

_DESCRIPTION = """\
Waymo Open Dataset 3D detection: AP and APH (weighted by heading accuracy) at LEVEL_1 and LEVEL_2 for
vehicles, pedestrians, signs and cyclists, in all and by range, with the best assignment at 101 score cut-offs
as the official tool.

A frame is one .npz file with the same name in both folders (a split file lists names without suffix):
  ground truth  boxes [n, 7], types [n], and difficulty [n] (1 or 2), n_points [n] (LiDAR points) or both
  detections    boxes [n, 7], types [n], scores [n] (0 to 1), and perhaps in_no_label_zone [n] (bool)
Boxes are centre x y z, length, width, height in metres and heading in radians, counter-clockwise from +x, in
the vehicle frame. Types: 1 vehicle, 2 pedestrian, 3 sign, 4 cyclist. Objects without LiDAR points are left
out; without annotated difficulty (0) those with up to 5 points are hard.
"""
_EXAMPLES = """\
  evaluators waymo --gt labels --pred results
  evaluators waymo --gt labels --pred results --split val.txt --missing empty --processes 4 --json report.json
"""


def add_parser(protocols: Protocols) -> None:
    """Add the options of this protocol."""
    parser = new_parser(
        protocols,
        "waymo",
        summary="Waymo 3D detection: AP and APH per type, level and range",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    add("--gt", required=True, type=Path, metavar="DIR", help="folder of labels")
    add("--pred", required=True, type=Path, metavar="DIR", help="folder of detections")
    add_split(parser, "frame")
    add_missing(parser)
    add_on_invalid(parser)
    add_processes(parser)
    add_outputs(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate and print.

    Raises:
        ValueError: Bad files or frames.
        OSError: Missing files or folders.
    """
    from evaluators.waymo.folders import collect_folders

    check_outputs(options)
    evaluator = collect_folders(
        options.gt,
        options.pred,
        frame_ids=listed(options.split),
        missing=options.missing,
        on_invalid=options.on_invalid,
        processes=options.processes,
        progress=progress_bar(),
    )
    publish(options, {"waymo": evaluator.compute()}, title="Waymo 3D detection")
