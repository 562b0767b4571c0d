"""`evaluators panoptic` from the outside."""

import json
from pathlib import Path

import pytest
from evaluators import panoptic
from evaluators._cli import main
from evaluators.semantickitti import SPLITS


def arguments(folder: Path, *more: str) -> list[str]:
    return ["panoptic", "--gt", str(folder), "--pred", str(folder), *more]


@pytest.fixture
def case(golden_panoptic: Path) -> Path:
    return golden_panoptic / "semantickitti" / "main"


def test_a_golden_case_through_the_command_line(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    assert main([*arguments(case, "--split", "valid", *outputs)]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "r.json").read_text())
    expected = json.loads((case / "expected.json").read_text())
    assert written["scores"] == pytest.approx(expected["script_panoptic"], abs=1e-9, rel=0)
    assert printed == panoptic.evaluate_folders(case, case).table() + "\n"
    assert "62.1239" in (tmp_path / "r.html").read_text()
    assert len(list(tmp_path.iterdir())) == 2


def test_protocol_and_size_reach_the_evaluator(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--protocol", "semantic-kitti-api-multi", "--min-points", "30", "--sequences", "08"]
    assert main(arguments(case, *more, "--processes", "2")) == 0
    expected = panoptic.evaluate_folders(case, case, protocol="semantic-kitti-api-multi", min_points=30)
    assert capsys.readouterr().out == expected.table() + "\n"


def test_nuscenes_folders(golden_panoptic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = golden_panoptic / "nuscenes"
    token = sorted(path.name.split("_")[0] for path in (folder / "gt").iterdir())[1]
    (tmp_path / "tokens.txt").write_text(f"{token}\n")
    command = ["panoptic", "--gt", str(folder / "gt"), "--pred", str(folder / "pred")]
    command += ["--protocol", "nuscenes-panoptic"]
    assert main([*command, "--frames", str(tmp_path / "tokens.txt")]) == 0
    some = panoptic.evaluate_nuscenes_folders(folder / "gt", folder / "pred", frames=[token])
    assert capsys.readouterr().out == some.table() + "\n"
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("Panoptic segmentation, nuscenes-panoptic: 3 frames")


def test_options_of_the_other_data_set_are_refused(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(case, "--frames", "t.txt")) == 2
    assert "--frames is for nuScenes; give --split or --sequences" in capsys.readouterr().err
    assert main(arguments(case, "--protocol", "nuscenes-panoptic", "--sequences", "08")) == 2
    assert "--sequences is for SemanticKITTI; give --frames FILE" in capsys.readouterr().err


def test_bad_input_ends_with_a_sentence_and_status_2(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(case, "--split", "train")) == 2
    message = capsys.readouterr().err
    assert message.startswith("evaluators panoptic: error: ")
    assert "has no labels for sequence 00, 01" in message
    assert main(arguments(case, "--json", str(tmp_path / "no" / "r.json"))) == 2
    assert "--json: no folder" in capsys.readouterr().err
    assert main(arguments(case, "--min-points", "-3")) == 2
    assert "min_points must be at least 0" in capsys.readouterr().err


def test_unknown_ids_and_missing_scans_can_be_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "sequences/08/labels"
    labels.mkdir(parents=True)
    (labels / "000000.label").write_bytes((300).to_bytes(4, "little") * 3)
    assert main(arguments(tmp_path, "--missing", "empty")) == 2
    assert "000000', ground truth: raw ids" in capsys.readouterr().err
    assert main(arguments(tmp_path)) == 2
    assert "(--missing empty)" in capsys.readouterr().err
    assert main(arguments(tmp_path, "--missing", "empty", "--unknown", "unlabeled")) == 0
    out = capsys.readouterr().out
    assert "Note: 1 frames had no predictions" in out
    assert "Note: 3 labels are not in the label map" in out


def test_help_teaches_the_formats_and_knows_all_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["panoptic", "--help"])
    text = capsys.readouterr().out
    assert "sequences/08/labels/000000.label" in text
    assert "1000 * category + instance" in text
    # The help may be broken at hyphens.
    assert all(name in "".join(text.split()) for name in panoptic.PROTOCOLS)
    assert "{" + ",".join(SPLITS) + "}" in text
    with pytest.raises(SystemExit):
        main(["panoptic", "--gt", "x", "--pred", "y", "--protocol", "kitti"])
    message = capsys.readouterr().err
    assert all(name in message for name in panoptic.PROTOCOLS)
