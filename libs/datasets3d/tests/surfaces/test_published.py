"""The published targets are pickles from the network: nothing in them may run, fill the memory or hang."""

import os
import pickle
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets3d.surfaces.published import read_points, write_points

POINTS = np.array([[0.5, -1.25, 0.0], [1.0, 2.0, 3.0]], np.float32)


def saved(path: Path, content: bytes) -> Path:
    (path / "7_0.pkl").write_bytes(content)
    return path / "7_0.pkl"


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
@pytest.mark.parametrize(
    "points", [POINTS, POINTS.astype(">f4"), POINTS.astype(np.float64), np.asfortranarray(POINTS)]
)
def test_arrays_are_read_as_numpy_reads_them(
    tmp_path: Path, protocol: int, module: bytes, points: np.ndarray
) -> None:
    content = pickle.dumps(points, protocol=protocol)
    if protocol < 4:
        name = next(n for n in (b"numpy._core.multiarray", b"numpy.core.multiarray") if n in content)
        content = content.replace(name, module, 1)
    found = read_points(saved(tmp_path, content))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, points)


def test_an_empty_target_is_read(tmp_path: Path) -> None:
    assert read_points(saved(tmp_path, pickle.dumps(POINTS[:0], protocol=4))).shape == (0, 3)


def test_files_of_python_2_are_read(tmp_path: Path) -> None:
    """There the bytes are a string, and the type is named by one."""
    data = POINTS.tobytes()
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03U\x01bq\x04\x87"
        b"q\x05Rq\x06(K\x01K\x02K\x03\x86q\x07cnumpy\ndtype\nq\x08U\x02f4q\tK\x00K\x01\x87q\nRq\x0b(K\x03U\x01<"
        b"q\x0cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\rb\x89U"
        + bytes([len(data)])
        + data
        + b"q\x0etq\x0fb."
    )
    np.testing.assert_array_equal(pickle.loads(content, encoding="latin1"), POINTS)
    np.testing.assert_array_equal(read_points(saved(tmp_path, content)), POINTS)


def test_what_is_written_is_read_here_and_by_numpy_1(tmp_path: Path) -> None:
    write_points(tmp_path / "7_0.pkl", POINTS)
    np.testing.assert_array_equal(read_points(tmp_path / "7_0.pkl"), POINTS)
    content = (tmp_path / "7_0.pkl").read_bytes()
    assert content.startswith(b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n")


class Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    "payload",
    [
        Runs(os.mkdir, "executed"),
        Runs(eval, "__import__('os').mkdir('executed')"),
        Runs(np.load, "executed", None, True),
        Runs(np.fromfile, "/etc/passwd"),
    ],
    ids=lambda payload: payload.call[0].__name__,
)
def test_nothing_is_executed(
    tmp_path: Path, payload: Runs, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"7_0\.pkl is no pickled point array \(it names .*complete kitti"):
        read_points(saved(tmp_path, pickle.dumps(payload, protocol=protocol)))
    assert not (tmp_path / "executed").exists()


ARRAY = pickle.dumps(POINTS, protocol=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "pickle exhausted"),
        (ARRAY[:-20], "pickle exhausted|not enough data|truncated|expected"),
        (b"not a pickle at all", "opcode|instruction"),
        (pickle.dumps([1.0, 2.0]), "instruction EMPTY_LIST"),
        (pickle.dumps({"points": POINTS}), "instruction EMPTY_DICT"),
        (pickle.dumps("points"), "it holds no array but a str"),
        (pickle.dumps(POINTS[:, :2]), r"its shape is not \(n, 3\)"),
        (pickle.dumps(POINTS[0]), r"its shape is not \(n, 3\)"),
        (pickle.dumps(POINTS.astype(np.int32)), "neither float32 nor float64"),
        (pickle.dumps(POINTS.astype(np.float16)), "neither float32 nor float64"),
        (pickle.dumps(POINTS.astype(object)), "instruction"),
        (pickle.dumps(np.full((1, 3), np.nan, np.float32)), "NaN"),
        # numpy.ndarray((10**12,)) would ask for terabytes: here it is only a record.
        (b"cnumpy\nndarray\n((L1000000000000L\nttR.", "it holds an unfinished ndarray"),
        # A row count that the bytes do not hold.
        (ARRAY.replace(b"K\x02K\x03\x86", b"J\xff\xff\xff\x7fK\x03\x86"), "do not fit its shape"),
        # The memo grows to the greatest index: this one would take 16 GB.
        (b"Nr" + struct.pack("<I", 2**31 - 1) + b".", "it remembers more than it holds"),
        # A tuple of 2**150 elements, shared: printing, hashing or comparing it would never end.
        (b"N" + b"2\x86" * 150 + b".", "instruction DUP"),
        (b"Nq\x00" + b"h\x00h\x00\x86q\x00" * 49 + b".", "it holds no array but a tuple"),
        # As many instructions as the file holds.
        (b"N0" * 500 + b"N.", "instruction POP"),
        (b"N" * 500 + b".", "more than the 200 instructions"),
        # numpy's own functions as data, and states for them.
        (b"cnumpy\ndtype\nN\x85b.", "state is not a dictionary"),
        (b"cnumpy.core.multiarray\n_reconstruct\n)RN\x85b.", "it holds an unfinished reconstruct"),
        (b"c_codecs\nencode\n(U\x01xU\x0azlib_codectR.", "it holds an unfinished encode"),
        (b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.", "it names"),
        (b"Pweird\n.", "instruction PERSID"),
        (b"\x82\x01.", "instruction EXT1"),
    ],
)
def test_bad_files_are_named_and_cost_nothing(tmp_path: Path, content: bytes, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(
        ValueError, match=rf"(?s)7_0\.pkl is no pickled point array \(.*({message}).*complete kitti"
    ):
        read_points(saved(tmp_path, content))
    assert time.monotonic() - start < 2


def test_a_hostile_file_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    poison = b"cnumpy.core.multiarray\n_reconstruct\nN)\x86b."
    with pytest.raises(ValueError, match="no pickled point array"):
        read_points(saved(tmp_path, poison))
    np.testing.assert_array_equal(read_points(saved(tmp_path, ARRAY)), POINTS)
