"""A checker that fails, or that sees too few files, is told."""

import pytest
from check_sources import check

SEES_TWO = ["python", "-c", "print('saw 2 files')"]


def test_a_checker_that_sees_every_file_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(SEES_TWO, r"saw (\d+) files", 2) == []
    assert capsys.readouterr().out == "saw 2 files\n"


def test_a_checker_that_overlooks_a_file_is_told() -> None:
    (wrong,) = check(SEES_TWO, r"saw (\d+) files", 3)
    assert "saw 2 files, expected at least 3" in wrong


def test_a_checker_that_says_nothing_of_files_is_told() -> None:
    (wrong,) = check(["python", "-c", "print('No source files found')"], r"saw (\d+) files", 1)
    assert "saw no files" in wrong


def test_the_exit_status_of_a_checker_counts() -> None:
    (wrong,) = check(["python", "-c", "print('saw 2 files'); exit(3)"], r"saw (\d+) files", 1)
    assert wrong.endswith("exit status 3")
