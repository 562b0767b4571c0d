import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from evaluators import kitti
from evaluators._cli import main


def kitti_arguments(folder: Path, *more: str) -> list[str]:
    return ["kitti", "--gt", str(folder / "label_2"), "--pred", str(folder / "det"), *more]


@pytest.mark.slow
def test_a_golden_case_through_the_command_line(golden_kitti: Path, tmp_path: Path) -> None:
    folder = golden_kitti / "tied_scores"
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "evaluators", *kitti_arguments(folder, "--json", str(report))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    written = json.loads(report.read_text())
    expected = json.loads((folder / "expected.json").read_text())
    for table in ("strict", "loose"):
        for key, entry in expected[f"devkit_{table}"].items():
            name, rest = key.split("/", 1)
            ours = written[table]["results"][f"{name.capitalize()}/{rest}"]
            assert ours["R40"] == pytest.approx(entry["R40"], abs=1e-6)
            assert ours["R11"] == pytest.approx(entry["R11"], abs=1e-6)
    tables = [kitti.evaluate_folders(folder / "label_2", folder / "det", overlaps=t) for t in kitti.TABLES]
    assert done.stdout == f"{tables[0].table()}\n\n{tables[1].table()}\n"
    assert list(tmp_path.iterdir()) == [report]


def test_help_loads_no_numbers_library() -> None:
    code = (
        "import sys\nfrom evaluators._cli import main\n"
        "try:\n    main(['kitti', '--help'])\nexcept SystemExit:\n    pass\n"
        "loaded = {'numpy', 'numba', 'tqdm'} & set(sys.modules)\nassert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "type truncated occluded alpha x1 y1 x2 y2 height width length x y z rotation_y" in done.stdout


def test_the_options_are_these(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["kitti", "--help"])
    options = {
        word.strip("[],()") for word in capsys.readouterr().out.split() if word.strip("[]").startswith("--")
    }
    assert options == {
        "--help",
        "--gt",
        "--pred",
        "--frames",
        "--protocol",
        "--overlaps",
        "--score-classes",
        "--missing",
        "--on-invalid",
        "--aos",
        "--explain",
        "--processes",
        "--json",
        "--html",
    }


def test_the_tables_are_those_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["kitti", "--gt", "x", "--pred", "y", "--overlaps", "medium"])
    message = capsys.readouterr().err
    assert all(repr(name) in message for name in kitti.TABLES)


def test_the_rules_are_those_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["kitti", "--gt", "x", "--pred", "y", "--protocol", "mine"])
    message = capsys.readouterr().err
    assert all(repr(name) in message for name in kitti.PROTOCOLS)


@pytest.mark.slow
def test_rules_of_another_tool_and_a_page(
    golden_kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, page, report = golden_kitti / "height_boundary", tmp_path / "page.html", tmp_path / "r.json"
    more = ["--protocol", "prclibo", "--overlaps", "strict", "--html", str(page), "--json", str(report)]
    assert main(kitti_arguments(folder, *more)) == 0
    assert "scored by the rules of the old offline forks" in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert written["protocol"]["rules"]["name"] == "prclibo"
    old = json.loads((folder / "expected.json").read_text())["old_devkit_min_height_lt_AP"]
    assert written["results"]["Car/3d/easy"]["R11"] == pytest.approx(old["car/3d/easy"][0], abs=1e-6)
    text = page.read_text()
    assert "Car 3d, IoU &gt; 0.7" in text
    assert f"{old['car/3d/easy'][0]:.4f}" in text


def test_several_processes_print_the_same(golden_kitti: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = kitti_arguments(golden_kitti / "tied_scores")
    assert main(arguments) == 0
    alone = capsys.readouterr().out
    assert main([*arguments, "--processes", "2"]) == 0
    assert capsys.readouterr().out == alone


def test_bad_input_ends_with_a_sentence_and_status_2(
    golden_kitti: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(kitti_arguments(golden_kitti / "nan_score")) == 2
    message = capsys.readouterr().err
    assert message.startswith("evaluators kitti: error: ")
    assert "expected a finite number for score" in message


def test_a_split_and_missing_files(
    golden_kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = tmp_path / "val.txt"
    split.write_text("000000\n000001\n")
    (tmp_path / "pred").mkdir()
    arguments = ["kitti", "--gt", str(golden_kitti / "five_gt" / "label_2"), "--pred", str(tmp_path / "pred")]
    arguments += ["--frames", str(split)]
    assert main(arguments) == 2
    assert "lacks prediction files for 2 of 2 frames: 000000, 000001" in capsys.readouterr().err
    assert main([*arguments, "--missing", "empty"]) == 0
    assert "2 frames had no predictions" in capsys.readouterr().out


def test_explain_prints_the_recall_positions(golden_kitti: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = golden_kitti / "five_gt"
    assert main(kitti_arguments(folder, "--explain", "Car/3d/easy")) == 0
    assert "Car 3d easy: 5 objects count" in capsys.readouterr().out
    assert main(kitti_arguments(folder, "--explain", "Car/4d/easy")) == 2
    assert "--explain expects class/metric/level" in capsys.readouterr().err


def test_the_report_needs_its_folder_before_work_starts(
    golden_kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = kitti_arguments(golden_kitti / "five_gt", "--json", str(tmp_path / "no" / "r.json"))
    assert main(arguments) == 2
    assert "--json: no folder" in capsys.readouterr().err


def test_own_classes_are_scored_at_the_overlaps_given(
    golden_kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("label_2", "det"):
        (tmp_path / part).mkdir()
        for file in (golden_kitti / "tied_scores" / part).iterdir():
            (tmp_path / part / file.name).write_text(re.sub(r"(?m)^Car\b", "Bus", file.read_text()))
    words = kitti_arguments(tmp_path, "--overlaps", "strict", "--score-classes", "Bus=0.7", "Tram")
    assert main(words) == 0
    ours = kitti.evaluate_folders(
        tmp_path / "label_2",
        tmp_path / "det",
        overlaps=kitti.table_of_classes(("Bus", "Tram"), min_overlaps={"Bus": 0.7}),
    )
    assert ours.table() in capsys.readouterr().out
    alone = kitti.OverlapTable(name="strict", classes=(replace(kitti.CAR, neighbours=()),))
    folder = golden_kitti / "tied_scores"
    cars = kitti.evaluate_folders(folder / "label_2", folder / "det", overlaps=alone)
    assert ours.ap("Bus", "3d", "hard") == cars.ap("Car", "3d", "hard")
    assert ours.ap("Bus", "3d", "hard") != 0


@pytest.mark.parametrize("word", ["Bus=", "Bus=half", "Bus=0.5=0.5"])
def test_an_overlap_that_is_no_number_is_refused(
    golden_kitti: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(kitti_arguments(golden_kitti / "tied_scores", "--score-classes", word)) == 2
    assert "expected CLASS or CLASS=IOU" in capsys.readouterr().err
