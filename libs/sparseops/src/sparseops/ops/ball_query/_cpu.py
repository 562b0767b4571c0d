"""Ball query: brute force with an early end for small clouds, cells of one radius for large ones."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange

_BRUTE_FORCE_POINTS = 512
_SAMPLED_POINTS = 4096


@njit(cache=True)
@no_type_check
def _cell(value, low, edge, cells):
    """Return the cell along one axis; the outermost ones go on for ever, so that few points may lie far out.

    Points within one edge of each other are in one cell or in neighbours, there as well.
    """
    return np.int64(min(max(np.floor((np.float64(value) - low) / edge), 0.0), cells - 1.0))


@njit(cache=True)
@no_type_check
def _sort_into_cells(points, start, stop, low, edge, cells):
    """Counting sort of the rows start..stop by cell; stable, so rows ascend within a cell."""
    nx, ny, nz = cells[0], cells[1], cells[2]
    cell_start = np.zeros(nx * ny * nz + 1, np.int64)
    cell_of = np.full(stop - start, -1, np.int64)
    for i in range(start, stop):
        if np.isfinite(points[i, 0]) and np.isfinite(points[i, 1]) and np.isfinite(points[i, 2]):
            x, y, z = (
                _cell(points[i, 0], low[0], edge, nx),
                _cell(points[i, 1], low[1], edge, ny),
                _cell(points[i, 2], low[2], edge, nz),
            )
            cell = (z * ny + y) * nx + x
            cell_of[i - start] = cell
            cell_start[cell + 1] += 1
    for c in range(nx * ny * nz):
        cell_start[c + 1] += cell_start[c]
    place = cell_start[:-1].copy()
    rows = np.empty(cell_start[-1], np.int64)
    xyz = np.empty((cell_start[-1], 3), np.float32)
    for i in range(start, stop):
        cell = cell_of[i - start]
        if cell >= 0:
            rows[place[cell]] = i - start
            xyz[place[cell], :] = points[i, :]
            place[cell] += 1
    return cell_start, rows, xyz


@njit(cache=True, parallel=True)
@no_type_check
def _query_cells(centres, first, last, low, edge, cells, cell_start, rows, xyz, limit, idx, counts):  # noqa: PLR0913 - plain arrays are what a kernel takes
    nx, ny, nz = cells[0], cells[1], cells[2]
    samples = idx.shape[1]
    for q in prange(first, last):
        found = 0
        cx, cy, cz = centres[q, 0], centres[q, 1], centres[q, 2]
        if not (np.isfinite(cx) and np.isfinite(cy) and np.isfinite(cz)):
            counts[q] = 0
            continue
        x, y, z = _cell(cx, low[0], edge, nx), _cell(cy, low[1], edge, ny), _cell(cz, low[2], edge, nz)
        x0, x1 = max(x - 1, 0), min(x + 1, nx - 1)
        for layer in range(max(z - 1, 0), min(z + 2, nz)):
            for line in range(max(y - 1, 0), min(y + 2, ny)):
                base = (layer * ny + line) * nx
                for k in range(cell_start[base + x0], cell_start[base + x1 + 1]):
                    row = rows[k]
                    if found == samples and row > idx[q, samples - 1]:
                        continue
                    dx, dy, dz = xyz[k, 0] - cx, xyz[k, 1] - cy, xyz[k, 2] - cz
                    if (dx * dx + dy * dy) + dz * dz < limit:
                        # Insert in ascending order, drop the largest of a full list.
                        place = found if found < samples else samples - 1
                        while place > 0 and idx[q, place - 1] > row:
                            idx[q, place] = idx[q, place - 1]
                            place -= 1
                        idx[q, place] = row
                        found = min(found + 1, samples)
        counts[q] = found


@njit(cache=True, parallel=True)
@no_type_check
def _query_all(centres, centre_sample, points, point_starts, limit, idx, counts):
    samples = idx.shape[1]
    for q in prange(centres.shape[0]):
        found = 0
        cx, cy, cz = centres[q, 0], centres[q, 1], centres[q, 2]
        start, stop = point_starts[centre_sample[q]], point_starts[centre_sample[q] + 1]
        for i in range(start, stop):
            dx, dy, dz = points[i, 0] - cx, points[i, 1] - cy, points[i, 2] - cz
            if (dx * dx + dy * dy) + dz * dz < limit:
                idx[q, found] = i - start
                found += 1
                if found == samples:
                    break
        counts[q] = found


def ball_query(
    centres: Tensor, centre_starts: Tensor, points: Tensor, point_starts: Tensor, radius: float, samples: int
) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    m = len(centres)
    idx = torch.zeros(m, samples, dtype=torch.int64)
    counts = torch.zeros(m, dtype=torch.int64)
    centre_array, point_array = centres.contiguous().numpy(), points.contiguous().numpy()
    limit = np.float32(radius) * np.float32(radius)
    sync_threads()
    per_sample = (point_starts[1:] - point_starts[:-1]).max() if len(point_starts) > 1 else 0
    if per_sample <= _BRUTE_FORCE_POINTS:
        centre_sample = torch.repeat_interleave(centre_starts[1:] - centre_starts[:-1])
        _query_all(
            centre_array,
            centre_sample.numpy(),
            point_array,
            point_starts.numpy(),
            limit,
            idx.numpy(),
            counts.numpy(),
        )
    else:
        spans = zip(
            centre_starts[:-1].tolist(),
            centre_starts[1:].tolist(),
            point_starts[:-1].tolist(),
            point_starts[1:].tolist(),
            strict=True,
        )
        for first, last, start, stop in spans:
            _query_sample(centre_array, first, last, point_array, start, stop, radius, limit, idx, counts)
    filled = torch.arange(samples) < counts[:, None]
    return torch.where(filled, idx, torch.where(counts > 0, idx[:, 0], 0)[:, None]), counts == 0


def _query_sample(centres, first, last, points, start, stop, radius, limit, idx, counts) -> None:  # noqa: PLR0913
    if first == last or start == stop:
        return
    finite = points[start:stop][np.isfinite(points[start:stop]).all(axis=1)]
    if not len(finite):
        return
    low, edge, cells = _grid_of(finite, float(radius))
    cell_start, rows, xyz = _sort_into_cells(points, start, stop, low, edge, cells)
    _query_cells(
        centres, first, last, low, edge, cells, cell_start, rows, xyz, limit, idx.numpy(), counts.numpy()
    )


def _grid_of(points: np.ndarray, radius: float) -> tuple[np.ndarray, float, np.ndarray]:
    """Return lower corner, edge and numbers of the cells that finite points [n, 3] are sorted into.

    The grid spans all of some points but the outermost thousandth at each end of every axis, so that a stray
    return far away does not decide how large the cells are. At most a few cells per point.
    """
    some = points[:: -(-len(points) // _SAMPLED_POINTS)].astype(np.float64)
    aside = min(1 + len(some) // 1000, (len(some) - 1) // 2)
    some = np.partition(some, (aside, len(some) - 1 - aside), axis=0)
    low, high = some[aside], some[len(some) - 1 - aside]
    # A little more than the radius, so that rounding never moves a neighbour two cells away.
    edge = radius * 1.001
    while np.prod(np.floor((high - low) / edge) + 1) > 8 * len(points) + 64:
        edge *= 1.25
    return low, edge, (np.floor((high - low) / edge) + 1).astype(np.int64)
