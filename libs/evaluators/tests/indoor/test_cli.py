import json
import re
from pathlib import Path
from typing import Any

import pytest
from evaluators import indoor
from evaluators._cli import main
from evaluators.indoor import IndoorBoxes, write_boxes


@pytest.fixture
def arguments(golden_indoor: dict[str, dict[str, Any]], tmp_path: Path) -> list[str]:
    """The golden ScanNet case as two folders of files."""
    for folder, names in {"gt": ("gt", None), "pred": ("pred", "pred_scores")}.items():
        (tmp_path / folder).mkdir()
        for index, scene in enumerate(golden_indoor["scannet_axis_aligned"]["scenes"]):
            scores = None if names[1] is None else scene[names[1]]
            boxes = IndoorBoxes(scene[f"{names[0]}_boxes"], scene[f"{names[0]}_labels"], scores)
            write_boxes(tmp_path / folder / f"scene{index:04d}_00.npz", boxes)
    return ["indoor", "--gt", str(tmp_path / "gt"), "--pred", str(tmp_path / "pred")]


@pytest.mark.slow
def test_a_golden_case_through_the_command_line(
    golden_indoor: dict[str, dict[str, Any]],
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    assert main([*arguments, "--json", str(report), "--html", str(page)]) == 0
    printed = capsys.readouterr().out
    written = json.loads(report.read_text())
    expected = golden_indoor["scannet_axis_aligned"]["mmdet3d_stable_sort"]
    for threshold in (0.25, 0.5):
        assert written["means"][f"mAP_{threshold}"] == pytest.approx(
            expected[f"mAP_{threshold:.2f}"], abs=1e-7
        )
        for number, name in enumerate(indoor.SCANNET.classes):
            ours = written["results"][f"{name}/{threshold}"]
            assert ours["ap"] == pytest.approx(expected[f"c{number}_AP_{threshold:.2f}"], abs=1e-7)
    assert printed == indoor.evaluate_folders(tmp_path / "gt", tmp_path / "pred").table() + "\n"
    assert "showercurtrain" in page.read_text()


def test_options_reach_the_evaluation(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_text("\n".join(indoor.SCANNET.classes))
    (tmp_path / "val.txt").write_text("scene0003_00\nscene0004_00\n")
    more = ["--classes", str(tmp_path / "names.txt"), "--small", "sink", "picture", "--thresholds", "0.4"]
    more += ["--frames", str(tmp_path / "val.txt"), "--mean-over", "listed", "--protocol", "votenet"]
    assert main([*arguments, *more]) == 0
    printed = capsys.readouterr().out
    assert "Indoor detection, names, votenet overlaps: 2 frames" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert [row[1:3] for row in rows if row[:1] == ["class"]] == [["AP_0.4", "recall_0.4"]]
    assert [row[0] for row in rows if row and row[0].startswith("mean")] == ["mean", "mean_S", "mean_O"]
    assert "they enter the means as 0" in printed


def test_policies_reach_the_evaluation(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pred" / "scene0003_00.npz").unlink()
    write_boxes(tmp_path / "pred" / "scene0004_00.npz", IndoorBoxes([[0] * 7], [0], [0.5]))
    assert main(arguments) == 2
    assert "evaluators indoor: error: " in capsys.readouterr().err
    assert main([*arguments, "--missing", "empty"]) == 2
    assert "frame 'scene0004_00', predictions, row 1: expected positive sizes" in capsys.readouterr().err
    assert main([*arguments, "--missing", "empty", "--on-invalid", "drop", "--processes", "2"]) == 0
    printed = capsys.readouterr().out
    assert "Note: 1 frames had no predictions" in printed
    assert "and 1 invalid predictions were dropped" in printed


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--classes", "scannet200"], "--classes must be one of scannet, sunrgbd, .*, or a text file; got"),
        (["--small", "spoon"], "subset 'S' needs classes of the table"),
        (["--thresholds", "25"], r"thresholds must be overlaps in \[0, 1\)"),
        (["--json", "/nowhere/report.json"], "--json: no folder"),
        (["--frames", "/nowhere/val.txt"], "val.txt"),
    ],
)
def test_bad_options_are_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main([*arguments, *more]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_help_teaches_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["indoor", "--help"])
    text = capsys.readouterr().out
    assert '{"boxes": [], "labels": [], "scores": []}' in text


def test_the_options_are_these(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["indoor", "--help"])
    words = {word.strip("[],()") for word in capsys.readouterr().out.split()}
    assert {word for word in words if word.startswith("--")} == {
        "--help",
        "--gt",
        "--pred",
        "--frames",
        "--classes",
        "--small",
        "--thresholds",
        "--mean-over",
        "--protocol",
        "--missing",
        "--on-invalid",
        "--processes",
        "--json",
        "--html",
    }
