"""Weights on disk: safetensors of our own, and checkpoints of whoever wrote them.

Nothing here knows a system. What the authors of a system released is read by `read_checkpoint`, its names are
turned into ours by `renamed` with the table of that system (`imagepg/weights.py`), and `load_state` puts the
result into the model.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Renaming = tuple[str, str | Callable[[re.Match[str]], str]]
"""A regular expression and what takes the place of every match, as `re.sub` has it."""

_SUFFIXES = (".ckpt", ".pth", ".pt", ".safetensors")


def save_weights(model: nn.Module, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write the state dict of a model as safetensors, under a temporary name first.

    Args:
        metadata: What else the file is to say, by name; `read_metadata` returns it.
    """
    partial = path.with_name(path.name + ".partial")
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, partial, metadata=None if metadata is None else dict(metadata))
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def read_metadata(path: Path) -> dict[str, str]:
    """Return what `save_weights` was given to say about the weights; empty if nothing.

    Raises:
        FileNotFoundError, ValueError: See `read_checkpoint`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file; {_beside(path)}")
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except Exception as error:
        raise ValueError(f"checkpoint {path}: no safetensors ({error}); fetch it again") from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Read a file of `save_weights` into a model.

    Raises:
        FileNotFoundError: There is no such file; the message lists the checkpoints beside it.
        ValueError: The file is damaged, or names or shapes differ from the model's.
    """
    load_state(model, read_checkpoint(path, entries=()), source=str(path))


def read_checkpoint(path: str | Path, *, entries: Sequence[str] = ("state_dict",)) -> dict[str, Any]:
    """Return the content of a checkpoint, on the CPU; no code of the file is run.

    Args:
        path: Safetensors by their suffix, else a file of `torch.save` from which only tensors and plain
            containers are unpickled.
        entries: One of these must hold a tensor or a mapping; the default is what a trainer's checkpoint has.
            Empty: any dictionary will do.

    Raises:
        FileNotFoundError: There is no such file; the message lists the checkpoints beside it.
        ValueError: The file is truncated, not a checkpoint, holds objects that would need code to be run, or
            has none of the entries.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file; {_beside(path)}")
    try:
        safe = path.suffix == ".safetensors"
        content = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise ValueError(
            f"checkpoint {path}: cannot be read ({reason}); it is truncated, corrupt, or holds more than "
            "tensors and plain values; take an older one or fetch it again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"checkpoint {path}: expected a dictionary, found {type(content).__name__}")
    if entries and not any(isinstance(content.get(entry), (Mapping, Tensor)) for entry in entries):
        raise ValueError(
            f"checkpoint {path}: expected a checkpoint with the entry {' or '.join(map(repr, entries))}, "
            f"found none of the entries, but {sorted(map(str, content))[:5]}"
        )
    return content


def _beside(path: Path) -> str:
    files = path.parent.iterdir() if path.parent.is_dir() else ()
    names = sorted(file.name for file in files if file.suffix in _SUFFIXES)
    return f"in that folder are {', '.join(names)}" if names else "there is no checkpoint in that folder"


def renamed(state: Mapping[str, Tensor], table: Sequence[Renaming]) -> dict[str, Tensor]:
    r"""Return a state dict under the names that a table makes of those it has.

    Args:
        table: Applied to every name, one row after the other, each to what the rows before have made of it.

    Example:
        >>> sorted(renamed({"cls.weight": torch.zeros(1), "step": torch.zeros(1)}, [(r"^cls\.", "head.")]))
        ['head.weight', 'step']
    """
    return {_renamed(name, table): value for name, value in state.items()}


def _renamed(name: str, table: Sequence[Renaming]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copy a state dict into a model.

    Args:
        source: What a message calls the state dict.

    Raises:
        ValueError: Names or shapes differ from the model's.
    """
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        raise ValueError(
            f"{source}: {len(missing)} entries missing {missing[:3]}, {len(unknown)} unknown {unknown[:3]}; "
            "build the model with the configuration the weights were made with"
        )
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise ValueError(
                f"{source}: {name} has shape {list(value.shape)}, the model expects {list(own[name].shape)}; "
                "build the model with the configuration the weights were made with"
            )
    model.load_state_dict(dict(state))
