"""`evaluators depth`: two folders of depth maps in, a table and a report out."""

from __future__ import annotations

import argparse

from evaluators._cli._common import (
    Report,
    add_choice,
    add_folders,
    add_frames,
    add_on_invalid,
    add_processes,
    listed_frames,
    reading,
)

SUMMARY = "depth completion: MAE, RMSE, inverse and log errors, deltas, stripes"
DESCRIPTION = """\
Depth completion and estimation: MAE, RMSE, errors of inverse depth and of the logarithm, relative errors and
threshold accuracies, as means over images and over pixels, up to several largest depths at once; errors by
range; and how strongly the prediction shows the rows that a LiDAR samples (stripes).

A frame is one file with the same name in both folders (--frames lists names without suffix):
  .png        one channel of 16 bits, metres times 256, 0 is no depth (needs fusion3d-evaluators[depth])
  .npy .npz   floating-point metres [height, width]; in ground truth 0 is no depth
Only pixels with ground truth count. A prediction for every image is needed.

protocols:
  kitti-devkit        all figures on all ground truth, as the KITTI depth kit. Holes in the prediction are
                      refused unless --fill kitti fills them as the kit does
  sparse-beats-dense  MAE and RMSE for ground truth up to 50, 70 and 80 m
  nlspn               RMSE, MAE, iRMSE, iMAE, REL and delta, as many completion code bases
"""
EXAMPLES = """\
  evaluators depth --gt groundtruth --pred results
  evaluators depth --gt groundtruth --pred results --fill kitti --cap 50 70 80 inf --json report.json
  evaluators depth --gt lidar --pred results --protocol sparse-beats-dense --frames val.txt --processes 4
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_folders(parser, gt="folder of true depth maps", pred="folder of predicted depth maps")
    add_frames(parser)
    add_choice(parser, "--protocol", ["kitti-devkit", "sparse-beats-dense", "nlspn"], "the tool to follow")
    parser.add_argument(
        "--cap",
        nargs="+",
        type=float,
        metavar="M",
        help="largest true depths in metres, ascending; inf is none (default: those of the protocol)",
    )
    text = "pixels without prediction: leave them, or fill them as the KITTI kit does"
    add_choice(parser, "--fill", ["none", "kitti"], text)
    parser.add_argument(
        "--clamp-min", type=float, metavar="M", help="raise predictions to at least this depth"
    )
    add_on_invalid(parser)
    add_processes(parser)


def evaluate(options: argparse.Namespace) -> Report:
    """Return the scores."""
    from evaluators.depth import DepthEvaluator, collect_folders

    like = DepthEvaluator(
        protocol=options.protocol,
        caps_m=options.cap,
        fill=options.fill,
        clamp_min_m=options.clamp_min,
        on_invalid=options.on_invalid,
    )
    evaluator = collect_folders(**reading(options), like=like, frames=listed_frames(options))
    return Report(title=f"Depth, {options.protocol}", results={"depth": evaluator.compute()})
