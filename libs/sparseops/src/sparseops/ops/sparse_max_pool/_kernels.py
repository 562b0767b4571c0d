"""Compiled loops of sparse max pooling. Threads draw tiles of result rows; a tile owns its rows."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import no_type_check

from sparseops._numba import njit, prange
from sparseops._numba.intrinsics import fetch_add


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def maximum(threads, counter, segments, pairs_in, pairs_out, features, best, source):
    """Write maxima to `best` (-inf before) and the input row of each to `source` (-1 before)."""
    for _ in prange(threads):
        tile = fetch_add(counter.ctypes.data)
        while tile < segments.shape[0]:
            for k in range(segments.shape[1]):
                for pair in range(segments[tile, k, 0], segments[tile, k, 1]):
                    row_in, row_out = pairs_in[pair], pairs_out[pair]
                    for c in range(features.shape[1]):
                        value, old = features[row_in, c], best[row_out, c]
                        # NaN differs from itself; the first one wins and stays.
                        if value > old or source[row_out, c] < 0 or (value != value and old == old):
                            best[row_out, c] = value
                            source[row_out, c] = row_in
            tile = fetch_add(counter.ctypes.data)


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def grad_to_first(threads, counter, segments, back_in, back_out, grad_out, source, grad):
    """Add every output's gradient to the input row it came from; `grad` holds zeros before."""
    for _ in prange(threads):
        tile = fetch_add(counter.ctypes.data)
        while tile < segments.shape[0]:
            for k in range(segments.shape[1]):
                for pair in range(segments[tile, k, 0], segments[tile, k, 1]):
                    row_out, row_in = back_in[pair], back_out[pair]
                    for c in range(grad.shape[1]):
                        if source[row_out, c] == row_in:
                            grad[row_in, c] += grad_out[row_out, c]
            tile = fetch_add(counter.ctypes.data)


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def grad_to_all(threads, counter, segments, back_in, back_out, grad_out, features, out, grad):
    """Add every output's gradient to all input rows equal to it; `grad` holds zeros before."""
    for _ in prange(threads):
        tile = fetch_add(counter.ctypes.data)
        while tile < segments.shape[0]:
            for k in range(segments.shape[1]):
                for pair in range(segments[tile, k, 0], segments[tile, k, 1]):
                    row_out, row_in = back_in[pair], back_out[pair]
                    for c in range(grad.shape[1]):
                        if features[row_in, c] == out[row_out, c]:
                            grad[row_in, c] += grad_out[row_out, c]
            tile = fetch_add(counter.ctypes.data)
