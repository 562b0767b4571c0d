import json
from pathlib import Path

import pytest
from datasets3d.__main__ import main
from datasets3d.nuscenes import read_records
from datasets3d.prepare import prepare_nuscenes


def test_the_command_line(tiny_nuscenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "records.json"
    prepare = [
        "prepare",
        "nuscenes",
        "--root",
        str(tiny_nuscenes),
        "--version",
        "v1.0-mini",
        "--out",
        str(out),
    ]
    assert main(prepare) == 0
    assert f"{out}: 5 key frames of 2 scenes" in capsys.readouterr().out
    assert [len(r.sensors["RADAR_FRONT"]) for r in read_records(out)] == [3, 5, 5, 3, 5]
    assert main([*prepare, "--radar-sweeps", "1", "--channels", "RADAR_FRONT", "CAM_BACK"]) == 0
    assert {c: len(s) for c, s in read_records(out)[2].sensors.items()} == {"RADAR_FRONT": 1, "CAM_BACK": 1}
    assert main([*prepare, "--format", "published"]) == 0
    assert len(json.loads(out.read_text())[1]["radar_infos"]["RADAR_FRONT"]) == 5
    capsys.readouterr()
    assert main([*prepare, "--split", "tain"]) == 2
    assert "unknown split 'tain'; did you mean 'train'" in capsys.readouterr().err
    assert main([*prepare, "--radar-sweeps", "0"]) == 2
    assert "radar_sweeps must be at least 1, got 0" in capsys.readouterr().err


def test_records_of_other_tables_are_refused(tiny_nuscenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.json"
    records = prepare_nuscenes(tiny_nuscenes, out, version="v1.0-mini")
    assert read_records(out, root=tiny_nuscenes) == records
    table = tiny_nuscenes / "v1.0-mini/ego_pose.json"
    rows = json.loads(table.read_text())
    rows[0]["translation"][0] += 1.0
    table.write_text(json.dumps(rows))
    with pytest.raises(
        ValueError, match=r"records\.json was made from other data: .*ego_pose\.json changed since"
    ):
        read_records(out, root=tiny_nuscenes)
    assert read_records(out, root=tmp_path) == records


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["prepare", "nuscenes", "--help"])
    assert stopped.value.code == 0
    assert "--radar-sweeps" in capsys.readouterr().out
