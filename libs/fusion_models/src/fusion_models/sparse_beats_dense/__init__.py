"""Sparse Beats Dense (arXiv 2312.00844): dense depth from a camera image and radar."""

from fusion_models.sparse_beats_dense.batch import DepthBatch, collate_depth
from fusion_models.sparse_beats_dense.inference import DepthPredictor
from fusion_models.sparse_beats_dense.losses import DepthLosses, depth_completion_loss
from fusion_models.sparse_beats_dense.model import DepthOutputs, SparseBeatsDense, SparseBeatsDenseConfig
from fusion_models.sparse_beats_dense.weights import RELEASED_ENTRY, load_released

__all__ = [
    "RELEASED_ENTRY",
    "DepthBatch",
    "DepthLosses",
    "DepthOutputs",
    "DepthPredictor",
    "SparseBeatsDense",
    "SparseBeatsDenseConfig",
    "collate_depth",
    "depth_completion_loss",
    "load_released",
]
