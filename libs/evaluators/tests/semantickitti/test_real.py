"""A real scan: the figures that are known about it."""

import os
from pathlib import Path

import numpy as np
import pytest
from evaluators.semantickitti import (
    RANGES_M,
    SINGLE_SCAN,
    SemanticKittiEvaluator,
    frame_path,
    read_label_file,
    read_points,
)

pytestmark = pytest.mark.real_data

RAW_IDS = [0, 1, 10, 11, 30, 40, 44, 48, 50, 51, 52, 70, 71, 72, 80, 81, 99, 252, 254]
POINTS = {70: 24514, 72: 30925, 48: 30092, 40: 20975, 252: 990, 10: 544}


@pytest.fixture(scope="module")
def root() -> Path:
    folder = os.environ.get("FUSION3D_REAL_DATA")
    if not folder:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real scans here")
    return Path(folder) / "semantickitti"


def test_labels_hold_the_recorded_figures(root: Path) -> None:
    labels = read_label_file(frame_path(root, "08/000000", "labels"))
    ids, counts = np.unique(labels & 0xFFFF, return_counts=True)
    assert len(labels) == 123389
    assert ids.tolist() == RAW_IDS
    found = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    assert {raw: found[raw] for raw in POINTS} == POINTS
    instances = np.unique(labels >> 16)
    assert len(instances) == 12
    assert instances.max() > 190


def test_the_scan_against_itself_is_perfect_in_every_bin(root: Path) -> None:
    labels = read_label_file(frame_path(root, "08/000000", "labels"))
    points = read_points(frame_path(root, "08/000000", "velodyne"))
    evaluator = SemanticKittiEvaluator(ranges_m=RANGES_M)
    evaluator.update("08/000000", labels, labels, points)
    result = evaluator.compute(protocol="mmdet3d")
    assert result.scores.miou == 1.0
    assert result.scores.tp[SINGLE_SCAN.classes.index("car")] == 990 + 544
    distance = np.linalg.norm(points[:, :3], 2, axis=1)
    inside = [int(((distance > near) & (distance < far)).sum()) for near, far in RANGES_M]
    assert [int(matrix.sum()) for matrix in result.range_confusions] == inside
