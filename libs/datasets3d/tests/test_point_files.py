import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from datasets3d._point_files import count_points, read_points
from datasets3d.kitti import read_points as read_kitti_points
from datasets3d.nuscenes.lidar import read_lidar
from hypothesis import given, settings
from hypothesis import strategies as st

FOUR = ("x", "y", "z", "intensity")
FIVE = (*FOUR, "ring")


def street(count: int, *, seed: int = 0) -> np.ndarray:
    """Return x y z intensity ring of points on the ground and on walls, float32."""
    rng = np.random.default_rng(seed)
    distance, angle = rng.gamma(2.0, 8.0, count), rng.uniform(-np.pi, np.pi, count)
    height = np.where(rng.random(count) < 0.6, -1.7, rng.uniform(-1.7, 4.0, count))
    place = [distance * np.cos(angle), distance * np.sin(angle), height + rng.normal(0, 0.02, count)]
    return np.column_stack([*place, rng.beta(1, 3, count), rng.integers(0, 32, count)]).astype("<f4")


def saved(points: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, points)
    return file.getvalue()


def pcd(points: np.ndarray, kind: str, *, body: bytes, fields: str = "x y z intensity ring") -> bytes:
    count = len(fields.split())
    return (
        f"# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS {fields}\nSIZE {'4 ' * count}\n"
        f"TYPE {'F ' * count}\nCOUNT {'1 ' * count}\nWIDTH {len(points)}\nHEIGHT 1\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA {kind}\n"
    ).encode() + body


def packed(content: bytes) -> bytes:
    """Return an LZF block: what is there already four bytes before is named, all else stands as it is."""
    out, at = bytearray(), 0
    while at < len(content):
        run = 0
        while (
            at >= 4 and run < 264 and at + run < len(content) and content[at + run] == content[at + run - 4]
        ):
            run += 1
        if run >= 9:
            out += bytes([7 << 5, run - 9, 3])
            at += run
        elif run >= 3:
            out += bytes([(run - 2) << 5, 3])
            at += run
        else:
            out += bytes([0, content[at]])
            at += 1
    return bytes(out)


def compressed(points: np.ndarray) -> bytes:
    columns = points.T.tobytes()
    block = packed(columns)
    return np.array([len(block), len(columns)], "<u4").tobytes() + block


TEXT = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in street(64)).encode()


@pytest.mark.parametrize(
    "content",
    [
        saved(street(64)),
        saved(street(64).astype(np.float64)),
        pcd(street(64), "ascii", body=TEXT),
        pcd(street(64), "binary", body=street(64).tobytes()),
        pcd(street(64), "binary_compressed", body=compressed(street(64))),
    ],
    ids=["npy", "npy of float64", "pcd text", "pcd binary", "pcd compressed"],
)
@pytest.mark.parametrize("name", ["0.bin", "0.npy", "0.pcd"])
def test_a_scan_is_read_whatever_its_format_and_name(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(read_points(tmp_path / name, FIVE), street(64))
    np.testing.assert_array_equal(read_points(tmp_path / name, FOUR, stored=FIVE), street(64)[:, :4])


def test_five_columns_are_read_where_they_are_declared(tmp_path: Path) -> None:
    (tmp_path / "0.bin").write_bytes(street(80).tobytes())
    np.testing.assert_array_equal(read_kitti_points(tmp_path / "0.bin", columns=FIVE), street(80)[:, :4])
    with pytest.raises(ValueError, match=r"name each column .* once, among them x y z intensity; got x y z"):
        read_kitti_points(tmp_path / "0.bin", columns=("x", "y", "z"))


SCAN = street(400)


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (SCAN.tobytes(), "float32 in 5 columns"),
        (SCAN[:, :3].tobytes(), "float32 in 3 columns"),
        (np.repeat(SCAN, 2, 1)[:, [0, 2, 4, 6, 1, 3]].tobytes(), "float32 in 6 columns"),
        (SCAN[:, :4].astype("<f8").tobytes(), "float64 in 4 columns"),
        (SCAN[:, :3].astype("<f8").tobytes(), "float64 in 3 columns"),
        (SCAN[:, :4].astype(">f4").tobytes(), "big-endian float32 in 4 columns"),
        (SCAN[:, :4].astype("<f2").tobytes(), "float16 in 4 columns"),
        ((1000 * SCAN[:, :4]).astype("<i4").tobytes(), "int32 in 4 columns"),
        (np.arange(64, dtype="<u4").tobytes(), "something else"),
        (np.random.default_rng(0).bytes(1600), "something else"),
        (b"1.5 2.5 0.5 0.1\n" * 4, "is text, no float32"),
        (("1.5 2.5 0.5 0.1\n" * 8).encode("utf-16"), "is text in UTF-16"),
        (b"\x1f\x8b\x08\0" * 4, "compressed with gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"ply\nformat binary_little_endian 1.0\n\0", "a PLY file"),
        (saved(street(64)[:, :3]), r"float32 \(64, 3\); expected numbers of shape \(n, 4\)"),
        (saved(np.array(["a"])), r"an array of NumPy, <U1 \(1,\)"),
        (saved(street(64))[:200], "cannot be read"),
        (pcd(street(4), "binary", body=street(4)[:, :3].tobytes(), fields="x y z"), "without intensity"),
        (pcd(street(64), "binary", body=b"\0" * 99), "needs 1280 bytes after its header and has 99"),
        (pcd(street(64), "ascii", body=TEXT[:-9]), r"damaged \.pcd file"),
        (pcd(street(64), "ascii", body=b"a" + TEXT), r"damaged \.pcd file: could not convert"),
        (pcd(street(64), "binary_compressed", body=compressed(street(64))[:-9]), r"damaged \.pcd file"),
        (pcd(street(64), "sideways", body=b""), "DATA must be ascii, binary or"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_scan_of_four_columns_is_said_to_be_what_it_is(
    tmp_path: Path, content: bytes, looks_like: str
) -> None:
    (tmp_path / "0.bin").write_bytes(content)
    with pytest.raises(ValueError, match=rf"0\.bin .*{looks_like}"):
        read_points(tmp_path / "0.bin", FOUR)


def test_a_scan_of_kitti_is_no_sweep_of_nuscenes(tmp_path: Path) -> None:
    (tmp_path / "0.pcd.bin").write_bytes(street(80)[:, :4].tobytes())
    with pytest.raises(
        ValueError, match="no float32 x y z intensity ring: it looks like float32 in 4 columns"
    ):
        read_lidar(tmp_path / "0.pcd.bin")


def test_points_are_counted_without_reading_them(tmp_path: Path) -> None:
    (tmp_path / "0.bin").write_bytes(street(12).tobytes())
    assert count_points(tmp_path / "0.bin", FIVE) == 12
    (tmp_path / "0.bin").write_bytes(saved(street(12)))
    with pytest.raises(ValueError, match=r"0\.bin is an array of NumPy"):
        count_points(tmp_path / "0.bin", FIVE)


@st.composite
def honest_clouds(draw: st.DrawFn, scan: np.ndarray) -> np.ndarray:
    """Return what people make of a scan: parts of it, in any order, moved, in other units, with holes."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count = draw(st.integers(0, 3000))
    part = draw(st.sampled_from(["any", "front", "sorted", "near", "repeated"]))
    points = scan[rng.permutation(len(scan))[:count]].copy()
    if part == "front":
        points = scan[:count].copy()
    elif part == "sorted":
        points = points[np.argsort(points[:, draw(st.integers(0, 3))])]
    elif part == "near":
        points = scan[np.linalg.norm(scan[:, :3] - scan[0, :3], axis=1) < 3.0]
    elif part == "repeated":
        points = np.tile(points[: draw(st.integers(1, 8))], (50, 1))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if draw(st.booleans()):
        points[:, :3] = points[:, :3] @ turn.T
    points[:, :3] += rng.normal(size=3) * draw(st.sampled_from([0.0, 1.0, 100.0, 5e5]))
    points[:, :3] *= draw(st.sampled_from([1.0, 1000.0, 0.01]))
    points[:, 3] *= draw(st.sampled_from([1.0, 255.0, 0.0]))
    if draw(st.booleans()):
        points[rng.random(len(points)) < 0.3, :3] = np.nan
    return points.astype("<f4")


def reads_as_it_is(tmp_path: Path, points: np.ndarray) -> None:
    (tmp_path / "0.bin").write_bytes(points.tobytes())
    np.testing.assert_array_equal(read_points(tmp_path / "0.bin", FOUR), points)


@pytest.fixture(scope="module")
def read_back(tmp_path_factory: pytest.TempPathFactory) -> Callable[[np.ndarray], None]:
    return partial(reads_as_it_is, tmp_path_factory.mktemp("scans"))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(points=honest_clouds(street(5000)[:, :4]))
def test_no_honest_cloud_is_refused(read_back: Callable[[np.ndarray], None], points: np.ndarray) -> None:
    read_back(points)


@pytest.mark.real_data
def test_no_part_of_a_real_scan_is_refused(real_kitti: Path, read_back: Callable[[np.ndarray], None]) -> None:
    for path in sorted(real_kitti.glob("*/velodyne*/*.bin")):
        scan = np.fromfile(path, "<f4").reshape(-1, 4)
        read_back(scan)
        for size in (1, 7, 50, 1000):
            for start in range(0, len(scan), len(scan) // 7):
                read_back(scan[start : start + size])
