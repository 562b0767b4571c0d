"""Sums along a kernel map on the CPU. Threads draw tiles of result rows; a tile owns its rows."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange
from sparseops._numba.intrinsics import fetch_add


def pool_sum(
    features: Tensor, pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, rows_out: int
) -> Tensor:
    """Same results as the reference, bit for bit."""
    total = torch.zeros((rows_out, features.shape[1]), dtype=features.dtype)
    plan = segments.numpy(), pairs_in.numpy(), pairs_out.numpy()
    _sum(sync_threads(), np.zeros(1, np.int64), *plan, features.numpy(), total.numpy())
    return total


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def _sum(threads, counter, segments, pairs_in, pairs_out, features, total):
    """Add the inputs of every output row to `total`, which holds zeros before."""
    for _ in prange(threads):
        tile = fetch_add(counter.ctypes.data)
        while tile < segments.shape[0]:
            for k in range(segments.shape[1]):
                for pair in range(segments[tile, k, 0], segments[tile, k, 1]):
                    row_in, row_out = pairs_in[pair], pairs_out[pair]
                    for c in range(features.shape[1]):
                        total[row_out, c] += features[row_in, c]
            tile = fetch_add(counter.ctypes.data)
