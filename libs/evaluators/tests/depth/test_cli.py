"""`evaluators depth` from the outside."""

import json
import sys
from pathlib import Path

import pytest
from evaluators import depth
from evaluators._cli import main


def arguments(folder: Path, *more: str) -> list[str]:
    return ["depth", "--gt", str(folder / "gt"), "--pred", str(folder / "pred"), *more]


def test_a_golden_case_through_the_command_line(
    golden_depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = golden_depth / "holes_no_inner_empty_row"
    outputs = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    options = ["--fill", "kitti", "--cap", "50", "inf", "--processes", "2", *outputs]
    assert main([*arguments(folder, *options)]) == 0
    printed = capsys.readouterr().out
    expected = depth.evaluate_folders(folder / "gt", folder / "pred", fill="kitti", caps_m=(50, float("inf")))
    assert json.loads((tmp_path / "r.json").read_text()) == expected.to_json()
    assert printed == expected.table() + "\n"
    assert "MAE mm" in (tmp_path / "r.html").read_text()


def test_the_protocol_split_and_clamp_reach_the_evaluator(
    golden_depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = golden_depth / "main_dense"
    (tmp_path / "val.txt").write_text("000001\n\n000002\n")
    more = ["--protocol", "sparse-beats-dense", "--frames", str(tmp_path / "val.txt"), "--clamp-min", "30"]
    assert main(arguments(folder, *more)) == 0
    expected = depth.evaluate_folders(
        folder / "gt",
        folder / "pred",
        frames=["000001", "000002"],
        protocol="sparse-beats-dense",
        clamp_min_m=30.0,
    )
    assert capsys.readouterr().out == expected.table() + "\n"


def test_the_protocols_are_those_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["depth", "--gt", "x", "--pred", "y", "--protocol", "none"])
    message = capsys.readouterr().err
    assert all(repr(name) in message for name in depth.PROTOCOLS)


def test_help_teaches_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["depth", "--help"])
    text = capsys.readouterr().out
    assert "metres times 256, 0 is no depth" in text
    assert "examples:" in text


def test_bad_input_ends_with_a_sentence_and_status_2(
    golden_depth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = golden_depth / "holes_interpolated"
    assert main(arguments(folder)) == 2
    assert "fill holes with fill='kitti' (--fill kitti)" in capsys.readouterr().err
    assert main(arguments(folder, "--json", str(tmp_path / "no" / "r.json"))) == 2
    assert "--json: no folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert main(arguments(folder)) == 2
    assert "PNG files need Pillow" in capsys.readouterr().err
