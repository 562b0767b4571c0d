from pathlib import Path

import pytest
from datasets3d.synth import CameraConfig, LidarConfig, SynthConfig, write_kitti
from fusion3d_appkit.testing import AppUnderTest, tested, trained  # noqa: F401  (fixtures)
from imagepg.__main__ import PROGRAM
from imagepg.demo import DEMO
from imagepg.train import APP

SCAN = "--points a.bin --calib a.txt"


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


@pytest.fixture(scope="session")
def under_test(street) -> AppUnderTest:
    return AppUnderTest(
        program=PROGRAM,
        app=APP,
        demo=DEMO,
        tests=Path(__file__).parent,
        root=street,
        sensors=("training/image_2", "training/velodyne", "training/calib"),
        early={
            f"predict --ckpt w.ckpt --rerun {SCAN}": "recordings need rerun-sdk: pip install",
            "demo --rerun": "recordings need rerun-sdk: pip install",
            f"predict --ckpt v.ckpt {SCAN}": "weights v.ckpt: no such file; beside it are w.ckpt",
            f"predict --ckpt w.safetensors {SCAN}": "safetensors hold no configuration",
            f"predict --ckpt w.ckpt --config a.yaml {SCAN}": "configuration a.yaml: no such file",
            f"predict --ckpt w.ckpt {SCAN}": "--points a.bin: no such file",
            "predict --ckpt w.ckpt --points w.safetensors --calib a.txt": "w.safetensors: expected .bin",
        },
        misspelt={
            "--data.batch_sise=3": "data.batch_size",
            "--model.detector.voxles.size=[1,1,1]": "model.detector.voxels.size",
            "--trainer.precison=32": "trainer.precision",
        },
        wider="--model.detector.bev.channels=[16, 24]",
        chapters=(
            "Pictures",
            "Generated points",
            "Where the image is read",
            "Occupancy from above",
            "Boxes after every stage",
        ),
        frames_evaluated=lambda results: results["strict"]["counts"]["n_frames"],
    )


@pytest.fixture
def words(under_test, tmp_path) -> list[str]:
    """The arguments of a tiny run in `tmp_path / "run"`."""
    return under_test.words(tmp_path / "run")
