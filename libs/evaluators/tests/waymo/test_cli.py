"""`evaluators waymo` from the outside."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluators import waymo
from evaluators._cli import main


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two frames, one of them without prediction file."""
    boxes = np.array([[10.0, 0.0, 1.0, 4.0, 2.0, 1.5, 0.3]])
    for folder in ("gt", "pred"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        np.savez(tmp_path / "gt" / f"{name}.npz", boxes=boxes, types=np.array([1]), n_points=np.array([9]))
    np.savez(tmp_path / "pred" / "a.npz", boxes=boxes, types=np.array([1]), scores=np.array([0.5]))
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return ["waymo", "--gt", str(folder / "gt"), "--pred", str(folder / "pred"), *more]


def test_two_folders_through_the_command_line(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ["--json", str(folders / "r.json"), "--html", str(folders / "r.html")]
    assert main([*arguments(folders, "--missing", "empty", *outputs)]) == 0
    printed = capsys.readouterr().out
    expected = waymo.evaluate_folders(folders / "gt", folders / "pred", missing="empty")
    assert expected.value("VEHICLE", "ap", "LEVEL_1") == pytest.approx(0.5)
    assert printed == expected.table() + "\n"
    assert json.loads((folders / "r.json").read_text()) == expected.to_json()
    assert "VEHICLE" in (folders / "r.html").read_text()


def test_a_split_and_bad_input(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folders)) == 2
    assert "lacks prediction files for 1 of 2 frames: b" in capsys.readouterr().err
    (folders / "val.txt").write_text("a\n")
    assert main(arguments(folders, "--frames", str(folders / "val.txt"), "--processes", "1")) == 0
    assert capsys.readouterr().out.startswith("Waymo 3D detection: 1 frames, 1 predictions.")
    np.savez(folders / "pred" / "a.npz", boxes=np.ones((1, 7)), types=np.array([1]), scores=np.array([7.0]))
    assert main(arguments(folders, "--missing", "empty")) == 2
    assert "expected a score from 0 to 1" in capsys.readouterr().err
    assert main(arguments(folders, "--missing", "empty", "--on-invalid", "drop")) == 0


def test_help_teaches_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["waymo", "--help"])
    text = capsys.readouterr().out
    assert "in_no_label_zone" in text
    assert "examples:" in text
