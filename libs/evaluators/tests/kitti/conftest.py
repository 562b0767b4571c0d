"""Seeded frames for the KITTI tests."""

from collections.abc import Callable

import numpy as np
import pytest
from evaluators.kitti import KittiObjects

Frames = dict[str, KittiObjects]
CLASSES = ("Car", "Van", "Pedestrian", "Person_sitting", "Cyclist", "DontCare")


def crowded_frames(seed: int, count: int, *, score_levels: int = 0) -> tuple[Frames, Frames]:
    """Return ground truth and detections that overlap often; scores are unique if `score_levels` is 0."""
    rng = np.random.default_rng(seed)
    gt: Frames = {}
    pred: Frames = {}
    scores = rng.permutation(count * 12) / (count * 12)
    for index in range(count):
        n_gt, n_pred = int(rng.integers(0, 8)), int(rng.integers(0, 12))
        objects = _objects(rng, n_gt)
        # Detections are noisy copies of ground truth, or false alarms where there is none.
        copies = objects.select(np.arange(n_gt) < 0) if n_gt == 0 else objects
        rows = rng.integers(0, n_gt, n_pred) if n_gt else np.zeros(0, dtype=int)
        alarms = _objects(rng, n_pred - len(rows))
        noise = rng.normal(0, 0.05, (len(rows), 3))
        score = scores[index * 12 : index * 12 + n_pred]
        pred[f"{index:06d}"] = KittiObjects.predictions(
            [copies.names[row] for row in rows] + list(alarms.names),
            alpha=np.concatenate([copies.alpha[rows] + noise[:, 0], alarms.alpha]),
            bbox=np.concatenate([copies.bbox[rows] + rng.uniform(-2, 2, (len(rows), 1)), alarms.bbox]),
            size_hwl=np.concatenate([copies.size_hwl[rows], alarms.size_hwl]),
            location=np.concatenate([copies.location[rows] + noise, alarms.location]),
            rotation_y=np.concatenate([copies.rotation_y[rows] + noise[:, 0], alarms.rotation_y]),
            score=np.round(score * score_levels) / score_levels if score_levels else score,
        )
        gt[f"{index:06d}"] = objects
    return gt, pred


def _objects(rng: np.random.Generator, count: int) -> KittiObjects:
    corner = rng.uniform(0, 150, (count, 2))
    return KittiObjects(
        names=tuple(rng.choice(CLASSES, size=count, p=[0.4, 0.1, 0.2, 0.1, 0.15, 0.05]).tolist()),
        truncated=rng.choice([0.0, 0.15, 0.2, 0.5, 0.6], size=count),
        occluded=rng.integers(-1, 4, count),
        alpha=rng.uniform(-3, 3, count),
        bbox=np.concatenate([corner, corner + rng.uniform(20, 90, (count, 2))], axis=1),
        size_hwl=rng.uniform(1, 4, (count, 3)),
        location=rng.uniform([-4, 1, 8], [4, 2, 16], (count, 3)),
        rotation_y=rng.uniform(-3, 3, count),
    )


@pytest.fixture(scope="session")
def make_frames() -> Callable[..., tuple[Frames, Frames]]:
    """The builder of crowded frames: (seed, count, score_levels=0) -> ground truth, detections."""
    return crowded_frames


@pytest.fixture
def car() -> KittiObjects:
    """One easy car, usable as ground truth and as its own detection."""
    return KittiObjects.predictions(
        ["Car"],
        alpha=[0.1],
        bbox=[[100, 100, 200, 160]],
        size_hwl=[[1.5, 1.6, 4.0]],
        location=[[1.0, 1.6, 20.0]],
        rotation_y=[0.3],
        score=[0.9],
    )
