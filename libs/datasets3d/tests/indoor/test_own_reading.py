"""Own scans are read from every format, with their colours, and errors name the file and the cure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets3d.indoor import read_room
from datasets3d.segmentation import write_ply

RNG = np.random.default_rng(0)
POINTS = RNG.normal(0, 2, (500, 3)).astype(np.float32)
COLOURS = RNG.integers(0, 256, (500, 3)).astype(np.uint8)
NAMES = ("red", "green", "blue")


def fields(colours: np.ndarray, names: tuple[str, ...] = NAMES) -> np.ndarray:
    """An array with named fields x y z and colours."""
    rows = np.zeros(500, [*((axis, "f4") for axis in "xyz"), *((name, colours.dtype) for name in names)])
    for at, axis in enumerate("xyz"):
        rows[axis] = POINTS[:, at]
    for at, name in enumerate(names):
        rows[name] = colours[:, at]
    return rows


def test_a_ply_file_is_read_with_its_colours(tmp_path: Path) -> None:
    write_ply(tmp_path / "lab.ply", POINTS, colours_rgb=COLOURS)
    room = read_room(tmp_path / "lab.ply")
    assert room.name == "lab" and room.aligned_from_scan is None and room.objects is None
    np.testing.assert_array_equal(room.points, POINTS)
    np.testing.assert_array_equal(room.colors, COLOURS)


def test_of_a_mesh_the_vertices_are_read(tmp_path: Path) -> None:
    header = (
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty double x\nproperty double y\nproperty double z\n"
    )
    body = (
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0.5\n3 0 1 2\n"
    )
    (tmp_path / "mesh.ply").write_text(header + body)
    room = read_room(tmp_path / "mesh.ply")
    assert room.points.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0.5]] and room.colors is None


@pytest.mark.parametrize(
    "colours",
    [
        COLOURS,
        COLOURS / 255,
        COLOURS.astype(np.float32),
        COLOURS.astype(np.uint16) * 257,
        COLOURS.astype("i4"),
    ],
    ids=["bytes", "0 to 1", "0 to 255", "16 bits", "integers"],
)
def test_colours_of_every_scale_are_the_same(tmp_path: Path, colours: np.ndarray) -> None:
    np.save(tmp_path / "lab.npy", fields(colours))
    np.testing.assert_array_equal(read_room(tmp_path / "lab.npy").colors, COLOURS)


@pytest.mark.parametrize("names", [("Red", "Green", "Blue"), ("r", "g", "b")])
def test_colours_go_by_several_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    np.save(tmp_path / "lab.npy", fields(COLOURS, names))
    np.testing.assert_array_equal(read_room(tmp_path / "lab.npy").colors, COLOURS)


@pytest.mark.parametrize("suffix", [".npy", ".bin"])
@pytest.mark.parametrize("width", [3, 4, 6])
def test_arrays_are_read_by_their_number_of_columns(tmp_path: Path, suffix: str, width: int) -> None:
    more = {3: np.zeros((500, 0)), 4: RNG.random((500, 1)), 6: COLOURS}[width]
    rows = np.concatenate([POINTS, more], axis=1).astype("<f4")
    path = tmp_path / f"lab{suffix}"
    if suffix == ".npy":
        np.save(path, rows)
    else:
        path.write_bytes(rows.tobytes())
    room = read_room(path)
    np.testing.assert_array_equal(room.points, POINTS)
    assert (room.colors is None) == (width != 6)
    if width == 6:
        np.testing.assert_array_equal(room.colors, COLOURS)


def test_normals_are_no_colours(tmp_path: Path) -> None:
    normals = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    np.save(tmp_path / "lab.npy", np.concatenate([POINTS, normals], axis=1))
    room = read_room(tmp_path / "lab.npy")
    np.testing.assert_array_equal(room.points, POINTS)
    assert room.colors is None


def test_columns_may_be_named(tmp_path: Path) -> None:
    np.save(tmp_path / "lab.npy", np.concatenate([POINTS[:, [2, 0, 1]], np.zeros((500, 2))], axis=1))
    room = read_room(tmp_path / "lab.npy", columns=("z", "x", "y", "a", "b"))
    np.testing.assert_array_equal(room.points, POINTS)
    with pytest.raises(ValueError, match=r"lab.npy is an array of NumPy, float64 \(500, 5\)"):
        read_room(tmp_path / "lab.npy")


@pytest.mark.parametrize("kind", ["F", "U"])
def test_packed_colours_of_a_pcd_file_are_read(tmp_path: Path, kind: str) -> None:
    packed = (COLOURS.astype(np.uint32) << np.uint32([16, 8, 0])).sum(axis=1).astype("<u4")
    header = (
        f"VERSION .7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F {kind}\nCOUNT 1 1 1 1\nWIDTH 500\nHEIGHT 1\n"
        "POINTS 500\nDATA binary\n"
    )
    rows = np.column_stack([POINTS.view("<u4"), packed])
    (tmp_path / "lab.pcd").write_bytes(header.encode() + rows.astype("<u4").tobytes())
    room = read_room(tmp_path / "lab.pcd")
    np.testing.assert_array_equal(room.points, POINTS)
    np.testing.assert_array_equal(room.colors, COLOURS)


@pytest.mark.parametrize("depth", [1, 257], ids=["8 bits in 16", "16 bits"])
def test_las_files_keep_their_millimetres_and_colours(tmp_path: Path, depth: int) -> None:
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.scales, header.offsets = [0.001] * 3, [350_000.0, 5_600_000.0, 200.0]
    las = laspy.LasData(header)
    las.x, las.y, las.z = (POINTS.astype(np.float64) + np.array([350_000.0, 5_600_000.0, 200.0])).T
    las.red, las.green, las.blue = (COLOURS.astype(np.uint16) * depth).T
    las.write(tmp_path / "lab.las")
    room = read_room(tmp_path / "lab.las")
    np.testing.assert_array_equal(room.colors, COLOURS)
    own = room.points.astype(np.float64) - room.aligned_from_scan[:3, 3]
    np.testing.assert_allclose(own, POINTS + np.array([350_000.0, 5_600_000.0, 200.0]), atol=6e-4)


def test_scans_near_the_origin_are_not_moved(tmp_path: Path) -> None:
    np.save(tmp_path / "lab.npy", POINTS * 1000)  # millimetres
    assert read_room(tmp_path / "lab.npy").aligned_from_scan is None


def test_numbers_that_are_not_finite_stay(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[3] = np.nan
    write_ply(tmp_path / "lab.ply", points)
    assert np.isnan(read_room(tmp_path / "lab.ply").points[3]).all()


@pytest.mark.parametrize("suffix", [".ply", ".npy", ".bin"])
def test_files_without_points_are_empty_rooms(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"lab{suffix}"
    if suffix == ".ply":
        write_ply(path, POINTS[:0], colours_rgb=COLOURS[:0])
    elif suffix == ".npy":
        np.save(path, np.zeros((0, 6), np.float32))
    else:
        path.write_bytes(b"")
    assert len(read_room(path)) == 0


def test_what_is_no_scan_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no scan .*nowhere\.ply"):
        read_room(tmp_path / "nowhere.ply")
    with pytest.raises(FileNotFoundError, match=r"expected a file \.bin"):
        read_room(tmp_path)
    (tmp_path / "a.ply").write_bytes(
        b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nend_header\n0\n1\n"
    )
    with pytest.raises(ValueError, match=r"a\.ply has no column y z, it has x; rename"):
        read_room(tmp_path / "a.ply")
    (tmp_path / "b.ply").write_bytes(
        b"ply\nformat ascii 1.0\nelement vertex 9\nproperty float x\nend_header\n0\n1\n"
    )
    with pytest.raises(ValueError, match=r"b\.ply is a damaged \.ply file"):
        read_room(tmp_path / "b.ply")
    (tmp_path / "c.bin").write_bytes(b"x y z\n1.0 2.0 3.0\n" * 20)
    with pytest.raises(ValueError, match=r"c\.bin is text"):
        read_room(tmp_path / "c.bin")
    (tmp_path / "d.npy").write_bytes(b"\x93NUMPY\x01\x00garbage")
    with pytest.raises(ValueError, match=r"d\.npy is an array of NumPy that cannot be read"):
        read_room(tmp_path / "d.npy")


@pytest.mark.real_data
def test_a_real_scan_is_read(real_scannet: Path) -> None:
    room = read_room(real_scannet / "scans/scene0000_00/scene0000_00_vh_clean_2.ply")
    columns = np.load(real_scannet / "scannet_instance_data/scene0000_00_vert.npy")
    np.testing.assert_array_equal(room.points, columns[:, :3])
    np.testing.assert_array_equal(room.colors, columns[:, 3:].astype(np.uint8))
