"""The golden cases and seeded scenes for the indoor tests."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators.indoor import ClassTable, IndoorBoxes

Scenes = dict[str, IndoorBoxes]
CLASSES = ClassTable.with_small("three", ("cabinet", "bed", "cup"), small=("cup",))


@pytest.fixture(scope="session")
def golden_indoor() -> dict[str, dict[str, Any]]:
    """The golden cases by name."""
    archive_path = Path(__file__).parents[1] / "golden" / "indoor" / "cases.tar.xz"
    cases: dict[str, dict[str, Any]] = {}
    with tarfile.open(archive_path) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            cases[Path(member.name).stem] = json.load(file)
    return cases


def crowded_scenes(seed: int, count: int, *, score_levels: int = 0) -> tuple[Scenes, Scenes]:
    """Return ground truth and predictions that overlap often; scores are unique if `score_levels` is 0."""
    rng = np.random.default_rng(seed)
    gt: Scenes = {}
    pred: Scenes = {}
    scores = rng.permutation(count * 16) / (count * 16)
    for index in range(count):
        n_gt, n_pred = int(rng.integers(0, 7)), int(rng.integers(0, 16))
        objects = random_boxes(rng, n_gt)
        labels = rng.integers(0, 3, n_gt)
        rows = rng.integers(0, n_gt, n_pred) if n_gt else np.zeros(0, dtype=int)
        copies = objects[rows] + rng.normal(0, 0.12, (len(rows), 7)) * [1, 1, 1, 0, 0, 0, 1]
        boxes = np.concatenate([copies, random_boxes(rng, n_pred - len(rows))])
        found = np.concatenate([labels[rows], rng.integers(0, 3, n_pred - len(rows))])
        score = scores[index * 16 : index * 16 + n_pred]
        name = f"scene{index:04d}_00"
        gt[name] = IndoorBoxes(objects, labels)
        score = np.round(score * score_levels) / score_levels if score_levels else score
        pred[name] = IndoorBoxes(boxes, found, score)
    return gt, pred


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return boxes [n, 7] of about a metre in a room of three."""
    return np.concatenate(
        [rng.uniform(0, 3, (count, 3)), rng.uniform(0.5, 2, (count, 3)), rng.uniform(-3, 3, (count, 1))],
        axis=1,
    )


@pytest.fixture(scope="session")
def make_scenes() -> Callable[..., tuple[Scenes, Scenes]]:
    """The builder of crowded scenes: (seed, count, score_levels=0) -> ground truth, predictions."""
    return crowded_scenes


@pytest.fixture(scope="session")
def three() -> ClassTable:
    """The class table of the crowded scenes."""
    return CLASSES
