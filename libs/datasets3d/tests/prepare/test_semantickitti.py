import json
from pathlib import Path

import numpy as np
import pytest
from datasets3d.__main__ import main
from datasets3d.prepare import SplitStatistics, prepare_semantickitti
from datasets3d.segmentation import InstanceCutter, InstanceStore
from datasets3d.semantickitti import MULTI_SCAN, label_path, read_labels, write_labels


def test_the_command_line(tiny_drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "semantickitti", "--root", str(tiny_drives)]) == 0
    text = capsys.readouterr().out
    assert "fusion3d_semantickitti_train.json: 4 scans, 4080 points" in text
    assert "fusion3d_semantickitti_train_instances.npz: bicycle 4, person 4" in text
    command = ["prepare", "semantickitti", "--root", str(tiny_drives), "--out", str(tmp_path / "out")]
    assert main([*command, "--split", "trainval", "--classes", "person", "--max-objects", "3"]) == 0
    assert "person 3" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("fusion3d_semantickitti_trainval.json", "fusion3d_semantickitti_trainval_instances.npz"),
    ]
    assert main([*command, "--split", "test"]) == 2
    assert "split 'test' has no labels; take train" in capsys.readouterr().err


def test_statistics_and_objects_are_those_of_the_split(tiny_drives: Path) -> None:
    prepared = prepare_semantickitti(tiny_drives, "train", progress=False)
    found = SplitStatistics.read(prepared.statistics_path, root=tiny_drives)
    assert found == prepared.statistics
    assert (found.scans, found.points, found.ignored) == (4, 4080, 200)
    assert sum(found.class_counts.values()) == 4080 - 200 and found.class_counts["bicycle"] == 160
    store = InstanceStore.load(prepared.store_path, root=tiny_drives)
    assert store.class_counts() == {"bicycle": 4, "person": 4} and store.split == "train"
    assert store.source_ids[0] == "00/000000#2"
    again = prepare_semantickitti(tiny_drives, "train", progress=False)
    np.testing.assert_array_equal(again.store.points, store.points)


def test_what_was_made_of_other_labels_is_refused(tiny_drives: Path) -> None:
    prepared = prepare_semantickitti(tiny_drives, "train", progress=False)
    path = label_path(tiny_drives, "00/000001")
    write_labels(path, read_labels(path)[::-1].copy())
    for read, made in (
        (SplitStatistics.read, prepared.statistics_path),
        (InstanceStore.load, prepared.store_path),
    ):
        with pytest.raises(ValueError, match=rf"{made.name} was made from .*000001\.label changed"):
            read(made, root=tiny_drives)
        read(made)


def test_damaged_statistics_are_named(tiny_drives: Path) -> None:
    path = prepare_semantickitti(tiny_drives, "val", progress=False).statistics_path
    content = json.loads(path.read_text())
    for key in ("class_counts", "sources", "scans"):
        path.write_text(json.dumps({**content, key: None}))
        with pytest.raises(ValueError, match=r"val\.json is damaged .*; make it with `python -m datasets3d"):
            SplitStatistics.read(path)
    path.write_text(json.dumps({**content, "version": 2}))
    with pytest.raises(ValueError, match=r"version 2, expected"):
        SplitStatistics.read(path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"val\.json is no JSON"):
        SplitStatistics.read(path)
    with pytest.raises(FileNotFoundError, match=r"no .*none\.json; make it with"):
        SplitStatistics.read(path.with_name("none.json"))


def test_an_interrupted_run_leaves_nothing(tiny_drives: Path) -> None:
    label_path(tiny_drives, "00/000003").write_bytes(bytes(4))
    with pytest.raises(ValueError, match=r"000003\.label has 1 labels"):
        prepare_semantickitti(tiny_drives, "train", progress=False)
    assert [path.name for path in tiny_drives.iterdir()] == ["sequences"]


def test_a_cutter_of_another_table_is_refused(tiny_drives: Path) -> None:
    with pytest.raises(ValueError, match="the cutter has the table 'multi-scan', the scans 'single-scan'"):
        prepare_semantickitti(tiny_drives, "train", cutter=InstanceCutter(MULTI_SCAN), progress=False)
