"""The compiled reader of lines of numbers. Import on first use only: this loads numba."""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit

# Both are exact in float64, so their quotient is the number closest to the decimal: what float() returns.
_EXACT_DIGITS = 15
_POWERS = np.array([10.0**power for power in range(23)])
_LOOK_CLOSER = -1


@njit(cache=True)
@no_type_check
def _is_space(byte):
    """Return whether `str.split` splits there: tabs, blanks, carriage returns, ASCII separators."""
    return byte == 32 or byte == 9 or (11 <= byte <= 13) or (28 <= byte <= 31)


@njit(cache=True)
@no_type_check
def _plain_number(text, start, end):
    """Return (number, True) for a short decimal such as -12.5, (0, False) for anything else."""
    negative = text[start] == 45
    at = start + 1 if negative or text[start] == 43 else start
    mantissa, digits, decimals, point = 0, 0, 0, False
    if end - at > _EXACT_DIGITS + 1:
        return 0.0, False
    for position in range(at, end):
        byte = text[position]
        if byte == 46 and not point:
            point = True
        elif 48 <= byte <= 57:
            mantissa = mantissa * 10 + (byte - 48)
            digits += 1
            decimals += point
        else:
            return 0.0, False
    if digits == 0 or digits > _EXACT_DIGITS:
        return 0.0, False
    number = mantissa / _POWERS[decimals]
    return -number if negative else number, True


@njit(cache=True)
@no_type_check
def scan_lines(text, fields, lines):
    """Split the bytes of a file into lines of `fields` fields, of which all but the first are numbers.

    Args:
        text: uint8 [bytes].
        lines: At least the number of lines.

    Returns:
        rows: Lines that are not blank, or -1 if something is not as it should be, or is not ASCII.
        spans [lines, 2] int64: Where the first field of each row starts and ends.
        values [lines, fields - 1] float64.
        hard [k, 4] int64: Row, column, start and end of each field that is more than a short decimal; its
        value is not set.
    """
    spans = np.empty((lines, 2), np.int64)
    values = np.empty((lines, fields - 1), np.float64)
    hard = np.empty((lines * (fields - 1), 4), np.int64)
    row = hard_count = at = field = 0
    while at <= text.size:
        if at == text.size or text[at] == 10:
            if field != 0 and field != fields:
                return _LOOK_CLOSER, spans, values, hard[:0]
            row += field != 0
            field = 0
            at += 1
            continue
        if _is_space(text[at]):
            at += 1
            continue
        start = at
        while at < text.size and text[at] != 10 and not _is_space(text[at]):
            if text[at] >= 128 or text[at] == 0:
                return _LOOK_CLOSER, spans, values, hard[:0]
            at += 1
        if field == 0:
            spans[row, 0] = start
            spans[row, 1] = at
        elif field < fields:
            number, plain = _plain_number(text, start, at)
            values[row, field - 1] = number
            if not plain:
                hard[hard_count] = (row, field - 1, start, at)
                hard_count += 1
        field += 1
    return row, spans, values, hard[:hard_count]
