"""`evaluators panoptic`: two folders of label files in, panoptic quality out."""

from __future__ import annotations

import argparse

from evaluators._cli._common import (
    Report,
    add_choice,
    add_folders,
    add_frames,
    add_missing,
    add_processes,
    add_sequences,
    add_unknown,
    chosen_sequences,
    listed_frames,
    reading,
)

SUMMARY = "panoptic quality of lidar scans: SemanticKITTI, nuScenes"
DESCRIPTION = """\
Panoptic quality (PQ, SQ, RQ, PQ dagger) and mean IoU of lidar scans, exactly as the official tools count:
a predicted and a true segment of a class match if their IoU is above 0.5; unmatched segments count as errors
from --min-points points on; points with ignored ground truth do not count at all.

SemanticKITTI: --gt and --pred are folders with
  sequences/08/labels/000000.label           (--gt)    sequences/08/predictions/000000.label   (--pred)
little-endian uint32 per point: raw class id in the lower, instance in the upper 16 bits. Predictions hold raw
ids too, not train ids. Every number is a segment of its own, so stuff needs one constant instance id, and
lane-marking (60) is a segment beside road (40).

nuScenes (--protocol nuscenes-panoptic): --gt and --pred are folders of <token>_panoptic.npz files with an
array `data`: 1000 * category + instance in the ground truth (32 categories), 1000 * class + instance in
predictions (16 challenge classes).
"""
EXAMPLES = """\
  evaluators panoptic --gt dataset --pred results
  evaluators panoptic --gt dataset --pred results --split train --min-points 30 --json report.json
  evaluators panoptic --gt dataset --pred results --sequences 08 --processes 4 --html report.html
  evaluators panoptic --protocol nuscenes-panoptic --gt panoptic/v1.0-mini --pred results/panoptic/mini_val
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_folders(parser, gt="ground truth", pred="predictions")
    protocols = (
        "semantic-kitti-api",
        "semantic-kitti-api-class",
        "semantic-kitti-api-multi",
        "nuscenes-panoptic",
    )
    text = (
        "semantic-kitti-api: the official script, 50 points; semantic-kitti-api-class: the class behind it,"
        " as other code uses it, 30 points; semantic-kitti-api-multi: moving classes apart;"
        " nuscenes-panoptic: 15 points"
    )
    add_choice(parser, "--protocol", protocols, text)
    parser.add_argument(
        "--min-points", type=int, metavar="N", help="smallest unmatched segment that is an error"
    )
    add_sequences(parser)
    add_frames(parser, "all of --gt; nuScenes only: sample data tokens of the split")
    add_unknown(parser)
    add_missing(parser)
    add_processes(parser)


def evaluate(options: argparse.Namespace) -> Report:
    """Return the scores."""
    from evaluators.panoptic import PanopticEvaluator, collect_folders, collect_nuscenes_folders

    like = PanopticEvaluator(
        protocol=options.protocol, min_points=options.min_points, unknown=options.unknown
    )
    if like.protocol.packing == "thousands":
        if options.sequences is not None:
            raise ValueError("--sequences is for SemanticKITTI; give --frames FILE for nuScenes")
        evaluator = collect_nuscenes_folders(
            **reading(options), like=like, frames=listed_frames(options), missing=options.missing
        )
    else:
        if options.frames is not None:
            raise ValueError("--frames is for nuScenes; give --split or --sequences for SemanticKITTI")
        evaluator = collect_folders(
            **reading(options), like=like, sequences=chosen_sequences(options), missing=options.missing
        )
    return Report(title="Panoptic segmentation", results={like.protocol.name: evaluator.compute()})
