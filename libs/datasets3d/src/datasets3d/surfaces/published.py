"""Dense targets as published for BtcDet, PG-RCNN and ImagePG: a folder a class, a pickle an object.

`train_mirror_target/bm_50maxdist_2num_Car/7_0.pkl` is a pickled float32 array [n, 3] in its object's own
frame: of the object with index 0 among those of frame 000007 that are no DontCare.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from datasets3d import _atomic

PARENT = "train_mirror_target"
COVERAGE_BY_CLASS = {"Car": 50, "Pedestrian": 5, "Cyclist": 5}
"""Number in the folder's name: the weight of coverage."""
_NAMES = {
    *(("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
}
_OPCODES = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
        *("MARK", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE"),
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
    )
)
"""What a pickled array consists of: no lists, sets or dictionaries, no class instances."""
_MOST_OPCODES = 200
"""A pickled array has some 40."""


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

    The pickle may name only what an array needs, and even these names stand for inert records, not for
    NumPy's functions; the array is then built here from the recorded type, shape and bytes.

    Raises:
        ValueError: The file is damaged, or holds anything but one array [n, 3] of float32 or float64.
    """
    try:
        content = path.read_bytes()
        _check_opcodes(content)
        return _array(_Unpickler(io.BytesIO(content), encoding="latin1").load())
    except (ValueError, TypeError, LookupError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"datasets3d.surfaces: {path} is no pickled point array ({error}); copy it again, or make the "
            "targets yourself with `python -m datasets3d complete kitti --root ...`"
        ) from None


def write_points(path: Path, points: Float32[np.ndarray, "n 3"]) -> None:
    """Write one file that the released code reads, also under the NumPy 1 that it wants."""
    content = pickle.dumps(np.ascontiguousarray(points, np.float32), protocol=3)
    # Modules are named before the data, so the first match is the name.
    _atomic.write_bytes(path, content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1))


class _Record:
    """What stands for every name in a pickle: keeps how it was called, does nothing."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments, self.state = name, arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Callable[..., _Record]:
        if (module_name, global_name) not in _NAMES:
            raise ValueError(f"it names {module_name}.{global_name}, which no array needs")
        # A new function each time: whatever a file does to it is forgotten with the file.
        return lambda *arguments: _Record(global_name, arguments)


def _check_opcodes(content: bytes) -> None:
    """Raise for instructions that no array needs: they could fill the memory or never end."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES:
            raise ValueError(f"its instruction {opcode.name} occurs in no array")
        # The memo is an array as long as its greatest index.
        index = argument if "PUT" in opcode.name and isinstance(argument, int) else 0
        if max(count, index) > _MOST_OPCODES:
            raise ValueError(f"it has more than the {_MOST_OPCODES} instructions that an array needs at most")


def _array(record: Any) -> np.ndarray:
    """Build the array of a record of `_reconstruct`; nothing of the content is shown, it may be endless."""
    _, shape, dtype, column_major, content = _state(record, "_reconstruct", 5)
    if isinstance(content, _Record):
        _expect(
            content.name == "encode" and _are(content.arguments, (str, str)), "its bytes are encoded oddly"
        )
        content = content.arguments[0]
    content = content.encode("latin1") if isinstance(content, str) else content
    order = _state(dtype, "dtype", 8)[1]
    kind = dtype.arguments[0]
    _expect(kind in ("f4", "f8") and order in ("<", ">"), "its numbers are neither float32 nor float64")
    _expect(_are(shape, (int, int)) and shape[1] == 3 and shape[0] >= 0, "its shape is not (n, 3)")
    size = shape[0] * 3 * int(kind[1])
    _expect(isinstance(content, bytes) and len(content) == size, "its bytes do not fit its shape")
    values = np.frombuffer(content, order + kind).reshape(shape, order="F" if column_major is True else "C")
    _expect(bool(np.isfinite(values).all()), "it holds NaN or infinite numbers")
    return np.ascontiguousarray(values, np.float32)


def _state(record: Any, name: str, length: int) -> tuple[Any, ...]:
    known = isinstance(record, _Record) and record.name == name and isinstance(record.state, tuple)
    _expect(known and len(record.state) == length, f"it lacks a {name.strip('_')}")
    return record.state


def _are(values: Any, types: Sequence[type]) -> bool:
    return isinstance(values, tuple) and tuple(type(value) for value in values) == tuple(types)


def _expect(fulfilled: bool, complaint: str) -> None:
    if not fulfilled:
        raise ValueError(complaint)


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
