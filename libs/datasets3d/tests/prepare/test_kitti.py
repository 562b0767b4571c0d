from pathlib import Path

import pytest
from datasets3d.prepare.kitti import prepare_kitti


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
