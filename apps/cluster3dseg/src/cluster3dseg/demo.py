"""`cluster3dseg demo`: from nothing to a report of a network that learned, in minutes on two cores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fusion3d_appkit.demo import Demo

if TYPE_CHECKING:
    from fusion3d_appkit.report import Others

    from cluster3dseg.data import SegmentationData

SEQUENCES = 11
SCANS = 8
AZIMUTH_STEP_DEG = 0.5
SEED = 0


class Cluster3DSegDemo(Demo):
    """The network of `configs/demo.yaml` on synthetic streets, beside itself untrained and a histogram."""

    app = "cluster3dseg"
    folder = "cluster3dseg_demo"
    result = "points"
    beside_untrained = True

    def add_options(self, options: argparse.ArgumentParser) -> None:
        """Add the number of sequences."""
        options.add_argument(
            "--sequences",
            type=int,
            default=SEQUENCES,
            help=f"drives to make, the ninth to evaluate (default {SEQUENCES})",
        )

    def make_data(self, root: Path, chosen: argparse.Namespace) -> None:
        """Write a SemanticKITTI tree of synthetic streets."""
        from datasets3d.synth import LidarConfig, SemanticKittiSynthConfig, write_semantickitti

        config = SemanticKittiSynthConfig(lidar=LidarConfig(azimuth_step_deg=AZIMUTH_STEP_DEG))
        write_semantickitti(
            root, sequences=chosen.sequences, scans_per_sequence=SCANS, seed=SEED, config=config
        )

    def others(self, data: SegmentationData) -> Others:
        """Return the baseline."""
        from cluster3dseg.baselines import baselines

        return {name: {"points": result} for name, result in baselines(data).items()}


DEMO = Cluster3DSegDemo()
