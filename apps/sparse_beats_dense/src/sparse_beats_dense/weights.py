"""The files of weights: checkpoints of `sparse_beats_dense fit`, safetensors, the authors' `model.ckpt`."""

from __future__ import annotations

from datasets3d.depth import DepthReading
from fusion3d_appkit.weights import Kept, WeightFiles
from fusion_models.sparse_beats_dense import (
    RELEASED_ENTRY,
    SparseBeatsDense,
    SparseBeatsDenseConfig,
    load_released,
)

WEIGHTS = WeightFiles(
    app="sparse_beats_dense",
    model=Kept(SparseBeatsDenseConfig, option="model.network", entry="network_config"),
    inputs=Kept(DepthReading, option="data.reading", entry="depth_reading"),
    build=SparseBeatsDense,
    released=RELEASED_ENTRY,
    load_released=load_released,
)
