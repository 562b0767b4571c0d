"""Optimisers and their schedules.

Adam with decoupled weight decay, on a one-cycle schedule (the OpenPCDet family's recipe) or a cosine;
stochastic gradient descent on a cosine with warm-up (the SPVNAS family's).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR


class Schedule(Protocol):
    """The configuration of an optimiser and of how its learning rate runs."""

    def build(self, parameters: Iterable[nn.Parameter], *, steps: int) -> tuple[Optimizer, LRScheduler]:
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


@dataclass(frozen=True)
class SgdCosineConfig:
    """Stochastic gradient descent with Nesterov's momentum; the rate rises in a line, then falls as a cosine.

    The factor on `lr` of step k is `(k + 1) / warmup_steps` in the warm-up, then
    `(1 + cos(pi (k - warmup_steps) / steps)) / 2`: as in the released code the cosine is as long as the whole
    training, so that after a warm-up it does not quite end at 0. Source: spvnas, core/schedulers.py.
    """

    lr: float = 0.24
    """Of the first step after the warm-up, for 16 scans a step (8 processes of 2). Source: default.yaml."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    """Added to the gradient, on all trainable parameters."""
    warmup_steps: int = 0
    """Source: 1000 over the number of processes, none for a single one."""

    def __post_init__(self) -> None:
        if not self.lr > 0 or not 0 < self.momentum < 1 or self.weight_decay < 0 or self.warmup_steps < 0:
            raise ValueError(
                "SgdCosineConfig: lr must be positive, momentum between 0 and 1, weight_decay and "
                f"warmup_steps not negative, got {self}"
            )

    def build(self, parameters: Iterable[nn.Parameter], *, steps: int) -> tuple[SGD, LambdaLR]:
        """Return optimiser and schedule, see `Schedule`."""
        optimizer = SGD(
            _trainable(parameters, steps),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=True,
        )

        def factor(step: int) -> float:
            if step < self.warmup_steps:
                return (step + 1) / self.warmup_steps
            return (1 + math.cos(math.pi * min((step - self.warmup_steps) / steps, 1.0))) / 2

        return optimizer, LambdaLR(optimizer, factor)


def _trainable(parameters: Iterable[nn.Parameter], steps: int) -> list[nn.Parameter]:
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if not trainable:
        raise ValueError("optimiser: no parameter requires a gradient; nothing to train")
    if steps < 1:
        raise ValueError(f"optimiser: steps must be at least 1, got {steps}; is the training split empty?")
    return trainable
