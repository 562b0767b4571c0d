"""`imagepg demo`: from nothing to a report of a detector that learned, in minutes on two CPU cores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fusion3d_appkit.demo import Demo

if TYPE_CHECKING:
    from imagepg.task import DetectionTask

FRAMES = 200
SEED = 0
RECORDED_FRAMES = 5


class ImagePGDemo(Demo):
    """The detector of `configs/demo.yaml` on synthetic streets, beside itself before the training."""

    app = "imagepg"
    folder = "demo"
    result = "loose"
    beside_untrained = True

    def add_options(self, options: argparse.ArgumentParser) -> None:
        """Add the number of frames, and recordings."""
        options.add_argument("--frames", type=int, default=FRAMES, help=f"frames to make (default {FRAMES})")
        options.add_argument(
            "--rerun", action="store_true", help="also write 3D recordings (needs rerun-sdk)"
        )

    def check(self, chosen: argparse.Namespace) -> None:
        """Refuse recordings that cannot be written."""
        if chosen.rerun:
            from fusion3d_appkit.recording import require_recorder

            require_recorder()

    def make_data(self, root: Path, chosen: argparse.Namespace) -> None:
        """Write a KITTI tree of synthetic streets."""
        from datasets3d.synth import write_kitti

        write_kitti(root, frames=chosen.frames, seed=SEED)

    def finish(self, task: DetectionTask, chosen: argparse.Namespace) -> None:
        """Write the recordings."""
        from imagepg.page import record_frames

        if chosen.rerun:
            source = task.data.source(task.data.val_split)
            record_frames(
                source,
                task.predictions_dir,
                folder=chosen.out,
                count=RECORDED_FRAMES,
                classes=task.config.class_names,
            )


DEMO = ImagePGDemo()
