import pytest
import torch
from sparseops import ball_query, ball_query_stacked
from sparseops.ops.ball_query._reference import ball_query as ball_query_reference


@pytest.mark.triton
@pytest.mark.parametrize(("points", "centres"), [(90, 12), (1, 1), (0, 5), (40, 0), (70, 33)])
@pytest.mark.parametrize(("radius", "samples"), [(0.5, 3), (0.25, 1), (3.0, 9)])
def test_rows_equal_the_reference(triton_device, points, centres, radius, samples, monkeypatch) -> None:
    from sparseops.ops.ball_query import _triton

    # Coordinates on a grid put many distances exactly on the radius; small blocks make several of them.
    monkeypatch.setattr(_triton, "_POINTS", 16)
    cloud = torch.randint(-8, 8, (points, 3), device=triton_device) / 8
    around = torch.randint(-10, 10, (centres, 3), device=triton_device) / 8
    point_starts = torch.tensor([0, 0, points // 3, points], device=triton_device)
    centre_starts = torch.tensor([0, centres // 4, centres // 2, centres], device=triton_device)
    arguments = (around, centre_starts, cloud, point_starts, radius, samples)
    for ours, wanted in zip(_triton.ball_query(*arguments), ball_query_reference(*arguments), strict=True):
        assert torch.equal(ours, wanted)


@pytest.mark.triton
def test_the_radius_is_excluded_and_nan_is_never_found(triton_device) -> None:
    points = torch.tensor([[[torch.nan, 0.0, 0.0], [1.0, 0.0, 0.0], [0.9999, 0.0, 0.0]]]).to(triton_device)
    centres = torch.tensor([[[0.0, 0.0, 0.0], [torch.nan, 0.0, 0.0]]]).to(triton_device)
    assert ball_query(centres, points, radius=1.0, num_samples=2).tolist() == [[[2, 2], [0, 0]]]


@pytest.mark.triton
def test_strided_inputs_and_int32_counts(triton_device) -> None:
    points = torch.rand(3, 20, device=triton_device).T
    counts = torch.tensor([12, 8], dtype=torch.int32, device=triton_device)
    found = ball_query_stacked(points, counts, points, counts, radius=0.4, num_samples=4)
    starts = torch.tensor([0, 12, 20], device=triton_device)
    for ours, wanted in zip(found, ball_query_reference(points, starts, points, starts, 0.4, 4), strict=True):
        assert torch.equal(ours, wanted)


@pytest.mark.triton
def test_no_batch(triton_device) -> None:
    none = torch.zeros(0, 4, 3, device=triton_device)
    assert ball_query(none, none, radius=1.0, num_samples=2).shape == (0, 4, 2)


def test_the_kernel_compiles(compile_kernel) -> None:
    from sparseops.ops.ball_query import _triton

    types = {"centres": "*fp32", "points": "*fp32", "starts": "*i64", "stops": "*i64", "idx": "*i64"}
    scalars = {"empty": "*i1", "m": "i32", "samples": "i32", "limit": "fp32"}
    compile_kernel(
        _triton._query, {**types, **scalars}, {"CENTRES": 8, "POINTS": 128}, enable_fp_fusion=False
    )
