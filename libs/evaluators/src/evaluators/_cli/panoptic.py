"""`evaluators panoptic`: two folders of label files in, panoptic quality out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators._cli._common import (
    Protocols,
    add_missing,
    add_outputs,
    add_processes,
    check_outputs,
    listed,
    new_parser,
    progress_bar,
    publish,
)

if TYPE_CHECKING:
    from evaluators.panoptic import PanopticEvaluator, PanopticProtocol

_DESCRIPTION = """\
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
_EXAMPLES = """\
  evaluators panoptic --gt dataset --pred results
  evaluators panoptic --gt dataset --pred results --split train --min-points 30 --json report.json
  evaluators panoptic --gt dataset --pred results --sequences 08 --processes 4 --html report.html
  evaluators panoptic --protocol nuscenes-panoptic --gt panoptic/v1.0-mini --pred results/panoptic/mini_val
"""


def add_parser(protocols: Protocols) -> None:
    """Add the options of this protocol."""
    parser = new_parser(
        protocols,
        "panoptic",
        summary="panoptic quality of lidar scans: SemanticKITTI, nuScenes",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    add("--gt", required=True, type=Path, metavar="DIR", help="ground truth")
    add("--pred", required=True, type=Path, metavar="DIR", help="predictions")
    # Another dest: the command itself is stored as `protocol`.
    add(
        "--protocol",
        dest="variant",
        metavar="NAME",
        default="semantic-kitti-api",
        choices=[
            "semantic-kitti-api",
            "semantic-kitti-api-class",
            "semantic-kitti-api-multi",
            "nuscenes-panoptic",
        ],
        help="semantic-kitti-api: the official script, 50 points (default); semantic-kitti-api-class: the"
        " class behind it, as other code uses it, 30 points; semantic-kitti-api-multi: moving classes apart;"
        " nuscenes-panoptic: 15 points",
    )
    add("--min-points", type=int, metavar="N", help="smallest unmatched segment that is an error")
    add(
        "--split",
        default="valid",
        choices=["train", "valid", "test"],
        help="SemanticKITTI: sequences to read (default: valid, which is sequence 08)",
    )
    add("--sequences", nargs="+", metavar="SS", help="SemanticKITTI: these sequences instead of a split")
    add("--tokens", type=Path, metavar="FILE", help="nuScenes: sample data tokens of the split, one per line")
    add(
        "--unknown",
        default="error",
        choices=["error", "unlabeled"],
        help="a raw id that the label map does not list: stop, or take it as unlabeled and say so"
        " (default: error)",
    )
    add_missing(parser)
    add_processes(parser)
    add_outputs(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate and print.

    Raises:
        ValueError: Bad files or scans.
        OSError: Missing files or folders.
    """
    from evaluators.panoptic import panoptic_protocol

    check_outputs(options)
    protocol = panoptic_protocol(options.variant, min_points=options.min_points)
    evaluator = _collect(options, protocol)
    publish(options, {protocol.name: evaluator.compute()}, title="Panoptic segmentation")


def _collect(options: argparse.Namespace, protocol: PanopticProtocol) -> PanopticEvaluator:
    from evaluators.panoptic import collect_folders, collect_nuscenes_folders
    from evaluators.semantickitti import SPLITS

    if protocol.packing == "thousands":
        if options.sequences is not None:
            raise ValueError("--sequences is for SemanticKITTI; give --tokens FILE for nuScenes")
        return collect_nuscenes_folders(
            options.gt,
            options.pred,
            tokens=listed(options.tokens),
            protocol=protocol,
            missing=options.missing,
            unknown=options.unknown,
            processes=options.processes,
            progress=progress_bar("scans"),
        )
    if options.tokens is not None:
        raise ValueError("--tokens is for nuScenes; give --split or --sequences for SemanticKITTI")
    return collect_folders(
        options.gt,
        options.pred,
        sequences=options.sequences or SPLITS[options.split],
        protocol=protocol,
        missing=options.missing,
        unknown=options.unknown,
        processes=options.processes,
        progress=progress_bar("scans"),
    )
