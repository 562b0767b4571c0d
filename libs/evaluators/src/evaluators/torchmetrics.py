"""Any evaluator as a `torchmetrics.Metric`; the only module here that needs torch.

pip install "fusion3d-evaluators[torchmetrics]"
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from evaluators.state import Evaluator

try:
    import torch
    from torchmetrics import Metric
    from torchmetrics.utilities.distributed import gather_all_tensors
except ImportError as error:
    raise ImportError(
        f"evaluators.torchmetrics needs torch and torchmetrics ({error});"
        ' pip install "fusion3d-evaluators[torchmetrics]"'
    ) from error

__all__ = ["EvaluatorMetric"]


class EvaluatorMetric(Metric):
    """Score with an evaluator of this library wherever a `torchmetrics.Metric` is expected.

    `update` takes what the evaluator's `update` takes; tensors among the arguments become arrays. With
    several processes `compute` first gathers what each has seen, as arrays and never as pickled objects: all
    return the figures of the whole set, bit for bit those of a single process. Every frame counts once: a
    sampler that repeats frames to fill up its last batch makes `compute` raise ValueError.

    What was gathered is not part of the `state_dict`; save it with `evaluator.state()`. `forward` returns the
    figures of its batch alone and is never synchronised. Collections never share it between two metrics.

    Args:
        evaluator: Copied, with what it holds.
        figures: Takes an evaluator, returns one figure or figures by name; they become float64 tensors
            (float32 where the device has no float64). A module-level function if the metric is pickled.
        options: As of `torchmetrics.Metric`, for example `process_group`; not `dist_sync_on_step`.

    Example:
        >>> from evaluators import kitti
        >>> metric = EvaluatorMetric(
        ...     kitti.KittiEvaluator(), lambda e: {"car": e.compute().ap("Car", "3d", "moderate")}
        ... )
        >>> metric.update("000001", kitti.KittiObjects.empty(), kitti.KittiObjects.empty())
        >>> metric.compute()
        {'car': tensor(0., dtype=torch.float64)}
    """

    full_state_update = False

    def __init__(
        self, evaluator: Evaluator, figures: Callable[[Any], float | Mapping[str, float]], **options: Any
    ) -> None:
        if options.get("dist_sync_on_step"):
            raise ValueError(
                "dist_sync_on_step is not supported: forward scores one batch of one process;"
                " log what compute() returns at the end of the epoch"
            )
        super().__init__(**options)
        # No add_state: torchmetrics' states are tensors that add up, and metrics without any are never taken
        # for one another by a MetricCollection.
        self._evaluator = copy.deepcopy(evaluator)
        self._blank = copy.deepcopy(evaluator)
        self._blank.reset()
        self._figures = figures
        self._joined: Evaluator | None = None

    @property
    def evaluator(self) -> Any:
        """What this process has gathered; between `sync` and `unsync` what all processes have."""
        return self._evaluator if self._joined is None else self._joined

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add what the evaluator's `update` adds."""
        _update(self._evaluator, args, kwargs)

    def compute(self) -> torch.Tensor | dict[str, torch.Tensor]:
        """Return the figures of all frames of all processes."""
        return self._tensors(self._figures(self.evaluator))

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor | dict[str, torch.Tensor]:
        """Add a batch and return the figures of this batch alone."""
        self.update(*args, **kwargs)
        batch = copy.deepcopy(self._blank)
        _update(batch, args, kwargs)
        self._forward_cache = self._tensors(self._figures(batch))
        return self._forward_cache

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._evaluator.reset()
        self._joined = None

    def merge_state(self, incoming_state: Mapping[str, Any] | Metric) -> None:
        """Add the `state()` of an evaluator with the same settings, or what another metric has gathered.

        Raises:
            TypeError: A metric of another kind.
            ValueError: The settings differ, or both hold the same frame.
        """
        if isinstance(incoming_state, EvaluatorMetric):
            self._evaluator.merge_state(incoming_state.evaluator.state())
        elif isinstance(incoming_state, Metric):
            raise TypeError(f"expected an EvaluatorMetric, got {type(incoming_state).__name__}")
        else:
            self._evaluator.merge_state(incoming_state)
        self._computed = None
        self._update_count += 1

    def sync(
        self,
        dist_sync_fn: Callable[..., list[torch.Tensor]] | None = None,
        process_group: Any | None = None,
        should_sync: bool = True,
        distributed_available: Callable[[], bool] | None = None,
    ) -> None:
        """Gather what all processes hold; called by `compute`. See `torchmetrics.Metric.sync`."""
        super().sync(  # pyright: ignore[reportUnknownMemberType] - no parameters to Callable there
            dist_sync_fn, process_group, should_sync, distributed_available
        )
        if not self._is_synced or self._joined is not None:
            return
        try:
            gather = dist_sync_fn or gather_all_tensors
            parts = gather(self._packed(), group=process_group or self.process_group)
            joined = copy.deepcopy(self._blank)
            for part in parts:
                joined.merge_state(_unpacked(part))
        except BaseException:
            self.unsync()
            raise
        self._joined = joined

    def unsync(self, should_unsync: bool = True) -> None:
        """Return to what this process holds. See `torchmetrics.Metric.unsync`."""
        super().unsync(should_unsync)
        if not self._is_synced:
            self._joined = None

    def _packed(self) -> torch.Tensor:
        buffer = io.BytesIO()
        np.savez(buffer, **self._evaluator.state())  # pyright: ignore[reportArgumentType] - numpy's stub
        return torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8).to(self.device)

    def _tensors(self, figures: float | Mapping[str, float]) -> torch.Tensor | dict[str, torch.Tensor]:
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        if isinstance(figures, Mapping):
            return {
                name: torch.tensor(value, dtype=kind, device=self.device) for name, value in figures.items()
            }
        return torch.tensor(figures, dtype=kind, device=self.device)


def _unpacked(part: torch.Tensor) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(part.cpu().numpy().tobytes()), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _update(evaluator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    evaluator.update(*map(_array, args), **{name: _array(value) for name, value in kwargs.items()})


def _array(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
