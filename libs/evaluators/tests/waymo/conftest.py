"""The golden Waymo cases, unpacked once."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from evaluators.waymo import WaymoGroundTruth, WaymoPredictions

Frames = tuple[dict[str, WaymoGroundTruth], dict[str, WaymoPredictions]]


@pytest.fixture(scope="session")
def golden_waymo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with <case>.npz and <case>.json."""
    folder = tmp_path_factory.mktemp("golden_waymo")
    with tarfile.open(Path(__file__).parents[1] / "golden" / "waymo" / "cases.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def load_frames(path: Path) -> Frames:
    """Return ground truth and detections by frame name."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    gt: dict[str, WaymoGroundTruth] = {}
    pred: dict[str, WaymoPredictions] = {}
    for frame in sorted(set(arrays["gt_frame"].tolist()) | set(arrays["det_frame"].tolist())):
        g, d = arrays["gt_frame"] == frame, arrays["det_frame"] == frame
        gt[f"{frame:03d}"] = WaymoGroundTruth(
            boxes=arrays["gt_boxes"][g], types=arrays["gt_types"][g], difficulty=arrays["gt_difficulty"][g]
        )
        pred[f"{frame:03d}"] = WaymoPredictions(
            boxes=arrays["det_boxes"][d],
            types=arrays["det_types"][d],
            scores=arrays["det_scores"][d],
            in_no_label_zone=arrays["det_zone"][d],
        )
    return gt, pred


@pytest.fixture(scope="session")
def crowded(golden_waymo: Path) -> Frames:
    """Frames in which detections compete for ground truth."""
    return load_frames(golden_waymo / "crowded.npz")


@pytest.fixture(scope="session")
def load() -> object:
    """The reader of golden cases: path -> ground truth, detections."""
    return load_frames
