"""The command, as a user types it."""

import json
import shutil
from pathlib import Path

import pytest
from evaluators._cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = main(["semantickitti", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_table_json_and_page(
    golden_semantickitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = golden_semantickitti / "main"
    files = ["--json", tmp_path / "r.json", "--html", tmp_path / "r.html"]
    status, out, _ = run(capsys, "--gt", root, "--pred", root, *files)
    assert status == 0
    assert "mIoU  56.25" in out
    expected = json.loads((root / "expected.json").read_text())["single"]
    assert json.loads((tmp_path / "r.json").read_text())["iou_mean"] == pytest.approx(expected["mIoU"])
    assert "Confusion matrix" in (tmp_path / "r.html").read_text()


def test_every_option_counts(
    golden_semantickitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(golden_semantickitti / "ranges", tmp_path / "data"))
    plain = ["--gt", root, "--pred", root]
    assert "by distance" in run(capsys, *plain, "--ranges")[1]
    assert "2 frames, 1000 points" in run(capsys, *plain, "--limit", "500")[1]
    assert "multi-scan" in run(capsys, *plain, "--task", "multi-scan", "--processes", "2")[1]
    assert "Means follow spvnas" in run(capsys, *plain, "--task", "moving", "--protocol", "spvnas")[1]
    (root / "sequences/08/predictions/000001.label").unlink()
    status, _, err = run(capsys, *plain)
    assert status == 2
    assert "lacks predictions for 1 of 2 frames: 08/000001" in err
    status, out, _ = run(capsys, *plain, "--missing", "empty", "--sequences", "08")
    assert "1 frames had no predictions" in out
    (root / "sequences/08/predictions/000001.label").write_bytes(bytes([7, 0, 0, 0]) * 700)
    status, _, err = run(capsys, *plain)
    assert "raw ids that the label map 'single-scan' does not know: 7 (700 points)" in err
    assert "700 of the predictions" in run(capsys, *plain, "--unknown", "unlabeled")[1]
    assert "no labels for sequence 00, 01" in run(capsys, *plain, "--split", "train")[2]


@pytest.mark.slow
def test_pack_and_check(
    predictions: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "s.zip"
    status, out, _ = run(capsys, "--pred", predictions, "--zip", archive, "--dataset", dataset)
    assert (status, "ready to hand in" in out) == (0, True)
    for path in (archive, predictions):
        assert run(capsys, "--check-submission", path, "--dataset", dataset)[0] == 0
    status, _, err = run(capsys, "--check-submission", archive)
    assert status == 2
    assert "not ready to hand in" in err
    assert "problem: missing: " in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--gt is needed here"),
        (("--gt", "x"), "--pred is needed here"),
        (("--zip", "x.zip"), "--pred is needed here"),
        (("--gt", "x", "--pred", "x"), "no folder sequences in x"),
        (("--gt", "x", "--pred", "x", "--json", "none/r.json"), "--json: no folder none"),
    ],
)
def test_errors_say_what_to_do(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_help_teaches_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["semantickitti", "--help"])
    shown = capsys.readouterr().out
    for words in ("uint32 per point", "raw ids", "examples:", "--check-submission", "moving-object"):
        assert words in shown
