"""Dense targets as published for BtcDet, PG-RCNN and ImagePG: a folder a class, a pickle an object.

`train_mirror_target/bm_50maxdist_2num_Car/7_0.pkl` is a pickled float32 array [n, 3] in its object's own
frame: of the object with index 0 among those of frame 000007 that are no DontCare.
"""

import pickle
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from datasets3d import _atomic, _inert_pickle

PARENT = "train_mirror_target"
COVERAGE_BY_CLASS = {"Car": 50, "Pedestrian": 5, "Cyclist": 5}
"""Number in the folder's name: the weight of coverage."""


def folder_name(class_name: str, *, donors: int = 2) -> str:
    """Return the published name of a class's folder.

    Example:
        >>> folder_name("Car")
        'bm_50maxdist_2num_Car'
    """
    return f"bm_{COVERAGE_BY_CLASS[class_name]}maxdist_{donors}num_{class_name}"


def file_name(source_id: str) -> str | None:
    """Return the published name of an object's file; None for a frame whose name is no number.

    Example:
        >>> file_name("000123_4"), file_name("left_4")
        ('123_4.pkl', None)
    """
    found = re.fullmatch(r"(\d+)_(\d+)", source_id)
    return None if found is None else f"{int(found[1])}_{found[2]}.pkl"


def find_folders(root: Path) -> dict[str, Path]:
    """Return the published folders under a root by class, in any case, in the root or in its usual subfolder.

    Where the folder of two donors is missing, that of one donor is taken.
    """
    parents = [p for p in _folders(root) if p.name.lower() == PARENT]
    # The exact spelling wins: capitals sort first.
    known = {p.name.lower(): p for parent in (root, *parents) for p in reversed(_folders(parent))}
    wanted = [
        (name, folder_name(name, donors=donors).lower()) for name in COVERAGE_BY_CLASS for donors in (1, 2)
    ]
    return {class_name: known[name] for class_name, name in wanted if name in known}


def read_points(path: Path) -> Float32[np.ndarray, "n 3"]:
    """Read one published file without executing anything that it may hold.

    Raises:
        ValueError: The file is damaged, or holds anything but one array [n, 3] of float32 or float64.
    """
    try:
        points = _inert_pickle.load_array(path)
        _expect(
            points.dtype.kind + str(points.itemsize) in ("f4", "f8"),
            "its numbers are neither float32 nor float64",
        )
        _expect(points.ndim == 2 and points.shape[1] == 3, "its shape is not (n, 3)")
        _expect(bool(np.isfinite(points).all()), "it holds NaN or infinite numbers")
    except ValueError as error:
        raise ValueError(
            f"datasets3d.surfaces: {path} is no pickled point array ({error}); copy it again, or make the "
            "targets yourself with `python -m datasets3d complete kitti --root ...`"
        ) from None
    return np.ascontiguousarray(points, np.float32)


def write_points(path: Path, points: Float32[np.ndarray, "n 3"]) -> None:
    """Write one file that the released code reads, also under the NumPy 1 that it wants."""
    content = pickle.dumps(np.ascontiguousarray(points, np.float32), protocol=3)
    # Modules are named before the data, so the first match is the name.
    _atomic.write_bytes(path, content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1))


def _expect(fulfilled: bool, complaint: str) -> None:
    if not fulfilled:
        raise ValueError(complaint)


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
