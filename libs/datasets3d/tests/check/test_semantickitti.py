import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d.check import CheckReport, check, check_semantickitti
from datasets3d.prepare import prepare_semantickitti
from datasets3d.segmentation import IGNORED
from datasets3d.semantickitti import (
    SINGLE_SCAN,
    SPLITS,
    SemanticKittiDataset,
    label_path,
    read_labels,
    write_labels,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def wrong(report: CheckReport) -> str:
    assert not report.ok
    return "\n".join(report.problems())


def change_scans(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in root.glob("sequences/*/velodyne/*.bin"):
        scan = np.fromfile(path, "<f4").reshape(-1, 4)
        path.write_bytes(change(scan).astype("<f4").tobytes())


def test_a_good_tree_has_no_complaint(tiny_drives: Path) -> None:
    report = check_semantickitti(tiny_drives)
    assert report.problems() == [] and report.ok
    assert [(s.sequence, s.scans, s.label_files, s.points) for s in report.sequences] == [
        *(("00", 4, 4, 4080), ("08", 2, 2, 2040), ("11", 1, 0, 1020)),
    ]
    assert {name: count for name, count in report.class_counts().items() if count} == {
        **{"bicycle": 240, "person": 180, "road": 3600, "building": 1800},
    }
    notes = "\n".join(report.notes())
    assert "sequence 00: 4 scans, the official sequence has 4541" in notes
    assert "split train lacks the sequences 01, 02, 03, 04, 05, 06, 07, 09, 10; the others are used" in notes
    assert "no points of car, motorcycle," in notes


def test_the_layout_is_recognised(tiny_drives: Path) -> None:
    assert check(tiny_drives, split="val").to_json()["sequences"][0]["sequence"] == "08"


def test_a_split_is_checked_alone(tiny_drives: Path) -> None:
    assert [s.sequence for s in check_semantickitti(tiny_drives, split="train").sequences] == ["00"]
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        check_semantickitti(tiny_drives, split="valid")


def test_missing_and_damaged_files_are_listed_together(tiny_drives: Path) -> None:
    folder = tiny_drives / "sequences/00"
    (folder / "labels/000000.label").unlink()
    (folder / "labels/000001.label").write_bytes(bytes(4079))
    write_labels(folder / "labels/000002.label", np.full(1019, 40, np.uint32))
    (folder / "velodyne/000003.bin").write_bytes(bytes(17))
    (folder / "poses.txt").write_text("1 2 3\n")
    (folder / "times.txt").write_text("0\n1\n")
    (folder / "calib.txt").write_text("P0: 1\n")
    text = wrong(check_semantickitti(tiny_drives))
    for part in (
        r"labels/000000.label (1 label files missing)",
        "000001.label has 4079 bytes, no multiple of 4",
        "000002.label has 1019 labels",
        "000003.bin has 17 bytes, not a multiple of 16",
        "poses.txt, line 1: expected the 12 numbers",
        "times.txt has 2 lines, none for scan 000003 (line 4)",
        "calib.txt has no line `Tr: ...`",
    ):
        assert part in text


def test_many_damaged_files_are_counted(tiny_drives: Path) -> None:
    folder = tiny_drives / "sequences/08"
    for number in range(2, 12):
        shutil.copy(folder / "labels/000000.label", folder / f"labels/{number:06d}.label")
        (folder / f"velodyne/{number:06d}.bin").write_bytes(bytes(17))
    report = check_semantickitti(tiny_drives)
    assert len(report.problems()) == 2 + 5 + 1
    assert "sequence 08: 5 more files are damaged" in wrong(report)


def test_unknown_ids_are_named_with_their_counts(tiny_drives: Path) -> None:
    for number in ("000000", "000001"):
        path = label_path(tiny_drives, f"00/{number}")
        raw = read_labels(path)
        raw[:2] = [2, 1000]
        write_labels(path, raw)
    (problem,) = check_semantickitti(tiny_drives).problems()
    assert "does not know: 2 (2 points), 1000 (2 points)" in problem
    lenient = replace(SINGLE_SCAN, unknown=IGNORED)
    assert check_semantickitti(tiny_drives, table=lenient).ok


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda scan: scan * [1000, 1000, 1000, 1], "coordinates must be metres; millimetres?"),
        (
            lambda scan: scan[:, [1, 2, 0, 3]] * [-1, 1, -1, 1],
            "here it seems to be y",
        ),
        (lambda scan: scan + np.array([4e5, 5e6, 0, 0]), "it must be the sensor, not that of a map"),
    ],
)
def test_wrong_coordinates_are_recognised(tiny_drives: Path, change: Callable, advice: str) -> None:
    change_scans(tiny_drives, change)
    (problem,) = check_semantickitti(tiny_drives).problems()
    assert problem.startswith("7 of 7 scans: ") and advice in problem


def test_points_that_are_not_finite_are_wrong(tiny_drives: Path) -> None:
    path = label_path(tiny_drives, "08/000000", kind="velodyne")
    scan = np.fromfile(path, "<f4").reshape(-1, 4)
    scan[7] = np.inf
    path.write_bytes(scan.tobytes())
    assert "000000.bin holds 1 of 1020 points with NaN or infinite" in wrong(check_semantickitti(tiny_drives))


def test_notes_tell_of_harmless_oddities(tiny_drives: Path) -> None:
    change_scans(tiny_drives, lambda scan: scan * [1, 1, 1, 255])
    folder = tiny_drives / "sequences/00"
    for name in ("velodyne/000001.bin", "poses.txt", "times.txt"):
        (folder / name).unlink()
    (folder / "velodyne/000000.bin").write_bytes(b"")
    (folder / "labels/000000.label").write_bytes(b"")
    shutil.copy(folder / "velodyne/000002.bin", folder / "velodyne/copy.bin")
    write_labels(folder / "labels/000002.label", np.zeros(1020, np.uint32))
    report = check_semantickitti(tiny_drives)
    assert report.ok
    notes = "\n".join(report.notes())
    for part in (
        "5 of 6 scans: intensities reach",
        "sequence 00: no poses.txt, times.txt: scans cannot be put together",
        "sequence 00: 1 scans hold no point",
        "sequence 00: 1 numbers between its first and last scan have no scan",
        "sequence 00: 1 label files have no scan",
        "sequence 00: velodyne/ holds 1 files called by no number, as copy.bin",
        "of the labelled points are ignored",
    ):
        assert part in notes, part


def test_a_sequence_without_scans_is_wrong(tiny_drives: Path) -> None:
    shutil.rmtree(tiny_drives / "sequences/08/velodyne")
    assert "no scans in" in wrong(check_semantickitti(tiny_drives))


def test_an_instance_store_of_other_labels_is_wrong(tiny_drives: Path) -> None:
    prepare_semantickitti(tiny_drives, "train", progress=False)
    assert check_semantickitti(tiny_drives).ok
    path = label_path(tiny_drives, "00/000002")
    write_labels(path, read_labels(path)[::-1].copy())
    assert "_instances.npz was made from other data: " in wrong(check_semantickitti(tiny_drives))


def test_the_report_is_a_table_and_json(tiny_drives: Path) -> None:
    report = check_semantickitti(tiny_drives)
    content = json.loads(json.dumps(report.to_json()))
    assert content["ok"] and content["class_counts"]["road"] == 3600
    table = report.table()
    assert (
        "3 sequences, 7 scans, 7140 points" in table
        and "road                           3600  58.824%" in table
    )


def test_a_wrong_root_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the official SemanticKITTI tree is"):
        check_semantickitti(tmp_path)
    (tmp_path / "sequences").mkdir()
    with pytest.raises(FileNotFoundError, match="no sequences in"):
        check_semantickitti(tmp_path)


KINDS = ["gone", "a folder", "cut", "zeros", "flipped", "swapped", "nan", "1e40", "-1", "x", ""]


def damage(path: Path, kind: str, rng: np.random.Generator) -> None:
    """Do to a file what copying, editing and full disks do."""
    content = path.read_bytes()
    at = int(rng.integers(len(content)))
    if kind in ("gone", "a folder"):
        path.unlink()
        if kind == "a folder":
            path.mkdir()
    elif kind == "cut":
        path.write_bytes(content[:at])
    elif kind == "zeros":
        path.write_bytes(content[:at] + bytes(len(content) - at))
    elif kind == "flipped":
        flipped = content[at] ^ (1 << int(rng.integers(8)))
        path.write_bytes(content[:at] + bytes([flipped]) + content[at + 1 :])
    elif kind == "swapped":
        other = sorted(p for p in path.parents[1].rglob("*.*") if p.is_file())
        path.write_bytes(other[int(rng.integers(len(other)))].read_bytes())
    else:
        words = content.split(b" ")
        words[int(rng.integers(len(words)))] = kind.encode()
        path.write_bytes(b" ".join(words))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), pick=st.integers(0, 1000), seed=st.integers(0, 10_000))
def test_what_the_loader_refuses_is_reported_and_the_other_way_round(
    tiny_drives: Path, kind: str, pick: int, seed: int
) -> None:
    files = sorted(path for path in tiny_drives.rglob("*.*") if path.is_file())
    path = files[pick % len(files)]
    content = path.read_bytes()
    try:
        damage(path, kind, np.random.default_rng(seed))
        refused = [split for split in ("train", "val", "test") if refuses(tiny_drives, split, sweeps=1)]
        report = check_semantickitti(tiny_drives)
        assert bool(refused) == bool(files_or_ids(report)), (path, kind, refused, report.problems())
        if any(refuses(tiny_drives, split, sweeps=2) for split in SPLITS):
            assert files_or_ids(report) or any(s.absent_motion for s in report.sequences)
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)


def files_or_ids(report: CheckReport) -> list[str]:
    """What is wrong, but for coordinates that look odd."""
    return [problem for problem in report.problems() if " scans: " not in problem]


def refuses(root: Path, split: str, *, sweeps: int) -> bool:
    try:
        for _ in SemanticKittiDataset(root, split, sweeps=sweeps):
            pass
    except (OSError, ValueError):
        return True
    return False


@pytest.mark.real_data
def test_a_real_scan_has_no_complaint(real_semantickitti: Path) -> None:
    report = check_semantickitti(real_semantickitti)
    assert report.ok and report.class_counts()["vegetation"] == 24514
