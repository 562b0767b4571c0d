"""`evaluators depth`: two folders of depth maps in, a table and a report out."""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluators._cli._common import (
    Protocols,
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
Depth completion and estimation: MAE, RMSE, errors of inverse depth and of the logarithm, relative errors and
threshold accuracies, as means over images and over pixels, up to several largest depths at once; errors by
range; and how strongly the prediction shows the rows that a LiDAR samples (stripes).

A depth map is one file with the same name in both folders (a split file lists names without suffix):
  .png        one channel of 16 bits, metres times 256, 0 is no depth (needs fusion3d-evaluators[depth])
  .npy .npz   floating-point metres [height, width]; in ground truth 0 is no depth
Only pixels with ground truth count. A prediction for every image is needed.

protocols:
  kitti-devkit        all figures on all ground truth, as the KITTI depth kit. Holes in the prediction are
                      refused unless --fill kitti fills them as the kit does
  sparse-beats-dense  MAE and RMSE for ground truth up to 50, 70 and 80 m
  nlspn               RMSE, MAE, iRMSE, iMAE, REL and delta, as many completion code bases
"""
_EXAMPLES = """\
  evaluators depth --gt groundtruth --pred results
  evaluators depth --gt groundtruth --pred results --fill kitti --cap 50 70 80 inf --json report.json
  evaluators depth --gt lidar --pred results --protocol sparse-beats-dense --split val.txt --processes 4
"""


def add_parser(protocols: Protocols) -> None:
    """Add the options of this protocol."""
    parser = new_parser(
        protocols,
        "depth",
        summary="depth completion: MAE, RMSE, inverse and log errors, deltas, stripes",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    add("--gt", required=True, type=Path, metavar="DIR", help="folder of true depth maps")
    add("--pred", required=True, type=Path, metavar="DIR", help="folder of predicted depth maps")
    add_split(parser, "image")
    add(
        "--protocol",
        dest="variant",
        default="kitti-devkit",
        choices=["kitti-devkit", "sparse-beats-dense", "nlspn"],
        help="the tool to follow (default: kitti-devkit)",
    )
    add(
        "--cap",
        nargs="+",
        type=float,
        metavar="M",
        help="largest true depths in metres, ascending; inf is none (default: those of the protocol)",
    )
    add(
        "--fill",
        default="none",
        choices=["none", "kitti"],
        help="pixels without prediction: leave them, or fill them as the KITTI kit does (default: none)",
    )
    add("--clamp-min", type=float, metavar="M", help="raise predictions to at least this depth")
    add_on_invalid(parser)
    add_processes(parser)
    add_outputs(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate and print.

    Raises:
        ValueError: Bad files or images.
        OSError: Missing files or folders.
    """
    from evaluators.depth.evaluator import DepthEvaluator
    from evaluators.depth.folders import collect_folders

    check_outputs(options)
    like = DepthEvaluator(
        protocol=options.variant,
        caps_m=options.cap,
        fill=options.fill,
        clamp_min_m=options.clamp_min,
        on_invalid=options.on_invalid,
    )
    try:
        evaluator = collect_folders(
            options.gt,
            options.pred,
            like=like,
            image_ids=listed(options.split),
            processes=options.processes,
            progress=progress_bar("images"),
        )
    except ImportError as error:  # Pillow is optional; its absence is a sentence, not a traceback
        raise ValueError(str(error)) from None
    publish(options, {"depth": evaluator.compute()}, title=f"Depth, {options.variant}")
