import json
from pathlib import Path

import pytest
from evaluators import nuscenes
from evaluators._cli import main


def arguments(folder: Path, *more: str) -> list[str]:
    files = ["--gt", str(folder), "--split", "mini_val", "--pred", str(folder / "results.json")]
    return ["nuscenes", *files, *more]


@pytest.mark.slow
def test_a_golden_case_through_the_command_line(
    golden_nuscenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, report, page = golden_nuscenes / "racks", tmp_path / "r.json", tmp_path / "r.html"
    assert (
        main(
            [
                *arguments(folder, "--json", str(report), "--html", str(page)),
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    result = nuscenes.evaluate_submission(folder, folder / "results.json", split="mini_val")
    assert printed == result.table() + "\n"
    assert json.loads(report.read_text()) == result.to_json()
    expected = json.loads((folder / "expected.json").read_text())["summary"]
    assert json.loads(report.read_text())["nd_score"] == pytest.approx(expected["nd_score"], abs=1e-9)
    assert "nuScenes detection" in page.read_text()


def test_help_teaches_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nuscenes", "--help"])
    text = capsys.readouterr().out
    assert '"size": [width, length, height]' in text
    assert "evaluators nuscenes --check --pred results_nusc.json" in text


def test_the_options_are_these(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nuscenes", "--help"])
    usage = capsys.readouterr().out.split("nuScenes detection")[0]
    options = {word.strip("[],") for word in usage.split() if word.strip("[]").startswith("-")}
    expected = "-h --gt --pred --version --split --check --accept --missing --on-invalid --json --html"
    assert options == set(expected.split())


def test_check_needs_no_labels(
    golden_nuscenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = golden_nuscenes / "main"
    results = str(folder / "results.json")
    assert main(["nuscenes", "--check", "--pred", results]) == 0
    assert "results.json: valid; " in capsys.readouterr().out
    assert main(arguments(folder, "--check")) == 0
    assert "boxes in 16 samples, exactly those of the split" in capsys.readouterr().out
    assert main(["nuscenes", "--check", "--pred", results, "--gt", str(folder)]) == 2
    assert "its results lack 1 of 17 frames: 0061-00" in capsys.readouterr().err
    assert main(["nuscenes", "--check", "--pred", results, "--json", str(tmp_path / "x.json")]) == 2
    assert "--check computes nothing to report" in capsys.readouterr().err
    broken = tmp_path / "r.json"
    broken.write_text((folder / "results.json").read_text().replace('"car"', '"van"', 1))
    assert main(["nuscenes", "--check", "--pred", str(broken)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("evaluators nuscenes: error: ")
    assert "unknown class 'van'; the classes are car, truck" in message


@pytest.mark.slow
def test_bad_calls_end_with_a_sentence(
    golden_nuscenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = golden_nuscenes / "main"
    assert main(["nuscenes", "--pred", str(folder / "results.json")]) == 2
    assert "--gt is needed to score a submission" in capsys.readouterr().err
    assert main(arguments(folder, "--json", str(tmp_path / "no" / "r.json"))) == 2
    assert "--json: no folder" in capsys.readouterr().err
    few = tmp_path / "few.json"
    content = json.loads((folder / "results.json").read_text())
    content["results"].popitem()
    few.write_text(json.dumps(content))
    call = ["nuscenes", "--gt", str(folder), "--split", "mini_val", "--pred", str(few)]
    assert main(call) == 2
    assert "predictions lack 1 of 16 frames" in capsys.readouterr().err
    assert main([*call, "--missing", "empty"]) == 0
    assert "1 frames had no predictions" in capsys.readouterr().out
