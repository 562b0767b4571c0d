"""What mixing scans has in common: which scans fit together, choosing points, putting them into one scan."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datasets3d.frame import check_same_columns
from datasets3d.segmentation.scan import LabelledScan

_INT32_MAX = 2**31 - 1


def check_pair(function: str, scan: LabelledScan, other: LabelledScan) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of both scans if these have labels and the same columns.

    Raises:
        ValueError: Naming the scan without labels, or the columns of both.
    """
    classes = _classes_of(function, scan), _classes_of(function, other)
    check_same_columns(
        function,
        {f"scan {scan.frame_id}": scan.point_columns, f"other scan {other.frame_id}": other.point_columns},
    )
    return classes


def select(scan: LabelledScan, rows: np.ndarray) -> LabelledScan:
    """Return the points at these rows, a mask or indices, with their labels."""
    return replace(
        scan,
        points=scan.points[rows],
        classes=None if scan.classes is None else scan.classes[rows],
        instances=None if scan.instances is None else scan.instances[rows],
    )


def join(frame_id: str, parts: Sequence[LabelledScan]) -> LabelledScan:
    """Put labelled scans of equal columns into one, in this order, without a pose or a time.

    Instances of later parts are renumbered so that no two parts share one; without instances in one part, the
    result has none.

    Raises:
        ValueError: The numbers of instances do not fit into 32 bits.
    """
    instances = [part.instances for part in parts if part.instances is not None]
    return LabelledScan(
        frame_id=frame_id,
        points=np.concatenate([part.points for part in parts]),
        point_columns=parts[0].point_columns,
        classes=np.concatenate([part.classes for part in parts if part.classes is not None]),
        instances=_numbered_apart(instances) if len(instances) == len(parts) else None,
    )


def _numbered_apart(parts: list[np.ndarray]) -> np.ndarray:
    used, apart = 0, []
    for part in parts:
        numbers = part.astype(np.int64)
        numbers[numbers != 0] += used
        used = max(used, int(numbers.max(initial=0)))
        apart.append(numbers)
    if used > _INT32_MAX:
        raise ValueError(
            f"instances up to {used} do not fit into int32; number the instances of each scan from 1"
        )
    return np.concatenate(apart).astype(np.int32)


def _classes_of(function: str, scan: LabelledScan) -> np.ndarray:
    if scan.classes is None:
        raise ValueError(
            f"{function}: scan {scan.frame_id} has no classes; only labelled scans can be mixed, leave out "
            "unlabelled ones"
        )
    return scan.classes
