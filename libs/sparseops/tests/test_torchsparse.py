"""Golden vectors of torchsparse 1.4: convolutions by functions and by layers, kernel maps, kernel offsets.

Its coordinates are x y z b in units of the input; a tensor carries its stride. Features are compared at every
sixteenth row, site sets and kernel maps as a whole.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sparseops import (
    KernelMap,
    Sites,
    SparseTensor,
    convert_state_dict,
    lookup,
    merge_duplicates,
    scatter_mean,
    sites_from_coords,
    sparse_conv,
    strided_map,
    submanifold_map,
    trilinear_weights,
    weight_from_torchsparse,
    weight_xyz_to_zyx,
    weighted_sum,
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


@pytest.fixture(scope="module")
def point_voxel() -> dict[str, Tensor]:
    """Vectors of the point-voxel operators of SPVNAS; `test_devoxelize.py` has the way back to points."""
    root = os.environ.get("FUSION3D_GOLDEN")
    if root is None:
        pytest.skip("FUSION3D_GOLDEN is not set")
    with np.load(Path(root) / "cluster3dseg" / "ops_pointvoxel.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def point_cells(point_voxel: dict[str, Tensor], stride: int) -> Tensor:
    """The cell of every point at a stride, b z y x."""
    points = point_voxel["iv_new_float_coord"]
    return torch.cat([points[:, 3:], (points[:, :3] / stride).floor().flip(1)], dim=1).int()


def voxel_sites(point_voxel: dict[str, Tensor], name: str, stride: int) -> Sites:
    xyzb = point_voxel[f"{name}_coords"]
    coords = torch.cat([xyzb[:, 3:], (xyzb[:, :3] // stride).flip(1)], dim=1)
    return sites_from_coords(coords, spatial_shape=(200, 200, 200), batch_size=2)


@pytest.mark.golden
def test_initial_voxels_are_means_of_their_points(point_voxel) -> None:
    points = point_voxel["points"]
    # Rounded twice, in this order.
    scaled = points[:, :3] * float(point_voxel["iv_init_res"]) / float(point_voxel["iv_after_res"])
    assert torch.equal(torch.cat([scaled, points[:, 3:]], dim=1), point_voxel["iv_new_float_coord"])
    tensor, row = merge_duplicates(
        point_voxel["point_feats"],
        point_cells(point_voxel, 1),
        spatial_shape=(200, 200, 200),
        batch_size=2,
    )
    theirs = voxel_sites(point_voxel, "iv", 1)
    rows = lookup(tensor.sites, theirs.coords)
    assert len(theirs) == len(tensor.sites) and bool((rows >= 0).all())
    torch.testing.assert_close(tensor.features[rows], point_voxel["iv_feats"], atol=1e-6, rtol=1e-6)
    assert torch.equal(rows[point_voxel["iv_point_to_voxel_index"]], row)


@pytest.mark.golden
@pytest.mark.parametrize(("name", "stride"), [("v2", 2), ("v4", 4)])
def test_points_to_voxels_are_means_of_those_that_lie_in_one(point_voxel, name: str, stride: int) -> None:
    sites = voxel_sites(point_voxel, name, stride)
    rows = lookup(sites, point_cells(point_voxel, stride))
    features = point_voxel["point_feats"].clone().requires_grad_()
    out = scatter_mean(features, rows, dim_size=len(sites))
    torch.testing.assert_close(out.detach(), point_voxel[f"p2v_s{stride}"], atol=1e-6, rtol=1e-6)
    if stride == 2:
        assert torch.equal(rows, point_voxel["p2v_s2_idx"])
        assert torch.equal(torch.bincount(rows, minlength=len(sites)), point_voxel["p2v_s2_counts"].long())
        out.backward(point_voxel["p2v_s2_gout"])
        assert features.grad is not None
        torch.testing.assert_close(features.grad, point_voxel["p2v_s2_gin"], atol=1e-7, rtol=1e-6)


@pytest.mark.golden
def test_the_nearest_variant_keeps_the_first_corner_and_its_weight(point_voxel) -> None:
    points = point_voxel["iv_new_float_coord"]
    bzyx = torch.cat([points[:, 3:], points[:, :3].flip(1)], dim=1)
    idx, weights = trilinear_weights(bzyx, voxel_sites(point_voxel, "iv", 1))
    out = weighted_sum(point_voxel["iv_feats"], idx[:, :1], weights[:, :1])
    torch.testing.assert_close(out, point_voxel["devox_s1_nearest"], atol=1e-5, rtol=1e-5)


@pytest.mark.golden
def test_voxels_of_points_are_convolved_down(point_voxel) -> None:
    sites = voxel_sites(point_voxel, "iv", 1)
    plan = strided_map(sites, kernel_size=2, stride=2, site_rule=RULE)
    kernel = weight_from_torchsparse(point_voxel["w_dv"], kernel_size=(2, 2, 2))
    out = sparse_conv(point_voxel["iv_feats"], weight_xyz_to_zyx(kernel), kernel_map=plan)
    theirs = voxel_sites(point_voxel, "v2", 2)
    rows = lookup(plan.sites_out, theirs.coords)
    assert len(theirs) == len(plan.sites_out) and bool((rows >= 0).all())
    torch.testing.assert_close(out[rows], point_voxel["v2_feats"], atol=2e-6, rtol=1e-6)
