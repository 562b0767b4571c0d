"""Weights and the configuration they belong to, from a file: our checkpoints, safetensors, the authors'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

OWN = "state_dict"
"""Entry of the trainer's checkpoints that holds the weights."""


@dataclass(frozen=True, slots=True)
class Part:
    """A configuration that a checkpoint of `fit` keeps, so that the file alone rebuilds the model."""

    kind: type
    """The dataclass."""
    entry: str
    """Of the checkpoint, plain values."""
    option: str
    """Where a YAML file has it, with dots: `model.detector`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The files that hold weights of one model."""

    app: str
    """Name of the program that writes the trainer's checkpoints."""
    prefix: str
    """Of the model's names in those checkpoints: `detector.`."""
    released: str
    """Entry of the authors' checkpoints that holds the weights."""
    load_released: Callable[[Any, Mapping[str, Any]], object]
    """Put the authors' weights into a model."""

    def is_trainer_checkpoint(self, path: Path) -> bool:
        """Return whether a file holds a trainer's state (`fit`), False if it holds weights alone.

        Raises:
            FileNotFoundError, ValueError: See `fusion_models.weights.read_checkpoint`.
        """
        if path.suffix == ".safetensors":
            return False
        return OWN in self._read(path)

    def load(self, model: nn.Module, path: Path) -> None:
        """Read the weights of a file into a model; all of the model's must be there, in its shapes.

        Args:
            path: `.safetensors` as `fit` leaves them, a checkpoint of `fit`, or a released one.

        Raises:
            FileNotFoundError, ValueError: The file is missing, is none of these, or is another model's.
        """
        if path.suffix == ".safetensors":
            from fusion_models.weights import load_weights

            load_weights(model, path)
            return
        content = self._read(path)
        if OWN in content:
            self._load_own(model, content[OWN], source=path)
            return
        try:
            self.load_released(model, content[self.released])
        except ValueError as error:
            raise ValueError(f"weights {path}: {error}") from error

    def _read(self, path: Path) -> dict[str, Any]:
        from fusion_models.weights import read_checkpoint

        return read_checkpoint(path, entries=(OWN, self.released))

    def _load_own(self, model: nn.Module, state: Mapping[str, Any], *, source: Path) -> None:
        try:
            model.load_state_dict({name.removeprefix(self.prefix): value for name, value in state.items()})
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()[:160]
            raise ValueError(
                f"weights {source}: made with another configuration, first difference: {first}; build the "
                "model with the configuration of that run (its config.yaml)"
            ) from error

    def configuration(self, path: Path, parts: Mapping[str, Part], *, config: Path | None = None) -> Any:
        """Return the configurations by name, as attributes.

        Args:
            path: A checkpoint of `fit`, which holds its configuration; the authors' checkpoint, which stands
                for the defaults; or safetensors, which need `config`.
            config: YAML of a run or of `configs/`, taken instead.

        Raises:
            FileNotFoundError, ValueError: See `fusion_models.weights.read_checkpoint`; also if the file
                is another app's, or holds no configuration and none is given.
        """
        from jsonargparse import ArgumentParser

        from fusion3d_appkit.cli import plain_defaults

        found = self._stored(path, parts) if config is None else _of_yaml(config, parts)
        parser = ArgumentParser(exit_on_error=False)
        for name, part in parts.items():
            parser.add_argument(f"--{name}", type=part.kind)
            parser.set_defaults(plain_defaults(name, part.kind()))
        return parser.instantiate(parser.parse_object(found))

    def _stored(self, path: Path, parts: Mapping[str, Part]) -> dict[str, Any]:
        if path.suffix == ".safetensors":
            raise ValueError(
                f"weights {path}: safetensors hold no configuration; name that of the run, config.yaml"
            )
        content = self._read(path)
        if self.released in content:
            return {}
        if any(part.entry not in content for part in parts.values()):
            raise ValueError(
                f"checkpoint {path}: not written by `{self.app} fit` (it holds no configuration of the model)"
            )
        return {name: content[part.entry] for name, part in parts.items()}


def _of_yaml(path: Path, parts: Mapping[str, Part]) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"configuration {path}: no such file; expected YAML as in configs/")
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    found = {}
    for name, part in parts.items():
        value: Any = content
        for key in part.option.split("."):
            value = (value or {}).get(key)
        if value is not None:
            found[name] = value
    return found
