import json
from pathlib import Path

import pytest
from datasets3d.kitti import KittiDataset, read_infos, write_infos


def test_infos_say_what_the_split_holds(tiny_root: Path) -> None:
    dataset = KittiDataset(tiny_root, "train")
    path = write_infos(dataset, progress=False)
    assert path == tiny_root / "kitti_infos_train.json"
    infos = read_infos(tiny_root, "train")
    assert tuple(frame.frame_id for frame in infos.frames) == dataset.frame_ids
    assert infos.class_counts() == {"Car": 3, "Cyclist": 1, "Pedestrian": 1}
    assert infos.frames[0].image_size == (320, 96)
    objects = dataset[0].objects
    assert objects is not None and objects.num_points is not None
    assert infos.frames[0].num_points_in_box == tuple(objects.num_points.tolist())
    assert infos.frames[0].boxes_lidar[0] == tuple(objects.boxes_lidar[0].tolist())


def test_a_split_without_labels_has_infos_too(tiny_root: Path) -> None:
    write_infos(KittiDataset(tiny_root, "test"), progress=False)
    assert read_infos(tiny_root, "test").frames[0].names == ()


def test_missing_infos_name_the_command(tiny_root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"prepare kitti --root .* --split val"):
        read_infos(tiny_root, "val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        (json.dumps({"format": "datasets3d.kitti_infos", "version": 99}), "version 99, expected"),
    ],
)
def test_foreign_infos_are_refused(tiny_root: Path, content: str, message: str) -> None:
    (tiny_root / "kitti_infos_train.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_infos(tiny_root, "train")
