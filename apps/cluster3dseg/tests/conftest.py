from pathlib import Path

import pytest
from cluster3dseg.__main__ import PROGRAM
from cluster3dseg.demo import DEMO
from cluster3dseg.train import APP
from datasets3d.synth import LidarConfig, SemanticKittiSynthConfig, write_semantickitti
from fusion3d_appkit.testing import AppUnderTest, tested, trained  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def streets(tmp_path_factory) -> Path:
    """Coarse scans of two drives: four to train on, two to evaluate."""
    root = tmp_path_factory.mktemp("streets") / "semantickitti"
    config = SemanticKittiSynthConfig(lidar=LidarConfig(azimuth_step_deg=2.0))
    write_semantickitti(
        root, sequences=2, scans_per_sequence=4, seed=0, config=config, workers=1, progress=False
    )
    for path in (root / "sequences/08").rglob("00000[23].*"):
        path.unlink()
    return root


@pytest.fixture(scope="session")
def under_test(streets) -> AppUnderTest:
    return AppUnderTest(
        program=PROGRAM,
        app=APP,
        demo=DEMO,
        tests=Path(__file__).parent,
        root=streets,
        sensors=("sequences/00/velodyne", "sequences/08/velodyne"),
        early={
            "predict --ckpt v.ckpt --scans a.bin": "weights v.ckpt: no such file; beside it are w.ckpt",
            "predict --ckpt w.safetensors --scans a.bin": "safetensors hold no configuration",
            "predict --ckpt w.ckpt --scans a.bin": "--scans a.bin: no such file",
            "submit --ckpt w.ckpt --root .": "holds no sequences/",
            "submit --ckpt w.ckpt --root . --out a.tar": "expected a name that ends in .zip",
        },
        misspelt={
            "--data.batch_sise=3": "data.batch_size",
            "--model.network.steem=8": "model.network.stem",
            "--trainer.precison=32": "trainer.precision",
        },
        wider="--model.network.stem=8",
        chapters=("Scans",),
        frames_evaluated=lambda results: results["points"]["counts"]["n_frames"],
    )
