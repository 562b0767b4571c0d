"""The golden cases, unpacked once, and random scans."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators.panoptic import PanopticLabels

Scan = tuple[PanopticLabels, PanopticLabels]


@pytest.fixture(scope="session")
def golden_panoptic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with semantickitti/<case>, nuscenes and script_panoptic_multi.json."""
    folder = tmp_path_factory.mktemp("golden_panoptic")
    with tarfile.open(Path(__file__).parents[1] / "golden" / "panoptic" / "cases.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def crowded_scan(rng: np.random.Generator, n_classes: int = 5) -> Scan:
    """Return ground truth and predictions of up to 80 points: split, merged, ignored and tiny segments."""
    n = int(rng.integers(0, 80))
    ids = np.array([0, 1, 2, 0xFFFF, 0xFFFFFFFF])
    at = np.sort(rng.integers(0, 12, n))
    semantic, instance = rng.integers(0, n_classes, 12)[at], ids[rng.integers(0, 5, 12)][at]
    # Predictions are the ground truth under other ids, with some runs of points changed.
    found_semantic, found_instance = semantic.copy(), (instance + 7) % 2**32
    for _ in range(int(rng.integers(0, 6))):
        run = slice(start := int(rng.integers(0, n + 1)), start + int(rng.integers(1, 15)))
        if rng.random() < 0.5:
            found_semantic[run] = rng.integers(0, n_classes)
        found_instance[run] = ids[rng.integers(0, 5)]
    return (
        PanopticLabels(semantic=semantic, instance=instance),
        PanopticLabels(semantic=found_semantic, instance=found_instance),
    )


@pytest.fixture(scope="session")
def make_scan() -> Callable[..., Scan]:
    """The builder of random scans: (rng, n_classes=5) -> ground truth, predictions."""
    return crowded_scan
