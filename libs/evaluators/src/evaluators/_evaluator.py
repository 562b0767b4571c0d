"""What all evaluators do alike: hold frames by name, each once, and take in what others hold."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np

from evaluators._validation import require_disjoint, require_settings, require_state
from evaluators.state import State

Layout: TypeAlias = Mapping[str, tuple[str, tuple[int | str, ...]]]
"""The arrays of a state beside "settings" and "frames": kind of numbers, and shape. Lengths that are not
known before are named; the same name is the same length, "frames" that of the frames."""

_E = TypeVar("_E", bound="FrameEvaluator")


class FrameEvaluator(ABC):
    """Base of the evaluators. A subclass binds all that it gathers in `reset`, and only there."""

    _frames: Any
    """A set of the names of all frames, or a dict from them to what is kept of each."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all frames."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Return everything gathered so far as plain arrays; see `evaluators.state`."""

    @abstractmethod
    def merge_state(self, state: State) -> None:
        """Add what the `state()` of an evaluator with the same settings holds.

        Raises:
            ValueError: Other settings, a frame that is there already, or not such a state.
        """

    @abstractmethod
    def _settings(self) -> str:
        """Return everything on which evaluators must agree before their frames can be joined."""

    def __len__(self) -> int:
        return len(self._frames)

    def empty(self: _E) -> _E:
        """Return an evaluator with the same settings and no frames."""
        twin = copy.copy(self)
        twin.reset()
        return twin

    def merge(self, other: Any) -> None:
        """Add all frames of `other`, for example from another process; `other` is left as it is.

        Raises:
            ValueError: Both hold the same frame, or their settings differ.
        """
        self.merge_state(other.state())

    def _require_new(self, frame_id: str) -> None:
        if frame_id in self._frames:
            raise ValueError(f"frame {frame_id!r} was added before; every frame counts once (see reset)")

    def _require_frames(self) -> None:
        if not self._frames:
            raise ValueError("no frames to evaluate; add some with update(frame_id, gt, pred)")

    def _checked_frames(self, state: State, layout: Layout) -> list[str]:
        """Return the frames of a state with these arrays, after a look at everything but the values.

        Raises:
            ValueError: Not such a state, other settings, or a frame that is there already.
        """
        owner = type(self).__name__
        require_state(state, owner=owner, arrays=("frames", *layout))
        require_settings(str(state["settings"]), self._settings())
        lengths: dict[str, int] = {}  # the first array with a named length decides it
        for name, (kind, shape) in {"frames": ("U", ("frames",)), **layout}.items():
            array = state[name]
            expected = tuple(
                lengths.setdefault(length, size) if isinstance(length, str) else length
                for length, size in zip(shape, array.shape, strict=False)
            )
            if array.dtype.kind != kind or array.ndim != len(shape) or array.shape != expected:
                raise ValueError(
                    f"not what {owner}.state() returned: {name} has type {array.dtype} and shape"
                    f" {list(array.shape)}"
                )
        frames: list[str] = state["frames"].tolist()
        require_disjoint(self._frames, frames)
        return frames
