import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets3d import _atomic, _sources
from datasets3d.check import check_kitti
from datasets3d.database import ObjectDatabase
from datasets3d.prepare.kitti import complete_kitti, export_published, prepare_kitti
from datasets3d.surfaces import ObjectShapes


def test_everything_is_written_and_counted(tiny_root: Path) -> None:
    prepared = prepare_kitti(tiny_root, "train", progress=False)
    assert prepared.database == tiny_root / "gt_database"
    assert prepared.shapes == tiny_root / "training/object_shapes"
    assert prepared.num_shapes == len(list(prepared.shapes.glob("*.npy"))) == 5
    assert "5 dense targets" in prepared.table()


def test_a_second_run_keeps_the_dense_targets_and_renews_the_rest(tiny_root: Path) -> None:
    prepare_kitti(tiny_root, "train", progress=False)
    (tiny_root / "gt_database/index.json").unlink()
    again = prepare_kitti(tiny_root, "train", progress=False)
    assert again.num_shapes == 0
    assert again.class_counts == {"Car": 3, "Cyclist": 1, "Pedestrian": 1}


def test_a_split_without_labels_is_refused(tiny_root: Path) -> None:
    with pytest.raises(ValueError, match="has no labels; the frames of a labelled split"):
        prepare_kitti(tiny_root, "test", progress=False)


def test_published_targets_are_kept(tiny_root: Path) -> None:
    (tiny_root / "train_mirror_target/bm_50maxdist_2num_Car").mkdir(parents=True)
    assert prepare_kitti(tiny_root, "train", progress=False).num_shapes == 0
    assert not (tiny_root / "training/object_shapes").exists()


def lose_the_first_object(root: Path, frame_id: str = "000001") -> None:
    """Delete the first row of a label file: the rows behind it now have the numbers of others."""
    path = root / f"training/label_2/{frame_id}.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def test_targets_and_database_of_other_labels_are_refused(tiny_root: Path) -> None:
    prepare_kitti(tiny_root, "train", progress=False)
    lose_the_first_object(tiny_root)
    cure = f"prepare kitti --root {tiny_root}"
    with pytest.raises(
        ValueError, match=rf"gt_database was made from other data: .*000001\.txt changed.*{cure}"
    ):
        ObjectDatabase.read(tiny_root / "gt_database")
    with pytest.raises(ValueError, match=rf"object_shapes was made from other data: .*000001\.txt.*{cure}"):
        ObjectShapes.read(tiny_root)
    assert sum("was made from other data" in p for p in check_kitti(tiny_root).problems()) == 2


def test_what_was_made_of_other_labels_is_made_anew(tiny_root: Path) -> None:
    prepare_kitti(tiny_root, "train", progress=False)
    lose_the_first_object(tiny_root)
    again = prepare_kitti(tiny_root, "train", progress=False)
    assert again.class_counts == {"Car": 2, "Cyclist": 1, "Pedestrian": 1}
    assert again.num_shapes == 4
    fresh = files(tiny_root)
    shutil.rmtree(tiny_root / "training/object_shapes")
    prepare_kitti(tiny_root, "train", progress=False)
    assert files(tiny_root) == fresh


def test_frames_added_to_the_split_make_both_anew(tiny_root: Path) -> None:
    prepare_kitti(tiny_root, "train", progress=False)
    (tiny_root / "ImageSets/train.txt").write_text("000000\n000001\n000002\n")
    with pytest.raises(ValueError, match=r"ImageSets/train\.txt changed since"):
        ObjectDatabase.read(tiny_root / "gt_database")
    again = prepare_kitti(tiny_root, "train", progress=False)
    assert again.class_counts["Van"] == 1
    assert again.num_shapes == 5


def test_other_scans_make_the_targets_anew(tiny_root: Path) -> None:
    prepare_kitti(tiny_root, "train", progress=False)
    scan = tiny_root / "training/velodyne/000000.bin"
    moved = np.fromfile(scan, "<f4").reshape(-1, 4) + np.array([0.01, 0, 0, 0], "<f4")
    moved.tofile(scan)
    assert prepare_kitti(tiny_root, "train", progress=False).num_shapes == 5


def test_the_classes_of_the_targets_stay_when_they_are_made_anew(tiny_root: Path) -> None:
    complete_kitti(tiny_root, classes=("Car",), progress=False)
    lose_the_first_object(tiny_root)
    assert prepare_kitti(tiny_root, "train", progress=False).num_shapes == 2


def test_files_saved_in_another_way_are_the_same(tiny_root: Path) -> None:
    prepare_kitti(tiny_root, "train", progress=False)
    for path in tiny_root.rglob("*.txt"):
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode("utf-16"))
    assert len(ObjectDatabase.read(tiny_root / "gt_database").entries) == 5
    assert prepare_kitti(tiny_root, "train", progress=False).num_shapes == 0


def test_a_database_without_its_tree_is_read(tiny_root: Path, tmp_path: Path) -> None:
    prepare_kitti(tiny_root, "train", progress=False)
    moved = shutil.move(tiny_root / "gt_database", tmp_path / "elsewhere")
    assert len(ObjectDatabase.read(moved).entries) == 5


def test_exact_targets_of_other_labels_are_refused(tiny_root: Path) -> None:
    labels = sorted((tiny_root / "training/label_2").iterdir())
    folder = tiny_root / "training/object_shapes"
    folder.mkdir()
    np.save(folder / "000001_0.npy", np.zeros((4, 3), np.float32))
    _atomic.write_json(tiny_root / "recipe.json", {"sources": _sources.digests(tiny_root, labels)})
    assert prepare_kitti(tiny_root, "train", progress=False).num_shapes == 0
    lose_the_first_object(tiny_root)
    with pytest.raises(
        ValueError, match=r"exact targets of a synthetic world, and .*000001\.txt has changed"
    ):
        prepare_kitti(tiny_root, "train", progress=False)


def test_exported_targets_of_other_labels_are_refused(tiny_root: Path) -> None:
    prepare_kitti(tiny_root, "train", progress=False)
    export_published(tiny_root)
    shutil.rmtree(tiny_root / "training/object_shapes")
    assert ObjectShapes.read(tiny_root).load("000001_0") is not None
    lose_the_first_object(tiny_root)
    with pytest.raises(ValueError, match="train_mirror_target was made from other data"):
        ObjectShapes.read(tiny_root)


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "training/object_shapes").iterdir()}
