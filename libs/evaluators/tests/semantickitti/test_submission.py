"""Submissions: what is written can be handed in, and every fault is found without unpacking anything."""

import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators.semantickitti import (
    MOVING,
    check_submission,
    expected_scans,
    frame_path,
    read_label_file,
    write_label_file,
    write_prediction,
    zip_submission,
)
from evaluators.semantickitti.submission import required_folders
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROAD = np.full(3, 40, dtype=np.uint32).tobytes()
FIRST = "sequences/11/predictions/000000.label"


@pytest.fixture
def packed(tmp_path: Path, predictions: Path) -> Path:
    zip_submission(predictions, tmp_path / "s.zip")
    return tmp_path / "s.zip"


def repack(
    source: Path, change: Callable[[zipfile.ZipInfo, bytes], tuple[zipfile.ZipInfo, bytes] | None]
) -> Path:
    """Write a copy of the archive, with entries changed or left out."""
    target = source.with_name("changed.zip")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            entry = change(info, old.read(info))
            if entry is not None:
                new.writestr(*entry)
    return target


def add(source: Path, name: str, content: bytes = ROAD, mode: int = 0o100644) -> Path:
    info = zipfile.ZipInfo("placeholder")
    # ZipInfo would tidy the name; an attacker does not.
    info.filename = name
    info.external_attr = mode << 16
    with zipfile.ZipFile(source, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        archive.writestr(info, content)
    return source


def test_written_predictions_hold_raw_ids(tmp_path: Path) -> None:
    path = write_prediction(tmp_path, "11/000004", np.array([0, 1, 19]))
    assert path == tmp_path / "sequences/11/predictions/000004.label"
    assert read_label_file(path).tolist() == [0, 10, 81]
    write_prediction(tmp_path, "11/000004", np.array([1, 2], np.uint8), task="moving")
    assert read_label_file(path).tolist() == [9, 251]
    with pytest.raises(ValueError, match=r"must lie in 0\.\.2"):
        write_prediction(tmp_path, "11/000004", np.array([3]), task=MOVING)
    assert read_label_file(path).tolist() == [9, 251]


def test_what_is_packed_passes(packed: Path, predictions: Path, dataset: Path) -> None:
    report = check_submission(packed, dataset=dataset)
    assert report.ok, report.table()
    assert (report.n_expected, report.n_checked, report.points_known) == (22, 22, True)
    assert "ready to hand in" in report.table()
    assert check_submission(predictions, dataset=dataset).ok


def test_the_archive_has_the_folder_entries_and_the_description(packed: Path, predictions: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert set(required_folders()) <= set(archive.namelist())
        assert archive.read(FIRST) == ROAD
    first = packed.read_bytes()
    zip_submission(predictions, packed)
    assert packed.read_bytes() == first
    (predictions / "description.txt").write_text("name: ours\n")
    zip_submission(predictions, packed)
    with zipfile.ZipFile(packed) as archive:
        assert archive.read("description.txt") == b"name: ours\n"


def test_a_description_is_no_remark(packed: Path, dataset: Path) -> None:
    report = check_submission(add(packed, "description.txt", b"name: ours\n"), dataset=dataset)
    assert report.ok
    assert not report.remarks


@pytest.mark.slow
def test_without_data_set_the_published_numbers_of_scans_count(packed: Path) -> None:
    report = check_submission(packed)
    assert report.n_expected == 20351
    assert len(report.problems["missing"]) == 20351 - 22
    assert "and 20324 more" in report.table()
    assert "numbers of points were not compared" in report.table()


def test_missing_scans_and_folders_are_named(packed: Path, dataset: Path) -> None:
    changed = repack(
        packed, lambda info, content: None if info.is_dir() or info.filename == FIRST else (info, content)
    )
    problems = check_submission(changed, dataset=dataset).problems
    assert problems["missing"] == (FIRST,)
    folders = next(names for what, names in problems.items() if "no entry for the folder" in what)
    assert list(folders) == required_folders()


@pytest.mark.parametrize(
    ("content", "problem", "detail"),
    [
        (b"", "not one label per point", "0 labels for 3 points"),
        (ROAD[:-1], "size is no multiple of 4 bytes", "(11)"),
        (ROAD * 2, "not one label per point", "6 labels for 3 points"),
        (
            np.array([40, 2, 2], np.uint32).tobytes(),
            "raw ids that the task does not know",
            "2 points, such as 2",
        ),
        (np.array([40, 9, 251], np.uint32).tobytes(), "raw ids that the task does not know", "such as 9"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_bad_files_are_named(
    packed: Path, predictions: Path, dataset: Path, content: bytes, problem: str, detail: str, form: str
) -> None:
    (predictions / FIRST).write_bytes(content)
    zip_submission(predictions, packed)
    report = check_submission(packed if form == "zip" else predictions, dataset=dataset)
    assert list(report.problems) == [problem]
    assert report.problems[problem][0].startswith(FIRST)
    assert detail in report.problems[problem][0]
    assert report.n_checked == 22 - (not problem.startswith("raw"))


def test_the_task_decides_which_ids_are_known(predictions: Path, dataset: Path) -> None:
    (predictions / FIRST).write_bytes(np.array([40, 9, 251], np.uint32).tobytes())
    assert check_submission(predictions, dataset=dataset, task="moving").ok


@pytest.mark.slow
def test_without_data_set_empty_and_absurd_files_are_found(predictions: Path) -> None:
    (predictions / FIRST).write_bytes(b"")
    second = predictions / "sequences/11/predictions/000001.label"
    with second.open("wb") as file:
        file.truncate(1 << 40)  # sparse: a terabyte that takes no room
    problems = check_submission(predictions).problems
    assert problems["empty"] == (FIRST,)
    assert problems["far more labels than a scan has points"][0].startswith("sequences/11/predictions/000001")


@pytest.mark.parametrize(
    ("name", "mode", "problem"),
    [
        ("/etc/passwd", 0o100644, "absolute or foreign path"),
        ("C:/x.label", 0o100644, "absolute or foreign path"),
        ("sequences\\11\\x.label", 0o100644, "absolute or foreign path"),
        ("../x.label", 0o100644, "path that leaves the folder"),
        ("sequences/11/../../x", 0o100644, "path that leaves the folder"),
        ("sequences/link", 0o120777, "link or device"),
        ("sequences/device", 0o060644, "link or device"),
        (FIRST, 0o100644, "entry twice"),
    ],
)
def test_hostile_entries_are_refused(packed: Path, dataset: Path, name: str, mode: int, problem: str) -> None:
    report = check_submission(add(packed, name, mode=mode), dataset=dataset)
    assert list(report.problems) == [problem]
    assert report.n_checked == 22


def test_an_entry_without_a_name_and_an_unusual_method(packed: Path, dataset: Path) -> None:
    content = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        start = archive.start_dir
    first, second = (content.index(name.encode(), start) - 46 for name in (FIRST, FIRST.replace("11", "12")))
    # The extra field takes over what was the name; the method becomes LZMA.
    content[first + 28 : first + 32] = b"\0\0" + len(FIRST).to_bytes(2, "little")
    content[first + 46 : first + 50] = b"xx" + (len(FIRST) - 4).to_bytes(2, "little")
    content[second + 10] = zipfile.ZIP_LZMA
    packed.write_bytes(content)
    problems = check_submission(packed, dataset=dataset).problems
    assert problems["no name"] == ("",)
    assert problems["packed by another method than deflate"] == (FIRST.replace("11", "12"),)


def test_superfluous_entries_are_remarked(packed: Path, dataset: Path) -> None:
    report = check_submission(add(packed, "__MACOSX/x\nproblem: forged"), dataset=dataset)
    assert report.ok
    assert list(report.remarks.values()) == [("__MACOSX/x?problem: forged",)]


def test_links_in_a_folder_are_refused(predictions: Path, dataset: Path, tmp_path: Path) -> None:
    (predictions / FIRST).unlink()
    (predictions / FIRST).symlink_to(tmp_path / "elsewhere")
    (predictions / "sequences/deep").symlink_to(tmp_path)
    report = check_submission(predictions, dataset=dataset)
    assert report.problems["link or device"] == ("sequences/deep", FIRST)
    assert report.problems["missing"] == (FIRST,)


@pytest.mark.slow
def test_an_archive_that_would_fill_the_memory_is_not_read(packed: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info, bytes(1 << 26) if info.filename == FIRST else old.read(info))
    report = check_submission(bomb)
    assert report.problems["far more labels than a scan has points"] == (f"{FIRST} ({1 << 24})",)
    assert report.n_checked == 21


def test_an_entry_larger_than_announced_is_found(packed: Path, dataset: Path) -> None:
    """The directory at the end of the archive announces three labels; the data go on for a megabyte."""
    big = repack(packed, lambda info, content: (info, bytes(1 << 20) if info.filename == FIRST else content))
    content = bytearray(big.read_bytes())
    with zipfile.ZipFile(big) as archive:
        place = archive.start_dir
    directory = content.index(FIRST.encode(), place) - 46
    content[directory + 24 : directory + 28] = (12).to_bytes(4, "little")
    big.write_bytes(content)
    report = check_submission(big, dataset=dataset)
    assert list(report.problems) == ["cannot be read"]
    assert FIRST in report.problems["cannot be read"][0]


def test_encrypted_and_damaged_entries(packed: Path, dataset: Path) -> None:
    content = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        place, start = archive.getinfo(FIRST).header_offset, archive.start_dir
    directory = content.index(FIRST.encode(), start) - 46
    content[directory + 8] |= 1
    packed.with_name("e.zip").write_bytes(content)
    report = check_submission(packed.with_name("e.zip"), dataset=dataset)
    assert report.problems["encrypted"] == (FIRST,)
    content[directory + 8] &= 0xFE
    content[place + 30 + len(FIRST)] ^= 0xFF
    packed.with_name("d.zip").write_bytes(content)
    report = check_submission(packed.with_name("d.zip"), dataset=dataset)
    assert list(report.problems) == ["cannot be read"]


def test_the_name_must_end_in_zip(packed: Path, predictions: Path, dataset: Path) -> None:
    other = packed.rename(packed.with_suffix(".tar"))
    assert "the server wants a name that ends in .zip" in check_submission(other, dataset=dataset).problems
    with pytest.raises(ValueError, match=r"ends in \.zip, got s\.tar"):
        zip_submission(predictions, other)


def test_what_is_no_submission_is_refused(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"x\.zip: neither a folder nor a readable zip archive"):
        check_submission(tmp_path / "x.zip")
    with pytest.raises(FileNotFoundError, match=r"none\.zip"):
        check_submission(tmp_path / "none.zip")
    (tmp_path / "sequences").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no sequences"):
        zip_submission(tmp_path, tmp_path / "s.zip")
    for path in dataset.glob("sequences/12/velodyne/*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="no scans for sequence 12"):
        expected_scans(dataset)
    frame_path(dataset, "11/000000", "velodyne").write_bytes(bytes(17))
    with pytest.raises(ValueError, match=r"11/velodyne/000000\.bin: 17 bytes are no multiple of 16"):
        expected_scans(dataset)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_archives_give_a_report_or_a_value_error(
    packed: Path, dataset: Path, data: st.DataObject
) -> None:
    content = bytearray(packed.read_bytes())
    # Half of the changes hit the directory at the end, which decides how everything else is read.
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.sampled_from([0, len(content) * 2 // 3]))
        content[data.draw(st.integers(first, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = packed.with_name("fuzz.zip")
    path.write_bytes(content[: data.draw(st.integers(len(content) - 200, len(content)))])
    try:
        report = check_submission(path, dataset=dataset)
    except (ValueError, OSError):
        return
    assert report.n_checked <= 22


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_random_bytes_are_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "random.zip"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="neither a folder nor a readable zip"):
        check_submission(path)


def test_mode_bits_of_the_entries_are_plain(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            assert stat.S_ISDIR(mode) == info.is_dir()
            assert stat.S_ISREG(mode) != info.is_dir()


def test_predictions_of_other_sequences_are_not_packed(predictions: Path, tmp_path: Path) -> None:
    write_label_file(frame_path(predictions, "08/000000", "predictions"), np.zeros(1, np.uint32))
    assert zip_submission(predictions, tmp_path / "s.zip") == 22
