import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from datasets3d.__main__ import main
from datasets3d.nuscenes import (
    CAMERAS,
    LIDAR,
)
from datasets3d.synth.layouts._writing import divide
from datasets3d.synth.layouts.nuscenes import VERSION, scene_names, write_nuscenes
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nuscenes_tree")]


@pytest.fixture
def write(tiny_nuscenes):
    def run(folder: Path, **arguments) -> Path:
        settings = {"scenes": 1, "seed": 3, "config": tiny_nuscenes, "workers": 1, "progress": False}
        return write_nuscenes(folder, **(settings | arguments))

    return run


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_any_number_of_workers_writes_the_beginning_of_a_longer_set(
    write, nuscenes_tree, nuscenes_tables, tmp_path
):
    """Two workers share the one scene, frame by frame."""
    short = write(tmp_path / "short", workers=2)
    files = {name: d for name, d in digest(short).items() if not name.startswith(VERSION)}
    assert len(files) > 30
    assert files.items() <= digest(nuscenes_tree).items()
    for name in ("sample", "sample_data", "ego_pose", "calibrated_sensor", "sample_annotation", "instance"):
        rows = json.loads((short / VERSION / f"{name}.json").read_text())
        assert rows and all(row in nuscenes_tables[name] for row in rows)


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 12])
def test_jobs_hold_every_key_frame_once_and_in_order(workers):
    jobs = divide(3, frames=4, workers=workers)
    assert len(jobs) >= min(workers, 12)
    assert [(scene, index) for scene, indices in jobs for index in indices] == [
        (scene, index) for scene in range(3) for index in range(4)
    ]


def test_another_seed_is_another_world(write, nuscenes_tree, tmp_path, tiny_nuscenes):
    one_frame = replace(tiny_nuscenes, key_frames=1, cameras=())
    other = digest(write(tmp_path / "other", seed=4, config=one_frame))
    scan = next(name for name in digest(nuscenes_tree) if name.startswith(f"samples/{LIDAR}"))
    assert digest(nuscenes_tree)[scan] != other[scan]


def test_files_are_those_of_the_tables_with_official_names(nuscenes_tree, nuscenes_tables):
    on_disk = {name for name in digest(nuscenes_tree) if name.startswith(("samples/", "sweeps/"))}
    assert on_disk == {f["filename"] for f in nuscenes_tables["sample_data"]}
    for file in nuscenes_tables["sample_data"]:
        pattern = r"(samples|sweeps)/(\w+)/n000-[0-9-]+\+0000__\2__(\d{16})\.(jpg|pcd|pcd\.bin)"
        found = re.fullmatch(pattern, file["filename"])
        assert found
        assert int(found[3]) == file["timestamp"]
        assert (found[1] == "samples") == file["is_key_frame"]
    logs = {log["logfile"] for log in nuscenes_tables["log"]}
    assert {Path(name).name.split("__")[0] for name in on_disk} == logs
    assert (nuscenes_tree / nuscenes_tables["map"][0]["filename"]).is_file()


def test_a_quarter_of_the_scenes_is_for_validation(nuscenes_tree, nuscenes_tables):
    splits = json.loads((nuscenes_tree / VERSION / "splits.json").read_text())
    assert splits["train"] + splits["val"] == [scene["name"] for scene in nuscenes_tables["scene"]]
    names = scene_names(40)
    assert len(set(names)) == 40
    assert scene_names(17) == names[:17]
    assert len(set(names[1::4])) == 10


def test_an_existing_folder_is_refused_and_left_alone(write, nuscenes_tree):
    before = digest(nuscenes_tree)
    with pytest.raises(FileExistsError, match=r"nuscenes exists and is not an empty folder; choose another"):
        write(nuscenes_tree)
    assert digest(nuscenes_tree) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenes": 0}, r"scenes must lie in 1..800, got 0"),
        ({"scenes": 801}, r"scenes must lie in 1..800, got 801"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"workers": 0}, "workers must be at least 1 or None"),
    ],
)
def test_bad_arguments_are_refused(write, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_leaves_no_finished_folder(write, tmp_path, monkeypatch, tiny_nuscenes):
    from datasets3d.synth.layouts import _nuscenes_frame

    def fail(*_):
        raise OSError("disk full")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(_nuscenes_frame, "write_lidar", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "out", config=replace(tiny_nuscenes, key_frames=1, cameras=()))
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    write(tmp_path / "out", config=replace(tiny_nuscenes, key_frames=1, cameras=()))
    assert not (tmp_path / "out.partial").exists()


def test_the_command_writes_a_tree(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--scenes", "1", "--key-frames", "1", "--width", "64", "--cameras", "CAM_FRONT"]
    assert main(["synth", "nuscenes", "--out", str(out), *arguments, "--workers", "1", "--sweeps", "0"]) == 0
    assert "wrote 1 scene " in capsys.readouterr().out
    (picture,) = (out / "samples" / "CAM_FRONT").iterdir()
    with Image.open(picture) as image:
        assert image.size == (64, 36)


def test_the_command_refuses_unknown_cameras(tmp_path, capsys, tiny_nuscenes):
    assert main(["synth", "nuscenes", "--out", str(tmp_path / "out"), "--cameras", "CAM_TOP"]) == 2
    assert "must be different ones of" in capsys.readouterr().err
    assert set(tiny_nuscenes.cameras) <= set(CAMERAS)
