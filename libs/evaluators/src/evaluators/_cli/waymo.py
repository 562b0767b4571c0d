"""`evaluators waymo`: two folders of arrays in, a table and a report out."""

from __future__ import annotations

import argparse

from evaluators._cli._common import (
    Report,
    add_folders,
    add_frames,
    add_missing,
    add_on_invalid,
    add_processes,
    listed_frames,
    reading,
)

SUMMARY = "Waymo 3D detection: AP and APH per type, level and range"
DESCRIPTION = """\
Waymo Open Dataset 3D detection: AP and APH (weighted by heading accuracy) at LEVEL_1 and LEVEL_2 for
vehicles, pedestrians, signs and cyclists, in all and by range, with the best assignment at 101 score cut-offs
as the official tool.

A frame is one .npz file with the same name in both folders (--frames lists names without suffix):
  ground truth  boxes [n, 7], types [n], and difficulty [n] (1 or 2), n_points [n] (LiDAR points) or both
  predictions   boxes [n, 7], types [n], scores [n] (0 to 1), and perhaps in_no_label_zone [n] (bool)
Boxes are centre x y z, length, width, height in metres and heading in radians, counter-clockwise from +x, in
the vehicle frame. Types: 1 vehicle, 2 pedestrian, 3 sign, 4 cyclist. Objects without LiDAR points are left
out; without annotated difficulty (0) those with up to 5 points are hard.
"""
EXAMPLES = """\
  evaluators waymo --gt labels --pred results
  evaluators waymo --gt labels --pred results --frames val.txt --missing empty --json report.json
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_folders(parser, gt="folder of labels", pred="folder of predictions")
    add_frames(parser)
    add_missing(parser)
    add_on_invalid(parser)
    add_processes(parser)


def evaluate(options: argparse.Namespace) -> Report:
    """Return the scores."""
    from evaluators.waymo import WaymoEvaluator, collect_folders

    evaluator = collect_folders(
        **reading(options),
        like=WaymoEvaluator(on_invalid=options.on_invalid),
        frames=listed_frames(options),
        missing=options.missing,
    )
    return Report(title="Waymo 3D detection", results={"waymo": evaluator.compute()})
