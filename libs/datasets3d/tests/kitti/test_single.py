from pathlib import Path

import numpy as np
import pytest
from datasets3d.kitti import KittiDataset, read_frame


def test_three_files_give_the_frame_the_tree_gives(tiny_root: Path) -> None:
    training = tiny_root / "training"
    single = read_frame(
        points=training / "velodyne/000001.bin",
        image=training / "image_2/000001.png",
        calib=training / "calib/000001.txt",
    )
    frame = KittiDataset(tiny_root, "train")[1]
    assert single.frame_id == "000001"
    assert single.objects is None
    np.testing.assert_array_equal(single.points, frame.points)
    np.testing.assert_array_equal(single.images["image_2"], frame.images["image_2"])
    np.testing.assert_array_equal(
        single.cameras["image_2"].image_from_lidar, frame.cameras["image_2"].image_from_lidar
    )


@pytest.mark.parametrize("name", ["points", "image", "calib"])
def test_a_missing_file_is_named(tiny_root: Path, name: str) -> None:
    training = tiny_root / "training"
    files = {
        "points": training / "velodyne/000001.bin",
        "image": training / "image_2/000001.png",
        "calib": training / "calib/000001.txt",
    }
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_frame(**{**files, name: training / "nowhere"})
