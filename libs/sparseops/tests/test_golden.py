"""Golden vectors of spconv: forward and gradients of every layer kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sparseops import (
    KernelMap,
    Sites,
    sites_from_coords,
    sparse_conv,
    sparse_max_pool,
    strided_map,
    submanifold_map,
    transposed_map,
    weight_from_spconv,
)
from torch import Tensor

CASES = sorted((Path(__file__).parent / "golden").glob("*.npz"))
SINGLE_CELL = Path(__file__).parent / "golden" / "subm3d_k1_quirk.npz"
CONVOLUTIONS = [p for p in CASES if p.stem.startswith(("subm", "conv", "tconv")) and p != SINGLE_CELL]


@pytest.fixture(params=["reference", "cpu", pytest.param("triton", marks=pytest.mark.triton)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Where a case runs, on every back end in turn."""
    if request.param == "triton":
        return request.getfixturevalue("triton_device")
    if request.param == "reference":
        monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    return torch.device("cpu")


def ids(path: Path) -> str:
    return path.stem


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def extents(case: dict[str, np.ndarray], *names: str) -> dict[str, Any]:
    return {name: tuple(case[name.removesuffix("_size")].tolist()) for name in names}


def sites_of(case: dict[str, np.ndarray], device: torch.device) -> Sites:
    shape = tuple(case["spatial_shape"].tolist())
    coords = torch.from_numpy(case["indices"]).to(device)
    return sites_from_coords(coords, spatial_shape=shape, batch_size=int(case["batch_size"]))


def make_map(case: dict[str, np.ndarray], device: torch.device) -> KernelMap:
    if str(case["op"]) == "subm":
        return submanifold_map(sites_of(case, device), **extents(case, "kernel_size", "dilation"))
    make = transposed_map if str(case["op"]) == "tconv" else strided_map
    return make(sites_of(case, device), **extents(case, "kernel_size", "stride", "padding", "dilation"))


def parameter(case: dict[str, np.ndarray], name: str, device: torch.device) -> Tensor | None:
    return torch.from_numpy(case[name]).to(device).requires_grad_() if name in case else None


def close(actual: Tensor | None, expected: np.ndarray, *, atol: float = 1e-5) -> None:
    assert actual is not None
    torch.testing.assert_close(actual.detach().cpu(), torch.from_numpy(expected), atol=atol, rtol=1e-5)


@pytest.mark.parametrize("path", CONVOLUTIONS, ids=ids)
def test_convolution_equals_spconv(path: Path, device: torch.device) -> None:
    case = load(path)
    plan = make_map(case, device)
    features = torch.from_numpy(case["features"]).to(device).requires_grad_()
    stored, bias = parameter(case, "weight0_KRSC", device), parameter(case, "bias0", device)
    out = sparse_conv(features, weight_from_spconv(stored), bias=bias, kernel_map=plan)
    order = plan.sites_out.order
    assert np.array_equal(plan.sites_out.coords[order].cpu().numpy(), case["out_indices"])
    assert plan.sites_out.spatial_shape == tuple(case["out_shape"].tolist())
    close(out[order], case["out_features"])
    out[order].backward(torch.from_numpy(case["grad_out"]).to(device))
    close(features.grad, case["grad_features"])
    close(stored.grad, case["grad_weight0_KRSC"], atol=5e-5)
    if bias is not None:
        close(bias.grad, case["grad_bias0"], atol=5e-5)


def test_single_cell_weight_is_reinterpreted_as_in_spconv(device: torch.device) -> None:
    case = load(SINGLE_CELL)
    coords = torch.from_numpy(case["indices"]).to(device)
    shape = tuple((coords.amax(0)[1:] + 1).tolist())
    plan = submanifold_map(sites_from_coords(coords, spatial_shape=shape, batch_size=2), kernel_size=1)
    weight = weight_from_spconv(torch.from_numpy(case["weight0_KRSC"]).to(device))
    out = sparse_conv(
        torch.from_numpy(case["features"]).to(device),
        weight,
        bias=parameter(case, "bias0", device),
        kernel_map=plan,
    )
    close(out, case["out_features"])


@pytest.mark.parametrize("path", [p for p in CASES if p.stem.startswith("inverse")], ids=ids)
def test_inverse_convolution_equals_spconv(path: Path, device: torch.device) -> None:
    case = load(path)
    plan = make_map(case, device)
    features = torch.from_numpy(case["features"]).to(device).requires_grad_()
    down, up = parameter(case, "weight0_KRSC", device), parameter(case, "weight1_KRSC", device)
    middle = sparse_conv(
        features, weight_from_spconv(down), bias=parameter(case, "bias0", device), kernel_map=plan
    )
    out = sparse_conv(
        middle, weight_from_spconv(up), bias=parameter(case, "bias1", device), kernel_map=plan.transposed
    )
    order = plan.sites_in.order
    assert np.array_equal(plan.sites_in.coords[order].cpu().numpy(), case["out_indices"])
    close(out[order], case["out_features"])
    out[order].backward(torch.from_numpy(case["grad_out"]).to(device))
    close(features.grad, case["grad_features"])
    close(down.grad, case["grad_weight0_KRSC"], atol=5e-5)
    close(up.grad, case["grad_weight1_KRSC"], atol=5e-5)


@pytest.mark.parametrize("path", [p for p in CASES if p.stem.startswith("maxpool")], ids=ids)
def test_max_pool_equals_spconv(path: Path, device: torch.device) -> None:
    case = load(path)
    plan = make_map(case, device)
    features = torch.from_numpy(case["features"]).to(device).requires_grad_()
    clamp = path.stem.endswith("clamped")
    out = sparse_max_pool(features, kernel_map=plan, clamp_zero=clamp, tie="all")
    assert np.array_equal(plan.sites_out.coords.cpu().numpy(), case["out_indices"])
    close(out, case["out_features"])
    out.backward(torch.from_numpy(case["grad_out"]).to(device))
    close(features.grad, case["grad_features"])
