"""`sparse_beats_dense demo`: from nothing to a report of a model that learned, in minutes on two cores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fusion3d_appkit.demo import Demo

if TYPE_CHECKING:
    from fusion3d_appkit.report import Others

    from sparse_beats_dense.data import DepthData

SCENES = 32
KEY_FRAMES = 8
SIZE_WH = (448, 252)
SEED = 0


class SparseBeatsDenseDemo(Demo):
    """The model of `configs/demo.yaml` on a small nuScenes tree, beside what costs nothing."""

    app = "sparse_beats_dense"
    folder = "sparse_beats_dense_demo"
    result = "lidar"

    def add_options(self, options: argparse.ArgumentParser) -> None:
        """Add the number of scenes."""
        options.add_argument("--scenes", type=int, default=SCENES, help=f"scenes to make (default {SCENES})")

    def make_data(self, root: Path, chosen: argparse.Namespace) -> None:
        """Write a nuScenes tree of synthetic streets."""
        from datasets3d.synth import CameraConfig, NuscenesSynthConfig, write_nuscenes

        config = NuscenesSynthConfig(
            camera=CameraConfig(width=SIZE_WH[0], height=SIZE_WH[1]),
            cameras=("CAM_FRONT",),
            key_frames=KEY_FRAMES,
            lidar_sweeps=0,
            radar_sweeps=0,
        )
        write_nuscenes(root, scenes=chosen.scenes, seed=SEED, config=config)

    def others(self, data: DepthData) -> Others:
        """Return the baselines on the frames of the LiDAR sweep."""
        from sparse_beats_dense.baselines import baselines

        return {name: {"lidar": result} for name, result in baselines(data).items()}


DEMO = SparseBeatsDenseDemo()
