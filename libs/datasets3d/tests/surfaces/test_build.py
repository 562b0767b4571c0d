"""`datasets3d.surfaces.build`: the run over a database, its interruption and its command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets3d import _atomic
from datasets3d.__main__ import main
from datasets3d.database import ObjectDatabase, build_database
from datasets3d.kitti import KittiDataset
from datasets3d.prepare import complete_kitti, cut_objects, export_published
from datasets3d.surfaces import ObjectShapes
from datasets3d.surfaces import build as completion
from datasets3d.surfaces.build import COMPLETION_BY_CLASS, build_shapes
from datasets3d.surfaces.completion import CompletionConfig

SHAPES = "training/object_shapes"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def database(tiny_root: Path) -> ObjectDatabase:
    return cut_objects(tiny_root, "train", progress=False)


def test_the_command_makes_the_targets_and_what_it_needs(
    tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["complete", "kitti", "--root", str(tiny_root)]) == 0
    assert "object_shapes: 5 dense targets" in capsys.readouterr().out
    assert ObjectDatabase.read(tiny_root / "gt_database").split == "train"
    recipe = json.loads((tiny_root / SHAPES / "recipe.json").read_text())
    assert recipe["split"] == "train" and recipe["parameters"]["Car"]["min_donor_cells"] == 80
    before = files(tiny_root / SHAPES)
    assert main(["complete", "kitti", "--root", str(tiny_root)]) == 0
    assert "kept as they were" in capsys.readouterr().out
    assert files(tiny_root / SHAPES) == before


def test_only_the_named_classes_are_completed(tiny_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complete", "kitti", "--root", str(tiny_root), "--classes", "Car", "Cyclist"]) == 0
    assert {p.stem for p in (tiny_root / SHAPES).glob("*.npy")} == {
        "000000_0",
        "000001_0",
        "000001_1",
        "000001_2",
    }
    assert main(["complete", "kitti", "--root", str(tiny_root), "--classes", "Cra"]) == 2
    assert "unknown class 'Cra'; did you mean 'Car'?" in capsys.readouterr().err


def test_donors_of_another_split_are_refused(tiny_root: Path) -> None:
    cut_objects(tiny_root, "val", progress=False)
    with pytest.raises(ValueError, match="cut out of split 'val', not 'train': its objects would leak"):
        complete_kitti(tiny_root, progress=False)
    assert not (tiny_root / SHAPES).exists()
    assert complete_kitti(tiny_root, split="val", progress=False) == (tiny_root / SHAPES, 0)


@pytest.mark.slow
def test_several_processes_write_the_same_files(
    database: ObjectDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "_OBJECTS_AT_ONCE", 1)
    for processes in (1, 2):
        assert build_shapes(database, tmp_path / str(processes), processes=processes, progress=False) == 5
    assert files(tmp_path / "1") == files(tmp_path / "2")
    with pytest.raises(ValueError, match="processes must be at least 1, got 0"):
        build_shapes(database, tmp_path / "0", processes=0, progress=False)


def test_an_interrupted_run_goes_on_and_gives_the_same_files(
    database: ObjectDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_shapes(database, tmp_path / "whole", progress=False)
    write, written = _atomic.write_bytes, []

    def stop_at_the_third(path: Path, content: bytes) -> None:
        written.append(path)
        if len([p for p in written if p.suffix == ".npy"]) == 3:
            raise KeyboardInterrupt
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(_atomic, "write_bytes", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            build_shapes(database, tmp_path / "shapes", progress=False)
    assert not (tmp_path / "shapes").exists()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "shapes.partial").glob("*.npy")}
    assert len(kept) == 2
    (tmp_path / "shapes.partial/.000001_2.npy.77.tmp").write_bytes(b"half")
    assert build_shapes(database, tmp_path / "shapes", progress=False) == 5
    assert files(tmp_path / "shapes") == files(tmp_path / "whole")
    for path, modified in kept.items():
        assert (tmp_path / "shapes" / path.name).stat().st_mtime_ns == modified


KILLED = """
import os, sys
from datasets3d import _atomic
from datasets3d.prepare import complete_kitti
write = _atomic.write_bytes
def killed(path, content, seen=[]):
    if path.suffix == ".npy":
        seen.append(path)
    if len(seen) == 3:
        os.kill(os.getpid(), 9)
    write(path, content)
_atomic.write_bytes = killed
complete_kitti(sys.argv[1], progress=False)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on(tiny_root: Path, database: ObjectDatabase, tmp_path: Path) -> None:
    build_shapes(database, tmp_path / "whole", progress=False)
    done = subprocess.run([sys.executable, "-c", KILLED, tiny_root], check=False, timeout=120, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match="only the unfinished"):
        ObjectShapes.read(tiny_root)
    assert complete_kitti(tiny_root, progress=False)[1] == 5
    assert files(tiny_root / SHAPES) == files(tmp_path / "whole")


def test_what_was_begun_otherwise_is_not_mixed(
    database: ObjectDatabase, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(partial: Path, folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_atomic, "_finish", stop)
        with pytest.raises(KeyboardInterrupt):
            build_shapes(database, tmp_path / "shapes", progress=False)
    other_parameters = {**COMPLETION_BY_CLASS, "Car": CompletionConfig(max_donors=1)}
    (tiny_root / "training/label_2/000001.txt").write_text("")
    frames = KittiDataset(tiny_root, "train", crop_to_image=False)
    other_data = build_database(frames, tmp_path / "gt", split="train", progress=False)
    before = files(tmp_path / "shapes.partial")
    for begin in (
        lambda: build_shapes(database, tmp_path / "shapes", completion=other_parameters, progress=False),
        lambda: build_shapes(other_data, tmp_path / "shapes", progress=False),
    ):
        with pytest.raises(
            ValueError, match=r"shapes\.partial was begun with other data or other parameters"
        ):
            begin()
    assert files(tmp_path / "shapes.partial") == before


def test_the_published_layout_holds_the_same_points(
    tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["complete", "kitti", "--root", str(tiny_root), "--format", "published"]) == 0
    assert "train_mirror_target/bm_50maxdist_2num_Car" in capsys.readouterr().out
    (tiny_root / "training/object_shapes").rename(tiny_root / "elsewhere")
    published = ObjectShapes.read(tiny_root)
    assert len(published.folders) == 3
    assert published.find("000001_1") == tiny_root / "train_mirror_target/bm_50maxdist_2num_Car/1_1.pkl"
    moved = ObjectShapes((tiny_root / "elsewhere",))
    for source_id in ("000000_0", "000000_1", "000001_0", "000001_1", "000001_2"):
        expected, found = moved.load(source_id), published.load(source_id)
        assert expected is not None and found is not None
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(FileExistsError, match="move it away or delete it first"):
        export_published(tiny_root)
