import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets3d.segmentation import IGNORED, LabelTable, ScanFolder, ScanReading, read_scan, write_ply
from datasets3d.semantickitti import write_labels

TABLE = LabelTable(
    name="mine",
    classes=("ground", "tree"),
    raw_to_class=((0, IGNORED), (1, 0), (2, 1), (65535, IGNORED)),
    class_to_raw=(1, 2),
    colours_rgb=((90, 60, 30), (0, 175, 0)),
)
RNG = np.random.default_rng(0)
POINTS = np.column_stack([RNG.normal(0, 9, (60, 2)), RNG.normal(-1, 1, 60), RNG.random(60)]).astype("<f4")
RAW = RNG.integers(0, 3, 60).astype(np.uint32)
CLASSES = np.array([IGNORED, 0, 1], np.uint8)[RAW]
INSTANCES = RNG.integers(0, 5, 60).astype(np.int32)


def write_bin(path: Path) -> None:
    path.write_bytes(POINTS.tobytes())


def write_npy(path: Path) -> None:
    np.save(path, POINTS.astype(np.float64))


def write_named_npy(path: Path) -> None:
    kinds = [("X", "f8"), ("Y", "f8"), ("Z", "f8"), ("Remission", "f4"), ("label", "u2"), ("instance", "i4")]
    rows = np.zeros(60, kinds)
    for at, name in enumerate(("X", "Y", "Z", "Remission")):
        rows[name] = POINTS[:, at]
    rows["label"], rows["instance"] = RAW, INSTANCES
    np.save(path, rows)


def write_own_ply(path: Path) -> None:
    columns = {"intensity": POINTS[:, 3], "label": RAW, "instance": INSTANCES}
    write_ply(path, POINTS[:, :3], columns=columns)


def write_pcd(path: Path) -> None:
    names = "x y z intensity label instance"
    rows = np.zeros(60, [(n, "<f4") for n in names.split()[:4]] + [(n, "<i4") for n in names.split()[4:]])
    for at, name in enumerate(names.split()[:4]):
        rows[name] = POINTS[:, at]
    rows["label"], rows["instance"] = RAW, INSTANCES
    head = (
        f"# .PCD v0.7 -\nVERSION 0.7\nFIELDS {names}\nSIZE 4 4 4 4 4 4\nTYPE F F F F I I\nCOUNT 1 1 1 1 1 1\n"
        "WIDTH 60\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 60\nDATA binary\n"
    )
    path.write_bytes(head.encode() + rows.tobytes())


def write_las(path: Path) -> None:
    laspy = pytest.importorskip("laspy")
    las = laspy.create(point_format=6, file_version="1.4")
    las.header.scales = [1e-4] * 3
    las.x, las.y, las.z = POINTS[:, :3].T.astype(np.float64)
    las.intensity = np.round(POINTS[:, 3] * 65535).astype(np.uint16)
    las.classification = RAW.astype(np.uint8)
    las.add_extra_dim(laspy.ExtraBytesParams(name="instance", type=np.int32))
    las.instance = INSTANCES
    las.write(path)


FORMATS: dict[str, Callable[[Path], None]] = {
    **{"a.bin": write_bin, "a.npy": write_npy, "b.npy": write_named_npy, "a.ply": write_own_ply},
    **{"a.pcd": write_pcd, "a.las": write_las, "a.laz": write_las},
}
WITH_LABELS = ["b.npy", "a.ply", "a.pcd", "a.las", "a.laz"]


def reading_of(name: str) -> ScanReading:
    return ScanReading(intensity_scale=65535 if name[2:] in ("las", "laz") else 1)


@pytest.mark.parametrize("name", FORMATS)
def test_points_of_every_format_are_read(tmp_path: Path, name: str) -> None:
    FORMATS[name](tmp_path / name)
    scan = read_scan(tmp_path / name, reading=reading_of(name))
    assert scan.frame_id == name[0] and scan.classes is None and scan.points.dtype == np.float32
    np.testing.assert_allclose(scan.points, POINTS, atol=1e-4)


@pytest.mark.parametrize("name", WITH_LABELS)
def test_labels_are_found_in_columns(tmp_path: Path, name: str) -> None:
    FORMATS[name](tmp_path / name)
    scan = read_scan(tmp_path / name, table=TABLE, reading=reading_of(name))
    np.testing.assert_array_equal(scan.classes, CLASSES)
    np.testing.assert_array_equal(scan.instances, INSTANCES)


def test_a_column_of_a_plain_array_may_be_the_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.column_stack([POINTS, np.where(RAW == 0, -1, RAW.astype(np.int64))]))
    reading = ScanReading(columns=("x", "y", "z", "intensity", "kind"), label_column="kind")
    scan = read_scan(tmp_path / "a.npy", table=TABLE, reading=reading)
    np.testing.assert_array_equal(scan.classes, CLASSES)
    assert scan.instances is None and scan.points.shape == (60, 4)


@pytest.mark.parametrize("place", ["scans/a.label", "labels/a.label", "elsewhere/a.label"])
def test_label_files_are_found_beside_the_scans(tmp_path: Path, place: str) -> None:
    (tmp_path / "scans").mkdir()
    write_own_ply(tmp_path / "scans/a.ply")
    raw = np.where(RAW == 1, 2, 1).astype(np.uint32)
    write_labels(tmp_path / place, raw + (np.uint32(3) << np.uint32(16)))
    labels = tmp_path / "elsewhere" if place.startswith("elsewhere") else None
    (scan,) = ScanFolder(tmp_path / "scans", table=TABLE, labels=labels)
    np.testing.assert_array_equal(scan.classes, np.where(RAW == 1, 1, 0))
    assert scan.instances is not None and set(scan.instances.tolist()) == {3}


def test_a_folder_is_read_in_the_order_of_names_and_below(tmp_path: Path) -> None:
    for name in ("b/2.bin", "b/10.bin", "a.npy", ".hidden/a.bin", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (write_npy if name.endswith("npy") else write_bin)(tmp_path / name)
    scans = ScanFolder(tmp_path)
    assert scans.frame_ids == ("a", "b/10", "b/2")
    assert [scan.frame_id for scan in scans] == ["a", "b/10", "b/2"]
    assert scans.scan_path("b/2") == tmp_path / "b/2.bin"
    assert ScanFolder(tmp_path, suffixes=(".npy",)).frame_ids == ("a",)
    assert ScanFolder(tmp_path / "b/2.bin").frame_ids == ("2",)


def test_two_scans_of_one_name_are_refused(tmp_path: Path) -> None:
    write_bin(tmp_path / "a.bin")
    write_own_ply(tmp_path / "a.ply")
    with pytest.raises(ValueError, match=r"a\.bin and .*a\.ply would have one frame id; keep one, or name"):
        ScanFolder(tmp_path)


def test_no_scans_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no scans in .*; expected files \.bin \.npy"):
        ScanFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder or scan"):
        ScanFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no scan file .*a\.bin"):
        read_scan(tmp_path / "a.bin")


def test_scans_far_from_the_origin_keep_their_millimetres(tmp_path: Path) -> None:
    far = np.array([512_345.0, 5_403_210.0, 300.0])
    rows = np.zeros(60, [("x", "f8"), ("y", "f8"), ("z", "f8"), ("i", "f4")])
    for at, name in enumerate("xyz"):
        rows[name] = POINTS[:, at].astype(np.float64) + far[at]
    np.save(tmp_path / "a.npy", rows)
    scan = read_scan(tmp_path / "a.npy")
    assert scan.world_from_lidar is not None and np.abs(scan.points[:, :3]).max() < 100
    found = scan.points[:, :3].astype(np.float64) + scan.world_from_lidar[:3, 3]
    np.testing.assert_allclose(found, POINTS[:, :3] + far, atol=1e-4)
    np.testing.assert_array_equal(scan.world_from_lidar[:3, :3], np.eye(3))


def test_intensities_are_scaled_only_when_asked(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", POINTS[:, :3], columns={"Intensity": np.arange(60, dtype=np.uint8)})
    assert read_scan(tmp_path / "a.ply").points[:, 3].max() == 59
    assert read_scan(tmp_path / "a.ply", reading=ScanReading(intensity_scale=59)).points[:, 3].max() == 1
    with pytest.raises(ValueError, match="intensity_scale must be positive, got 0"):
        ScanReading(intensity_scale=0)


def test_a_scan_without_intensities_is_refused_unless_told_what_they_are(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", POINTS[:, :3])
    with pytest.raises(ValueError, match=r"a\.ply has no intensity, it has x y z; give .* missing_intensity"):
        read_scan(tmp_path / "a.ply")
    scan = read_scan(tmp_path / "a.ply", reading=ScanReading(missing_intensity=0.25))
    assert (scan.points[:, 3] == 0.25).all()


def test_points_that_are_not_finite_are_refused_or_dropped_with_their_labels(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[4, 1] = np.nan
    write_ply(
        tmp_path / "a.ply", points[:, :3], columns={"i": points[:, 3], "label": RAW, "instance": INSTANCES}
    )
    with pytest.raises(ValueError, match=r"a\.ply holds 1 of 60 points with NaN"):
        read_scan(tmp_path / "a.ply")
    scan = read_scan(tmp_path / "a.ply", table=TABLE, reading=ScanReading(invalid_points="drop"))
    np.testing.assert_array_equal(scan.classes, np.delete(CLASSES, 4))
    np.testing.assert_array_equal(scan.instances, np.delete(INSTANCES, 4))


@pytest.mark.parametrize("count", [0, 1])
def test_scans_of_no_and_one_point_are_scans(tmp_path: Path, count: int) -> None:
    (tmp_path / "a.bin").write_bytes(POINTS[:count].tobytes())
    write_labels(tmp_path / "a.label", RAW[:count])
    scan = read_scan(tmp_path / "a.bin", table=TABLE)
    assert scan.points.shape == (count, 4)
    np.testing.assert_array_equal(scan.classes, CLASSES[:count])


def test_labels_that_are_nowhere_are_named(tmp_path: Path) -> None:
    write_bin(tmp_path / "a.bin")
    with pytest.raises(
        FileNotFoundError, match=r"a\.bin has no labels: no .*a\.label, no .*labels/a\.label, no column label"
    ):
        read_scan(tmp_path / "a.bin", table=TABLE)
    write_own_ply(tmp_path / "b.ply")
    with pytest.raises(FileNotFoundError, match=r"no column kind; it has the columns x y z intensity label"):
        read_scan(tmp_path / "b.ply", table=TABLE, reading=ScanReading(label_column="kind"))
    with pytest.raises(FileNotFoundError, match=r"b\.ply has no labels: no .*c\.label"):
        read_scan(tmp_path / "b.ply", table=TABLE, labels=tmp_path / "c.label")


def test_labels_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write_bin(tmp_path / "a.bin")
    write_labels(tmp_path / "a.label", RAW[:-1])
    with pytest.raises(ValueError, match=r"a\.label has 59 labels, .*a\.bin has 60 points"):
        read_scan(tmp_path / "a.bin", table=TABLE)
    write_labels(tmp_path / "a.label", np.full(60, 7, np.uint32))
    with pytest.raises(
        ValueError, match=r"a\.bin: raw ids that the label table 'mine' does not know: 7 \(60"
    ):
        read_scan(tmp_path / "a.bin", table=TABLE)


@pytest.mark.parametrize("wrong", [0.5, np.nan, 70_000, -40_000])
def test_columns_that_are_no_labels_are_named(tmp_path: Path, wrong: float) -> None:
    label = RAW.astype(np.float32)
    label[3] = wrong
    write_ply(tmp_path / "a.ply", POINTS[:, :3], columns={"intensity": POINTS[:, 3], "label": label})
    with pytest.raises(ValueError, match=r"a\.ply: column label must hold whole numbers .*1 of 60 points"):
        read_scan(tmp_path / "a.ply", table=TABLE)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bin", POINTS.tobytes()[:-3], "has 957 bytes, not a multiple of 16"),
        ("a.bin", b"1.0 2.0 3.0 0.5\n" * 20, "is text"),
        ("a.npy", b"\x93NUMPY\x01\x00", "is an array of NumPy that cannot be read"),
        (
            "a.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
            "no column y z",
        ),
        ("a.ply", b"ply\nformat ascii 1.0\nend_header\n", "has no column x y z, it has none"),
        ("a.pcd", b"# .PCD v0.7\nFIELDS x y z\nDATA binary\n", r"is a damaged \.pcd file"),
        ("a.las", b"LASF" + bytes(100), "is no readable LAS file"),
        ("a.laz", b"PK\x03\x04" + bytes(100), "is a zip archive"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} ?.*{message}"):
        read_scan(tmp_path / name)


def test_plain_arrays_of_other_columns_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 6)))
    with pytest.raises(
        ValueError, match=r"float64 \(3, 6\); expected numbers of shape \(n, 4\): x y z intensity"
    ):
        read_scan(tmp_path / "a.npy")


def test_a_truncated_las_file_is_named(tmp_path: Path) -> None:
    write_las(tmp_path / "a.laz")
    content = (tmp_path / "a.laz").read_bytes()
    (tmp_path / "a.laz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a\.laz is no readable LAS file"):
        read_scan(tmp_path / "a.laz")


def test_without_laspy_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_las(tmp_path / "a.las")
    monkeypatch.setitem(sys.modules, "laspy", None)
    with pytest.raises(ImportError, match=r"which laspy reads: pip install 'fusion3d-datasets3d\[las\]'"):
        read_scan(tmp_path / "a.las")
