"""Compiled loops of the sparse convolution, compiled once for float32 and once for float64.

Threads draw tasks from a counter. A task owns its results, and the order of sums within a task is fixed, so
results are the same for any number of threads.
"""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import no_type_check

from sparseops._numba import njit, prange
from sparseops._numba.intrinsics import (
    COLUMNS,
    DEPTH_ROWS,
    ROWS,
    TAIL_ROWS,
    convolve_rows,
    convolve_tail,
    fetch_add,
    outer,
    outer_wide,
)


@njit(nogil=True)
@no_type_check
def _forward_tile(tile, segments, pairs_in, pairs_out, source, weight, target):
    """Add up one tile of output rows, offset by offset. Weight [v, cout / 16, cin, 16]."""
    size, cin, blocks = source.itemsize, source.shape[1], weight.shape[1]
    source_at, source_stride = source.ctypes.data, cin * size
    target_stride = target.shape[1] * size
    list_in, list_out = pairs_in.ctypes.data, pairs_out.ctypes.data
    for k in range(segments.shape[1]):
        begin, end = segments[tile, k, 0], segments[tile, k, 1]
        for block in range(blocks if end > begin else 0):
            slice_at = weight.ctypes.data + (k * blocks + block) * cin * COLUMNS * size
            target_at = target.ctypes.data + block * COLUMNS * size
            pair = begin
            while pair + ROWS <= end:
                at_in, at_out = list_in + 4 * pair, list_out + 4 * pair
                convolve_rows(
                    source,
                    ROWS,
                    source_at,
                    source_stride,
                    at_in,
                    slice_at,
                    cin,
                    target_at,
                    target_stride,
                    at_out,
                )
                pair += ROWS
            while pair < end:
                at_in, at_out, count = list_in + 4 * pair, list_out + 4 * pair, min(TAIL_ROWS, end - pair)
                convolve_tail(
                    source,
                    count,
                    source_at,
                    source_stride,
                    at_in,
                    slice_at,
                    cin,
                    target_at,
                    target_stride,
                    at_out,
                )
                pair += TAIL_ROWS


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def forward(threads, counter, segments, pairs_in, pairs_out, source, weight, target):
    """Add the convolution to `target` [n, cout], cout a multiple of 16; `counter` is one int64, zero."""
    for _ in prange(threads):
        tile = fetch_add(counter.ctypes.data)
        while tile < segments.shape[0]:
            _forward_tile(tile, segments, pairs_in, pairs_out, source, weight, target)
            tile = fetch_add(counter.ctypes.data)


@njit(nogil=True)
@no_type_check
def _offset_grad(k, first, last, segments, pairs_in, pairs_out, source, grad, target):
    """Add up the gradient of one offset for the input channels [first, last)."""
    size, cin, blocks = source.itemsize, source.shape[1], grad.shape[1] // COLUMNS
    stride = grad.shape[1] * size
    for tile in range(segments.shape[0]):
        begin, end = segments[tile, k, 0], segments[tile, k, 1]
        if begin == end:
            continue
        at_in, at_out = pairs_in.ctypes.data + 4 * begin, pairs_out.ctypes.data + 4 * begin
        for channel in range(first, last, DEPTH_ROWS):
            source_at = source.ctypes.data + channel * size
            target_at = target.ctypes.data + (k * target.shape[1] + channel) * stride
            column = 0
            while column + 2 <= blocks:
                for half in range(0, DEPTH_ROWS, DEPTH_ROWS // 2):
                    if channel + half < cin:
                        outer_wide(
                            source,
                            end - begin,
                            source_at + half * size,
                            cin * size,
                            at_in,
                            cin - channel - half,
                            grad.ctypes.data + column * COLUMNS * size,
                            stride,
                            at_out,
                            target_at + half * stride + column * COLUMNS * size,
                            stride,
                        )
                column += 2
            if column < blocks:
                outer(
                    source,
                    end - begin,
                    source_at,
                    cin * size,
                    at_in,
                    cin - channel,
                    grad.ctypes.data + column * COLUMNS * size,
                    stride,
                    at_out,
                    target_at + column * COLUMNS * size,
                    stride,
                )


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def weight_grad(threads, counter, channels, order, segments, pairs_in, pairs_out, source, grad, target):
    """Add the gradient to `target` [v, cin rounded up to DEPTH_ROWS, cout], cout a multiple of 16.

    A task is an offset and `channels` input channels, a multiple of DEPTH_ROWS.
    """
    groups = -(-source.shape[1] // channels)
    for _ in prange(threads):
        task = fetch_add(counter.ctypes.data)
        while task < len(order) * groups:
            k, first = order[task // groups], task % groups * channels
            last = min(first + channels, source.shape[1])
            _offset_grad(k, first, last, segments, pairs_in, pairs_out, source, grad, target)
            task = fetch_add(counter.ctypes.data)
