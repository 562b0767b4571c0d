"""Sparse convolution on a GPU: implicit matrix products along a neighbour table, without atomics.

Forward and gradient of the features are one kernel: a program sums a tile of output rows over the offsets
that the tile has. Where few rows would leave the device idle, the offsets of a tile are split among programs,
and a second kernel adds their sums in order. The gradient of the weight sums each offset over its pairs,
likewise in parts. Sums are taken in float32, or float64 for float64.
"""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparseops._triton.autotune import choose
from sparseops._triton.blocks import accumulator_of, ceil_div, dot, launch, precision_of, widens
from sparseops.ops.kernel_map._schedule import TILE_SIZES

BLOCK = 1024
ENOUGH_PROGRAMS = 264
"""Two programs on each processor of a large device; below that, sums are split."""
MOST_SPLITS = 16
MOST_PARTS_BYTES = 2**26


@dataclass(frozen=True)
class ConvConfig:
    """How the convolution is cut into programs."""

    rows: int
    """Output rows of a program, one of TILE_SIZES."""
    columns: int
    """Output channels of a program."""
    depth: int
    """Input channels of a step."""
    warps: int
    stages: int
    ordered: int
    """1: rows that read the same offsets share a tile; 0: rows as they are."""
    split: int
    """Programs among which the offsets of a tile are split."""


@dataclass(frozen=True)
class GradConfig:
    """How the gradient of the weight is cut into programs."""

    channels: int
    """Input channels of a program."""
    columns: int
    """Output channels of a program."""
    depth: int
    """Pairs of a step."""
    warps: int
    stages: int
    pairs: int
    """Pairs of a program."""


@triton.jit
@no_type_check
def conv_kernel(
    features, weight, bias, out, table, order, lists,
    rows, cin, cout, volume, stride_k, stride_in, stride_out, split,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    ORDERED: tl.constexpr, EVEN: tl.constexpr,
    WIDE: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Sum a tile of output rows and columns over its share of (offset, block of input channels)."""
    groups = tl.cdiv(cout, COLUMNS)
    tile = (tl.program_id(0) // groups).to(tl.int64)
    column = tl.program_id(0) % groups * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.program_id(1)
    place = tile * ROWS + tl.arange(0, ROWS)
    valid = place < rows
    row = place
    if ORDERED:
        row = tl.load(order + place, mask=valid, other=0)
    offsets = lists + tile * (volume + 1)
    blocks = tl.cdiv(cin, DEPTH)
    steps = tl.load(offsets) * blocks
    share = tl.cdiv(steps, split)
    total = tl.zeros((ROWS, COLUMNS), dtype=WIDE)
    for step in range(part * share, tl.minimum(part * share + share, steps)):
        k = tl.load(offsets + 1 + step // blocks)
        channel = step % blocks * DEPTH + tl.arange(0, DEPTH)
        source = tl.load(table + row * volume + k, mask=valid, other=-1).to(tl.int64)
        present = (source >= 0)[:, None]
        known = (column < cout)[None, :]
        if not EVEN:
            present = present & (channel < cin)[None, :]
            known = known & (channel < cin)[:, None]
        a = tl.load(features + source[:, None] * cin + channel[None, :], mask=present, other=0.0)
        slice_at = weight + k.to(tl.int64) * stride_k
        b = tl.load(
            slice_at + channel[:, None] * stride_in + column[None, :] * stride_out, mask=known, other=0.0
        )
        total = dot(a, b, total, PRECISION, WIDEN)
    if bias is not None:
        total += tl.load(bias + column, mask=column < cout, other=0.0).to(WIDE)[None, :]
    target = out + (part.to(tl.int64) * rows + row)[:, None] * cout + column[None, :]
    tl.store(target, total.to(out.dtype.element_ty), mask=valid[:, None] & (column < cout)[None, :])


@triton.jit
@no_type_check
def add_parts_kernel(parts, bias, out, size, cout, split, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """Add the parts of every sum in order, then the bias."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=WIDE)
    source = parts + at
    for _ in range(split):
        total += tl.load(source, mask=at < size, other=0.0)
        source += size
    if bias is not None:
        total += tl.load(bias + at % cout, mask=at < size, other=0.0).to(WIDE)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=at < size)


@triton.jit
@no_type_check
def grad_kernel(
    features, grad, out, inputs, outputs, counts,
    most, cin, cout, pairs,
    CHANNELS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    WIDE: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Sum `features[i]^T grad[o]` over a part of the pairs (i, o) of one offset."""
    groups = tl.cdiv(cout, COLUMNS)
    channel = tl.program_id(0) // groups * CHANNELS + tl.arange(0, CHANNELS)
    column = tl.program_id(0) % groups * COLUMNS + tl.arange(0, COLUMNS)
    k = tl.program_id(1).to(tl.int64)
    part = tl.program_id(2)
    begin = part * pairs
    end = tl.minimum(begin + pairs, tl.load(counts + k))
    # Parts beyond the pairs of the offset are not read; the first one always is.
    if (end > begin) | (part == 0):
        total = tl.zeros((CHANNELS, COLUMNS), dtype=WIDE)
        for first in range(begin, end, DEPTH):
            pair = first + tl.arange(0, DEPTH)
            valid = pair < end
            source = tl.load(inputs + k * most + pair, mask=valid, other=0).to(tl.int64)
            target = tl.load(outputs + k * most + pair, mask=valid, other=0).to(tl.int64)
            a = tl.load(
                features + source[:, None] * cin + channel[None, :],
                mask=valid[:, None] & (channel < cin)[None, :],
                other=0.0,
            )
            b = tl.load(
                grad + target[:, None] * cout + column[None, :],
                mask=valid[:, None] & (column < cout)[None, :],
                other=0.0,
            )
            total = dot(tl.trans(a), b, total, PRECISION, WIDEN)
        slice_at = out + ((part * tl.num_programs(1) + k) * cin + channel[:, None]) * cout
        tl.store(
            slice_at + column[None, :],
            total.to(out.dtype.element_ty),
            mask=(channel < cin)[:, None] & (column < cout)[None, :],
        )


@triton.jit
@no_type_check
def add_slices_kernel(parts, out, counts, size, pairs, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """Add the parts of one offset in order, those that it has."""
    k = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=WIDE)
    for part in range(tl.maximum(tl.cdiv(tl.load(counts + k), pairs), 1)):
        slice_at = parts + (part * tl.num_programs(1) + k) * size
        total += tl.load(slice_at + at, mask=at < size, other=0.0)
    tl.store(out + k * size + at, total.to(out.dtype.element_ty), mask=at < size)


def sparse_conv_table(
    features: Tensor, weight: Tensor, bias: Tensor | None, table: Tensor, schedule: Sequence[Tensor]
) -> Tensor:
    """Sum `features[table[o, k]] @ weight[k]` over the offsets k that row o has, plus bias. [n, cout]."""
    volume, cin, cout = weight.shape
    rows = len(table)
    out = features.new_empty(rows, cout)
    if rows == 0 or cout == 0:
        return out
    # Both walks over the weight occur, forward and backward, and their speed differs.
    kind = "forward" if weight.stride(2) == 1 else "backward"
    key = _key(kind, features.dtype, cin, cout, volume, rows)
    inputs = features, weight, bias, table, schedule, out
    candidates = conv_candidates(features.dtype, cin, cout, volume, rows.bit_length())
    config = choose(key, candidates, lambda config: _convolve(*inputs, config), device=features.device)
    _convolve(*inputs, config)
    return out


def _convolve(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    table: Tensor,
    schedule: Sequence[Tensor],
    out: Tensor,
    config: ConvConfig,
) -> None:
    volume, cin, cout = weight.shape
    rows, wide = len(table), accumulator_of(features.dtype)
    order, *lists = schedule
    offsets = lists[(0 if config.ordered else len(TILE_SIZES)) + TILE_SIZES.index(config.rows)]
    split = config.split > 1
    target = features.new_empty((config.split, rows, cout), dtype=wide) if split else out
    grid = (len(offsets) * ceil_div(cout, config.columns), config.split)
    launch(
        conv_kernel, grid,
        features, weight, None if split else bias, target, table, order, offsets,
        rows, cin, cout, volume, *weight.stride(), config.split,
        ROWS=config.rows, COLUMNS=config.columns, DEPTH=config.depth,
        ORDERED=bool(config.ordered), EVEN=cin % config.depth == 0, WIDE=_TRITON[wide],
        PRECISION=precision_of(features.dtype), WIDEN=widens(features.dtype),
        num_warps=config.warps, num_stages=config.stages,
    )  # fmt: skip
    if split:
        grid = (ceil_div(rows * cout, BLOCK),)
        sums = target, bias, out, rows * cout, cout, config.split
        launch(add_parts_kernel, grid, *sums, WIDE=_TRITON[wide], BLOCK=BLOCK)


def table_weight_grad(features: Tensor, grad_out: Tensor, pairs: Sequence[Tensor]) -> Tensor:
    """Sum `features[i] grad_out[o]^T` over the pairs of every offset. [v, cin, cout]."""
    volume, rows = pairs[0].shape
    cin, cout = features.shape[1], grad_out.shape[1]
    out = features.new_empty(volume, cin, cout)
    if rows == 0 or cin * cout == 0:
        return out.zero_()
    key = _key("weight", features.dtype, cin, cout, volume, rows)
    candidates = grad_candidates(features.dtype, cin, cout)
    inputs = features, grad_out, pairs, out
    config = choose(key, candidates, lambda config: _differentiate(*inputs, config), device=features.device)
    _differentiate(*inputs, config)
    return out


def _differentiate(
    features: Tensor, grad_out: Tensor, pairs: Sequence[Tensor], out: Tensor, config: GradConfig
) -> None:
    volume, cin, cout = out.shape
    rows, wide = pairs[0].shape[1], accumulator_of(features.dtype)
    most_parts = max(1, MOST_PARTS_BYTES // (out.numel() * wide.itemsize))
    per_part = max(config.pairs, ceil_div(ceil_div(rows, most_parts), config.depth) * config.depth)
    parts = ceil_div(rows, per_part)
    target = out if parts == 1 else features.new_empty((parts, volume, cin, cout), dtype=wide)
    blocks = ceil_div(cin, config.channels) * ceil_div(cout, config.columns)
    launch(
        grad_kernel, (blocks, volume, parts),
        features, grad_out, target, *pairs,
        rows, cin, cout, per_part,
        CHANNELS=config.channels, COLUMNS=config.columns, DEPTH=config.depth,
        WIDE=_TRITON[wide], PRECISION=precision_of(features.dtype), WIDEN=widens(features.dtype),
        num_warps=config.warps, num_stages=config.stages,
    )  # fmt: skip
    if parts > 1:
        grid = ceil_div(cin * cout, BLOCK), volume
        sums = target, out, pairs[2], cin * cout, per_part
        launch(add_slices_kernel, grid, *sums, WIDE=_TRITON[wide], BLOCK=BLOCK)


@functools.cache
def conv_candidates(
    dtype: torch.dtype, cin: int, cout: int, volume: int, bits: int
) -> tuple[ConvConfig, ...]:
    """Configurations worth measuring for row numbers of so many bits, a good guess first."""
    rows = 3 * 2**bits // 4
    columns, depth = _fit(cout, 64), _fit(cin, 64 if dtype.itemsize == 2 else 32)
    if dtype == torch.float64:
        columns, depth = min(columns, 32), 16
        split = _split(64, columns, depth, cin, cout, volume, rows)
        return (ConvConfig(64, columns, depth, 4, 2, 1, split),)
    # Rows, columns, depth, warps, stages, ordered.
    shapes = [(128, columns, depth, 4, 4, 1), (64, columns, depth, 4, 4, 1), (64, columns, depth, 4, 4, 0)]
    shapes += [(128, columns, depth, 8, 3, 1), (128, columns, depth, 4, 3, 0)]
    if depth > 32:
        shapes.append((128, columns, 32, 4, 4, 1))
    if cout > 64:
        shapes += [(128, 128, 32, 8, 3, 1), (64, 128, 32, 4, 3, 1)]
    configs = []
    for shape in shapes:
        split = _split(*shape[:3], cin, cout, volume, rows)
        configs += [ConvConfig(*shape, more) for more in sorted({split, max(1, split // 2)}, reverse=True)]
    # With few rows the smaller tile fills the device with fewer parts to add.
    if configs[0].split > 1:
        configs.sort(key=lambda config: config.rows)
    return tuple(configs)


def _split(tile: int, columns: int, depth: int, cin: int, cout: int, volume: int, rows: int) -> int:
    programs = ceil_div(rows, tile) * ceil_div(cout, columns)
    steps = volume * ceil_div(cin, depth)
    split = 1
    while split < MOST_SPLITS and programs * split * 2 <= ENOUGH_PROGRAMS and steps >= split * 8:
        split *= 2
    return split


@functools.cache
def grad_candidates(dtype: torch.dtype, cin: int, cout: int) -> tuple[GradConfig, ...]:
    """Configurations worth measuring, a good guess first."""
    channels, columns = _fit(cin, 64), _fit(cout, 64)
    if dtype == torch.float64:
        return (GradConfig(min(channels, 32), min(columns, 32), 16, 4, 2, 2048),)
    depth = 64 if dtype.itemsize == 2 else 32
    shapes = [(channels, columns, depth, 4, 3), (channels, columns, 32, 4, 4 if depth == 64 else 2)]
    if cin > 64 and cout > 64:
        shapes.append((128, 128, 32, 8, 3))
    return tuple(GradConfig(*shape, pairs) for shape in shapes for pairs in (2048, 8192))


def _fit(channels: int, most: int) -> int:
    """Return the width of a block: a power of two from 16 on, of which few are wasted."""
    if channels >= most:
        return most if channels % most == 0 or channels > 2 * most else max(16, most // 2)
    return max(16, 1 << (channels - 1).bit_length())


def _key(kind: str, dtype: torch.dtype, cin: int, cout: int, volume: int, rows: int) -> str:
    name = str(dtype).removeprefix("torch.")
    return f"{kind} {name} {precision_of(dtype)} {cin}>{cout} v{volume} n2^{rows.bit_length()}"


_TRITON = {torch.float32: tl.float32, torch.float64: tl.float64}
