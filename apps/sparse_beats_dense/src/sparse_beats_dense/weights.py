"""The files of weights: checkpoints of `sparse_beats_dense fit`, safetensors, the authors' `model.ckpt`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from datasets3d.depth import DepthReading
from fusion3d_appkit.weights import Part, WeightFiles
from fusion_models.sparse_beats_dense import (
    RELEASED_ENTRY,
    SparseBeatsDense,
    SparseBeatsDenseConfig,
    load_released,
)

WEIGHTS = WeightFiles(
    app="sparse_beats_dense", prefix="network.", released=RELEASED_ENTRY, load_released=load_released
)
PARTS = {
    "network": Part(SparseBeatsDenseConfig, entry="network_config", option="model.network"),
    "reading": Part(DepthReading, entry="depth_reading", option="data.reading"),
}


class LoadedNetwork(NamedTuple):
    """A model in eval mode, and what its samples are made from."""

    network: SparseBeatsDense
    reading: DepthReading


def load_network_file(path: Path, *, config: Path | None = None) -> LoadedNetwork:
    """Rebuild the model of a checkpoint and load its weights, on the CPU.

    Args:
        path: A checkpoint of `sparse_beats_dense fit`, which holds its configuration; the authors'
            checkpoint, which stands for the published one; or safetensors, which need `config`.
        config: YAML of a run or of `configs/`, taken instead.

    Raises:
        FileNotFoundError, ValueError: See `fusion3d_appkit.weights.WeightFiles`.
    """
    found = WEIGHTS.configuration(path, PARTS, config=config)
    network = SparseBeatsDense(found.network)
    WEIGHTS.load(network, path)
    return LoadedNetwork(network.eval(), found.reading)
