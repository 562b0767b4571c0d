"""Look at a submission without unpacking it: names first, then sizes, then labels, all within bounds."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators._parallel import Progress
from evaluators.semantickitti.files import frame_path
from evaluators.semantickitti.protocol import LabelMap, label_map
from evaluators.semantickitti.submission import (
    MAX_POINTS,
    SubmissionReport,
    expected_scans,
    required_folders,
)

_MAX_ENTRIES = 100_000
_MAX_TEXT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One name in an archive or a folder."""

    name: str
    size: int
    folder: bool
    flaw: str | None
    """What makes it unfit to be opened at all."""
    read: Callable[[], bytes]


class _Findings:
    def __init__(self) -> None:
        self.problems: dict[str, list[str]] = {}
        self.remarks: dict[str, list[str]] = {}

    def problem(self, what: str, entry: str) -> None:
        # A name may hold anything; line breaks would forge lines of the report.
        self.problems.setdefault(what, []).append(_printable(entry))

    def remark(self, what: str, entry: str) -> None:
        self.remarks.setdefault(what, []).append(_printable(entry))


def check_submission(
    path: str | Path,
    *,
    dataset: str | Path | None = None,
    task: str | LabelMap = "single-scan",
    progress: Progress = iter,
) -> SubmissionReport:
    """Return all that is wrong with a submission: a .zip, or the folder that would be packed.

    Checked are: the .zip name and the folder entries that the official validator insists on; every scan of
    sequences 11 to 21 present and nothing else but description.txt; sizes, in whole labels and (with
    `dataset`) one label per point; raw ids that the task knows; entries that leave the folder, links,
    duplicates, encrypted or damaged entries. Nothing is written to disk, and no entry is read whose announced
    size is not that of a scan, so that an archive made to fill the memory cannot.

    Args:
        dataset: Holds sequences/11..21/velodyne, for the numbers of points.
        task: The label map of the competition.

    Raises:
        FileNotFoundError: There is no such file, or `dataset` lacks a test sequence.
        ValueError: Neither a folder nor a zip archive.

    Example:
        >>> print(check_submission("submission.zip").table())  # doctest: +SKIP
    """
    scans, known = expected_scans(dataset), label_map(task)
    findings = _Findings()
    if Path(path).is_dir():
        return _report(list(_folder_entries(Path(path))), scans, known, findings, progress)
    if Path(path).suffix != ".zip":
        findings.problem("the server wants a name that ends in .zip", Path(path).name)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = list(_zip_entries(archive))
            folders = {entry.name for entry in entries if entry.folder}
            for name in required_folders():
                if name not in folders:
                    findings.problem("no entry for the folder (pack with zip -r, or zip_submission)", name)
            return _report(entries, scans, known, findings, progress)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: neither a folder nor a readable zip archive: {error}") from None


def _report(
    entries: list[_Entry],
    scans: dict[str, int | None],
    known: LabelMap,
    findings: _Findings,
    progress: Progress,
) -> SubmissionReport:
    files = _fit_files(entries, findings)
    wanted = {frame_path(".", frame, "predictions").as_posix(): n for frame, n in scans.items()}
    for name, entry in files.items():
        if name == "description.txt" and entry.size <= _MAX_TEXT:
            continue
        if name not in wanted:
            findings.remark("the server does not need", name)
    lookup, n_checked = known.lookup, 0
    for name in progress(list(wanted)):
        entry = files.get(name)
        if entry is None:
            findings.problem("missing", name)
        elif _size_is_right(entry, wanted[name], findings):
            n_checked += _labels_are_known(entry, lookup, len(known.classes), findings)
    return SubmissionReport(
        n_expected=len(wanted),
        n_checked=n_checked,
        points_known=None not in wanted.values(),
        problems={what: tuple(names) for what, names in findings.problems.items()},
        remarks={what: tuple(names) for what, names in findings.remarks.items()},
    )


def _fit_files(entries: list[_Entry], findings: _Findings) -> dict[str, _Entry]:
    """Return the files that may be opened, by name."""
    if len(entries) > _MAX_ENTRIES:
        findings.problem(f"more than {_MAX_ENTRIES} entries", str(len(entries)))
    files: dict[str, _Entry] = {}
    for entry in entries[:_MAX_ENTRIES]:
        flaw = entry.flaw or _name_flaw(entry.name)
        if flaw is not None:
            findings.problem(flaw, entry.name)
        elif entry.name in files:
            findings.problem("entry twice", entry.name)
        elif not entry.folder:
            files[entry.name] = entry
    return files


def _name_flaw(name: str) -> str | None:
    if not name:
        return "no name"
    if name.startswith("/") or name[1:2] == ":" or "\\" in name:
        return "absolute or foreign path"
    if ".." in name.split("/"):
        return "path that leaves the folder"
    return None


def _size_is_right(entry: _Entry, n_points: int | None, findings: _Findings) -> bool:
    if entry.size % 4:
        findings.problem("size is no multiple of 4 bytes", f"{entry.name} ({entry.size})")
    elif n_points is not None and entry.size != 4 * n_points:
        counts = f"{entry.name} ({entry.size // 4} labels for {n_points} points)"
        findings.problem("not one label per point", counts)
    elif entry.size == 0 and n_points != 0:
        findings.problem("empty", entry.name)
    elif entry.size > 4 * MAX_POINTS:
        findings.problem("far more labels than a scan has points", f"{entry.name} ({entry.size // 4})")
    else:
        return True
    return False


def _labels_are_known(entry: _Entry, lookup: np.ndarray, unknown: int, findings: _Findings) -> bool:
    """Read one entry; return whether that worked."""
    try:
        content = entry.read()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        findings.problem("cannot be read", f"{entry.name} ({error})")
        return False
    if len(content) != entry.size:
        findings.problem("holds other than its announced size", entry.name)
        return False
    ids = np.frombuffer(content, dtype="<u4") & 0xFFFF
    strange = ids[lookup[ids] == unknown]
    if strange.size:
        findings.problem(
            "raw ids that the task does not know",
            f"{entry.name} ({len(strange)} points, such as {strange[0]})",
        )
    return True


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        flaw = None
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            flaw = "link or device"
        elif info.flag_bits & 1:
            flaw = "encrypted"
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            flaw = "packed by another method than deflate"
        yield _Entry(
            name=info.filename,
            size=info.file_size,
            folder=info.filename.endswith("/"),
            flaw=flaw,
            read=lambda info=info: _read_member(archive, info),
        )


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        content = file.read(info.file_size)
        # The checksum is compared when the end is reached.
        return content + file.read(1)


def _folder_entries(root: Path) -> Iterator[_Entry]:
    for folder, folders, names in os.walk(root):
        for name in sorted(names + [name for name in folders if Path(folder, name).is_symlink()]):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            yield _Entry(
                name=path.relative_to(root).as_posix(),
                size=path.lstat().st_size,
                folder=False,
                flaw=None if stat.S_ISREG(mode) else "link or device",
                read=path.read_bytes,
            )


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
