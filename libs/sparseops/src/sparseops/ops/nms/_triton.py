"""Greedy suppression on the GPU: a table of bits by all programs at once, then one program that scans it.

Bit k of word w of row i is set if box i, should it be kept, removes box 64 w + k. The scan takes 64 boxes at
a time: their own 64 words settle which of them stay, and the rows of those are then merged into the words of
all later boxes, which it holds in registers.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparseops.ops.rotated_iou._triton import box_table, pair_iou

# Sizes at which the float64 geometry and the tiles of words stay in registers.
_ROWS = 4
_TILE = 4096
_WARPS = 8


@triton.jit
@no_type_check
def _bits_kernel(boxes, labels, threshold, bits, n, ROTATED: tl.constexpr, ROWS: tl.constexpr):
    """Fill bits [words, n]; `threshold` is a table of one, for a number would come as float32."""
    first = tl.program_id(0) * ROWS
    word = tl.program_id(1)
    row = (first + tl.arange(0, ROWS)).to(tl.int64)
    packed = tl.zeros([ROWS], tl.int64)
    # Only boxes with lower scores, that is, in later rows, can be removed.
    if word * 64 + 63 > first:
        bit = tl.arange(0, 64).to(tl.int64)
        i, j = row[:, None], (word * 64 + bit)[None, :]
        iou = pair_iou(boxes, i, i < n, boxes, j, j < n, ROTATED=ROTATED)
        same = tl.load(labels + i, mask=i < n, other=0) == tl.load(labels + j, mask=j < n, other=0)
        removes = (iou > tl.load(threshold)) & same & (j > i) & (j < n) & (i < n)
        packed = tl.sum(removes.to(tl.int64) << bit[None, :], axis=1)
    tl.store(bits + word.to(tl.int64) * n + row, packed, mask=row < n)


@triton.jit
@no_type_check
def _merge(a, b):
    return a | b


@triton.jit
@no_type_check
def _scan_kernel(bits, kept, count, n, post_max, words, WORDS: tl.constexpr, ROWS: tl.constexpr):
    column = tl.arange(0, WORDS)
    removed = tl.zeros([WORDS], tl.int64)
    total = 0
    word = 0
    while (word < words) & (total < post_max):
        own = bits + word.to(tl.int64) * n + word * 64
        dead = tl.sum(tl.where(column == word, removed, 0))
        staying = dead * 0
        for k in range(64):
            row = word * 64 + k
            stays = (((dead >> k) & 1) == 0) & (row < n)
            # Loaded in any case: an address that waits for no result can be fetched ahead.
            dead |= tl.where(stays, tl.load(own + k, mask=row < n, other=0), 0)
            tl.store(kept + total, row, mask=stays & (total < post_max))
            total += stays.to(tl.int32)
            staying |= stays.to(tl.int64) << k
        for start in range(0, 64, ROWS):
            part = start + tl.arange(0, ROWS)
            chosen = ((staying >> part.to(tl.int64)) & 1) == 1
            source = bits + column[:, None].to(tl.int64) * n + word * 64 + part[None, :]
            later = (column > word) & (column < words)
            rows = tl.load(source, mask=later[:, None] & chosen[None, :], other=0)
            removed |= tl.reduce(rows, 1, _merge)
        word += 1
    tl.store(count, tl.minimum(total, post_max))


def nms(boxes: Tensor, labels: Tensor, threshold: float, post_max: int, rotated: bool) -> Tensor:
    """Same results as the reference, except for an IoU within 1e-12 of the threshold."""
    n = len(boxes)
    kept = torch.empty(min(n, post_max), dtype=torch.int64, device=boxes.device)
    if n == 0:
        return kept
    words = (n + 63) // 64
    bits = torch.empty(words, n, dtype=torch.int64, device=boxes.device)
    count = torch.empty(1, dtype=torch.int32, device=boxes.device)
    table, limit = box_table(boxes), torch.full((1,), threshold, dtype=torch.float64, device=boxes.device)
    grid = (triton.cdiv(n, _ROWS), words)
    padded = triton.next_power_of_2(words)
    rows = min(max(_TILE // padded, 1), 64)
    with torch.cuda.device_of(boxes):
        _bits_kernel[grid](
            table, labels, limit, bits, n, ROTATED=rotated, ROWS=_ROWS,
            num_warps=_WARPS,  # pyright: ignore[reportCallIssue] an option of the launch
        )  # fmt: skip
        _scan_kernel[(1,)](
            bits, kept, count, n, len(kept), words, WORDS=padded, ROWS=rows,
            num_warps=_WARPS,  # pyright: ignore[reportCallIssue] an option of the launch
        )  # fmt: skip
    return kept[: int(count)]
