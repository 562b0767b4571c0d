"""Which rows can be evaluated: finite numbers, positive sizes, upright image boxes."""

from __future__ import annotations

import numpy as np

from evaluators._validation import OnInvalid
from evaluators.kitti.objects import ABSENT_SIZE, KittiObjects


def checked(objects: KittiObjects, on_invalid: OnInvalid, *, where: str) -> KittiObjects:
    """Return the objects, without the invalid rows if the policy is "drop".

    Raises:
        ValueError: A row is invalid and the policy is "error"; names `where`, row (from 1) and reason.
    """
    not_finite = np.any(~np.isfinite(_numbers(objects)), axis=1)
    size = objects.size_hwl
    bad_size = np.any((size <= 0) & (size != ABSENT_SIZE), axis=1)
    x1, y1, x2, y2 = objects.bbox.T
    bad_image_box = (x2 < x1) | (y2 < y1)
    invalid = not_finite | bad_size | bad_image_box
    if not invalid.any():
        return objects
    if on_invalid == "drop":
        return objects.select(~invalid)
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
        got = " ".join(f"{value:g}" for value in objects.bbox[row].tolist())
        reason = f"expected an image box with x1 <= x2 and y1 <= y2, got {got}"
    raise ValueError(
        f"{where}, row {row + 1} ({objects.names[row]}): {reason};"
        " repair it, or leave such rows out with on_invalid='drop'"
    )


def _numbers(objects: KittiObjects) -> np.ndarray:
    columns = [objects.truncated, objects.alpha, objects.rotation_y]
    if objects.score is not None:
        columns.append(objects.score)
    return np.column_stack([*columns, objects.bbox, objects.size_hwl, objects.location])
