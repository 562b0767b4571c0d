import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import voxel_query
from sparseops.ops.voxel_query import _cpu, _ops
from sparseops.ops.voxel_query._cpu import voxel_query as voxel_query_cpu
from sparseops.ops.voxel_query._reference import voxel_query as voxel_query_reference

LIMITS = {"max_range": (1, 1, 1), "radius": 1.0, "num_samples": 3}


def grid(count: int, seed: int = 0, samples: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Unique random sites around the origin (negative cells included) in random order, and their centres."""
    draw = torch.Generator().manual_seed(seed)
    coords = torch.randint(-5, 6, (count, 4), generator=draw)
    coords[:, 0] = torch.randint(0, samples, (count,), generator=draw)
    coords = torch.unique(coords, dim=0)
    coords = coords[torch.randperm(len(coords), generator=draw)]
    return coords.int(), (coords[:, [3, 2, 1]].float() + 0.5) * 0.5


@pytest.mark.golden
@pytest.mark.parametrize("radius", [0.4, 0.8])
def test_rows_equal_the_official_ones(backend: str, imagepg_ops, radius: float) -> None:
    sites = imagepg_ops["vq_voxel_coords_bzyx"]
    rows, empty = voxel_query(
        imagepg_ops["vq_query_coords_bzyx"],
        imagepg_ops["vq_query_bxyz"][:, 1:].contiguous(),
        sites,
        (sites[:, [3, 2, 1]].float() + 0.5) * 0.2,
        max_range=(4, 4, 4),
        radius=radius,
        num_samples=16,
    )
    assert torch.equal(empty, imagepg_ops[f"vq_empty_r{radius}"])
    assert torch.equal(rows.int(), imagepg_ops[f"vq_idx_r{radius}"])


def test_scan_is_ascending_with_z_slowest(backend: str) -> None:
    cells = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3)
    sites = torch.cat([torch.zeros(27, 1, dtype=torch.int64), cells], 1)
    mixed = torch.randperm(27)
    rows, _ = voxel_query(
        torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 3), sites[mixed], cells[mixed].flip(1).float(),
        max_range=(1, 1, 1), radius=9.0, num_samples=27,
    )  # fmt: skip
    assert torch.equal(mixed[rows[0]], torch.arange(27))


def test_the_radius_is_included(backend: str) -> None:
    sites = torch.tensor([[0, 0, 0, 1]])
    for far, found in ((1.0, True), (1.0001, False)):
        _, empty = voxel_query(
            torch.zeros(1, 4).int(), torch.zeros(1, 3), sites, torch.tensor([[far, 0.0, 0.0]]), **LIMITS
        )
        assert empty.item() is not found


def test_sites_of_another_sample_are_not_found(backend: str) -> None:
    sites = torch.tensor([[1, 0, 0, 0]])
    _, empty = voxel_query(torch.zeros(1, 4).int(), torch.zeros(1, 3), sites, torch.zeros(1, 3), **LIMITS)
    assert empty.item()


def test_short_lists_are_padded_with_the_first_hit_and_empty_ones_with_zero(backend: str) -> None:
    sites = torch.tensor([[0, 0, 0, 7], [0, 0, 0, 1]])
    xyz = torch.tensor([[7.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    centres = torch.tensor([[0, 0, 0, 0], [0, 9, 9, 9]])
    rows, empty = voxel_query(centres, torch.zeros(2, 3), sites, xyz, **LIMITS)
    assert rows.tolist() == [[1, 1, 1], [0, 0, 0]]
    assert empty.tolist() == [False, True]


def test_no_sites_and_no_centres(backend: str) -> None:
    none, nowhere = torch.zeros(0, 4).int(), torch.zeros(0, 3)
    rows, empty = voxel_query(torch.zeros(2, 4).int(), torch.zeros(2, 3), none, nowhere, **LIMITS)
    assert rows.tolist() == [[0] * 3] * 2
    assert empty.all()
    rows, empty = voxel_query(none, nowhere, torch.zeros(2, 4).int(), torch.zeros(2, 3), **LIMITS)
    assert rows.shape == (0, 3)
    assert empty.shape == (0,)


def test_far_apart_sites_need_no_table(backend: str) -> None:
    far = 2**20
    sites = torch.tensor([[0, -far, -far, -far], [0, far, far, far]])
    rows, empty = voxel_query(sites, torch.zeros(2, 3), sites, torch.zeros(2, 3), **LIMITS)
    assert rows[:, 0].tolist() == [0, 1]
    assert not empty.any()


def brute_force(centres, xyz, sites, site_xyz, ranges, radius, samples):
    order = sorted(range(len(sites)), key=lambda row: sites[row].tolist())
    lists = []
    for centre, point in zip(centres, xyz, strict=True):
        hits = []
        for row in order:
            step = (sites[row] - centre).abs().tolist()
            near = ((site_xyz[row] - point) ** 2).sum() <= radius**2
            if step[0] == 0 and all(s <= r for s, r in zip(step[1:], ranges, strict=True)) and near:
                hits.append(row)
        lists.append((hits + [hits[0] if hits else 0] * samples)[:samples] if hits else [0] * samples)
    return lists


def test_rows_equal_brute_force(backend: str) -> None:
    sites, xyz = grid(150)
    centres, centre_xyz = grid(30, seed=1)
    # A quarter of a cell away, so that no distance is exactly the radius.
    centre_xyz = centre_xyz + 0.127
    rows, _ = voxel_query(centres, centre_xyz, sites, xyz, max_range=(1, 2, 3), radius=1.1, num_samples=4)
    assert rows.tolist() == brute_force(centres, centre_xyz, sites, xyz, (1, 2, 3), 1.1, 4)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(0, 120), st.integers(0, 20), st.integers(0, 2), st.integers(1, 40), st.integers(0, 1000))
def test_back_ends_agree_bit_for_bit(sites: int, centres: int, reach: int, samples: int, seed: int) -> None:
    coords, xyz = grid(sites, seed)
    queries, query_xyz = grid(centres, seed + 1)
    arguments = (queries, query_xyz, coords, xyz, [reach, 1, 2], 1.0, samples)
    for ours, reference in zip(voxel_query_cpu(*arguments), voxel_query_reference(*arguments), strict=True):
        assert torch.equal(ours, reference)


def test_of_sites_in_one_cell_the_lowest_row_counts(backend: str) -> None:
    sites = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    near, far = torch.zeros(4, 3), torch.tensor([[9.0], [0.0], [0.0], [0.0]]).expand(4, 3)
    for xyz, wanted in ((near, [1, 0, 1]), (far, [1, 1, 1])):
        rows, _ = voxel_query(torch.zeros(1, 4).int(), torch.zeros(1, 3), sites, xyz, **LIMITS)
        assert rows.tolist() == [wanted]


def test_nan_finds_nothing_and_is_never_found(backend: str) -> None:
    sites, xyz = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]]), torch.zeros(2, 3)
    xyz[0, 1] = torch.nan
    rows, empty = voxel_query(sites, xyz, sites, xyz, **LIMITS)
    assert rows.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert empty.tolist() == [True, False]


def test_a_batch_equals_its_samples_one_by_one(backend: str) -> None:
    sites, xyz = grid(150)
    sites, xyz = (tensor[sites[:, 0].argsort(stable=True)] for tensor in (sites, xyz))
    both, empty = voxel_query(sites, xyz, sites, xyz, **LIMITS)
    assert not empty.any()
    for sample in range(2):
        mine = sites[:, 0] == sample
        alone, _ = voxel_query(sites[mine], xyz[mine], sites[mine], xyz[mine], **LIMITS)
        assert torch.equal(both[mine] - int(mine.int().argmax()), alone)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_inputs_may_be_strided_and_any_integer(backend: str, dtype: torch.dtype) -> None:
    sites, xyz = grid(60)
    strided = sites.to(dtype).T.contiguous().T, xyz.T.contiguous().T
    rows, empty = voxel_query(*strided, *strided, **LIMITS)
    wanted = voxel_query(sites, xyz, sites, xyz, **LIMITS)
    assert torch.equal(rows, wanted[0])
    assert torch.equal(empty, wanted[1])


def test_result_does_not_depend_on_the_threads(threads) -> None:
    sites, xyz = grid(800)
    threads(1)
    alone = voxel_query(sites, xyz, sites, xyz, max_range=(2, 2, 2), radius=1.0, num_samples=8)
    threads(2)
    assert torch.equal(
        voxel_query(sites, xyz, sites, xyz, max_range=(2, 2, 2), radius=1.0, num_samples=8)[0], alone[0]
    )


def test_the_operator_passes_opcheck() -> None:
    sites, xyz = grid(20)
    torch.library.opcheck(_ops.voxel_query, (sites, xyz, sites, xyz, [1, 1, 1], 1.0, 4))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"centres_xyz": torch.zeros(3, 3)},
            ValueError,
            r"voxel_query: centres_xyz must have shape \[2, 3\], got \[3, 3\]",
        ),
        (
            {"voxel_xyz": torch.zeros(2, 3).double()},
            TypeError,
            "voxel_query: voxel_xyz must be .* or float32, got float64",
        ),
        (
            {"sparse_coords_bzyx": torch.zeros(2, 4)},
            TypeError,
            "sparse_coords_bzyx must be int32 or int64, got float32",
        ),
        (
            {"max_range": (1, -1, 1)},
            ValueError,
            r"voxel_query: max_range must not be negative, got \(1, -1, 1\)",
        ),
        ({"radius": 0.0}, ValueError, "voxel_query: radius must be positive, got 0.0"),
        ({"num_samples": 0}, ValueError, "voxel_query: num_samples must be positive, got 0"),
    ],
)
def test_wrong_arguments_are_named(changes: dict, error: type[Exception], message: str) -> None:
    cells, xyz = torch.zeros(2, 4).int(), torch.zeros(2, 3)
    arguments = {
        "centre_coords_bzyx": cells,
        "centres_xyz": xyz,
        "sparse_coords_bzyx": cells,
        "voxel_xyz": xyz,
    }
    with pytest.raises(error, match=message):
        voxel_query(**{**arguments, **LIMITS, **changes})


@pytest.mark.parametrize("far", [10**4, 2**30])
def test_one_stray_site_adds_one_line_of_cells_at_most(far: int) -> None:
    sites, xyz = grid(200)
    lines = len(line_starts(sites))
    for axis in (1, 2, 3):
        stray, stray_xyz = sites.clone(), xyz.clone()
        stray[7, axis] = far
        stray_xyz[7, 3 - axis] = far * 0.5
        assert len(line_starts(stray)) <= lines + 1
        rows, empty = voxel_query(stray, stray_xyz, stray, stray_xyz, **LIMITS)
        assert rows[7].tolist() == [7] * 3
        assert not empty.any()


def line_starts(sites: torch.Tensor) -> np.ndarray:
    coords = sites.numpy().astype(np.int64)
    return _cpu._lines(coords, np.lexsort(coords.T[::-1]))[1]
