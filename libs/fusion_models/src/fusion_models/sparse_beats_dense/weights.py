"""Weights of Sparse Beats Dense as its authors released them; ours carry the same names.

Weights of our own are written and read by `weights.save_weights` and `weights.load_weights`.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fusion_models.sparse_beats_dense.model import MASK, SparseBeatsDense
from fusion_models.weights import load_state


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the `network` of a released `model.ckpt`; only tensors and plain containers are unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, holds more than tensors and plain containers, or has no `network`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"read_checkpoint: no file {path}; expected the authors' model.ckpt")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"read_checkpoint: {path} is not a checkpoint of tensors and plain containers, or is damaged; "
            "fetch the authors' model.ckpt again, or use load_weights for safetensors of this package"
        ) from error
    network = checkpoint.get("network") if isinstance(checkpoint, Mapping) else None
    if not isinstance(network, Mapping):
        found = sorted(map(str, checkpoint))[:5] if isinstance(checkpoint, Mapping) else type(checkpoint)
        raise ValueError(
            f"read_checkpoint: {path} has no 'network' with the weights, found {found}; "
            "expected the authors' model.ckpt"
        )
    return dict(network)


def load_network(model: SparseBeatsDense, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Load a released state dict (see `read_checkpoint`) and return the names left out.

    Those of the mask decoders are left out of a model without; all others must agree.

    Raises:
        ValueError: An entry is missing, unknown or has another shape.
    """
    left_out: tuple[str, ...] = ()
    if not model.config.mask_decoder:
        left_out = tuple(name for name in state if f".{MASK}" in name)
    kept = {name: value for name, value in state.items() if name not in set(left_out)}
    load_state(model, kept, source="the released state dict")
    return left_out
