"""A tiny tree in the official layout: a table with a cup on it, a thing without a class, and the floor."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets3d._ply import write_ply

ALIGNMENT = np.array([[0, 1, 0, 2.0], [-1, 0, 0, 3.0], [0, 0, 1, 0.5], [0, 0, 0, 1]])


@pytest.fixture
def tree(tmp_path) -> Path:
    """One labelled scan in train, the same without labels in test."""
    xyz = np.array(
        [
            [0, 0, 0.7],
            [1, 2, 0.7],
            [0.5, 1, 0],
            [0.4, 1, 0.7],
            [0.5, 1.1, 0.8],
            [5, 5, 0],
            [6, 6, 0],
            [9, 9, 9],
        ],
        np.float32,
    )
    colors = np.arange(24, dtype=np.uint8).reshape(8, 3)
    segments = [7, 7, 9, 4, 4, 1, 1, 2]
    groups = [
        {"id": 0, "objectId": 0, "label": "coffee table", "segments": [7, 9]},
        {"id": 1, "objectId": 1, "label": "mug", "segments": [4]},
        {"id": 2, "objectId": 2, "label": "object", "segments": [2]},
    ]
    for name in ("scene0000_00", "scene0001_00"):
        folder = tmp_path / "scans" / name
        folder.mkdir(parents=True)
        write_ply(folder / f"{name}_vh_clean_2.ply", xyz, colours_rgb=colors)
        text = "axisAlignment = " + " ".join(f"{value:f}" for value in ALIGNMENT.flat)
        (folder / f"{name}.txt").write_text(f"{text}\nnumDepthFrames = 5\n")
    labelled = tmp_path / "scans/scene0000_00/scene0000_00"
    Path(f"{labelled}_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"segIndices": segments}))
    Path(f"{labelled}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    (tmp_path / "meta_data").mkdir()
    (tmp_path / "meta_data/scannetv2_train.txt").write_text("scene0000_00\n")
    (tmp_path / "meta_data/scannetv2_test.txt").write_text("scene0001_00\n")
    return tmp_path
