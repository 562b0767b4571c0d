"""`python -m datasets3d`: check data, prepare it for training, complete objects, make synthetic data."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

EXAMPLES = """examples:
  python -m datasets3d synth kitti --out data/synth --frames 200 --seed 0
  python -m datasets3d synth nuscenes --out data/nuscenes --scenes 4 --key-frames 20 --width 800
  python -m datasets3d synth semantickitti --out data/semantickitti --sequences 2 --scans 20 --seed 0
  python -m datasets3d check data/kitti
  python -m datasets3d prepare kitti --root data/kitti
  python -m datasets3d prepare nuscenes --root data/nuscenes --split train --out data/nuscenes/train.json
  python -m datasets3d prepare semantickitti --root data/semantickitti --split train
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
    check.add_argument(
        "root", type=Path, help="tree of KITTI (ImageSets/), nuScenes (v1.0-*/), SemanticKITTI (sequences/)"
    )
    check.add_argument("--split", help="one split only (default: all)")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.set_defaults(run=_check)

    prepare = commands.add_parser("prepare", help="write what training reads: databases, targets, records")
    kinds = prepare.add_subparsers(required=True, metavar="DATASET")
    _add_training_split(kinds.add_parser("kitti", help="a tree laid out as KITTI's"), _prepare_kitti)
    _add_prepare_nuscenes(kinds)
    _add_prepare_semantickitti(kinds)

    complete = commands.add_parser(
        "complete", help="write dense targets only, from scans of the split itself"
    )
    trees = complete.add_subparsers(required=True, metavar="DATASET")
    complete_kitti = trees.add_parser("kitti", help="a tree laid out as KITTI's")
    _add_training_split(complete_kitti, _complete_kitti)
    complete_kitti.add_argument(
        "--format",
        choices=("npy", "published"),
        default="npy",
        help="published: also write train_mirror_target/",
    )

    synth = commands.add_parser("synth", help="make a synthetic data set in an official layout")
    worlds = synth.add_subparsers(required=True, metavar="LAYOUT")
    synth_kitti = worlds.add_parser("kitti", help="streets in KITTI's layout")
    synth_kitti.add_argument("--frames", type=int, default=100, help="default: 100")
    _add_writing(synth_kitti, _synth_kitti)
    _add_synth_nuscenes(worlds)
    _add_synth_semantickitti(worlds)
    return parser


def _add_training_split(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument(
        "--split", default="train", help="objects, and donors of dense targets; default: train"
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="CLASS",
        help="with dense targets; default: Car, Pedestrian, Cyclist, and all that KITTI does not have",
    )
    parser.add_argument("--processes", type=int, default=1, help="for the dense targets; default: 1")
    parser.set_defaults(run=run)


def _add_writing(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--workers", type=int, help="processes; default: one per core")
    parser.set_defaults(run=run)


def _add_synth_nuscenes(worlds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = worlds.add_parser("nuscenes", help="drives in nuScenes' layout: six cameras, LiDAR, five radars")
    parser.add_argument("--scenes", type=int, default=4, help="every fourth is for validation; default: 4")
    parser.add_argument("--key-frames", type=int, default=40, help="per scene, at 2 Hz; default: 40")
    parser.add_argument("--sweeps", type=int, help="LiDAR and radar files between; default: 9 and 5")
    parser.add_argument("--width", type=int, default=1600, help="of the pictures, 16:9; default: 1600")
    parser.add_argument("--cameras", nargs="+", metavar="CHANNEL", help="default: all six")
    _add_writing(parser, _synth_nuscenes)


def _add_synth_semantickitti(worlds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = worlds.add_parser(
        "semantickitti",
        help="drives in SemanticKITTI's layout: a class and an instance for every LiDAR point",
        description="Write sequences/SS/{velodyne,labels,calib.txt,poses.txt,times.txt}. Scans follow each "
        "other at 10 Hz. A sequence is one street: many short ones hold more classes than few long ones.",
    )
    parser.add_argument(
        "--sequences",
        type=int,
        default=4,
        help="with labels, in the order 00, 08 (for validation), 01, 02 ...; at most 11; default: 4",
    )
    parser.add_argument("--scans", type=int, default=50, help="per sequence, at most 600; default: 50")
    parser.add_argument(
        "--test-sequences",
        type=int,
        default=0,
        help="11, 12, ..., without labels, which are in test_truth/ instead; default: 0",
    )
    parser.add_argument(
        "--azimuth-step",
        type=float,
        metavar="DEGREES",
        help="between shots of a beam; larger is faster and sparser; default: 0.1728, as KITTI's scanner",
    )
    _add_writing(parser, _synth_semantickitti)


def _add_prepare_nuscenes(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser("nuscenes", help="the records of a split, from the tables of nuScenes")
    parser.add_argument("--root", type=Path, required=True, help="folder with samples/, sweeps/, v1.0-*/")
    parser.add_argument("--version", default="v1.0-trainval", help="default: v1.0-trainval")
    parser.add_argument("--split", help="train, val, test, mini_*, of splits.json; default: all scenes")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument(
        "--channels", nargs="+", metavar="CHANNEL", help="default: CAM_FRONT LIDAR_TOP RADAR_FRONT"
    )
    parser.add_argument("--radar-sweeps", type=int, default=5, help="with the key frame's; default: 5")
    parser.add_argument(
        "--format",
        choices=("records", "published"),
        default="records",
        help="published: as JSON in the layout of nuscenes_radar_5sweeps_infos_*.pkl",
    )
    parser.set_defaults(run=_prepare_nuscenes)


def _add_prepare_semantickitti(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser("semantickitti", help="class counts, and objects to paste, of a split")
    parser.add_argument("--root", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--split", default="train", help="train, val or trainval; default: train")
    parser.add_argument("--out", type=Path, help="folder of the files; default: the root")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="to paste; default: things but cars")
    parser.add_argument("--min-points", type=int, default=20, help="of an object; default: 20")
    parser.add_argument("--max-objects", type=int, default=1000, help="of a class; default: 1000")
    parser.set_defaults(run=_prepare_semantickitti)


def _check(options: argparse.Namespace) -> int:
    from datasets3d.check import check

    report = check(options.root, split=options.split, progress=True)
    print(json.dumps(report.to_json()) if options.json else report.table())
    return 0 if report.ok else 1


def _prepare_kitti(options: argparse.Namespace) -> int:
    from datasets3d.prepare import prepare_kitti

    prepared = prepare_kitti(
        options.root, options.split, classes=options.classes, processes=options.processes
    )
    print(prepared.table())
    return 0


def _prepare_nuscenes(options: argparse.Namespace) -> int:
    from datasets3d.nuscenes import DEPTH_CHANNELS
    from datasets3d.prepare import prepare_nuscenes

    records = prepare_nuscenes(
        options.root,
        options.out,
        version=options.version,
        split=options.split,
        channels=options.channels or DEPTH_CHANNELS,
        radar_sweeps=options.radar_sweeps,
        layout=options.format,
    )
    print(f"{options.out}: {len(records)} key frames of {len({r.scene_token for r in records})} scenes")
    return 0


def _prepare_semantickitti(options: argparse.Namespace) -> int:
    from datasets3d.prepare import prepare_semantickitti
    from datasets3d.segmentation import InstanceCutter
    from datasets3d.semantickitti import SINGLE_SCAN

    cutter = InstanceCutter(
        SINGLE_SCAN,
        classes=options.classes,
        min_points=options.min_points,
        max_per_class=options.max_objects,
    )
    print(prepare_semantickitti(options.root, options.split, out=options.out, cutter=cutter).table())
    return 0


def _complete_kitti(options: argparse.Namespace) -> int:
    from datasets3d.prepare import complete_kitti, export_published

    folder, made = complete_kitti(
        options.root, split=options.split, classes=options.classes, processes=options.processes
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


def _synth_nuscenes(options: argparse.Namespace) -> int:
    from datasets3d.synth import CameraConfig, NuscenesSynthConfig, write_nuscenes

    config = NuscenesSynthConfig(
        camera=CameraConfig(width=options.width, height=round(options.width * 9 / 16)),
        key_frames=options.key_frames,
    )
    if options.sweeps is not None:
        config = replace(config, lidar_sweeps=options.sweeps, radar_sweeps=options.sweeps)
    if options.cameras:
        config = replace(config, cameras=tuple(options.cameras))
    write_nuscenes(
        options.out, scenes=options.scenes, seed=options.seed, config=config, workers=options.workers
    )
    scenes = f"{options.scenes} scene" + "s" * (options.scenes > 1)
    print(f"wrote {scenes} of {options.key_frames} key frames to {options.out}")
    return 0


def _synth_semantickitti(options: argparse.Namespace) -> int:
    from datasets3d.synth import LidarConfig, SemanticKittiSynthConfig, write_semantickitti

    config = SemanticKittiSynthConfig()
    if options.azimuth_step is not None:
        config = replace(config, lidar=LidarConfig(azimuth_step_deg=options.azimuth_step))
    write_semantickitti(
        options.out,
        sequences=options.sequences,
        scans_per_sequence=options.scans,
        seed=options.seed,
        config=config,
        test_sequences=options.test_sequences,
        workers=options.workers,
    )
    total = options.sequences + options.test_sequences
    sequences = f"{total} sequence" + "s" * (total > 1)
    print(f"wrote {sequences} of {options.scans} scans to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
