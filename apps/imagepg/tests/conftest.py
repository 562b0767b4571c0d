import pickle
from pathlib import Path

import pytest
from datasets3d.synth import CameraConfig, LidarConfig, SynthConfig, write_kitti

TINY = Path(__file__).with_name("tiny.yaml")


@pytest.fixture(scope="session")
def street(tmp_path_factory) -> Path:
    """Six small synthetic frames: four to train on, two to evaluate."""
    root = tmp_path_factory.mktemp("street") / "kitti"
    config = SynthConfig(
        camera=CameraConfig(width=414, height=125, shadows=False),
        lidar=LidarConfig(azimuth_step_deg=0.7),
        val_share=0.34,
    )
    return write_kitti(root, frames=6, seed=3, config=config, workers=1, progress=False)


@pytest.fixture
def words(street, tmp_path) -> list[str]:
    """The arguments of a tiny run in `tmp_path / "run"`."""
    return [f"--config={TINY}", f"--data.root={street}", f"--trainer.default_root_dir={tmp_path / 'run'}"]


class Payload:
    """Something that would run code if it were unpickled."""

    def __reduce__(self):
        return (pickle.loads, (b"",))
