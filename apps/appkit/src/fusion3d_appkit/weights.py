"""Weights and the configuration they belong to, from a file: our checkpoints, safetensors, the authors'."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from fusion3d_appkit.files import read_yaml, require_file

if TYPE_CHECKING:
    from torch import nn

Model = TypeVar("Model", bound="nn.Module")
Config = TypeVar("Config")
Inputs = TypeVar("Inputs")

OWN = "state_dict"
"""Entry of the trainer's checkpoints that holds the weights."""
CLASSES = "class_names"
"""Entry of the trainer's checkpoints and of the metadata of safetensors: the classes, with commas between."""


@dataclass(frozen=True, slots=True)
class Kept(Generic[Config]):
    """A configuration that a checkpoint of `fit` keeps, so that the file alone rebuilds the model."""

    kind: type[Config]
    """The dataclass."""
    option: str
    """In YAML: `model.detector`, an argument of the task, or `data.image`, one of the data."""
    entry: str
    """Of the checkpoint, plain values."""

    @property
    def name(self) -> str:
        """The argument: `detector`, `image`."""
        return self.option.partition(".")[2]


class LoadedModel(NamedTuple, Generic[Model, Inputs]):
    """A model from a file, in eval mode on the CPU, and what its inputs are made by."""

    model: Model
    inputs: Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles(Generic[Model, Config, Inputs]):
    """The files that hold weights of one kind of model."""

    app: str
    """Name of the program that writes the trainer's checkpoints."""
    model: Kept[Config]
    """The model's configuration. The task calls the model by the name of its option."""
    inputs: Kept[Inputs]
    """How the model's inputs are made from files."""
    build: Callable[[Config], Model]
    """Make a model whose weights all come from a file: nothing is to be fetched."""
    released: str
    """Entry of the authors' checkpoints that holds the weights."""
    load_released: Callable[[Any, Mapping[str, Any]], object]
    """Put the authors' weights into a model."""
    classes: Callable[[Config], Sequence[str]] = lambda config: ()
    """The names of what a model of a configuration tells apart, in the order of its outputs; none for others.
    They travel with the weights and are compared wherever weights meet a configuration."""

    def class_names(self, config: Config) -> str:
        """Return the classes as files hold them."""
        return ",".join(self.classes(config))

    def require_classes(self, config: Config, stored: str | None, source: object) -> None:
        """Refuse weights that were made for other classes, or for the same in another order.

        Args:
            stored: The classes that come with the weights; None if nothing is known about them.
            source: What the message calls the weights.

        Raises:
            ValueError: Names both.
        """
        own = self.class_names(config)
        if stored is not None and stored != own:
            raise ValueError(
                f"{source}: made for the classes {stored.replace(',', ', ')}, in this order, but the "
                f"configuration has {own.replace(',', ', ')}; give it the classes of the weights, or train "
                "anew for others"
            )

    def is_trainer_checkpoint(self, path: Path) -> bool:
        """Return whether a file holds a trainer's state (`fit`), False if it holds weights alone.

        Raises:
            FileNotFoundError, ValueError: See `fusion_models.weights.read_checkpoint`.
        """
        return path.suffix != ".safetensors" and OWN in self._read(path)

    def load(self, model: nn.Module, config: Config, path: Path) -> None:
        """Read the weights of a file into a model; all of the model's must be there, in its shapes.

        Args:
            config: Of the model.
            path: `.safetensors` as `fit` leaves them, a checkpoint of `fit`, or a released one.

        Raises:
            FileNotFoundError, ValueError: The file is missing, is none of these, is another model's, or was
                made for other classes.
        """
        if path.suffix == ".safetensors":
            from fusion_models.weights import load_weights, read_metadata

            self.require_classes(config, read_metadata(path).get(CLASSES), f"weights {path}")
            load_weights(model, path)
            return
        content = self._read(path)
        if OWN in content:
            self.require_classes(config, content.get(CLASSES), f"weights {path}")
            self._load_own(model, content[OWN], source=path)
            return
        self.require_classes(config, self.class_names(self.model.kind()), f"weights {path}")
        try:
            self.load_released(model, content[self.released])
        except ValueError as error:
            raise ValueError(f"weights {path}: {error}") from error

    def restore(self, config: Config, path: Path) -> Model:
        """Return a new model with the weights of a file; see `load`."""
        model = self.build(config)
        self.load(model, config, path)
        return model

    def load_model(self, path: Path, *, config: Path | None = None) -> LoadedModel[Model, Inputs]:
        """Rebuild the model of a file, configuration and weights.

        Args:
            path: A checkpoint of `fit`, which holds its configuration; the authors' checkpoint, which stands
                for the published one; or safetensors, which need `config`.
            config: YAML of a run or of `configs/`, taken instead.

        Raises:
            FileNotFoundError, ValueError: A file is missing or not what it should be, is another app's, holds
                no configuration while none is given, or does not fit the configuration.
        """
        found = self._configurations(path, config)
        return LoadedModel(
            self.restore(getattr(found, self.model.name), path).eval(), found[self.inputs.name]
        )

    def _read(self, path: Path) -> dict[str, Any]:
        from fusion_models.weights import read_checkpoint

        return read_checkpoint(path, entries=(OWN, self.released))

    def _load_own(self, model: nn.Module, state: Mapping[str, Any], *, source: Path) -> None:
        prefix = f"{self.model.name}."
        try:
            # A task may hold other modules: losses with a state of their own.
            own = {name: value for name, value in state.items() if name.startswith(prefix)}
            model.load_state_dict({name.removeprefix(prefix): value for name, value in own.items()})
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()[:160]
            raise ValueError(
                f"weights {source}: made with another configuration, first difference: {first}; build the "
                "model with the configuration of that run (its config.yaml)"
            ) from error

    def _configurations(self, path: Path, config: Path | None) -> Any:
        """Return both configurations, by their names; what is not said has its default."""
        from jsonargparse import ArgumentParser

        from fusion3d_appkit.cli import plain_defaults

        require_weights(path, config=config)
        parser = ArgumentParser(exit_on_error=False)
        for part in (self.model, self.inputs):
            parser.add_argument(f"--{part.name}", type=part.kind)
            parser.set_defaults(plain_defaults(part.name, part.kind()))
        found = self._stored(path) if config is None else self._of_yaml(config)
        try:
            return parser.instantiate(parser.parse_object(found))
        except (argparse.ArgumentError, ValueError, TypeError) as error:
            source = f"checkpoint {path}" if config is None else f"configuration {config}"
            told = " ".join(str(error).split())[:400]
            raise ValueError(
                f"{source}: not understood by this version of {self.app}: {told}; take the version that "
                "wrote it, or mend the configuration and give it as --config"
            ) from error

    def _stored(self, path: Path) -> dict[str, Any]:
        content = self._read(path)
        if self.released in content:
            return {}
        if self.model.entry not in content or self.inputs.entry not in content:
            raise ValueError(
                f"checkpoint {path}: not written by `{self.app} fit` (it holds no configuration of the model)"
            )
        return {part.name: content[part.entry] for part in (self.model, self.inputs)}

    def _of_yaml(self, path: Path) -> dict[str, Any]:
        content = read_yaml(path)
        found = {}
        for part in (self.model, self.inputs):
            name = part.option.partition(".")[0]
            section = content.get(name) or {}
            if not isinstance(section, dict):
                raise ValueError(f"configuration {path}: expected options below {name}, got {section!r}")
            if section.get(part.name) is not None:
                found[part.name] = section[part.name]
        return found


def add_weights_options(options: argparse.ArgumentParser, *, app: str) -> None:
    """Add `--ckpt` and `--config`, what `WeightFiles.load_model` takes."""
    options.add_argument(
        "--ckpt",
        type=Path,
        required=True,
        help=f"checkpoint of `{app} fit`, which holds its configuration; the authors', which stands for the "
        "published one; or safetensors, with --config",
    )
    options.add_argument(
        "--config", type=Path, help="YAML with the model's configuration, if not that of --ckpt"
    )


def require_weights(path: Path, *, config: Path | None) -> None:
    """Refuse what `WeightFiles.load_model` would, as far as that can be told without loading anything.

    Raises:
        FileNotFoundError, ValueError: A file is missing, or safetensors come without a configuration.
    """
    require_file(path, "weights")
    if config is not None:
        read_yaml(config)
    elif path.suffix == ".safetensors":
        raise ValueError(
            f"weights {path}: safetensors hold no configuration; name that of the run, config.yaml"
        )
