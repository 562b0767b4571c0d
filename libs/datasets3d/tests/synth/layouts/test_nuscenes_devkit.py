"""The official kit opens a synthetic tree; FUSION3D_NUSCENES_PYTHON names a Python that has it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets3d.synth import CameraConfig, NuscenesSynthConfig, write_nuscenes

WALK = Path(__file__).parents[5] / "benchmarks" / "nuscenes_devkit" / "walk_tree.py"


@pytest.mark.oracle
@pytest.mark.slow
def test_the_official_kit_walks_the_tree_and_lands_on_our_pixels(tmp_path):
    kit = os.environ.get("FUSION3D_NUSCENES_PYTHON")
    if not kit:
        pytest.skip("FUSION3D_NUSCENES_PYTHON is not set: no Python with nuscenes-devkit here")
    config = NuscenesSynthConfig(
        camera=CameraConfig(width=1600, height=900, shadows=False),
        cameras=("CAM_FRONT",),
        key_frames=2,
        lidar_sweeps=1,
        radar_sweeps=2,
    )
    tree = write_nuscenes(tmp_path / "tree", scenes=2, seed=0, config=config, workers=1, progress=False)
    command = [sys.executable, str(WALK), str(tree), "--kit-python", kit]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["key_frames"] == 4
    assert report["compared_points_in_picture"] > 5000
    assert report["largest_distance_px"] <= 0.5
    assert report["boxes"] > 20
    assert report["boxes_with_other_lidar_counts"] == 0
    assert report["files_in_chains"] == 2 * (2 * 7 + 1 + 2 * 5)
    assert report["radar_points_kept"] > 500
