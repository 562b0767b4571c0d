"""The files of weights: checkpoints of `sparse_beats_dense fit`, safetensors, the authors' `model.ckpt`."""

from __future__ import annotations

from datasets3d.depth import DepthReading
from fusion3d_appkit.weights import Kept, WeightFiles
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig
from fusion_models.sparse_beats_dense.weights import load_network

WEIGHTS = WeightFiles(
    app="sparse_beats_dense",
    model=Kept(SparseBeatsDenseConfig, option="model.network", entry="network_config"),
    inputs=Kept(DepthReading, option="data.reading", entry="depth_reading"),
    build=SparseBeatsDense,
    released="network",
    load_released=load_network,
)
