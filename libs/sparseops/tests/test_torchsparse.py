"""Golden vectors of torchsparse 1.4: convolutions by functions and by layers, kernel maps, kernel offsets.

Its coordinates are x y z b in units of the input; a tensor carries its stride. Features are compared at every
sixteenth row, site sets and kernel maps as a whole.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from sparseops import (
    KernelMap,
    SparseTensor,
    convert_state_dict,
    lookup,
    sparse_conv,
    strided_map,
    submanifold_map,
    weight_from_torchsparse,
    weight_xyz_to_zyx,
)
from sparseops.nn import InverseConv3d, SparseConv3d, SubmanifoldConv3d
from torch import Tensor, nn

SHAPE = (52, 104, 104)
RULE = "torchsparse"
SITES = {"k3s1": "coords", "k1": "coords", "k2s2": "coords_s2", "k3s1_on_s2": "coords_s2"}
SITES |= {"t2": "coords", "k2s2_on_s2": "coords_s4", "k3s2": "k3s2_coords"}
STRIDES = {"coords": 1, "coords_s2": 2, "k3s2_coords": 2, "coords_s4": 4}

with np.load(Path(__file__).parent / "golden" / "torchsparse.npz") as file:
    GOLDEN = {name: torch.from_numpy(array) for name, array in file.items()}


@pytest.fixture(params=["reference", "cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Where a case runs, on every back end in turn."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
        return torch.device("cuda")
    if request.param == "reference":
        monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    return torch.device("cpu")


def cells(name: str, device: torch.device) -> Tensor:
    """Sites of their tensors as b z y x of our grid at their stride."""
    raw = GOLDEN[name].int()
    return torch.cat([raw[:, 3:], (raw[:, :3] // STRIDES[name]).flip(1)], dim=1).to(device)


def cloud(device: torch.device) -> SparseTensor:
    return SparseTensor(GOLDEN["feats"].to(device), cells("coords", device), SHAPE, 1)


def check(name: str, out: SparseTensor) -> None:
    theirs = cells(SITES[name], out.coords.device)
    rows = lookup(out.sites, theirs)
    assert len(out.sites) == len(theirs) and bool((rows >= 0).all()), name
    wanted = GOLDEN["k3s2_out" if name == "k3s2" else f"out_{name}"]
    atol = 1e-5 if out.features.is_cuda else 1e-6
    torch.testing.assert_close(out.features[rows][::16].detach().cpu(), wanted, atol=atol, rtol=1e-6)


def along(x: SparseTensor, name: str, plan: KernelMap, size: int) -> SparseTensor:
    kernel = weight_from_torchsparse(GOLDEN[f"w_{name}"].to(x.features.device), kernel_size=(size,) * 3)
    out = sparse_conv(x.features, weight_xyz_to_zyx(kernel), kernel_map=plan)
    return SparseTensor.from_sites(out, plan.sites_out)


def by_functions(x: SparseTensor) -> dict[str, SparseTensor]:
    near = submanifold_map(x.sites, kernel_size=3)
    down = strided_map(x.sites, kernel_size=2, stride=2, site_rule=RULE)
    coarse = submanifold_map(down.sites_out, kernel_size=3)
    out = {"k3s1": along(x, "k3", near, 3)}
    out["k1"] = along(x, "k1", submanifold_map(x.sites, kernel_size=1), 1)
    out["k2s2"] = along(out["k3s1"], "k2", down, 2)
    out["k3s1_on_s2"] = along(out["k2s2"], "k3b", coarse, 3)
    out["t2"] = along(out["k3s1_on_s2"], "t2", down.transposed, 2)
    again = strided_map(down.sites_out, kernel_size=2, stride=2, site_rule=RULE)
    out["k2s2_on_s2"] = along(out["k3s1_on_s2"], "k2b", again, 2)
    out["k3s2"] = along(x, "k3s2", strided_map(x.sites, kernel_size=3, stride=2, site_rule=RULE), 3)
    return out


class Network(nn.Module):
    """The same convolutions as layers, under the names of their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.k3, self.k1 = SubmanifoldConv3d(8, 16, 3, bias=False), SubmanifoldConv3d(8, 16, 1, bias=False)
        self.k2 = SparseConv3d(16, 24, 2, stride=2, bias=False, key="down", site_rule=RULE)
        self.k3b = SubmanifoldConv3d(24, 24, 3, bias=False)
        self.t2 = InverseConv3d(24, 12, 2, of="down", bias=False)
        self.k2b = SparseConv3d(24, 8, 2, stride=2, bias=False, site_rule=RULE)
        self.k3s2 = SparseConv3d(8, 12, 3, stride=2, bias=False, site_rule=RULE)

    def forward(self, x: SparseTensor) -> dict[str, SparseTensor]:
        out = {"k3s1": self.k3(x), "k1": self.k1(x), "k3s2": self.k3s2(x)}
        out["k2s2"] = self.k2(out["k3s1"])
        out["k3s1_on_s2"] = self.k3b(out["k2s2"])
        out["t2"] = self.t2(out["k3s1_on_s2"])
        out["k2s2_on_s2"] = self.k2b(out["k3s1_on_s2"])
        return out


def test_functions_equal_torchsparse(device: torch.device) -> None:
    out = by_functions(cloud(device))
    assert out.keys() == SITES.keys()
    for name, tensor in out.items():
        check(name, tensor)


def test_layers_with_converted_weights_equal_torchsparse(device: torch.device) -> None:
    network = Network()
    foreign = {f"{name[2:]}.kernel": value for name, value in GOLDEN.items() if name.startswith("w_")}
    converted = convert_state_dict(network, foreign, source="torchsparse", axes="xyz")
    assert converted.missing_keys == converted.unexpected_keys == ()
    network.load_state_dict(converted.state_dict)
    out = network.to(device)(cloud(device))
    assert out.keys() == SITES.keys()
    for name, tensor in out.items():
        check(name, tensor)


@pytest.mark.parametrize(("name", "size"), [("k3s1", 3), ("k2s2", 2)])
def test_kernel_maps_hold_the_pairs_of_torchsparse(name: str, size: int, device: torch.device) -> None:
    x = cloud(device)
    if name == "k3s1":
        plan = submanifold_map(x.sites, kernel_size=size)
    else:
        plan = strided_map(x.sites, kernel_size=size, stride=2, site_rule=RULE)
    number = torch.arange(size**3.0)[:, None, None]
    # Which of their kernels stands at each of our offsets.
    kernels = weight_xyz_to_zyx(weight_from_torchsparse(number, kernel_size=(size,) * 3)).flatten().long()
    rows, offsets = (plan.neighbours() >= 0).cpu().nonzero().unbind(1)
    inputs = plan.neighbours().cpu()[rows, offsets].long()
    ours = torch.stack([kernels[offsets], inputs, rows], dim=1)
    pairs, sizes = GOLDEN[f"kmap_{name}_pairs_in_out"].long(), GOLDEN[f"kmap_{name}_sizes"]
    outputs = lookup(plan.sites_out, cells(SITES[name], device)).cpu()[pairs[:, 1]]
    kernel = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    theirs = torch.stack([kernel, pairs[:, 0], outputs], dim=1)
    assert torch.equal(ours.unique(dim=0), theirs.unique(dim=0)) and len(ours) == len(theirs)
    per_offset = torch.zeros_like(sizes).index_put((kernels,), plan.pairs_per_offset.cpu())
    assert torch.equal(per_offset, sizes)


@pytest.mark.parametrize("size", [2, 3])
def test_kernel_m_stands_at_the_offset_m(size: int) -> None:
    number = torch.arange(size**3.0)[:, None, None]
    weight = weight_from_torchsparse(number, kernel_size=(size,) * 3)
    x, y, z = (GOLDEN[f"offsets_k{size}"].long() + (size == 3)).unbind(1)
    assert torch.equal(weight[x, y, z], number)
