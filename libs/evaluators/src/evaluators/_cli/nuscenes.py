"""`evaluators nuscenes`: a submission file in, mAP, NDS and everything behind them out."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from evaluators._cli._common import Report, add_missing, add_on_invalid

SUMMARY = "nuScenes detection: mAP, NDS, true positive errors"
DESCRIPTION = """\
nuScenes detection, exactly as the official kit scores it (detection_cvpr_2019): average precision over four
centre distances, the errors of the hits (place, size, yaw, velocity, attribute), mAP and NDS.

--pred is a submission, a JSON object:
  {"meta": {"use_camera": false, "use_lidar": true, "use_radar": false, "use_map": false,
            "use_external": false},
   "results": {SAMPLE_TOKEN: [BOX, ...], ...}}
with every sample of the split, an empty list where nothing was found, at most 500 boxes each. A BOX:
  {"sample_token": "...", "translation": [x, y, z], "size": [width, length, height],
   "rotation": [w, x, y, z], "velocity": [vx, vy], "detection_name": "car",
   "detection_score": 0.9, "attribute_name": "vehicle.parked"}
in the global frame, metres and metres per second; attribute_name is "" for none.

--gt is the folder of the data set; its tables (--version, the folder with sample.json and so on) are read,
the sensor data are not.
"""
EXAMPLES = """\
  evaluators nuscenes --gt /data/nuscenes --version v1.0-trainval --split val --pred results_nusc.json
  evaluators nuscenes --gt /data/nuscenes --split mini_val --pred results_nusc.json --html report.html
  evaluators nuscenes --check --pred results_nusc.json
  evaluators nuscenes --check --pred results_nusc.json --gt /data/nuscenes --version v1.0-test --split test
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add = parser.add_argument
    add("--gt", type=Path, metavar="DIR", help="folder of the data set; needed unless --check is given")
    add("--pred", required=True, type=Path, metavar="FILE", help="submission (JSON)")
    add(
        "--version",
        default="v1.0-mini",
        metavar="NAME",
        help="sub-folder of the tables: v1.0-mini, v1.0-trainval, v1.0-test (default: v1.0-mini)",
    )
    add(
        "--split",
        metavar="NAME",
        help="train, val, test, mini_train, mini_val, or a name in splits.json beside the tables"
        " (default: all samples of the tables)",
    )
    add(
        "--check",
        action="store_true",
        help="only say whether the submission is valid; with --gt, also whether its samples are the split's",
    )
    add(
        "--accept",
        choices=("valid", "devkit"),
        default="valid",
        help="devkit also scores what the official kit scores none the less: velocities with a NaN (left out"
        " of the velocity error), attributes of another class (wrong ones), quaternions of any length"
        " (default: valid, which refuses them)",
    )
    add_missing(parser)
    add_on_invalid(parser)


def evaluate(options: argparse.Namespace) -> Report:
    """Return the scores, or what a check of a submission found."""
    if options.check:
        return _checked(options)
    if options.gt is None:
        raise ValueError("--gt is needed to score a submission; --check does without")
    from evaluators.nuscenes import DETECTION_CVPR_2019, evaluate_submission

    result = evaluate_submission(
        options.gt,
        options.pred,
        version=options.version,
        split=options.split,
        protocol=replace(DETECTION_CVPR_2019, accepts=options.accept),
        missing=options.missing,
        on_invalid=options.on_invalid,
    )
    return Report(title="nuScenes detection", results={"nuscenes": result})


def _checked(options: argparse.Namespace) -> Report:
    from evaluators.nuscenes import DETECTION_CVPR_2019, read_sample_tokens, read_submission

    if options.json is not None or options.html is not None:
        raise ValueError("--check computes nothing to report: leave out --json and --html, or --check")
    frames = None
    if options.gt is not None:
        frames = read_sample_tokens(options.gt, version=options.version, split=options.split)
    protocol = replace(DETECTION_CVPR_2019, accepts=options.accept)
    found = read_submission(options.pred, protocol=protocol, frames=frames)
    boxes = sum(map(len, found.boxes.values()))
    compared = "" if frames is None else ", exactly those of the split"
    remark = f"{options.pred}: valid; {boxes} boxes in {len(found.boxes)} samples{compared}"
    return Report(results={}, remark=remark)
