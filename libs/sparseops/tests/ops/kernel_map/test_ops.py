"""Registration of the kernel-map operators."""

import pytest
import torch
from sparseops import sites_from_coords, strided_map
from sparseops.ops.kernel_map import _ops

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
