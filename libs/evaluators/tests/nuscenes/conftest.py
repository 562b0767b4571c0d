"""The golden cases, unpacked once, and seeded samples."""

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from evaluators.nuscenes import DETECTION_CVPR_2019, NuscenesBoxes, NuscenesSample, rotation_from_yaw

Samples = tuple[dict[str, NuscenesSample], dict[str, NuscenesBoxes]]
GOLDEN = Path(__file__).parents[1] / "golden" / "nuscenes" / "cases.tar.xz"


@pytest.fixture(scope="session")
def golden_nuscenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one sub-folder per golden case: v1.0-mini, results.json, expected.json."""
    folder = tmp_path_factory.mktemp("golden_nuscenes")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def dataroot(golden_nuscenes: Path, tmp_path: Path) -> Path:
    """A copy of one case, to be broken."""
    return Path(shutil.copytree(golden_nuscenes / "nothing_in_range", tmp_path / "data"))


def crowded_samples(seed: int, count: int, *, score_levels: int = 0) -> Samples:
    """Return samples that are full of near misses; scores are unique if `score_levels` is 0."""
    rng = np.random.default_rng(seed)
    gt: dict[str, NuscenesSample] = {}
    pred: dict[str, NuscenesBoxes] = {}
    scores = rng.permutation(np.arange(1, count * 20 + 1)) / (count * 20)
    for at in range(count):
        n_gt, n_pred = int(rng.integers(0, 12)), int(rng.integers(0, 20))
        ego = np.array([*rng.uniform(-100, 100, 2), 0.0])
        rack = np.array(
            [[*(ego + rng.uniform(-5, 5, 3)), 8, 4, 6, *rotation_from_yaw([rng.uniform(0, 3)])[0]]]
        )
        columns = _columns(rng, n_gt, ego)
        velocity = columns.pop("velocity")
        velocity[rng.random(n_gt) < 0.2] = np.nan
        points = rng.integers(0, 5, n_gt)
        boxes = NuscenesBoxes.ground_truth(velocity=velocity, num_pts=points, **columns)
        gt[f"{at:04d}"] = NuscenesSample(boxes=boxes, ego_translation=ego, racks=rack)
        score = scores[at * 20 : at * 20 + n_pred]
        score = np.round(score * score_levels) / score_levels if score_levels else score
        pred[f"{at:04d}"] = NuscenesBoxes.predictions(score=score, **_columns(rng, n_pred, ego))
    return gt, pred


def _columns(rng: np.random.Generator, count: int, ego: np.ndarray) -> dict[str, object]:
    names = rng.choice(["car", "bicycle", "barrier", "pedestrian"], count).tolist()
    allowed = {rule.name: ("", *rule.attributes) for rule in DETECTION_CVPR_2019.classes}
    centre = ego + np.column_stack([rng.uniform(-4, 4, (count, 2)), rng.normal(0, 1, count)])
    centre[rng.random(count) < 0.1] += 45.0
    return {
        "names": names,
        "translation": centre,
        "size_wlh": rng.uniform(0.5, 4, (count, 3)),
        "rotation": rotation_from_yaw(rng.uniform(-3, 3, count)),
        "velocity": rng.normal(0, 2, (count, 2)),
        "attributes": [str(rng.choice(allowed[name])) for name in names],
    }


@pytest.fixture(scope="session")
def make_samples() -> Callable[..., Samples]:
    """The builder of crowded samples: (seed, count, score_levels=0) -> ground truth, detections."""
    return crowded_samples


@pytest.fixture
def parked() -> NuscenesBoxes:
    """One car ten metres ahead, usable as ground truth and as its own detection."""
    return NuscenesBoxes.predictions(
        ["car"],
        translation=[[10.0, 0.0, 1.0]],
        size_wlh=[[1.9, 4.5, 1.6]],
        rotation=rotation_from_yaw([0.1]),
        velocity=[[0.0, 0.0]],
        score=[0.8],
        attributes=["vehicle.parked"],
    )


@pytest.fixture(scope="session")
def real_nuscenes() -> Path:
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real tables here")
    return Path(root) / "nuscenes"


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Let wrong arrays through the annotations, down to the library's own checks, as in production."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
