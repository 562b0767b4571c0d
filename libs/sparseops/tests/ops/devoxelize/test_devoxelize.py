import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import Sites, sites_from_coords, trilinear_devoxelize, trilinear_weights
from sparseops.ops.devoxelize import _ops
from sparseops.ops.devoxelize._cpu import trilinear_corners as trilinear_corners_cpu
from sparseops.ops.devoxelize._reference import trilinear_corners as trilinear_corners_reference
from sparseops.sites import site_keys
from torch import Tensor
from torch.nn.functional import grid_sample

SHAPE = (4, 5, 6)


def some_sites(random_coords, *, rows: int = 60, seed: int = 0) -> Sites:
    coords = random_coords(rows, SHAPE, batch_size=2, seed=seed)
    return sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2)


def some_points(count: int, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Points in and a little outside the grid, some on whole coordinates."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 4, generator=draw, dtype=dtype) * torch.tensor([0, 8, 9, 10]) - 2
    points[::3] = points[::3].round()
    points[:, 0] = torch.randint(0, 2, (count,), generator=draw)
    return points


@pytest.fixture(scope="session")
def point_voxel() -> dict[str, Tensor]:
    """Vectors of the public point-voxel operators; coordinates x y z b."""
    root = os.environ.get("FUSION3D_GOLDEN")
    if root is None:
        pytest.skip("FUSION3D_GOLDEN is not set")
    with np.load(Path(root) / "cluster3dseg" / "ops_pointvoxel.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.mark.golden
@pytest.mark.parametrize(("stride", "sites", "features"), [(1, "iv", "iv"), (2, "v2", "v2"), (4, "v4", "v4")])
def test_rows_weights_and_features_equal_the_published_ones(
    backend: str, point_voxel, stride: int, sites: str, features: str
) -> None:
    xyzb = point_voxel[f"{sites}_coords"]
    coords = torch.cat([xyzb[:, 3:], (xyzb[:, :3] // stride).flip(1)], dim=1)
    grid = sites_from_coords(coords, spatial_shape=(200, 200, 200), batch_size=2)
    points = point_voxel["iv_new_float_coord"]
    idx, weights = trilinear_weights(torch.cat([points[:, 3:], points[:, :3].flip(1) / stride], dim=1), grid)
    assert torch.equal(idx, point_voxel[f"devox_s{stride}_idx"])
    torch.testing.assert_close(weights, point_voxel[f"devox_s{stride}_w"], rtol=1e-5, atol=1e-5)
    out = trilinear_devoxelize(point_voxel[f"{features}_feats"], idx, weights)
    torch.testing.assert_close(out, point_voxel[f"devox_s{stride}"], rtol=1e-4, atol=1e-4)


@pytest.mark.golden
def test_the_published_gradient_on_the_cpu_took_the_upstream_of_the_wrong_row(
    backend: str, point_voxel
) -> None:
    idx, weights = point_voxel["devox_s1_idx"], point_voxel["devox_s1_w"]
    upstream, wrong = point_voxel["devox_s1_gout"], point_voxel["devox_s1_gin"]
    # Every point hands each corner the upstream gradient of the point whose number is that of the corner.
    present = torch.nn.functional.one_hot(torch.arange(8)).bool()
    total = torch.zeros_like(wrong)
    for corner in present:
        one = torch.where(corner, idx, -1)
        features = torch.zeros_like(wrong).requires_grad_()
        out = trilinear_devoxelize(features, one, weights)
        row = idx[:, corner][:, 0]
        out.backward(upstream[row.clamp(min=0)])
        assert features.grad is not None
        total += features.grad
    torch.testing.assert_close(total, wrong, rtol=1e-4, atol=1e-4)


def test_a_full_grid_equals_grid_sample(backend: str) -> None:
    z, y, x = torch.meshgrid(*(torch.arange(size) for size in SHAPE), indexing="ij")
    coords = torch.stack([torch.zeros_like(z), z, y, x], dim=-1).view(-1, 4).int()
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=1)
    features = torch.randn(len(coords), 3)
    points = some_points(200)
    points[:, 0] = 0
    out = trilinear_devoxelize(features, *trilinear_weights(points, sites, normalize=False))
    volume = features.T.reshape(1, 3, *SHAPE)
    unit = points[:, [3, 2, 1]] * 2 / (torch.tensor([6, 5, 4]) - 1) - 1
    wanted = grid_sample(volume, unit.view(1, 1, 1, -1, 3), align_corners=True).view(3, -1).T
    torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-5)


def test_corners_come_with_z_fastest(backend: str) -> None:
    corners_xyz = [(i // 4, i // 2 % 2, i % 2) for i in range(8)]
    coords = torch.tensor([[0, z + 1, y + 1, x + 1] for x, y, z in corners_xyz], dtype=torch.int32)
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=1)
    points = torch.tensor([[0.0, 1.5, 1.25, 1.125]])
    idx, weights = trilinear_weights(points, sites, normalize=False)
    assert idx.tolist() == [list(range(8))]
    wanted = [abs(0.875 - x) * abs(0.75 - y) * abs(0.5 - z) for x, y, z in corners_xyz]
    assert weights.tolist() == [wanted]


def test_weights_of_present_corners_add_up_to_one(backend: str, random_coords) -> None:
    idx, weights = trilinear_weights(some_points(400), some_sites(random_coords))
    any_weight = (weights > 0).any(1)
    assert 20 < any_weight.sum() < 380
    torch.testing.assert_close(weights.sum(1), any_weight.float())
    assert (weights[idx < 0] == 0).all()


def test_points_that_are_not_finite_have_no_corners(backend: str, random_coords) -> None:
    points = torch.ones(5, 4)
    bad = torch.tensor([torch.inf, -torch.inf, 1e30])
    points[torch.arange(3), torch.arange(1, 4)] = bad
    points[3, 3], points[4, 1] = -1e30, torch.nan
    points.requires_grad_()
    idx, weights = trilinear_weights(points, some_sites(random_coords))
    assert (idx == -1).all() and (weights == 0).all()
    weights.sum().backward()
    assert points.grad is not None and (points.grad == 0).all()


@pytest.mark.parametrize("sample", [-1.0, 2.0, 0.5, torch.nan, torch.inf])
def test_points_of_no_sample_are_refused(backend: str, random_coords, sample: float) -> None:
    points = torch.ones(2, 4)
    points[1, 0] = sample
    with pytest.raises(ValueError, match="trilinear_weights: column 0 of points must hold"):
        trilinear_weights(points, some_sites(random_coords))


@pytest.mark.slow
def test_weights_have_the_gradient_of_the_points(backend: str, random_coords) -> None:
    sites = some_sites(random_coords)
    points = some_points(20, dtype=torch.float64)
    points[:, 1:] += 0.37  # away from the kinks at whole coordinates
    sample, zyx = points[:, :1], points[:, 1:].clone().requires_grad_()

    def weights(zyx: Tensor) -> Tensor:
        return trilinear_weights(torch.cat([sample, zyx], dim=1), sites)[1]

    assert torch.autograd.gradcheck(weights, (zyx,))


def test_gradcheck(backend: str, random_coords) -> None:
    sites = some_sites(random_coords)
    idx, weights = trilinear_weights(some_points(12, dtype=torch.float64), sites)
    features = torch.randn(len(sites), 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: trilinear_devoxelize(f, idx, weights), (features,))


def test_no_points_and_no_sites(backend: str, random_coords) -> None:
    idx, weights = trilinear_weights(torch.zeros(0, 4), some_sites(random_coords))
    assert idx.shape == weights.shape == (0, 8)
    none = sites_from_coords(torch.zeros(0, 4, dtype=torch.int32), spatial_shape=SHAPE, batch_size=1)
    idx, weights = trilinear_weights(torch.zeros(3, 4), none)
    assert (idx == -1).all()
    features = torch.zeros(0, 2, requires_grad=True)
    out = trilinear_devoxelize(features, idx, weights)
    assert out.tolist() == [[0.0, 0.0]] * 3
    out.sum().backward()


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(0, 40), st.integers(0, 80), st.integers(0, 999))
def test_back_ends_agree_bit_for_bit(points: int, rows: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    columns = [torch.randint(size, (rows,), generator=draw) for size in (2, *SHAPE)]
    coords = torch.unique(torch.stack(columns, dim=1).int(), dim=0)
    coords = coords[torch.randperm(len(coords), generator=draw)]
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2)
    keys = site_keys(sites.coords[sites.order], SHAPE)
    for dtype in (torch.float32, torch.float64):
        arguments = (some_points(points, seed=seed, dtype=dtype), keys, sites.order, [2, *SHAPE])
        wanted = trilinear_corners_reference(*arguments)
        for ours, reference in zip(trilinear_corners_cpu(*arguments), wanted, strict=True):
            assert torch.equal(ours, reference)


def test_order_of_the_sites_does_not_matter(backend: str, random_coords) -> None:
    sites, points = some_sites(random_coords), some_points(50)
    shuffled = torch.randperm(len(sites))
    other = sites_from_coords(sites.coords[shuffled], spatial_shape=SHAPE, batch_size=2)
    idx, weights = trilinear_weights(points, sites)
    other_idx, other_weights = trilinear_weights(points, other)
    assert torch.equal(torch.where(other_idx < 0, -1, shuffled[other_idx]), idx)
    assert torch.equal(other_weights, weights)


def test_result_does_not_depend_on_the_threads(threads, random_coords) -> None:
    sites, points = some_sites(random_coords), some_points(500)
    threads(1)
    alone = trilinear_weights(points, sites)
    threads(2)
    assert all(torch.equal(a, b) for a, b in zip(trilinear_weights(points, sites), alone, strict=True))


def test_the_operator_passes_opcheck() -> None:
    keys = torch.tensor([0, 1, 7])
    # Without a gradient: opcheck cannot add up results of which the first is integer. Graphs with one are in
    # test_modes.py.
    points = torch.rand(5, 4)
    torch.library.opcheck(_ops.trilinear_corners, (points, keys, torch.tensor([2, 0, 1]), [1, 2, 2, 2]))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named(random_coords) -> None:
    sites = some_sites(random_coords)
    with pytest.raises(ValueError, match=r"trilinear_weights: points_bzyx must have shape \[N, 4\]"):
        trilinear_weights(torch.zeros(2, 3), sites)
    with pytest.raises(
        TypeError, match=r"trilinear_weights: points_bzyx must be .* or float32 or float64, got int64"
    ):
        trilinear_weights(torch.zeros(2, 4, dtype=torch.int64), sites)
    flat = sites_from_coords(torch.zeros(1, 3, dtype=torch.int32), spatial_shape=(2, 2), batch_size=1)
    with pytest.raises(ValueError, match=r"trilinear_weights: sites must be of a 3D grid, got .*\(2, 2\)"):
        trilinear_weights(torch.zeros(2, 4), flat)
    idx, weights = trilinear_weights(torch.zeros(2, 4), sites)
    with pytest.raises(ValueError, match=r"trilinear_devoxelize: idx must have shape \[N, 8\], got \[2, 7\]"):
        trilinear_devoxelize(torch.zeros(60, 2), idx[:, :7], weights)
    with pytest.raises(IndexError, match="trilinear_devoxelize: idx must be below 1"):
        trilinear_devoxelize(torch.zeros(1, 2), idx.clamp(min=1), weights)
