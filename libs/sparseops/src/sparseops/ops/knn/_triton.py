"""Nearest neighbours by brute force: a program holds the lists of some queries and walks over all points.

A distance and a row make one 64-bit key, so that the smaller key is the nearer point, or the lower row.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparseops._triton.blocks import launch
from sparseops.ops.knn import _reference

_BLOCK_QUERIES, _BLOCK_POINTS = 32, 128
_MOST_NEIGHBOURS = 64
_INF_KEY = tl.constexpr(0x7F800000 << 32)
_LAST_KEY = tl.constexpr((0x7F800000 << 32) + 0xFFFFFFFF)


@triton.jit
@no_type_check
def knn_kernel(  # noqa: PLR0913 - a kernel takes flat pointers
    queries,
    sample,
    points,
    point_starts,
    squared,
    idx,
    m,
    k,
    LIST: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_POINTS: tl.constexpr,
):
    q = tl.program_id(0).to(tl.int64) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES)
    live = q < m
    of = tl.load(sample + q, mask=live, other=0)
    start = tl.load(point_starts + of, mask=live, other=_INF_KEY)
    stop = tl.load(point_starts + of + 1, mask=live, other=0)
    x = tl.load(queries + q * 3, mask=live, other=0.0)
    y = tl.load(queries + q * 3 + 1, mask=live, other=0.0)
    z = tl.load(queries + q * 3 + 2, mask=live, other=0.0)
    # Free places hold distinct keys beyond every distance.
    slots = tl.arange(0, LIST)[None, :].to(tl.int64)
    keys = tl.zeros([BLOCK_QUERIES, LIST], tl.int64) + _INF_KEY + slots
    worst = tl.max(keys, axis=1)
    first, last = tl.min(start, axis=0), tl.max(stop, axis=0)
    for tile in range(first, last, BLOCK_POINTS):
        p = tile + tl.arange(0, BLOCK_POINTS)
        dx = tl.load(points + p * 3, mask=p < last, other=0.0)[None, :] - x[:, None]
        dy = tl.load(points + p * 3 + 1, mask=p < last, other=0.0)[None, :] - y[:, None]
        dz = tl.load(points + p * 3 + 2, mask=p < last, other=0.0)[None, :] - z[:, None]
        distance = (dx * dx + dy * dy) + dz * dz
        key = (distance.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (p[None, :] - start[:, None])
        mine = (p[None, :] >= start[:, None]) & (p[None, :] < stop[:, None])
        key = tl.where(mine & (distance < float("inf")), key, _LAST_KEY)
        nearest = tl.min(key, axis=1)
        while tl.max((nearest < worst).to(tl.int32), axis=0) > 0:
            better = (keys == worst[:, None]) & (nearest < worst)[:, None]
            keys = tl.where(better, nearest[:, None], keys)
            key = tl.where(key == nearest[:, None], _LAST_KEY, key)
            worst = tl.max(keys, axis=1)
            nearest = tl.min(key, axis=1)
    keys = tl.sort(keys, dim=1)
    found = keys < _INF_KEY
    distance = tl.where(found, keys >> 32, 0x7F800000).to(tl.int32).to(tl.float32, bitcast=True)
    row = tl.where(found, keys & 0xFFFFFFFF, -1)
    place = q[:, None] * k + slots
    kept = live[:, None] & (slots < k)
    tl.store(squared + place, distance, mask=kept)
    tl.store(idx + place, row, mask=kept)


def knn(
    queries: Tensor, query_starts: Tensor, points: Tensor, point_starts: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit; it takes float64 and long lists. Never waits."""
    if k > _MOST_NEIGHBOURS or points.dtype != torch.float32:
        return _reference.knn(queries, query_starts, points, point_starts, k)
    m = len(queries)
    squared = queries.new_empty(m, k)
    idx = queries.new_empty(m, k, dtype=torch.int64)
    if not m:
        return squared, idx
    row = torch.arange(m, device=queries.device)
    sample = torch.searchsorted(query_starts[1:].contiguous(), row, right=True)
    launch(
        knn_kernel,
        (int(triton.cdiv(m, _BLOCK_QUERIES)),),
        queries.contiguous(),
        sample,
        points.contiguous(),
        point_starts,
        squared,
        idx,
        m,
        k,
        LIST=max(2, triton.next_power_of_2(k)),
        BLOCK_QUERIES=_BLOCK_QUERIES,
        BLOCK_POINTS=_BLOCK_POINTS,
        # Distances decide rows, so nothing may be rounded differently.
        enable_fp_fusion=False,
    )
    return squared, idx
