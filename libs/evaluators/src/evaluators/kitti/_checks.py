"""Which rows can be evaluated: finite numbers, positive sizes, upright image boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluators._validation import OnInvalid
from evaluators.kitti._rows import BBOX, SIZE_HWL, Rows
from evaluators.kitti.objects import ABSENT_SIZE


def checked(rows: Rows, on_invalid: OnInvalid, *, frame_ids: Sequence[str], what: str) -> Rows:
    """Return the rows, without the invalid ones if the policy is "drop".

    Raises:
        ValueError: A row is invalid and the policy is "error"; names frame, row (from 1) and reason.
    """
    not_finite = np.any(~np.isfinite(rows.values), axis=1)
    size = rows.values[:, SIZE_HWL]
    bad_size = ((size <= 0) & (size != ABSENT_SIZE)).any(axis=1)
    x1, y1, x2, y2 = rows.values[:, BBOX].T
    invalid = not_finite | bad_size | (x2 < x1) | (y2 < y1)
    if not invalid.any():
        return rows
    if on_invalid == "drop":
        return rows.select(~invalid)
    row = int(np.argmax(invalid))
    if not_finite[row]:
        reason = "expected finite numbers, got a NaN or infinity"
    elif bad_size[row]:
        height, width, length = size[row].tolist()
        reason = (
            "expected positive sizes in metres (or -1 for absent),"
            f" got height {height:g}, width {width:g}, length {length:g}"
        )
    else:
        got = " ".join(f"{value:g}" for value in rows.values[row, BBOX].tolist())
        reason = f"expected an image box with x1 <= x2 and y1 <= y2, got {got}"
    frame = int(rows.frames[row])
    raise ValueError(
        f"frame {frame_ids[frame]!r}, {what}, row {row + 1 - rows.starts[frame]}"
        f" ({rows.names[rows.codes[row]]}): {reason};"
        " repair it, or leave such rows out with on_invalid='drop'"
    )
