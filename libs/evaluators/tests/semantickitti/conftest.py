"""Shared by the SemanticKITTI tests: the golden cases, random scans, a data set of eleven small sequences."""

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from evaluators.semantickitti import MULTI_SCAN, SPLITS, LabelMap, write_label_file

Labels = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def golden_semantickitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one sub-folder per golden case: sequences, expected.json."""
    folder = tmp_path_factory.mktemp("golden_semantickitti")
    with tarfile.open(Path(__file__).parents[1] / "golden" / "semantickitti" / "cases.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def random_scans(seed: int, n_scans: int, label_map: LabelMap = MULTI_SCAN) -> tuple[Labels, Labels]:
    """Return ground truth with instances and noisy predictions, raw ids, both in short runs."""
    rng = np.random.default_rng(seed)
    raw = np.array([raw for raw, _ in label_map.raw_to_train], dtype=np.uint32)
    gt: Labels = {}
    pred: Labels = {}
    for index in range(n_scans):
        n = int(rng.integers(0, 400))
        lengths = rng.geometric(0.1, size=n + 1)
        true = np.repeat(rng.choice(raw, size=n + 1), lengths)[:n].astype(np.uint32)
        found = np.where(rng.random(n) < 0.2, rng.choice(raw, size=n), true).astype(np.uint32)
        gt[f"08/{index:06d}"] = true | rng.integers(0, 1 << 16, n, dtype=np.uint32) << 16
        pred[f"08/{index:06d}"] = found
    return gt, pred


@pytest.fixture(scope="session")
def make_scans() -> Callable[..., tuple[Labels, Labels]]:
    """The builder of random scans: (seed, n_scans, label_map) -> ground truth, predictions."""
    return random_scans


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Let wrong arrays through the annotations, down to the library's own checks, as in production."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A data set whose eleven test sequences have two scans of a few points."""
    root = tmp_path / "dataset"
    for sequence in SPLITS["test"]:
        folder = root / "sequences" / sequence / "velodyne"
        folder.mkdir(parents=True)
        for scan in range(2):
            (folder / f"{scan:06d}.bin").write_bytes(bytes(16 * (3 + scan)))
    return root


@pytest.fixture
def predictions(tmp_path: Path, dataset: Path) -> Path:
    """Predictions for that data set, all of them road."""
    root = tmp_path / "predictions"
    for path in sorted(dataset.glob("sequences/*/velodyne/*.bin")):
        labels = np.full(path.stat().st_size // 16, 40, dtype=np.uint32)
        write_label_file(root / "sequences" / path.parts[-3] / "predictions" / f"{path.stem}.label", labels)
    return root
