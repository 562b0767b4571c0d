"""The golden depth cases, unpacked once, and seeded maps."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Maps = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def golden_depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one sub-folder per golden case: gt, pred, expected.json."""
    folder = tmp_path_factory.mktemp("golden_depth")
    with tarfile.open(Path(__file__).parents[1] / "golden" / "depth" / "cases.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def random_maps(seed: int, count: int, *, shape: tuple[int, int] = (9, 14)) -> tuple[Maps, Maps]:
    """Return sparse true depth (the second image has none) and noisy dense predictions, by name."""
    rng = np.random.default_rng(seed)
    gt: Maps = {}
    pred: Maps = {}
    for index in range(count):
        depth = rng.uniform(1, 100, shape)
        seen = rng.random(shape) < (0.0 if index == 1 else 0.4)
        gt[f"{index:03d}"] = np.where(seen, depth, 0.0)
        pred[f"{index:03d}"] = depth * rng.lognormal(0, 0.2, shape)
    return gt, pred


@pytest.fixture(scope="session")
def make_maps() -> Callable[..., tuple[Maps, Maps]]:
    """The builder of random maps: (seed, count, shape=(9, 14)) -> true depth, predictions."""
    return random_maps
