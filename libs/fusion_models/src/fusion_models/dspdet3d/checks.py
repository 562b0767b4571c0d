"""What the configurations of room detectors check of themselves; messages name the class and the field."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

_WORDS = {2: "two", 3: "three"}


@runtime_checkable
class NetworkShape(Protocol):
    """The fields that say how large a network is."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the index."""
        ...

    @property
    def stem_channels(self) -> int:
        """Channels of the first convolution."""
        ...

    @property
    def stage_blocks(self) -> tuple[int, ...]:
        """Residual blocks of every stage."""
        ...

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of every stage."""
        ...

    @property
    def out_channels(self) -> int:
        """Channels that the heads read."""
        ...


def check_shape(config: NetworkShape, *, least_stages: int = 2) -> None:
    """Raise ValueError unless classes are distinct and there are channels and blocks for every stage."""
    owner = type(config).__name__
    if not config.class_names or len(set(config.class_names)) != len(config.class_names):
        raise ValueError(f"{owner}.class_names must be distinct names, got {config.class_names}")
    blocks, channels = config.stage_blocks, config.stage_channels
    if len(blocks) < least_stages or len(channels) != len(blocks):
        raise ValueError(
            f"{owner}: stage_blocks and stage_channels must have one number per level, for "
            f"{_WORDS[least_stages]} or more levels, got {blocks} and {channels}"
        )
    widths = (config.stem_channels, config.out_channels)
    if min(*widths, *blocks, *channels) < 1:
        raise ValueError(
            f"{owner}: stem_channels, out_channels, stage_blocks and stage_channels must be at "
            f"least 1, got {widths[0]}, {widths[1]}, {blocks} and {channels}"
        )


def check_range(config: object, names: Sequence[str], least: float | int, most: float | int) -> None:
    """Raise ValueError unless these fields lie in a range, ends included."""
    for name in names:
        if not least <= getattr(config, name) <= most:
            raise ValueError(
                f"{type(config).__name__}.{name} must lie in {least} to {most}, got {getattr(config, name)}"
            )


def check_choice(config: object, name: str, choices: Sequence[object]) -> None:
    """Raise ValueError unless a field is one of some values."""
    if getattr(config, name) not in choices:
        raise ValueError(
            f"{type(config).__name__}.{name} must be one of {choices}, got {getattr(config, name)!r}"
        )
