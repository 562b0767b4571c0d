"""Points in the cells of RoIs on the GPU: a table of cells by RoI and point, then its entries in order."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparseops.ops.points_in_boxes._triton import inside_box

_POINTS = 256


@triton.jit
@no_type_check
def _place(value, edges, inside, number):
    # Points outside may be anywhere, or nowhere: they must not meet the conversion to whole numbers.
    value = tl.where(inside, value, 0.0) + tl.load(edges, mask=inside, other=0.0)
    # The rounding of an ordinary division would differ from that of the other back ends.
    place = tl.div_rn(value, tl.load(edges + 3, mask=inside, other=1.0)).to(tl.int32)
    return tl.minimum(tl.maximum(place, 0), number - 1)


@triton.jit
@no_type_check
def _cells_kernel(  # noqa: PLR0913
    points, frames, grid, table, n, x_cells, y_cells, z_cells, POINTS: tl.constexpr
):
    """Fill table [rois, n] with the cell inside the RoI, -1 for points outside."""
    roi = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * POINTS + tl.arange(0, POINTS)
    x = tl.load(points + 3 * i, mask=i < n, other=0.0)
    y = tl.load(points + 3 * i + 1, mask=i < n, other=0.0)
    z = tl.load(points + 3 * i + 2, mask=i < n, other=0.0)
    inside, along, across, above = inside_box(x, y, z, frames + roi * 9 + i * 0, i < n)
    edges = grid + roi * 6 + i * 0
    cell = _place(along, edges, inside, x_cells)
    cell = cell * y_cells + _place(across, edges + 1, inside, y_cells)
    cell = cell * z_cells + _place(above, edges + 2, inside, z_cells)
    tl.store(table + roi * n + i, tl.where(inside, cell, -1), mask=i < n)


def points_in_cells(points: Tensor, frames: Tensor, grid: Tensor, cells: list[int]) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    rois, n = len(frames), len(points)
    table = torch.empty(rois, n, dtype=torch.int32, device=points.device)
    if table.numel():
        with torch.cuda.device_of(points):
            _cells_kernel[(triton.cdiv(n, _POINTS), rois)](
                points.contiguous(), frames, grid, table, n, *cells, POINTS=_POINTS,
                # Products and sums are rounded one by one, as in the other back ends: faces decide alike.
                enable_fp_fusion=False,  # pyright: ignore[reportCallIssue] an option of the launch
            )  # fmt: skip
    roi, row = (table >= 0).nonzero(as_tuple=True)
    return row, roi * (cells[0] * cells[1] * cells[2]) + table[roi, row]
