"""Registration of the kernel-map operators."""

import pytest
import torch
from sparseops import sites_from_coords, strided_map
from sparseops.ops.kernel_map import _cpu, _ops, _reference
from sparseops.ops.kernel_map._window import Window

WINDOW = [3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_operators_pass_opcheck(random_coords, backend: str) -> None:
    sites = sites_from_coords(random_coords(60, (5, 6, 7), 2), spatial_shape=(5, 6, 7), batch_size=2)
    plan = strided_map(sites, kernel_size=3, stride=2, padding=1)
    out = plan.sites_out
    torch.library.opcheck(_ops.strided_sites, (sites.sorted_bzyx, [3, 3, 4], WINDOW))
    torch.library.opcheck(_ops.floor_sites, (sites.sorted_bzyx, [3, 3, 4], [2, 2, 2]))
    torch.library.opcheck(_ops.transposed_sites, (sites.sorted_bzyx, [9, 11, 13], WINDOW))
    shapes = [5, 6, 7], [3, 3, 4]
    torch.library.opcheck(_ops.strided_plan, (sites.sorted_bzyx, sites.order, *shapes, WINDOW))
    rows = out.sorted_bzyx, out.order, sites.sorted_bzyx, sites.order
    torch.library.opcheck(_ops.pair_list, (*rows, [5, 6, 7], WINDOW))
    torch.library.opcheck(_ops.transpose_pairs, (plan.pairs_in, plan.pairs_out, plan.segments, 1))


@pytest.mark.parametrize(
    "window", [[3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1], [2, 5, 4, 1, 3, 2, 0, 2, 3, 1, 2, 3]]
)
@pytest.mark.parametrize("sites", [0, 1, 400])
def test_plans_on_nearly_empty_grids_equal_the_reference(
    random_coords, window: list[int], sites: int
) -> None:
    shape = (5, 3000, 90000)
    coords = random_coords(sites, shape, 2)
    given = sites_from_coords(coords, spatial_shape=shape, batch_size=2).sorted_bzyx
    step = Window.of(window)
    shape_out = step.shape_out(shape)
    for ours, expected in zip(
        _cpu.strided_plan(given, torch.arange(sites), shape, shape_out, step),
        _reference.strided_plan(given, torch.arange(sites), shape, shape_out, step),
        strict=True,
    ):
        assert torch.equal(ours, expected)


def test_no_table_is_as_long_as_an_axis() -> None:
    coords = torch.tensor([[0, 0, 0, 0], [0, 7, 899_999, 999_999]], dtype=torch.int32).numpy()
    numbers, values = _cpu._numbered_values(coords, (8, 900_000, 1_000_000))
    assert [column.tolist() for column in values[1:]] == [[0, 899_999], [0, 999_999]]
    assert len(values[0]) == 8
    assert numbers.tolist() == [[0, 0, 0, 0], [0, 7, 1, 1]]
