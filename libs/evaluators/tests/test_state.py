"""State files: what goes in comes out, nothing is unpickled, and damaged files are refused."""

import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators.state import Evaluator, read_state, write_state
from hypothesis import example, given, settings
from hypothesis import strategies as st


class Holder:
    """An evaluator that holds nothing but its state."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = dict(arrays)

    def reset(self) -> None:
        self._arrays.clear()

    def merge(self, other: Any) -> None:
        self.merge_state(other.state())

    def state(self) -> dict[str, np.ndarray]:
        return self._arrays

    def merge_state(self, state: Mapping[str, np.ndarray]) -> None:
        self._arrays.update(state)


STATE = {
    "counts": np.array([[1, 2**62], [3, 4]]),
    "sums": np.array([0.1, np.nan, -np.inf]),
    "names": np.array(["000001", "öü/é", ""]),
    "none": np.zeros((0, 7), np.float32),
    "bits": np.array([True, False]),
}


def archive(state: Mapping[str, Any] = STATE, *, compressed: bool = True) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **state)
    return buffer.getvalue()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "part.npz"
    holder = Holder(STATE)
    assert isinstance(holder, Evaluator)
    write_state(path, holder)
    read = read_state(path)
    assert list(read) == list(STATE)
    for name, array in STATE.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_state_is_one(tmp_path: Path) -> None:
    write_state(tmp_path / "part.npz", Holder({}))
    assert read_state(tmp_path / "part.npz") == {}


def test_the_name_is_kept_as_given(tmp_path: Path) -> None:
    write_state(tmp_path / "rank0.state", Holder(STATE))
    assert [path.name for path in tmp_path.iterdir()] == ["rank0.state"]


def test_a_failed_write_leaves_the_old_state(tmp_path: Path) -> None:
    class Broken(Holder):
        def state(self) -> dict[str, np.ndarray]:
            raise RuntimeError("no state")

    path = tmp_path / "part.npz"
    write_state(path, Holder(STATE))
    with pytest.raises(RuntimeError, match="no state"):
        write_state(path, Broken({}))
    assert list(read_state(path)) == list(STATE)
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"part\.npz"):
        read_state(tmp_path / "part.npz")


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "unpickled"
    inside = archive({"a": np.array([Trap(mark)], dtype=object)})
    for content in (inside, pickle.dumps(Trap(mark))):
        path = tmp_path / "trap.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"trap\.npz cannot be read as \.npz .*; write it anew"):
            read_state(path)
    assert not mark.exists()


def test_one_plain_array_is_no_state(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"a\.npy cannot be read as \.npz"):
        read_state(tmp_path / "a.npy")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "part.npz"


def state_or_refusal(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        read = read_state(path)
    except ValueError as error:
        assert "cannot be read as .npz" in str(error)
    else:
        assert all(isinstance(array, np.ndarray) and not array.dtype.hasobject for array in read.values())


@pytest.mark.slow
@settings(max_examples=200)
@given(st.binary(max_size=200))
@example(b"")
@example(b"PK\x05\x06" + bytes(18))
@example(b"\x93NUMPY\x01\x00\xff\xff{")
def test_random_bytes_are_refused(damaged: Path, content: bytes) -> None:
    state_or_refusal(damaged, content)


WHOLE = {True: archive(), False: archive(compressed=False)}


@pytest.mark.slow
@settings(max_examples=500)
@given(st.booleans(), st.data())
def test_a_damaged_file_is_refused_or_read(damaged: Path, compressed: bool, data: st.DataObject) -> None:
    content = bytearray(WHOLE[compressed])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    stop = data.draw(st.sampled_from([len(content), data.draw(st.integers(0, len(content)))]))
    state_or_refusal(damaged, bytes(content[:stop]))
