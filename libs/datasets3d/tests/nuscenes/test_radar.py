from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets3d.nuscenes.radar import RADAR_FIELDS, filter_states, read_radar, write_radar


def returns(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    values = rng.integers(0, 4, (count, 18)).astype(np.float32)
    for name in ("x", "y", "rcs", "vx", "vy", "vx_comp", "vy_comp"):
        values[:, RADAR_FIELDS.index(name)] = rng.normal(scale=30, size=count)
    values[:, RADAR_FIELDS.index("id")] = np.arange(count) * 100 - 200
    return values


@pytest.mark.parametrize("count", [0, 1, 125])
def test_what_is_written_is_read(tmp_path: Path, count: int) -> None:
    write_radar(tmp_path / "a.pcd", returns(count))
    found = read_radar(tmp_path / "a.pcd")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, returns(count))


def test_a_file_has_the_official_size(tmp_path: Path) -> None:
    write_radar(tmp_path / "a.pcd", returns(125))
    assert (tmp_path / "a.pcd").stat().st_size == 9471


def test_padding_is_never_read_and_not_needed(tmp_path: Path) -> None:
    path = tmp_path / "a.pcd"
    write_radar(path, returns(3))
    content = path.read_bytes()
    assert content.endswith(bytes(3726))
    for after in (b"", b"\1", b"\1" * 430):
        path.write_bytes(content[:-3726] + after)
        np.testing.assert_array_equal(read_radar(path), returns(3))


def test_codes_are_signed(tmp_path: Path) -> None:
    values = returns(2)
    values[:, RADAR_FIELDS.index("dyn_prop")] = [-1, -128]
    write_radar(tmp_path / "a.pcd", values)
    assert read_radar(tmp_path / "a.pcd")[:, 3].tolist() == [-1, -128]


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pcd"
    write_radar(path, returns(5))
    path.write_bytes(path.read_bytes()[: -3726 - 1])
    with pytest.raises(
        ValueError, match=r"a\.pcd is cut short: 5 returns of 43 bytes need 581 bytes, it has 580"
    ):
        read_radar(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"WIDTH 5", b"WIDTH 0", "has WIDTH 0; an empty sweep is written as one return of NaN"),
        (b"WIDTH 5", b"WIDTH -5", "WIDTH must be a number of returns, got '-5'"),
        (b"WIDTH 5\n", b"", "WIDTH must be a number of returns, got ''"),
        (b"HEIGHT 1", b"HEIGHT 2", "expected HEIGHT 1, got 2"),
        (b"FIELDS x y z", b"FIELDS x y q", "expected FIELDS x y z dyn_prop"),
        (b"SIZE 4", b"SIZE 8", "expected SIZE 4 4 4 1 2"),
        (b"DATA binary", b"DATA ascii", "no line `DATA binary`"),
    ],
)
def test_another_header_is_refused(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    path = tmp_path / "a.pcd"
    write_radar(path, returns(5))
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_radar(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no radar file .*a\.pcd"):
        read_radar(tmp_path / "a.pcd")


def test_a_return_without_a_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pcd"
    write_radar(path, returns(3))
    content = bytearray(path.read_bytes())
    second = content.index(b"DATA binary\n") + len(b"DATA binary\n") + 43
    content[second : second + 4] = np.array(np.inf, "<f4").tobytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="1 of 3 returns have no finite place"):
        read_radar(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("dyn_prop", 128.0, r"dyn_prop must be whole numbers -128\.\.127, got 0\.\.128"),
        ("id", 0.5, "id must be whole numbers"),
        ("x", np.nan, "returns hold NaN or infinite numbers"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path: Path, column: str, value: float, message: str) -> None:
    values = np.zeros((2, 18), np.float32)
    values[1, RADAR_FIELDS.index(column)] = value
    with pytest.raises(ValueError, match=message):
        write_radar(tmp_path / "a.pcd", values)
    assert not list(tmp_path.iterdir())


def test_the_filter_keeps_order_and_named_codes() -> None:
    values = np.zeros((6, 18), np.float32)
    values[:, 0] = np.arange(6)
    values[:, RADAR_FIELDS.index("ambig_state")] = 3
    values[1, RADAR_FIELDS.index("ambig_state")] = 4
    values[2, RADAR_FIELDS.index("invalid_state")] = 1
    values[4, RADAR_FIELDS.index("dyn_prop")] = 7
    assert filter_states(values)[:, 0].tolist() == [0, 3, 5]
    assert filter_states(values, dyn_props=range(8))[:, 0].tolist() == [0, 3, 4, 5]
    assert filter_states(values, invalid_states=(1,))[:, 0].tolist() == [2]
    assert filter_states(values, ambig_states=(3, 4))[:, 0].tolist() == [0, 1, 3, 5]
    assert filter_states(values[:0]).shape == (0, 18)


@pytest.mark.real_data
def test_the_real_file(real_nuscenes: Path, tmp_path: Path) -> None:
    (path,) = (real_nuscenes / "samples/RADAR_FRONT").iterdir()
    found = read_radar(path)
    assert len(found) == 125
    codes = {name: Counter(found[:, RADAR_FIELDS.index(name)].tolist()) for name in RADAR_FIELDS}
    assert codes["dyn_prop"] == {0: 1, 1: 79, 2: 2, 3: 35, 4: 6, 7: 2}
    assert codes["invalid_state"][0.0] == 58
    assert codes["ambig_state"][3.0] == 116
    assert codes["z"] == {0.0: 125}
    assert [round(float(v), 1) for v in (found[:, 0].min(), found[:, 0].max())] == [2.2, 220.2]
    assert [round(float(v), 1) for v in (found[:, 1].min(), found[:, 1].max())] == [-80.7, 79.5]
    assert [float(v) for v in (found[:, 5].min(), found[:, 5].max())] == [-4.5, 44.0]
    assert len(filter_states(found)) == 56
    write_radar(tmp_path / "copy.pcd", found)
    assert (tmp_path / "copy.pcd").read_bytes() == path.read_bytes()
