"""`imagepg demo`: from nothing to a report of a detector that learned, in minutes on two CPU cores."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusion3d_appkit.commands import config_file

if TYPE_CHECKING:
    from evaluators.kitti import KittiResult

FRAMES = 200
SEED = 0
RECORDED_FRAMES = 5


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="imagepg demo",
        description="Make a synthetic street data set, train on it, evaluate with the official protocol and "
        "write report.html. A second call reuses the data.",
    )
    options.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the run")
    options.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of the synthetic data")
    options.add_argument("--frames", type=int, default=FRAMES, help=f"frames to make (default {FRAMES})")
    options.add_argument("--rerun", action="store_true", help="also write 3D recordings (needs rerun-sdk)")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    chosen = parser().parse_args(arguments)
    started = time.perf_counter()
    make_data(chosen.data, frames=chosen.frames)
    made = time.perf_counter()

    from imagepg.page import record_frames, write_run_report
    from imagepg.train import build

    words = [
        f"--config={config_file(__file__, 'demo')}",
        f"--data.root={chosen.data}",
        f"--trainer.default_root_dir={chosen.out}",
    ]
    cli = build(words, subcommand=False)
    (chosen.out / "metrics.jsonl").unlink(missing_ok=True)
    cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    untrained = dict(cli.model.results)
    cli.trainer.fit(cli.model, cli.datamodule)
    trained = time.perf_counter()
    cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    results = dict(cli.model.results)
    write_run_report(chosen.out, cli.datamodule, cli.model, title="ImagePG demo", untrained=untrained)
    if chosen.rerun:
        source = cli.datamodule.source(cli.datamodule.val_split)
        record_frames(source, cli.model.detections_dir, folder=chosen.out, count=RECORDED_FRAMES)
    ended = time.perf_counter()
    sys.stdout.write(
        f"\n{result_table(results['loose'], untrained['loose'], cli.model.config.class_names)}\n"
        f"data {made - started:.0f} s, training {trained - made:.0f} s, "
        f"evaluation and report {ended - trained:.0f} s\n"
        f"report: {chosen.out / 'report.html'}\n"
    )
    return 0


def result_table(trained: KittiResult, untrained: KittiResult, classes: Sequence[str]) -> str:
    """Return the average precisions of every class as lines of text, the untrained model beside."""
    lines = [
        "3D AP_R40, moderate, on held-out frames (overlap 0.5 for cars, 0.25 for others)",
        f"{'':<12}{'trained':>10}{'untrained':>12}",
    ]
    for name in classes:
        values = [result.ap(name, "3d", "moderate", recall=40) for result in (trained, untrained)]
        cells = ["-" if value is None else f"{value:.2f}" for value in values]
        lines.append(f"{name:<12}{cells[0]:>10}{cells[1]:>12}")
    return "\n".join(lines)


def make_data(root: Path, *, frames: int) -> None:
    """Write the synthetic data set unless it is there already."""
    from datasets3d.synth import write_kitti

    if (root / "ImageSets").is_dir():
        sys.stdout.write(f"using the data in {root}\n")
        return
    write_kitti(root, frames=frames, seed=SEED)
