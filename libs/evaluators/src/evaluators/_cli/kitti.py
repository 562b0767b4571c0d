"""`evaluators kitti`: two folders in, a table and a JSON report out."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from evaluators._report import JsonValue
    from evaluators.kitti.result import KittiResult

_DESCRIPTION = """\
KITTI object detection, exactly as the official development kit scores it: image boxes (2d), orientation
(aos), bird's eye view (bev) and 3D boxes (3d), per class and level, over 40 (R40) and 11 (R11) recall
positions.

A frame is one text file with the same name in both folders, one object per line:
  label:      type truncated occluded alpha x1 y1 x2 y2 height width length x y z rotation_y
  detection:  the same fields and a score; truncated and occluded are not used (write -1)
Angles are in radians, sizes and places in metres; x y z is the centre of the bottom face in the rectified
camera frame, y pointing down. A frame in which nothing was found is an empty file.
"""
_EPILOG = """\
examples:
  evaluators kitti --gt training/label_2 --pred results
  evaluators kitti --gt training/label_2 --pred results --split ImageSets/val.txt --json report.json
  evaluators kitti --gt training/label_2 --pred results --explain Car/3d/moderate
"""


# argparse has no public name for what add_subparsers returns.
_Protocols: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]


def add_parser(protocols: _Protocols) -> None:
    """Add the options of this protocol."""
    parser = protocols.add_parser(
        "kitti",
        help="KITTI object detection: 2D, orientation, bird's eye view, 3D",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--gt", required=True, type=Path, metavar="DIR", help="folder of label files (label_2)")
    add("--pred", required=True, type=Path, metavar="DIR", help="folder of detection files")
    add("--split", type=Path, metavar="FILE", help="frame names, one per line (default: all label files)")
    add(
        "--overlaps",
        nargs="+",
        metavar="TABLE",
        default=["strict", "loose"],
        choices=["strict", "loose", "strict-extended", "loose-extended"],
        help="tables to print, of strict, loose, strict-extended, loose-extended; strict is the official one"
        " (Car 0.7, Pedestrian and Cyclist 0.5), loose lowers bev and 3d to 0.5 / 0.25, extended adds Van,"
        " Person_sitting and Truck (default: strict loose)",
    )
    add(
        "--missing",
        default="error",
        choices=["error", "empty"],
        help="a frame without detection file: stop, or take it as empty and say so (default: error)",
    )
    add(
        "--on-invalid",
        default="error",
        choices=["error", "drop"],
        help="a row with a NaN or an impossible box: stop, or drop it and say so (default: error)",
    )
    add(
        "--aos",
        default="auto",
        choices=["auto", "always", "never"],
        help="score orientation; auto leaves it out if any detection has alpha -10 (default: auto)",
    )
    add("--explain", metavar="C/M/L", help="also print thresholds and counts behind one figure, first table")
    add("--json", type=Path, metavar="FILE", help="write everything, curves included, to this file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate and print.

    Raises:
        ValueError: Bad files or frames.
        OSError: Missing files or folders.
    """
    from tqdm import tqdm

    from evaluators.kitti.folders import collect_folders, read_frame_list

    if options.json is not None and not options.json.parent.is_dir():
        raise FileNotFoundError(f"--json: no folder {options.json.parent}; create it first")
    evaluator = collect_folders(
        options.gt,
        options.pred,
        frame_ids=None if options.split is None else read_frame_list(options.split),
        missing=options.missing,
        on_invalid=options.on_invalid,
        # disable=None: no bar when the output is not a terminal.
        progress=functools.partial(tqdm, desc="reading", unit=" frames", disable=None),
    )
    results = [evaluator.compute(overlaps=name, aos=options.aos) for name in options.overlaps]
    explanation = None if options.explain is None else _explain(results[0], options.explain)
    if options.json is not None:
        _write(options.json, results)
    print("\n\n".join(result.table() for result in results))  # noqa: T201 - a command line
    if explanation is not None:
        print(f"\n{explanation}")  # noqa: T201


def _explain(result: KittiResult, request: str) -> str:
    from evaluators.kitti.protocol import METRICS, Metric

    parts = request.split("/")
    metric: Metric | None = next((name for name in METRICS if name in parts[1:2]), None)
    if metric is None or len(parts) != 3:
        raise ValueError(
            f"--explain expects class/metric/level with metric {', '.join(METRICS)}, got {request!r};"
            " for example Car/3d/moderate"
        )
    return result.explain(parts[0], metric, parts[2])


def _write(path: Path, results: list[KittiResult]) -> None:
    from evaluators._report import write_json

    reports: dict[str, JsonValue] = {result.overlaps.name: result.to_json() for result in results}
    write_json(path, reports)
