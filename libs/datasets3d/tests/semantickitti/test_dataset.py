import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets3d.segmentation import IGNORED, LabelledScan
from datasets3d.semantickitti import (
    MULTI_SCAN,
    SINGLE_SCAN,
    SPVNAS,
    SWEEP_COLUMNS,
    SemanticKittiDataset,
    label_path,
    read_labels,
    write_labels,
)

STEP_M = 0.5


def names(scan: LabelledScan) -> list[str]:
    assert scan.classes is not None
    return [SINGLE_SCAN.classes[i] for i in np.unique(scan.classes[scan.classes != IGNORED])]


def test_a_scan_has_points_classes_instances_pose_and_time(tiny_drives: Path) -> None:
    dataset = SemanticKittiDataset(tiny_drives, "train")
    assert dataset.frame_ids == ("00/000000", "00/000001", "00/000002", "00/000003")
    scan = dataset[2]
    assert (scan.frame_id, scan.points.shape, scan.points.dtype) == ("00/000002", (1020, 4), np.float32)
    assert names(scan) == ["bicycle", "person", "road", "building"]
    assert scan.classes is not None and scan.instances is not None
    assert (scan.classes == IGNORED).sum() == 50
    assert {int(i): int((scan.instances == i).sum()) for i in np.unique(scan.instances)} == {
        0: 950,
        2: 40,
        7: 30,
    }
    assert scan.world_from_lidar is not None
    np.testing.assert_allclose(scan.world_from_lidar[:3, 3], [2 * STEP_M, 0, 0], atol=1e-6)
    assert scan.time_s == pytest.approx(0.2)


def test_splits_are_the_sequences_that_there_are(tiny_drives: Path) -> None:
    assert SemanticKittiDataset(tiny_drives, "trainval").sequences == ("00", "08")
    assert len(SemanticKittiDataset(tiny_drives, "trainval")) == 6
    chosen = SemanticKittiDataset(tiny_drives, ("08", "00"))
    assert chosen.frame_ids[0] == "08/000000" and chosen.split == "08+00"


def test_labels_of_test_sequences_are_never_read(tiny_drives: Path) -> None:
    write_labels(label_path(tiny_drives, "11/000000"), np.zeros(1, np.uint32))
    (scan,) = SemanticKittiDataset(tiny_drives, "test")
    assert scan.classes is None and scan.instances is None
    assert SemanticKittiDataset(tiny_drives, ("11",)).raw_labels("11/000000") is None


def test_another_table_gives_other_classes(tiny_drives: Path) -> None:
    scan = SemanticKittiDataset(tiny_drives, "val", table=MULTI_SCAN)[0]
    assert scan.classes is not None
    assert (scan.classes == MULTI_SCAN.index("moving-person")).sum() == 30


def test_earlier_scans_are_moved_into_the_frame_of_the_newest(tiny_drives: Path) -> None:
    scan = SemanticKittiDataset(tiny_drives, "train", sweeps=3)[3]
    assert scan.point_columns == SWEEP_COLUMNS
    lag = scan.points[:, 4]
    np.testing.assert_allclose(np.unique(lag), [0.0, 0.1, 0.2], atol=1e-6)
    own, older, oldest = (scan.points[np.isclose(lag, value)] for value in (0.0, 0.1, 0.2))
    np.testing.assert_array_equal(scan.points[: len(own), 4], 0.0)
    np.testing.assert_array_equal(own[:, :4], SemanticKittiDataset(tiny_drives, "train")[3].points)
    # The world of the tiny drive stands still.
    np.testing.assert_allclose(older[:, :3], own[:, :3], atol=1e-5)
    np.testing.assert_allclose(oldest[:, :3], own[:, :3], atol=1e-5)
    assert scan.classes is not None and scan.instances is not None
    np.testing.assert_array_equal(scan.classes.reshape(3, -1)[1], scan.classes.reshape(3, -1)[0])
    assert (scan.instances == 7).sum() == 3 * 30


def test_the_first_scans_of_a_sequence_have_as_many_as_there_are(tiny_drives: Path) -> None:
    dataset = SemanticKittiDataset(tiny_drives, "trainval", sweeps=3)
    assert [len(scan) // 1020 for scan in dataset] == [1, 2, 3, 3, 1, 2]


def test_accumulated_test_scans_have_no_labels_either(tiny_drives: Path) -> None:
    (scan,) = SemanticKittiDataset(tiny_drives, "test", sweeps=2)
    assert scan.classes is None and scan.points.shape[1] == 5


@pytest.mark.parametrize("name", ["poses.txt", "calib.txt", "times.txt"])
def test_motion_is_needed_only_to_accumulate(tiny_drives: Path, name: str) -> None:
    (tiny_drives / "sequences/00" / name).unlink()
    scan = SemanticKittiDataset(tiny_drives, "train")[0]
    assert (scan.time_s is None) == (name == "times.txt")
    assert (scan.world_from_lidar is None) == (name != "times.txt")
    with pytest.raises(FileNotFoundError, match=rf"no .*{name}; .*needed to put scans together"):
        SemanticKittiDataset(tiny_drives, "train", sweeps=2)


@pytest.mark.parametrize("name", ["poses.txt", "times.txt"])
def test_too_few_lines_are_named(tiny_drives: Path, name: str) -> None:
    path = tiny_drives / "sequences/00" / name
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    assert len(SemanticKittiDataset(tiny_drives, "train")[2]) == 1020
    with pytest.raises(ValueError, match=rf"{name} has 3 lines, none for scan 000003 \(line 4\)"):
        SemanticKittiDataset(tiny_drives, "train")[3]
    with pytest.raises(ValueError, match=rf"{name} has 3 lines"):
        SemanticKittiDataset(tiny_drives, "train", sweeps=2)


def test_labels_of_another_scan_are_refused(tiny_drives: Path) -> None:
    path = label_path(tiny_drives, "00/000000")
    write_labels(path, read_labels(path)[:-1])
    with pytest.raises(
        ValueError, match=r"000000\.label has 1019 labels, .*000000\.bin has 1020 points; one"
    ):
        SemanticKittiDataset(tiny_drives, "train")[0]


def test_unknown_ids_are_named_unless_the_table_says_what_they_are(tiny_drives: Path) -> None:
    path = label_path(tiny_drives, "00/000000")
    raw = read_labels(path)
    raw[:3] = [2, 2, 3 + (5 << 16)]
    write_labels(path, raw)
    with pytest.raises(
        ValueError, match=r"000000\.label: raw ids .* does not know: 2 \(2 points\), 3 \(1 point\)"
    ):
        SemanticKittiDataset(tiny_drives, "train")[0]
    scan = SemanticKittiDataset(tiny_drives, "train", table=SPVNAS)[0]
    assert scan.classes is not None and scan.classes[:3].tolist() == [0, 0, 0]


def test_an_unknown_id_of_an_earlier_scan_names_that_scan(tiny_drives: Path) -> None:
    path = label_path(tiny_drives, "00/000001")
    write_labels(path, np.full(1020, 2, np.uint32))
    with pytest.raises(ValueError, match=r"000001\.label: raw ids"):
        SemanticKittiDataset(tiny_drives, "train", sweeps=2)[2]


@pytest.mark.parametrize("count", [0, 1])
def test_scans_of_no_and_one_point_are_scans(tiny_drives: Path, count: int) -> None:
    scan, labels = (label_path(tiny_drives, "00/000001", kind=kind) for kind in ("velodyne", "labels"))
    scan.write_bytes(scan.read_bytes()[: 16 * count])
    labels.write_bytes(labels.read_bytes()[: 4 * count])
    found = SemanticKittiDataset(tiny_drives, "train")[1]
    assert found.points.shape == (count, 4) and found.classes is not None and len(found.classes) == count
    assert len(SemanticKittiDataset(tiny_drives, "train", sweeps=2)[1]) == count + 1020
    assert len(SemanticKittiDataset(tiny_drives, "train", sweeps=2)[2]) == 1020 + count


def test_points_that_are_not_finite_are_refused_or_dropped_with_their_labels(tiny_drives: Path) -> None:
    path = label_path(tiny_drives, "00/000000", kind="velodyne")
    points = np.fromfile(path, "<f4").reshape(-1, 4)
    points[[3, 950]] = np.nan
    path.write_bytes(points.tobytes())
    with pytest.raises(
        ValueError, match=r"000000\.bin holds 2 of 1020 points with NaN .*invalid_points='drop'"
    ):
        SemanticKittiDataset(tiny_drives, "train")[0]
    scan = SemanticKittiDataset(tiny_drives, "train", invalid_points="drop")[0]
    assert len(scan) == 1018 and scan.instances is not None and (scan.instances == 7).sum() == 29
    assert np.isfinite(scan.points).all()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("velodyne/000000.bin", cut, r"000000\.bin has 16317 bytes, not a multiple of 16"),
        ("velodyne/000000.bin", lambda p: p.write_text("1.0 2.0 3.0 0.1\n" * 8), r"000000\.bin is text"),
        ("labels/000000.label", cut, r"000000\.label has 4077 bytes, no multiple of 4"),
        ("labels/000000.label", lambda p: p.write_text("40 40 " * 10), r"15 labels.*; it is text; one of"),
        ("poses.txt", lambda p: p.write_text("1 2 3\n"), r"poses\.txt, line 1: expected the 12 numbers"),
        ("poses.txt", lambda p: p.write_bytes(b"\xff\0"), r"poses\.txt, line 1: expected text"),
        ("calib.txt", lambda p: p.write_text("Tr: 1\n"), r"calib\.txt, line 1: expected the 12 numbers"),
        ("times.txt", lambda p: p.write_text("0\n0\n"), r"times\.txt, line 2: times must increase"),
    ],
)
def test_damaged_files_are_named(tiny_drives: Path, name: str, change: Callable, message: str) -> None:
    change(tiny_drives / "sequences/00" / name)
    with pytest.raises(ValueError, match=message):
        SemanticKittiDataset(tiny_drives, "train")[0]


def test_a_labelled_sequence_needs_all_its_labels(tiny_drives: Path) -> None:
    label_path(tiny_drives, "00/000002").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*000002\.label \(1 label files missing\); unpack"):
        SemanticKittiDataset(tiny_drives, "train")


def test_wrong_folders_and_splits_are_explained(tiny_drives: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*; the official SemanticKITTI tree is"):
        SemanticKittiDataset(tmp_path / "nowhere", "val")
    with pytest.raises(
        FileNotFoundError, match=rf"lacks sequences/; found semantickitti/; did you mean {tiny_drives}\?"
    ):
        SemanticKittiDataset(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match=rf"did you mean {tiny_drives}\?"):
        SemanticKittiDataset(tiny_drives / "sequences", "val")
    with pytest.raises(ValueError, match="unknown split 'valid'; did you mean 'val'"):
        SemanticKittiDataset(tiny_drives, "valid")
    with pytest.raises(ValueError, match=r"sequences are given as a tuple, such as \('08',\)"):
        SemanticKittiDataset(tiny_drives, "08")
    with pytest.raises(FileNotFoundError, match="has no sequence '05'; it has 00, 08, 11"):
        SemanticKittiDataset(tiny_drives, ("00", "05"))
    with pytest.raises(ValueError, match="expected sequences, each once, got 00, 00"):
        SemanticKittiDataset(tiny_drives, ("00", "00"))
    with pytest.raises(ValueError, match="expected sequences, each once, got none"):
        SemanticKittiDataset(tiny_drives, ())
    with pytest.raises(ValueError, match="sweeps must be at least 1, got 0"):
        SemanticKittiDataset(tiny_drives, "val", sweeps=0)
    shutil.rmtree(tiny_drives / "sequences/08")
    with pytest.raises(FileNotFoundError, match=r"has no sequence of split 'val' \(08\); it has 00, 11"):
        SemanticKittiDataset(tiny_drives, "val")


def test_a_sequence_without_scans_is_named(tiny_drives: Path) -> None:
    for path in (tiny_drives / "sequences/08/velodyne").iterdir():
        path.rename(path.with_stem(f"scan_{path.stem}"))
    with pytest.raises(FileNotFoundError, match=r"no scans in .*velodyne; it has scan_000000\.bin, but"):
        SemanticKittiDataset(tiny_drives, "val")


def test_digests_change_with_the_labels(tiny_drives: Path) -> None:
    before = SemanticKittiDataset(tiny_drives, "train").digests()
    assert set(before) == {f"sequences/00/labels/00000{i}.label" for i in range(4)}
    write_labels(label_path(tiny_drives, "00/000003"), np.zeros(1020, np.uint32))
    after = SemanticKittiDataset(tiny_drives, "train").digests()
    assert [name for name in before if before[name] != after[name]] == ["sequences/00/labels/000003.label"]
    assert SemanticKittiDataset(tiny_drives, "test").digests() == {}


@pytest.mark.real_data
def test_a_real_scan_is_read(real_semantickitti: Path) -> None:
    (scan,) = SemanticKittiDataset(real_semantickitti, "val")
    assert scan.points.shape == (123389, 4) and scan.world_from_lidar is None
    assert scan.classes is not None and scan.instances is not None
    counts = dict(zip(SINGLE_SCAN.classes, np.bincount(scan.classes, minlength=256).tolist(), strict=False))
    assert {name: count for name, count in counts.items() if count} == {
        **{"car": 1534, "bicycle": 20, "person": 161, "road": 20975, "parking": 84, "sidewalk": 30092},
        **{"building": 2126, "fence": 531, "vegetation": 24514, "trunk": 3978, "terrain": 30925},
        **{"pole": 413, "traffic-sign": 1112},
    }
    assert (scan.classes == IGNORED).sum() == 123389 - sum(list(counts.values())[:19])
    assert len(np.unique(scan.instances)) == 12
