"""Depth files: round trips, refusals, and damaged ones."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluators.depth import fill_kitti, read_depth, write_depth_png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image


def test_png_round_trip(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).integers(0, 65536, (7, 11)) / 256
    write_depth_png(tmp_path / "a.png", depth)
    assert np.array_equal(read_depth(tmp_path / "a.png"), depth)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode.startswith("I")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("depth", [np.nan, -0.01, 256.0])
def test_a_png_does_not_hold_everything(tmp_path: Path, depth: float) -> None:
    with pytest.raises(ValueError, match=r"a depth PNG holds 0 to 255.99 m"):
        write_depth_png(tmp_path / "a.png", np.array([[depth]]))


def test_numpy_files_hold_metres(tmp_path: Path) -> None:
    depth = np.array([[1.5, 0.0], [80.25, -2.0]], dtype=np.float32)
    np.save(tmp_path / "a.npy", depth)
    np.savez(tmp_path / "b.npz", depth=depth, other=np.zeros(3))
    np.savez_compressed(tmp_path / "c.npz", anything=depth)
    for name in ("a.npy", "b.npz", "c.npz"):
        read = read_depth(tmp_path / name)
        assert read.dtype == np.float64
        assert np.array_equal(read, depth)


def test_other_content_is_refused_with_a_cure(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "eight.png")
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(tmp_path / "rgb.png")
    np.save(tmp_path / "whole.npy", np.ones((3, 3), np.uint16))
    np.save(tmp_path / "three.npy", np.ones((1, 3, 3)))
    np.savez(tmp_path / "two.npz", a=np.ones((2, 2)), b=np.ones((2, 2)))
    np.savez(tmp_path / "none.npz")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.npy").write_bytes(b"")
    for name, message in (
        ("eight.png", r"expected one channel of 16 bits.* got mode L \[3, 3\]"),
        ("rgb.png", r"got mode RGB \[3, 3, 3\]"),
        (
            "whole.npy",
            r"expected floating-point metres \[h, w\], got uint16 .*divide KITTI's integers by 256",
        ),
        ("three.npy", r"got float64 \[1, 3, 3\].*remove axes of length 1"),
        ("two.npz", "expected one array, or one named 'depth', got a, b"),
        ("none.npz", "expected one array, or one named 'depth', got none"),
        ("objects.npy", r"objects.npy cannot be read as .npy \(.*write it anew"),
        ("text.png", "text.png cannot be read as PNG"),
        ("empty.npy", "empty.npy cannot be read as .npy"),
        ("a.tif", r"a depth map is a .png, .npy, .npz file"),
    ):
        with pytest.raises(ValueError, match=message):
            read_depth(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_depth(tmp_path / "absent.png")


def test_without_pillow_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_depth_png(tmp_path / "a.png", np.ones((2, 2)))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'fusion3d-evaluators\[depth\]'"):
        read_depth(tmp_path / "a.png")


def content(suffix: str) -> bytes:
    stream = io.BytesIO()
    depth = np.arange(1.0, 13.0).reshape(3, 4)
    if suffix == ".png":
        Image.fromarray((depth * 256).astype(np.uint16)).save(stream, format="PNG")
    elif suffix == ".npy":
        np.save(stream, depth)
    else:
        np.savez_compressed(stream, depth=depth)
    return stream.getvalue()


@pytest.mark.slow
@settings(max_examples=300)
@given(
    suffix=st.sampled_from([".png", ".npy", ".npz"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), max_size=4),
    keep=st.floats(0, 1) | st.just(1.0),
    noise=st.binary(max_size=40) | st.none(),
)
def test_damaged_files_raise_nothing_but_value_errors(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    edits: list[tuple[float, bytes]],
    keep: float,
    noise: bytes | None,
) -> None:
    data = bytearray(content(suffix) if noise is None else noise)
    for place, replacement in edits:
        at = int(place * len(data))
        data[at : at + len(replacement)] = replacement
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(bytes(data[: int(keep * len(data))]))
    try:
        depth = read_depth(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert depth.ndim == 2


def fill_by_the_book(depth: np.ndarray) -> np.ndarray:
    """Return the filled map, written from the text of the rule."""
    out = np.where(depth > 0, depth, -1.0)
    for row in out:
        known = np.flatnonzero(row > 0)
        if known.size:
            for u in np.flatnonzero(row <= 0):
                left, right = known[known < u], known[known > u]
                beside = [row[side] for side in (*left[-1:], *right[:1])]
                row[u] = min(beside)
    for column in out.T:
        known = np.flatnonzero(column > 0)
        if known.size:
            column[: known[0]] = column[known[0]]
            column[known[-1] + 1 :] = column[known[-1]]
    return out


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.floats(0, 1))
def test_filling_is_the_written_rule(seed: int, height: int, width: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    depth = np.where(rng.random((height, width)) < share, rng.integers(1, 9, (height, width)), 0.0)
    before = depth.copy()
    assert np.array_equal(fill_kitti(depth), fill_by_the_book(depth))
    assert np.array_equal(depth, before)
    assert np.array_equal(fill_kitti(fill_kitti(depth)), fill_kitti(depth))
