from functools import partial
from pathlib import Path

import numpy as np
import pytest
from datasets3d._ply import read_mesh, read_vertices, write_ply
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HEADER = """ply
format {kind} 1.0
comment made by a test
obj_info nothing
element camera 1
property float focal
property list uchar short knobs
element vertex {vertices}
property double x
property float y
property float z
property uchar red
property short label
property list uchar int rings
element face {faces}
property list uchar int vertex_indices
property char quality
element edge 1
property int a
end_header
"""
VERTICES = [
    (1.5, 2, 3, 255, -7, [1, 2]),
    (1e6, -2, 0.25, 0, 300, []),
    (0, 0, 1, 7, 0, [5]),
    (4, 5, 6, 1, 1, [9]),
]
FACES = [([0, 1, 2], 1), ([0, 1, 2, 3], -1), ([3, 2, 1], 0)]


def text(faces: list = FACES) -> bytes:
    rows = ["35.5 2 -1 300"]
    rows += [" ".join(map(str, [*v[:5], len(v[5]), *v[5]])) for v in VERTICES]
    rows += [" ".join(map(str, [len(corners), *corners, quality])) for corners, quality in faces]
    return head("ascii", faces) + ("\n".join([*rows, "0"]) + "\n").encode()


def binary(order: str, faces: list = FACES) -> bytes:
    def pack(kind: str, *values: float) -> bytes:
        return np.array(values, order + kind).tobytes()

    body = pack("f4", 35.5) + pack("u1", 2) + pack("i2", -1, 300)
    for x, y, z, red, label, rings in VERTICES:
        body += pack("f8", x) + pack("f4", y, z) + pack("u1", red) + pack("i2", label)
        body += pack("u1", len(rings)) + pack("i4", *rings)
    for corners, quality in faces:
        body += pack("u1", len(corners)) + pack("i4", *corners) + pack("i1", quality)
    kind = "binary_little_endian" if order == "<" else "binary_big_endian"
    return head(kind, faces) + body + pack("i4", 0)


def head(kind: str, faces: list) -> bytes:
    return HEADER.format(kind=kind, vertices=len(VERTICES), faces=len(faces)).encode()


ALL = {"ascii": text, "little": partial(binary, "<"), "big": partial(binary, ">")}
each_kind = pytest.mark.parametrize("kind", ALL)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.ply"


@each_kind
def test_properties_of_all_types_are_read_and_other_elements_skipped(path: Path, kind: str) -> None:
    path.write_bytes(ALL[kind]())
    found = read_vertices(path)
    assert {name: values.dtype.name for name, values in found.items()} == {
        **{"x": "float64", "y": "float32", "z": "float32", "red": "uint8", "label": "int16"},
    }
    for at, name in enumerate(found):
        np.testing.assert_array_equal(found[name], [vertex[at] for vertex in VERTICES])
        assert found[name].dtype.isnative


@each_kind
def test_polygons_become_triangles_about_their_first_corner(path: Path, kind: str) -> None:
    path.write_bytes(ALL[kind]())
    mesh = read_mesh(path)
    assert mesh.triangles.dtype == np.int32
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [3, 2, 1]]
    assert len(mesh.vertices["x"]) == 4


@each_kind
@pytest.mark.parametrize("faces", [[], [([0, 1, 2], 0)] * 300, [([0, 1, 2], 0), ([0, 1], 0)] * 40])
def test_runs_of_faces_are_found_wherever_they_end(path: Path, kind: str, faces: list) -> None:
    path.write_bytes(ALL[kind](faces))
    expected = [corners for corners, _ in faces if len(corners) == 3]
    assert read_mesh(path).triangles.tolist() == expected


def test_lines_may_end_as_windows_has_them(path: Path) -> None:
    path.write_bytes(text().replace(b"\n", b"\r\n"))
    assert len(read_vertices(path)["x"]) == 4


def test_a_file_without_vertices_has_none(path: Path) -> None:
    path.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nend_header\n")
    assert {name: len(values) for name, values in read_vertices(path).items()} == {"x": 0}
    path.write_bytes(b"ply\nformat ascii 1.0\nend_header\n")
    assert read_vertices(path) == {} and read_mesh(path).triangles.shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"solid", "is no .ply file: it does not start with a line `ply`"),
        (b"ply\nformat ascii 1.0\n", "its header has no line end_header"),
        (text().replace(b"ascii", b"sideways"), "its format must be ascii, .* got 'sideways'"),
        (
            text().replace(b"property float y", b"property real y"),
            "has the line 'property real y'",
        ),
        (text().replace(b"property float y", b"property float x"), "property 'x' of 'vertex' comes twice"),
        (text().replace(b"element camera", b"element vertex"), "element 'vertex' comes twice"),
        (
            text().replace(b"element vertex 4", b"element vertex -4"),
            "'vertex' must be whole, got '-4'",
        ),
        (
            text().replace(b"list uchar short", b"list float short"),
            "list 'knobs' are no whole numbers",
        ),
        (text().replace(b"element camera 1\n", b""), "a property comes before any element"),
        (text().replace(b"comment", b"remark"), "its header has the line 'remark made by a test'"),
        (text().replace(b" 300 0\n", b" x 0\n"), "could not convert string to float"),
        (text().replace(b" 255 ", b" 256 "), "a whole number is none, or out of range"),
        (text().replace(b" 255 ", b" 1.5 "), "a whole number is none, or out of range"),
        (text().replace(b"35.5 2 ", b"35.5 -2 "), "a whole number is none, or out of range"),
        (text()[:-12], "it is cut short"),
        (binary("<")[:-12], "it is cut short"),
        (binary(">").replace(b"element vertex 4", b"element vertex 4000000000"), "it is cut short"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damage_is_named(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.ply.*{message}"):
        read_mesh(path)


@pytest.mark.parametrize("corner", [4, -1])
def test_corners_that_are_no_vertices_are_refused(path: Path, corner: int) -> None:
    path.write_bytes(binary("<", [([0, 1, corner], 0)]))
    with pytest.raises(ValueError, match=r"corners of its faces must be vertices 0\.\.3, got"):
        read_mesh(path)


def test_faces_without_corners_are_refused(path: Path) -> None:
    path.write_bytes(text().replace(b"vertex_indices", b"flags"))
    with pytest.raises(ValueError, match="its faces have no list vertex_indices or vertex_index"):
        read_mesh(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \.ply file .*a\.ply"):
        read_vertices(path)


def test_what_is_written_is_read(path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(7, 3)).astype(np.float32)
    colours = rng.integers(0, 256, (7, 3)).astype(np.uint8)
    columns = {
        "label": rng.integers(0, 65536, 7).astype(np.uint32),
        "instance": np.arange(7, dtype=np.int32) - 3,
        "score": rng.random(7).astype(np.float32),
    }
    write_ply(path, points, colours_rgb=colours, columns=columns)
    found = read_vertices(path)
    assert list(found) == ["x", "y", "z", "red", "green", "blue", "label", "instance", "score"]
    np.testing.assert_array_equal(np.stack([found[name] for name in "xyz"], axis=1), points)
    np.testing.assert_array_equal(found["blue"], colours[:, 2])
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
    assert list(path.parent.iterdir()) == [path]


def test_zero_points_are_written(path: Path) -> None:
    write_ply(path, np.zeros((0, 3), np.float32))
    assert [len(values) for values in read_vertices(path).values()] == [0, 0, 0]


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"x": np.zeros(2, np.int32)}, ValueError, "column 'x' is taken"),
        ({"two words": np.zeros(2, np.int32)}, ValueError, "'two words' is taken, or is no word"),
        (
            {"label": np.zeros(2, np.int64)},
            TypeError,
            "'label' is int64; expected float32 or integers",
        ),
    ],
)
def test_columns_that_cannot_be_written_are_refused(
    path: Path, columns: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_ply(path, np.zeros((2, 3), np.float32), columns=columns)
    assert not path.exists()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(ALL)),
    at=st.floats(0, 0.999),
    change=st.sampled_from(["cut", "zeros", "flipped", "doubled"]),
)
def test_a_damaged_file_is_read_or_refused_by_name(path: Path, kind: str, at: float, change: str) -> None:
    content = ALL[kind]()
    place = int(at * len(content))
    damaged = {
        "cut": content[:place],
        "zeros": content[:place] + bytes(len(content) - place),
        "flipped": content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :],
        "doubled": content[:place] + content,
    }
    path.write_bytes(damaged[change])
    try:
        read_mesh(path)
    except ValueError as error:
        assert "a.ply" in str(error)


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_column_of_another_length_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="2 points, but 3 values of 'label'"):
        write_ply(path, np.zeros((2, 3), np.float32), columns={"label": np.zeros(3, np.int32)})


@pytest.mark.real_data
def test_a_real_mesh_is_read(real_scannet: Path) -> None:
    vertices, triangles = read_mesh(real_scannet / "scans/scene0000_00/scene0000_00_vh_clean_2.ply")
    assert len(vertices["x"]) == 40684 and vertices["red"].dtype == np.uint8
    assert triangles.shape == (0, 3)
    assert [vertices[axis].max() for axis in "xyz"] == pytest.approx([8.41, 8.73, 3.02], abs=0.006)
