"""Adam with decoupled weight decay, on a one-cycle schedule (the OpenPCDet family's recipe) or a cosine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR


class Schedule(Protocol):
    """The configuration of an optimiser and of how its learning rate runs."""

    def build(self, parameters: Iterable[nn.Parameter], *, steps: int) -> tuple[AdamW, LRScheduler]:
        """Return optimiser and schedule; call the schedule once after every optimiser step.

        Parameters without `requires_grad` are left out.

        Args:
            parameters: What is to be trained.
            steps: Optimiser steps of the whole training, at least 1.

        Raises:
            ValueError: No parameter is trainable, or `steps` is below 1.
        """
        ...


@dataclass(frozen=True)
class OneCycleConfig:
    """The published `adam_onecycle` schedule."""

    lr: float = 0.01
    """Peak learning rate. Source: OPTIMIZATION.LR."""
    start_div: float = 10.0
    """The first rate is `lr / start_div`. Source: OPTIMIZATION.DIV_FACTOR."""
    final_div: float = 1e4
    """The last rate is the first one over this."""
    warmup: float = 0.4
    """Share of all steps in which the rate rises. Source: OPTIMIZATION.PCT_START."""
    momentum: tuple[float, float] = (0.95, 0.85)
    """First Adam beta at the ends and at the peak of the rate. Source: OPTIMIZATION.MOMS."""
    weight_decay: float = 0.01
    """Decoupled, on all trainable parameters. Source: OPTIMIZATION.WEIGHT_DECAY."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"OneCycleConfig.lr must be positive, got {self.lr}")
        if not 0 < self.warmup < 1:
            raise ValueError(
                f"OneCycleConfig.warmup is a share of the steps between 0 and 1, got {self.warmup}"
            )

    def build(self, parameters: Iterable[nn.Parameter], *, steps: int) -> tuple[AdamW, OneCycleLR]:
        """Return optimiser and schedule, see `Schedule`."""
        high, low = self.momentum
        optimizer = AdamW(
            _trainable(parameters, steps), lr=self.lr, betas=(high, 0.99), weight_decay=self.weight_decay
        )
        schedule = OneCycleLR(
            optimizer,
            max_lr=self.lr,
            total_steps=max(steps, 2),
            pct_start=self.warmup,
            div_factor=self.start_div,
            final_div_factor=self.final_div,
            base_momentum=low,
            max_momentum=high,
        )
        return optimizer, schedule


@dataclass(frozen=True)
class CosineConfig:
    """Half a cosine from one learning rate down to another, without warm-up."""

    lr: float = 4e-3
    """Of the first step."""
    final_lr: float = 1e-3
    """Reached after the last step."""
    weight_decay: float = 0.01
    """Decoupled, on all trainable parameters."""

    def __post_init__(self) -> None:
        if not self.lr >= self.final_lr >= 0 or self.lr == 0:
            raise ValueError(
                f"CosineConfig: lr must be positive and not below final_lr, got {self.lr} and {self.final_lr}"
            )

    def build(self, parameters: Iterable[nn.Parameter], *, steps: int) -> tuple[AdamW, LambdaLR]:
        """Return optimiser and schedule, see `Schedule`."""
        optimizer = AdamW(_trainable(parameters, steps), lr=self.lr, weight_decay=self.weight_decay)
        end = self.final_lr / self.lr

        def share(step: int) -> float:
            return end + (1 - end) * (math.cos(math.pi * min(step / steps, 1.0)) + 1) / 2

        return optimizer, LambdaLR(optimizer, share)


def _trainable(parameters: Iterable[nn.Parameter], steps: int) -> list[nn.Parameter]:
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if not trainable:
        raise ValueError("optimiser: no parameter requires a gradient; nothing to train")
    if steps < 1:
        raise ValueError(f"optimiser: steps must be at least 1, got {steps}; is the training split empty?")
    return trainable
