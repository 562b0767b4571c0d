import json
import subprocess
import sys
from pathlib import Path

import pytest
from datasets3d.__main__ import main
from datasets3d.database import ObjectDatabase
from datasets3d.surfaces import ObjectShapes

MODULES_AT_IMPORT = """
import sys
import {module}
heavy = {{"torch", "scipy", "PIL", "trimesh", "numba"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""


def test_check_returns_1_when_something_is_wrong(tiny_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tiny_root)]) == 0
    assert "nothing wrong" in capsys.readouterr().out
    (tiny_root / "training/calib/000000.txt").unlink()
    assert main(["check", str(tiny_root), "--split", "train", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_errors_are_one_line_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: datasets3d.kitti: there is no folder")


def test_prepare_writes_everything_training_wants(
    tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "kitti", "--root", str(tiny_root)]) == 0
    assert "Car 3, Cyclist 1, Pedestrian 1" in capsys.readouterr().out
    assert len(ObjectDatabase.read(tiny_root / "gt_database").entries) == 5
    assert ObjectShapes.read(tiny_root).load("000001_2") is not None


def test_prepare_keeps_dense_targets_that_are_there(
    tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = tiny_root / "training/object_shapes"
    shapes.mkdir()
    assert main(["prepare", "kitti", "--root", str(tiny_root)]) == 0
    assert "dense targets kept as they were" in capsys.readouterr().out
    assert list(shapes.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["check"],
        ["prepare", "kitti"],
        ["prepare", "semantickitti"],
        ["complete", "kitti"],
        ["synth", "kitti"],
        ["synth", "nuscenes"],
        ["synth", "semantickitti"],
    ],
)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "usage: python -m datasets3d" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["datasets3d", "datasets3d.__main__"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MODULES_AT_IMPORT.format(module=module)],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
