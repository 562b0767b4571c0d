import math

import pytest
import torch
from fusion3d_appkit.optim import CosineConfig, OneCycleConfig


def rates(steps: int) -> tuple[list[float], list[float]]:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer, schedule = OneCycleConfig().build([weight], steps=steps)
    lr, beta = [], []
    for _ in range(steps):
        lr.append(optimizer.param_groups[0]["lr"])
        beta.append(optimizer.param_groups[0]["betas"][0])
        weight.grad = torch.ones(1)
        optimizer.step()
        schedule.step() if len(lr) < steps else None
    return lr, beta


def test_the_rate_runs_from_a_tenth_over_the_peak_to_almost_nothing():
    lr, beta = rates(100)
    assert lr[0] == pytest.approx(0.001)
    assert max(lr) == pytest.approx(0.01)
    assert lr.index(max(lr)) == 39
    assert lr[-1] == pytest.approx(1e-7)
    assert (beta[0], min(beta), beta[-1]) == pytest.approx((0.95, 0.85, 0.95))


def test_decay_is_decoupled_from_the_gradient():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer, _ = OneCycleConfig().build([weight], steps=10)
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 0.001 * 0.01)


def test_frozen_parameters_are_left_out():
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer, _ = OneCycleConfig().build([frozen, weight], steps=2)
    assert optimizer.param_groups[0]["params"] == [weight]


def test_nothing_to_train_is_an_error():
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    with pytest.raises(ValueError, match="no parameter requires a gradient"):
        OneCycleConfig().build([frozen], steps=2)


def test_no_steps_is_an_error():
    with pytest.raises(ValueError, match="is the training split empty"):
        OneCycleConfig().build([torch.nn.Parameter(torch.ones(1))], steps=0)


@pytest.mark.parametrize(("field", "value"), [("lr", 0.0), ("warmup", 1.0)])
def test_a_config_out_of_range_names_the_field(field, value):
    with pytest.raises(ValueError, match=field):
        OneCycleConfig(**{field: value})


def test_the_cosine_runs_from_the_first_rate_to_the_last():
    weight = torch.nn.Parameter(torch.zeros(1))
    config = CosineConfig(lr=4e-3, final_lr=1e-3, weight_decay=4e-8)
    optimizer, schedule = config.build([weight], steps=30)
    assert optimizer.param_groups[0]["weight_decay"] == 4e-8
    found = []
    for _ in range(31):
        found.append(optimizer.param_groups[0]["lr"])
        weight.grad = torch.ones(1)
        optimizer.step()
        schedule.step()
    expected = [3e-3 * (math.cos(math.pi * step / 30) + 1) / 2 + 1e-3 for step in range(31)]
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_cosine_without_steps_is_an_error():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        CosineConfig().build([torch.nn.Parameter(torch.ones(1))], steps=0)


@pytest.mark.parametrize("rates", [(0.0, 0.0), (1e-3, 2e-3), (1e-3, -1e-3)])
def test_a_cosine_that_rises_is_an_error(rates):
    with pytest.raises(ValueError, match="must be positive and not below final_lr"):
        CosineConfig(lr=rates[0], final_lr=rates[1])
