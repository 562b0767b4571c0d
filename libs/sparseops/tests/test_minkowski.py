"""Golden vectors of MinkowskiEngine 0.5.4: every operator, by functions along kernel maps and by layers.

Its coordinates are x y z in units of the input, of either sign; a tensor carries its stride. Features are
compared at every fourth row where there are more than 300, site sets and gradients as a whole.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sparseops import (
    SparseTensor,
    convert_state_dict,
    global_avg_pool,
    global_max_pool,
    lookup,
    merge_duplicates,
    prune,
    sparse_avg_pool,
    sparse_conv,
    sparse_max_pool,
    strided_map,
    submanifold_map,
    transposed_map,
    trilinear_devoxelize,
    trilinear_weights,
    union_add,
    voxel_first,
    weight_from_minkowski,
    weight_xyz_to_zyx,
)
from sparseops.nn import (
    InverseConv3d,
    SparseAvgPool3d,
    SparseConv3d,
    SparseMaxPool3d,
    SparseSequential,
    SubmanifoldConv3d,
    TransposedConv3d,
)
from torch import Tensor, nn

ORIGIN, SHAPE = -16, (32, 32, 32)
"""A multiple of the coarsest stride, 4, with a coarse cell free on both sides of the cloud."""
RULE = "minkowski"
ATOL = 1e-6
Operator = Callable[[SparseTensor], SparseTensor]

with np.load(Path(__file__).parent / "golden" / "minkowski.npz") as file:
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


def cells(raw_bxyz: Tensor, stride: int) -> Tensor:
    """Their coordinates as b z y x of our grid at a stride."""
    cell = (raw_bxyz[:, 1:] - ORIGIN).div(stride, rounding_mode="floor")
    return torch.cat([raw_bxyz[:, :1], cell.flip(1)], dim=1).int()


def cloud(device: torch.device) -> SparseTensor:
    coords = cells(GOLDEN["in_coords"], 1).to(device)
    return SparseTensor(GOLDEN["in_feats"].to(device), coords, SHAPE, 2)


def rows_of(name: str, out: SparseTensor) -> Tensor:
    """Our rows of their sites, in their order; the two sets are equal."""
    theirs = cells(GOLDEN[f"{name}.coords"], int(GOLDEN[f"{name}.stride"][0])).to(out.coords.device)
    rows = lookup(out.sites, theirs)
    assert len(out.sites) == len(theirs) and bool((rows >= 0).all()), name
    return rows


def close(actual: Tensor | None, expected: Tensor, *, atol: float = ATOL) -> None:
    assert actual is not None
    atol = 1e-5 if actual.is_cuda else atol
    torch.testing.assert_close(actual.detach().cpu(), expected, atol=atol, rtol=1e-6)


def check(name: str, out: SparseTensor) -> None:
    rows = rows_of(name, out)
    close(out.features[rows][:: 4 if len(rows) > 300 else 1], GOLDEN[f"{name}.feats"])


def our_weight(kernel: Tensor, size: int) -> Tensor:
    return weight_xyz_to_zyx(weight_from_minkowski(kernel, kernel_size=(size,) * 3))


def convolve(x: SparseTensor, name: str, size: int, *, stride: int = 1, dilation: int = 1) -> SparseTensor:
    if stride == 1:
        plan = submanifold_map(x.sites, kernel_size=size, dilation=dilation)
    else:
        plan = strided_map(x.sites, kernel_size=size, stride=stride, site_rule=RULE)
    weight = our_weight(GOLDEN[f"{name}.kernel"].to(x.features.device), size)
    bias = GOLDEN[f"{name}.bias"][0].to(x.features.device) if f"{name}.bias" in GOLDEN else None
    return SparseTensor.from_sites(
        sparse_conv(x.features, weight, bias=bias, kernel_map=plan), plan.sites_out
    )


def up(x: SparseTensor, name: str, size: int, *, onto: SparseTensor | None = None) -> SparseTensor:
    sites = None if onto is None else onto.sites
    plan = transposed_map(x.sites, kernel_size=size, stride=2, site_rule=RULE, onto=sites)
    weight = our_weight(GOLDEN[f"{name}.kernel"].to(x.features.device), size)
    return SparseTensor.from_sites(sparse_conv(x.features, weight, kernel_map=plan), plan.sites_out)


def half(x: SparseTensor) -> SparseTensor:
    return convolve(x, "conv_k3s2", 3, stride=2)


def quarter(x: SparseTensor) -> SparseTensor:
    return convolve(half(x), "conv_k3s2_b", 3, stride=2)


def pool(call: Callable[..., Tensor], size: int) -> Operator:
    def run(x: SparseTensor) -> SparseTensor:
        plan = strided_map(x.sites, kernel_size=size, stride=2, site_rule=RULE)
        return SparseTensor.from_sites(call(x.features, kernel_map=plan), plan.sites_out)

    return run


def sum_pool(features: Tensor, **plan: object) -> Tensor:
    """The mean over all cells of the window, times their number."""
    return 8 * sparse_avg_pool(features, **plan, divide_by="kernel")


def onto_half(x: SparseTensor, name: str, size: int) -> SparseTensor:
    fine = half(x)
    return up(convolve(fine, "conv_k3s2_b", 3, stride=2), name, size, onto=fine)


def partial_add(x: SparseTensor, y: SparseTensor) -> SparseTensor:
    """Add what `y` has on the sites of `x`."""
    rows = lookup(y.sites, x.coords)
    return x.replace(x.features + torch.where(rows[:, None] >= 0, y.features[rows.clamp(min=0)], 0.0))


FUNCTIONS: dict[str, Operator] = {
    "conv_k3s1": lambda x: convolve(x, "conv_k3s1", 3),
    "conv_k3s1_d2": lambda x: convolve(x, "conv_k3s1_d2", 3, dilation=2),
    "conv_k3s2": half,
    "conv_k2s2": lambda x: convolve(x, "conv_k2s2", 2, stride=2),
    "conv_k1s1_bias": lambda x: convolve(x, "conv_k1s1_bias", 1),
    "conv_k1s2": lambda x: convolve(x, "conv_k1s2", 1, stride=2),
    "conv_k3s2_b": quarter,
    "gen_k3s2": lambda x: up(quarter(x), "gen_k3s2", 3),
    "gen_k2s2": lambda x: up(quarter(x), "gen_k2s2", 2),
    "tr_k3s2": lambda x: onto_half(x, "tr_k3s2", 3),
    "tr_k2s2": lambda x: onto_half(x, "tr_k2s2", 2),
    "maxpool_k2s2": pool(sparse_max_pool, 2),
    "maxpool_k3s2": pool(sparse_max_pool, 3),
    "avgpool_k2s2": pool(sparse_avg_pool, 2),
    "sumpool_k2s2": pool(sum_pool, 2),
    "prune_f0_gt_0.2": lambda x: prune(x, x.features[:, 0] > 0.2),
    "union_add": lambda x: union_add(up(quarter(x), "gen_k3s2_c", 3), half(x)),
    "partial_add": lambda x: partial_add(up(quarter(x), "gen_k3s2_c", 3), half(x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_equal_minkowski_engine(name: str, device: torch.device) -> None:
    check(name, FUNCTIONS[name](cloud(device)))


@pytest.mark.triton
@pytest.mark.parametrize("name", ["conv_k2s2", "maxpool_k2s2", "tr_k2s2"])
def test_triton_kernels_equal_minkowski_engine(name: str, triton_device: torch.device) -> None:
    check(name, FUNCTIONS[name](cloud(triton_device)))


class Network(nn.Module):
    """Every operator as a layer, under the name of its vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_k3s1 = SubmanifoldConv3d(5, 6, 3, bias=False)
        self.conv_k3s1_d2 = SubmanifoldConv3d(5, 6, 3, dilation=2, bias=False)
        self.conv_k3s2 = SparseConv3d(5, 6, 3, stride=2, bias=False, site_rule=RULE)
        self.conv_k2s2 = SparseConv3d(5, 6, 2, stride=2, bias=False, site_rule=RULE)
        self.conv_k1s1_bias = SubmanifoldConv3d(5, 6, 1)
        self.conv_k1s2 = SparseConv3d(5, 6, 1, stride=2, bias=False, site_rule=RULE)
        self.conv_k3s2_b = SparseConv3d(6, 7, 3, stride=2, bias=False, key="down", site_rule=RULE)
        self.gen_k3s2 = TransposedConv3d(7, 4, 3, stride=2, bias=False, site_rule=RULE)
        self.gen_k2s2 = TransposedConv3d(7, 4, 2, stride=2, bias=False, site_rule=RULE)
        self.tr_k3s2 = InverseConv3d(7, 4, 3, of="down", bias=False)
        self.tr_k2s2 = TransposedConv3d(7, 4, 2, stride=2, bias=False, site_rule=RULE)
        self.gen_k3s2_c = TransposedConv3d(7, 6, 3, stride=2, bias=False, site_rule=RULE)
        self.bn = nn.BatchNorm1d(5)

    def forward(self, x: SparseTensor) -> dict[str, SparseTensor]:
        fine = self.conv_k3s2(x)
        coarse = self.conv_k3s2_b(fine)
        single = ("conv_k3s1", "conv_k3s1_d2", "conv_k2s2", "conv_k1s1_bias", "conv_k1s2")
        out = {name: self.get_submodule(name)(x) for name in single}
        out |= {"conv_k3s2": fine, "conv_k3s2_b": coarse}
        out |= {name: self.get_submodule(name)(coarse) for name in ("gen_k3s2", "gen_k2s2", "tr_k3s2")}
        out["tr_k2s2"] = self.tr_k2s2(coarse, fine)
        for name, kind, size in (
            ("maxpool_k2s2", SparseMaxPool3d, 2),
            ("maxpool_k3s2", SparseMaxPool3d, 3),
            ("avgpool_k2s2", SparseAvgPool3d, 2),
        ):
            out[name] = kind(size, stride=2, site_rule=RULE)(x)
        out["union_add"] = union_add(self.gen_k3s2_c(coarse), fine)
        out["bn_eval" if not self.training else "bn_train"] = SparseSequential(self.bn)(x)
        return out


def converted_network() -> Network:
    network = Network()
    entries = ("kernel", "bias", "weight", "running_mean", "running_var")
    foreign = {
        name.replace("bn.", "bn.bn."): value
        for name, value in GOLDEN.items()
        if name.rpartition(".")[2] in entries and name.partition(".")[0] in dict(network.named_children())
    }
    converted = convert_state_dict(network, foreign, source="minkowski", axes="xyz")
    assert converted.missing_keys == ("bn.num_batches_tracked",)
    assert converted.unexpected_keys == ()
    network.load_state_dict(converted.state_dict, strict=False)
    return network


def test_layers_with_converted_weights_equal_minkowski_engine(device: torch.device) -> None:
    network = converted_network().to(device)
    out = network.eval()(cloud(device))
    assert out.keys() - FUNCTIONS.keys() == {"bn_eval"}
    for name, tensor in out.items():
        check(name, tensor)


def test_batch_norm_in_training_equals_minkowski_engine() -> None:
    network = converted_network()
    check("bn_train", network(cloud(torch.device("cpu")))["bn_train"])
    for name in ("running_mean", "running_var"):
        close(network.bn.get_buffer(name), GOLDEN[f"bn_train.{name}_after"])


def test_global_pools_equal_minkowski_engine(device: torch.device) -> None:
    x = cloud(device)
    assert GOLDEN["global_max.coords"][:, 0].tolist() == [0, 1]
    close(global_max_pool(x), GOLDEN["global_max.feats"])
    close(global_avg_pool(x), GOLDEN["global_avg.feats"])


def test_instance_norm_is_made_of_global_pools() -> None:
    x = cloud(torch.device("cpu"))
    sample = x.coords[:, 0].long()
    centred = x.replace(x.features - global_avg_pool(x)[sample])
    variance = global_avg_pool(centred.replace(centred.features**2))[sample]
    normed = centred.features * (variance + 1e-8).rsqrt()
    check("instance_norm", x.replace(normed * GOLDEN["in.weight"] + GOLDEN["in.bias"]))


@pytest.mark.parametrize("stride", [1, 2])
def test_interpolation_without_normalisation_equals_minkowski_engine(
    stride: int, device: torch.device
) -> None:
    x = cloud(device) if stride == 1 else half(cloud(device))
    query = GOLDEN["interp.query"].to(device)
    points = torch.cat([query[:, :1], ((query[:, 1:] - ORIGIN) / stride).flip(1)], dim=1)
    idx, weights = trilinear_weights(points, x.sites, normalize=False)
    wanted = GOLDEN[f"interp.feats_from_stride{stride}"]
    assert wanted.any(1).sum() > 15
    close(trilinear_devoxelize(x.features, idx, weights), wanted, atol=2e-6)


@pytest.mark.parametrize(("name", "mean"), [("vox", False), ("vox_avg", True)])
def test_points_become_voxels_as_in_minkowski_engine(name: str, mean: bool, device: torch.device) -> None:
    points = GOLDEN["vox.points"]
    raw = torch.nn.functional.pad((points / float(GOLDEN["vox.size"])).floor(), (1, 0))
    coords = cells(raw, 1).to(device)
    out, row = merge_duplicates(points.to(device), coords, spatial_shape=SHAPE, batch_size=1)
    if not mean:
        out = out.replace(points.to(device)[voxel_first(row, num_voxels=len(out.sites))])
    check(name, out)


@pytest.mark.parametrize(
    ("name", "at", "to", "size"),
    [
        ("conv_k3s1", "conv_k3s1", "conv_k3s1", 3),
        ("conv_k3s2", "conv_k3s1", "conv_k3s2", 3),
        ("gen_k3s2", "conv_k3s2_b", "gen_k3s2", 3),
    ],
)
def test_gradients_equal_minkowski_engine(
    name: str, at: str, to: str, size: int, device: torch.device
) -> None:
    x = cloud(device) if at == "conv_k3s1" else quarter(cloud(device))
    features = x.features.detach().requires_grad_()
    kernel = GOLDEN[f"{name}.kernel"].clone().to(device).requires_grad_()
    settings = {"kernel_size": size, "stride": 2, "site_rule": RULE}
    match name:
        case "conv_k3s1":
            plan = submanifold_map(x.sites, kernel_size=size)
        case "conv_k3s2":
            plan = strided_map(x.sites, **settings)
        case _:
            plan = transposed_map(x.sites, **settings)
    out = sparse_conv(features, our_weight(kernel, size), kernel_map=plan)
    rows = rows_of(to, SparseTensor.from_sites(out, plan.sites_out))
    out[rows].backward(GOLDEN[f"grad_{name}.grad_out"].to(device))
    assert features.grad is not None
    close(features.grad[rows_of(at, x)], GOLDEN[f"grad_{name}.grad_in"], atol=1e-5)
    close(kernel.grad, GOLDEN[f"grad_{name}.grad_kernel"], atol=1e-5)


@pytest.mark.parametrize("size", [2, 3])
def test_kernel_m_stands_at_the_offset_m(size: int) -> None:
    number = torch.arange(size**3.0)[:, None, None]
    weight = weight_from_minkowski(number, kernel_size=(size,) * 3)
    x, y, z = (GOLDEN[f"offsets_k{size}"] + (size == 3)).unbind(1)
    assert torch.equal(weight[x, y, z], number)
