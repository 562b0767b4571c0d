"""Weights of Sparse Beats Dense as its authors released them: our names are theirs, so no table is needed."""

from collections.abc import Mapping

from torch import Tensor

from fusion_models.sparse_beats_dense.model import MASK, SparseBeatsDense
from fusion_models.weights import load_state

RELEASED_ENTRY = "network"
"""Entry of the released `model.ckpt` that holds the weights."""


def load_released(model: SparseBeatsDense, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Load a released state dict into a model and return the names left out.

    Those of the mask decoders are left out of a model without; all others must agree.

    Args:
        state: Entry `RELEASED_ENTRY` of a file that `fusion_models.weights.read_checkpoint` reads.

    Raises:
        ValueError: An entry is missing, unknown or has another shape.
    """
    left_out = () if model.config.mask_decoder else tuple(name for name in state if f".{MASK}" in name)
    kept = {name: value for name, value in state.items() if name not in set(left_out)}
    load_state(model, kept, source="the released state dict")
    return left_out
