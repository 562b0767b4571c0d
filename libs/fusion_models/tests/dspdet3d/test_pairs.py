import math

import numpy as np
import pytest
import torch
from fusion_models.dspdet3d.pairs import pairs_in_cubes
from hypothesis import given
from hypothesis import strategies as st

GROUPS = 3


def every_pair(points, centers, point_groups, center_groups, half_m) -> set[tuple[int, int]]:
    """All pairs compared one by one, in single precision as the network counts."""
    return {
        (cube, row)
        for cube in range(len(centers))
        for row in range(len(points))
        if point_groups[row] == center_groups[cube]
        and (np.abs(points[row] - centers[cube]) < half_m[cube]).all()
    }


@given(
    points=st.integers(0, 40),
    cubes=st.integers(0, 12),
    seed=st.integers(0, 10_000),
    most_pairs=st.sampled_from([1, 7, 1 << 22]),
    far=st.sampled_from([0.0, 1000.0]),
)
def test_pairs_are_those_of_a_comparison_of_all(points, cubes, seed, most_pairs, far):
    rng = np.random.default_rng(seed)
    # Quarters, so that points lie on the faces of cubes; far centres, so that slabs end outside the points.
    xyz = rng.integers(-8, 8, (points, 3)).astype(np.float32) / 4
    centers = rng.integers(-12, 12, (cubes, 3)).astype(np.float32) / 4
    centers[rng.random(cubes) < 0.2, 0] += far
    half_m = rng.choice([0.25, 1.0, 1.7, math.inf], cubes).astype(np.float32)
    point_groups, center_groups = rng.integers(0, GROUPS, points), rng.integers(0, GROUPS, cubes)
    found = list(
        pairs_in_cubes(
            torch.from_numpy(xyz),
            torch.from_numpy(centers),
            point_groups=torch.from_numpy(point_groups),
            center_groups=torch.from_numpy(center_groups),
            half_m=torch.from_numpy(half_m),
            most_pairs=most_pairs,
        )
    )
    pairs = [pair for piece in found for pair in zip(*(rows.tolist() for rows in piece), strict=True)]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == every_pair(xyz, centers, point_groups, center_groups, half_m)
    assert [cube for cube, _ in pairs] == sorted(cube for cube, _ in pairs)


@pytest.mark.parametrize("most_pairs", [100, 1000])
def test_no_more_pairs_are_compared_at_once_than_asked_for(most_pairs, monkeypatch):
    rows = 50
    compared = []
    whole = torch.Tensor.repeat_interleave
    monkeypatch.setattr(
        torch.Tensor,
        "repeat_interleave",
        lambda *args, **kwargs: compared.append(whole(*args, **kwargs)) or compared[-1],
    )
    zeros = torch.zeros(rows, dtype=torch.int64)
    pieces = pairs_in_cubes(
        torch.rand(rows, 3),
        torch.rand(rows, 3),
        point_groups=zeros,
        center_groups=zeros,
        half_m=torch.full((rows,), math.inf),
        most_pairs=most_pairs,
    )
    assert sum(len(cubes) for cubes, _ in pieces) == rows * rows
    assert max(map(len, compared)) < most_pairs + rows
