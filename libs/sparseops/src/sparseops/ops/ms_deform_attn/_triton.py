"""Deformable attention on the GPU: blocks of queries sample the maps; every cell gathers its own gradient.

For the gradient of the value, samples are sorted by the cell they fall on. A cell of the map then finds all
samples that touch it in two ranges of that list, one for either row of corners, and adds them up in a fixed
order: nothing is added atomically, and every run gives the same result.
"""

import functools
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_ELEMENTS = 512
_SAMPLES = 16


@triton.jit
@no_type_check
def _level(levels, level):
    """Height, width and first cell of a level, and its first key."""
    row = levels + level * 4
    return tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)


@triton.jit
@no_type_check
def _pixel(locations, sample, width, height, present):
    """Pixel coordinates of a sample, zero outside of the map, and whether it lies inside."""
    x = tl.load(locations + sample * 2, mask=present, other=-9.0) * width - 0.5
    y = tl.load(locations + sample * 2 + 1, mask=present, other=-9.0) * height - 0.5
    inside = present & (x > -1) & (y > -1) & (x < width) & (y < height)
    return tl.where(inside, x, 0.0), tl.where(inside, y, 0.0), inside


@triton.jit
@no_type_check
def _forward(  # noqa: PLR0913 - plain arrays are what a kernel takes
    value, levels, locations, weights, out, cells, queries, heads, channels, level_count, points,
    QUERIES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(queries, QUERIES)
    bh = (tl.program_id(0) // blocks).to(tl.int64)
    b, h = bh // heads, bh % heads
    q = (tl.program_id(0) % blocks) * QUERIES + tl.arange(0, QUERIES)
    d = tl.arange(0, CHANNELS)
    present, in_head = q < queries, (d < channels)[None, :]
    bqh = (b * queries + q) * heads + h
    sample = bqh * level_count * points
    maps = value + (b * cells * heads + h) * channels + d[None, :]
    total = tl.zeros((QUERIES, CHANNELS), value.dtype.element_ty)
    for level in range(level_count):
        height, width, start, _ = _level(levels, level)
        for _ in range(points):
            x, y, inside = _pixel(locations, sample, width, height, present)
            weight = tl.load(weights + sample, mask=inside, other=0.0)
            left, top = tl.floor(x), tl.floor(y)
            for corner in tl.static_range(4):
                cx, cy = left + corner % 2, top + corner // 2
                valid = inside & (cx >= 0) & (cy >= 0) & (cx < width) & (cy < height)
                share = weight * (1 - tl.abs(x - cx)) * (1 - tl.abs(y - cy))
                cell = start + cy.to(tl.int64) * width + cx.to(tl.int64)
                address = maps + (cell * heads * channels)[:, None]
                total += share[:, None] * tl.load(address, mask=valid[:, None] & in_head, other=0.0)
            sample += 1
    address = out + (bqh * channels)[:, None] + d[None, :]
    tl.store(address, total, mask=present[:, None] & in_head)


@triton.jit
@no_type_check
def _sample_grads(  # noqa: PLR0913 - plain arrays are what a kernel takes
    value, levels, locations, weights, grad, grad_locations, grad_weights, keys,
    cells, queries, heads, channels, level_count, points, keys_per_head, no_key,
    QUERIES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(queries, QUERIES)
    bh = (tl.program_id(0) // blocks).to(tl.int64)
    b, h = bh // heads, bh % heads
    q = (tl.program_id(0) % blocks) * QUERIES + tl.arange(0, QUERIES)
    d = tl.arange(0, CHANNELS)
    present, in_head = q < queries, (d < channels)[None, :]
    bqh = (b * queries + q) * heads + h
    sample = bqh * level_count * points
    maps = value + (b * cells * heads + h) * channels + d[None, :]
    address = grad + (bqh * channels)[:, None] + d[None, :]
    upstream = tl.load(address, mask=present[:, None] & in_head, other=0.0)
    for level in range(level_count):
        height, width, start, first_key = _level(levels, level)
        for _ in range(points):
            x, y, inside = _pixel(locations, sample, width, height, present)
            weight = tl.load(weights + sample, mask=inside, other=0.0)
            left, top = tl.floor(x), tl.floor(y)
            to_weight, to_x, to_y = x * 0, x * 0, x * 0
            for corner in tl.static_range(4):
                cx, cy = left + corner % 2, top + corner // 2
                valid = inside & (cx >= 0) & (cy >= 0) & (cx < width) & (cy < height)
                share_x, share_y = 1 - tl.abs(x - cx), 1 - tl.abs(y - cy)
                cell = start + cy.to(tl.int64) * width + cx.to(tl.int64)
                address = maps + (cell * heads * channels)[:, None]
                corner_value = tl.load(address, mask=valid[:, None] & in_head, other=0.0)
                dot = tl.sum(upstream * corner_value, 1)
                to_weight += share_x * share_y * dot
                to_x += (corner % 2 * 2 - 1) * share_y * dot
                to_y += (corner // 2 * 2 - 1) * share_x * dot
            tl.store(grad_weights + sample, to_weight, mask=present)
            tl.store(grad_locations + sample * 2, to_x * weight * width, mask=present)
            tl.store(grad_locations + sample * 2 + 1, to_y * weight * height, mask=present)
            # Corners left of and above the map have keys of their own: one more column and row per level.
            key = first_key + (top.to(tl.int64) + 1) * (width + 1) + left.to(tl.int64) + 1
            tl.store(keys + sample, tl.where(inside, bh * keys_per_head + key, no_key), mask=present)
            sample += 1


@triton.jit
@no_type_check
def _value_grad(  # noqa: PLR0913 - plain arrays are what a kernel takes
    levels, locations, weights, grad, order, starts, out,
    cells, heads, channels, level_count, points, keys_per_head,
    SAMPLES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    bh, cell = (tl.program_id(0) // cells).to(tl.int64), tl.program_id(0) % cells
    level = cell * 0
    for following in range(1, level_count):
        level += (cell >= tl.load(levels + following * 4 + 2)).to(tl.int32)
    height, width, start, first_key = _level(levels, level)
    cx, cy = (cell - start) % width, (cell - start) // width
    lane, d = tl.arange(0, SAMPLES), tl.arange(0, CHANNELS)
    in_head = (d < channels)[None, :]
    total = tl.zeros((SAMPLES, CHANNELS), out.dtype.element_ty)
    for row in tl.static_range(2):
        # Samples whose top left corner is this cell or its left neighbour, in the row above and in this row.
        key = bh * keys_per_head + first_key + (cy + row) * (width + 1) + cx + 1
        first, last = tl.load(starts + key - 1), tl.load(starts + key + 1)
        for i in range(first, last, SAMPLES):
            inside = i + lane < last
            sample = tl.load(order + i + lane, mask=inside, other=0)
            x, y, _ = _pixel(locations, sample, width, height, inside)
            weight = tl.load(weights + sample, mask=inside, other=0.0)
            share = weight * (1 - tl.abs(x - cx)) * (1 - tl.abs(y - cy))
            bqh = sample // (level_count * points)
            address = grad + (bqh * channels)[:, None] + d[None, :]
            total += share[:, None] * tl.load(address, mask=inside[:, None] & in_head, other=0.0)
    b, h = bh // heads, bh % heads
    target = out + ((b * cells + cell) * heads + h) * channels
    tl.store(target + d, tl.sum(total, 0), mask=d < channels)


@functools.lru_cache(maxsize=64)
def _level_table(shapes: tuple[int, ...], device: torch.device) -> tuple[Tensor, int]:
    """Return height, width, first cell and first key of each level, and the number of keys.

    Kept, because the copy to the device waits for it.
    """
    rows, cells, keys = [], 0, 0
    for height, width in zip(shapes[::2], shapes[1::2], strict=True):
        rows.append((height, width, cells, keys))
        cells += height * width
        keys += (height + 1) * (width + 1)
    return torch.tensor(rows, dtype=torch.int64).to(device), keys


def _query_grid(locations: Tensor, channels: int) -> tuple[tuple[int], dict[str, int]]:
    """Return the programs of a kernel over blocks of queries, and the sizes of a block."""
    b, queries, heads = locations.shape[:3]
    width = 1 << (channels - 1).bit_length()
    height = max(1, _ELEMENTS // width)
    return (b * heads * -(-queries // height),), {"QUERIES": height, "CHANNELS": width}


def ms_deform_attn(value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    """Same results as the reference up to rounding."""
    b, cells, heads, channels = value.shape
    queries, level_count, points = locations.shape[1], *locations.shape[3:5]
    out = value.new_zeros(b, queries, heads * channels)
    if out.numel():
        levels, _ = _level_table(tuple(shapes), value.device)
        grid, blocks = _query_grid(locations, channels)
        arrays = value.contiguous(), levels, locations.contiguous(), weights.contiguous(), out
        with torch.cuda.device_of(value):
            _forward[grid](*arrays, cells, queries, heads, channels, level_count, points, **blocks)
    return out


def ms_deform_attn_backward(
    grad: Tensor, value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients to value, locations and weights."""
    b, cells, heads, channels = value.shape
    queries, level_count, points = locations.shape[1], *locations.shape[3:5]
    grad_value = torch.zeros_like(value, memory_format=torch.contiguous_format)
    grad_locations = torch.zeros_like(locations, memory_format=torch.contiguous_format)
    grad_weights = torch.zeros_like(weights, memory_format=torch.contiguous_format)
    if value.numel() and weights.numel():
        levels, keys_per_head = _level_table(tuple(shapes), value.device)
        no_key = b * heads * keys_per_head
        keys = torch.empty_like(grad_weights, dtype=torch.int32 if no_key < 2**31 else torch.int64)
        value, locations, weights, grad = (t.contiguous() for t in (value, locations, weights, grad))
        grid, blocks = _query_grid(locations, channels)
        sizes = (heads, channels, level_count, points, keys_per_head)
        with torch.cuda.device_of(value):
            arrays = (value, levels, locations, weights, grad, grad_locations, grad_weights, keys)
            _sample_grads[grid](*arrays, cells, queries, *sizes, no_key, **blocks)
            sorted_keys, order = torch.sort(keys.flatten(), stable=True)
            every_key = torch.arange(no_key + 1, dtype=keys.dtype, device=keys.device)
            starts = torch.searchsorted(sorted_keys, every_key)
            blocks = {"SAMPLES": _SAMPLES, "CHANNELS": blocks["CHANNELS"], "num_warps": 1}
            arrays = (levels, locations, weights, grad, order, starts, grad_value)
            _value_grad[(b * heads * cells,)](*arrays, cells, *sizes, **blocks)
    return grad_value, grad_locations, grad_weights
