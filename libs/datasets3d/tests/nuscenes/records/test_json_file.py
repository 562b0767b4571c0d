import json
from pathlib import Path

import pytest
from datasets3d.nuscenes import CAMERAS, LIDAR, RADARS, build_records, read_records, write_records


def test_what_is_written_is_read(tiny_nuscenes: Path, tmp_path: Path) -> None:
    records = build_records(tiny_nuscenes, version="v1.0-mini", channels=(*CAMERAS, LIDAR, *RADARS))
    path = tmp_path / "deep/records.json"
    write_records(path, records)
    assert read_records(path) == records
    assert [list(r.sensors) for r in read_records(path)] == [list(r.sensors) for r in records]
    content = json.loads(path.read_text())
    assert content[0] == {"format": "datasets3d.nuscenes_records", "version": 1, "samples": 5}
    write_records(path, [])
    assert read_records(path) == []


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no .*a\.json; write it with `python -m datasets3d prepare"):
        read_records(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 2', "is 'datasets3d.nuscenes_records' version 2, expected"),
        ('"format": "datasets3d.nuscenes_records"', '"x": 1', "is None version 1, expected"),
        ('"samples": 5', '"samples": 6', "holds 5 of 6 key frames"),
        (
            '"scene-0103/1", "scene_token"',
            '"a", "other"',
            r"key frame 1 is damaged \(KeyError\('scene_token'",
        ),
        (
            '"calibration": [1.5',
            '"calibration": ["1"',
            r"key frame 0 is damaged \(ValueError\('a pose must be 7",
        ),
        ('"sensors": [[', '"sensors": [3, [', r"key frame 0 is damaged \(TypeError"),
    ],
)
def test_damage_is_named(tiny_nuscenes: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "a.json"
    write_records(path, build_records(tiny_nuscenes, version="v1.0-mini"))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"a\.json:? {message}.*prepare nuscenes"):
        read_records(path)


def test_an_official_table_is_no_record_file(tiny_nuscenes: Path) -> None:
    with pytest.raises(ValueError, match=r"sample\.json is None version None, expected"):
        read_records(tiny_nuscenes / "v1.0-mini/sample.json")
