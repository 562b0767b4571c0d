import math

import pytest
import torch
from fusion3d_appkit.optim import CosineConfig, OneCycleConfig, SgdCosineConfig


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


# Factors on the rate that the released code gives, by step: a process of 4 scans, and 8 processes of 2.
RELEASED_FACTORS = {
    (0, 15 * 5801): {
        0: 1.0,
        1: 0.9999999996741247,
        123: 0.9999950698399958,
        124: 0.9999949893490521,
        125: 0.9999949082063642,
        126: 0.9999948264119323,
        500: 0.9999185333759184,
        1000: 0.9996741600509171,
        5800: 0.9890775532736864,
        5801: 0.9890738003669028,
        10000: 0.9677649134102648,
        17939: 0.898745771713588,
        40000: 0.5631483573348365,
        87014: 3.2587532672323505e-10,
    },
    (125, 15 * 1196): {
        0: 0.008,
        1: 0.016,
        123: 0.992,
        124: 1.0,
        125: 1.0,
        126: 0.99999999233354,
        500: 0.9989222914307143,
        1000: 0.9941418417427912,
        5800: 0.772759962644425,
        5801: 0.7726865760195107,
        10000: 0.42109100177792863,
        17939: 0.00012170778176573416,
    },
}


@pytest.mark.parametrize(("setting", "expected"), RELEASED_FACTORS.items())
def test_descent_runs_on_the_released_schedule(setting, expected):
    warmup_steps, steps = setting
    _, schedule = SgdCosineConfig(warmup_steps=warmup_steps).build(
        [torch.nn.Parameter(torch.ones(1))], steps=steps
    )
    (factor,) = schedule.lr_lambdas
    assert [factor(step) for step in expected] == pytest.approx(list(expected.values()), abs=1e-12)


def test_descent_has_nesterovs_momentum_and_decay_in_the_gradient():
    optimizer, _ = SgdCosineConfig(lr=0.1).build([torch.nn.Parameter(torch.ones(1))], steps=2)
    group = optimizer.param_groups[0]
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 1e-4)


@pytest.mark.parametrize(
    ("field", "value"), [("lr", 0), ("momentum", 1), ("weight_decay", -1), ("warmup_steps", -1)]
)
def test_a_descent_out_of_range_is_an_error(field, value):
    with pytest.raises(ValueError, match="SgdCosineConfig"):
        SgdCosineConfig(**{field: value})
