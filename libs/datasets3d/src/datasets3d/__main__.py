"""`python -m datasets3d`: check data, prepare it for training, complete objects, make synthetic data."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """examples:
  python -m datasets3d synth kitti --out data/synth --frames 200 --seed 0
  python -m datasets3d check data/kitti
  python -m datasets3d prepare kitti --root data/kitti
  python -m datasets3d complete kitti --root data/kitti --processes 8"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 if `check` found something wrong, or 2 after an error."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m datasets3d",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="say what is off in a data set and how to fix it")
    check.add_argument("root", type=Path, help="folder with ImageSets/, training/, testing/")
    check.add_argument("--split", help="one split only (default: all)")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.set_defaults(run=_check)

    prepare = commands.add_parser("prepare", help="write infos, object database and dense targets")
    kinds = prepare.add_subparsers(required=True, metavar="DATASET")
    prepare_kitti = kinds.add_parser("kitti", help="a tree laid out as KITTI's")
    prepare_kitti.add_argument("--root", type=Path, required=True)
    prepare_kitti.add_argument("--split", default="train", help="default: train")
    prepare_kitti.add_argument("--processes", type=int, default=1, help="for the dense targets; default: 1")
    prepare_kitti.set_defaults(run=_prepare_kitti)

    complete = commands.add_parser(
        "complete", help="write dense targets only, from scans of the split itself"
    )
    trees = complete.add_subparsers(required=True, metavar="DATASET")
    complete_kitti = trees.add_parser("kitti", help="a tree laid out as KITTI's")
    complete_kitti.add_argument("--root", type=Path, required=True)
    complete_kitti.add_argument("--split", default="train", help="objects and donors; default: train")
    complete_kitti.add_argument("--classes", nargs="+", metavar="CLASS", help="default: all published ones")
    complete_kitti.add_argument("--processes", type=int, default=1, help="default: 1")
    complete_kitti.add_argument(
        "--format",
        choices=("npy", "published"),
        default="npy",
        help="published: also write train_mirror_target/",
    )
    complete_kitti.set_defaults(run=_complete_kitti)

    synth = commands.add_parser("synth", help="make a synthetic data set in an official layout")
    worlds = synth.add_subparsers(required=True, metavar="LAYOUT")
    synth_kitti = worlds.add_parser("kitti", help="streets in KITTI's layout")
    synth_kitti.add_argument("--out", type=Path, required=True)
    synth_kitti.add_argument("--frames", type=int, default=100, help="default: 100")
    synth_kitti.add_argument("--seed", type=int, default=0, help="default: 0")
    synth_kitti.add_argument("--workers", type=int, help="processes; default: one per core")
    synth_kitti.set_defaults(run=_synth_kitti)
    return parser


def _check(options: argparse.Namespace) -> int:
    from datasets3d.check import check_kitti

    report = check_kitti(options.root, split=options.split, progress=True)
    print(json.dumps(report.to_json()) if options.json else report.table())
    return 0 if report.ok else 1


def _prepare_kitti(options: argparse.Namespace) -> int:
    from datasets3d.prepare import prepare_kitti

    print(prepare_kitti(options.root, options.split, processes=options.processes).table())
    return 0


def _complete_kitti(options: argparse.Namespace) -> int:
    from datasets3d.completion import COMPLETION_BY_CLASS, complete_kitti, export_published

    classes = options.classes or tuple(COMPLETION_BY_CLASS)
    folder, made = complete_kitti(
        options.root, split=options.split, classes=classes, processes=options.processes
    )
    print(f"{folder}: " + (f"{made} dense targets" if made else "dense targets kept as they were"))
    if options.format == "published":
        print("\n".join(str(written) for written in export_published(options.root)))
    return 0


def _synth_kitti(options: argparse.Namespace) -> int:
    from datasets3d.synth import write_kitti

    write_kitti(options.out, frames=options.frames, seed=options.seed, workers=options.workers)
    print(f"wrote {options.frames} frames to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
