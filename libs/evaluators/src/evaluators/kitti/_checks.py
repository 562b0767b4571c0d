"""Which rows can be evaluated: finite numbers, positive sizes, upright image boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluators._columns import Fault, kept_rows, not_finite
from evaluators._validation import OnInvalid
from evaluators.kitti._rows import BBOX, SIZE_HWL, Rows
from evaluators.kitti.objects import ABSENT_SIZE


def checked(rows: Rows, on_invalid: OnInvalid, *, frame_ids: Sequence[str], what: str) -> Rows:
    """Return the rows, without the invalid ones if the policy is "drop".

    Raises:
        ValueError: A row is invalid and the policy is "error"; names frame, row (from 1) and reason.
    """
    size, box = rows.values[:, SIZE_HWL], rows.values[:, BBOX]

    def bad_size(row: int) -> str:
        height, width, length = size[row].tolist()
        return (
            "expected positive sizes in metres (or -1 for absent),"
            f" got height {height:g}, width {width:g}, length {length:g}"
        )

    def bad_box(row: int) -> str:
        got = " ".join(f"{value:g}" for value in box[row].tolist())
        return f"expected an image box with x1 <= x2 and y1 <= y2, got {got}"

    def place(row: int) -> str:
        frame = int(rows.frames[row])
        number, name = row + 1 - int(rows.starts[frame]), rows.names[int(rows.codes[row])]
        return f"frame {frame_ids[frame]!r}, {what}, row {number} ({name})"

    faults: list[Fault] = [
        not_finite(rows.values),
        (np.any((size <= 0) & (size != ABSENT_SIZE), axis=1), bad_size),
        (np.any(box[:, 2:] < box[:, :2], axis=1), bad_box),
    ]
    kept = kept_rows(faults, on_invalid, where=place)
    return rows if kept.all() else rows.select(kept)
