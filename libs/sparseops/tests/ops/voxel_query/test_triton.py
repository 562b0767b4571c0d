import pytest
import torch
from sparseops import voxel_query
from sparseops.ops.voxel_query._reference import voxel_query as voxel_query_reference


def grid(count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Random sites around the origin, some of them twice, and the centres of their cells."""
    coords = torch.randint(-4, 5, (count, 4), device=device)
    coords[:, 0] %= 2
    return coords.int(), (coords[:, [3, 2, 1]].float() + 0.5) * 0.5


@pytest.mark.triton
@pytest.mark.parametrize(("sites", "centres"), [(90, 7), (1, 40), (0, 3), (5, 0)])
@pytest.mark.parametrize(("reach", "samples"), [(0, 1), (1, 4), (2, 30)])
def test_rows_equal_the_reference(triton_device, sites, centres, reach, samples) -> None:
    from sparseops.ops.voxel_query._triton import voxel_query as voxel_query_triton

    arguments = (
        *grid(centres, triton_device),
        *grid(sites, triton_device),
        [reach, 1, 2],
        1.0,
        samples,
    )
    for ours, wanted in zip(voxel_query_triton(*arguments), voxel_query_reference(*arguments), strict=True):
        assert torch.equal(ours, wanted)


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_far_apart_sites_in_strided_memory(triton_device, dtype) -> None:
    far = 2**29
    sites = torch.tensor([[0, -far, -far, -far], [0, far, far, far]], dtype=dtype, device=triton_device)
    xyz = torch.zeros(3, 2, device=triton_device).T
    rows, empty = voxel_query(
        sites.T.contiguous().T, xyz, sites, xyz, max_range=(1, 1, 1), radius=1.0, num_samples=2
    )
    assert rows.tolist() == [[0, 0], [1, 1]]
    assert not empty.any()


@pytest.mark.triton
def test_the_radius_is_included_and_nan_finds_nothing(triton_device) -> None:
    sites = torch.tensor([[0, 0, 0, 1]], device=triton_device)
    limits = {"max_range": (1, 1, 1), "radius": 1.0, "num_samples": 1}
    for far, found in ((1.0, True), (1.0001, False), (torch.nan, False)):
        xyz = torch.tensor([[far, 0.0, 0.0]], device=triton_device)
        _, empty = voxel_query(sites * 0, torch.zeros_like(xyz), sites, xyz, **limits)
        assert empty.item() is not found


def test_the_kernel_compiles(compile_kernel) -> None:
    from sparseops.ops.voxel_query import _triton

    arrays = {"cells": "*i64", "centres": "*fp32", "keys_bz": "*i64", "keys_yx": "*i64", "order": "*i64"}
    results = {"xyz": "*fp32", "idx": "*i64", "empty": "*i1"}
    scalars = dict.fromkeys(("m", "n", "steps", "rz", "ry", "rx", "samples"), "i32")
    types = {**arrays, **results, **scalars, "limit": "fp32"}
    compile_kernel(_triton._query, types, {"CENTRES": 32}, num_warps=1, enable_fp_fusion=False)
