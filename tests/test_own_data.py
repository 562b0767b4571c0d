"""The page on one's own data and the readers agree: what it asks for is enough."""

import re
from pathlib import Path

import numpy as np
import pytest
from datasets3d.check import check_kitti
from datasets3d.kitti import KittiDataset
from PIL import Image

PAGE = (Path(__file__).parents[1] / "docs/own_data.md").read_text()
VALUES = {
    "P2": [[700.0, 0, 300, 0], [0, 700, 100, 0], [0, 0, 1, 0]],
    "R0_rect": np.eye(3),
    "Tr_velo_to_cam": [[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]],
}
LABEL = "Car 0 0 -1.57 268.9 70.8 331.1 129.2 1.5 1.6 4.0 0.0 0.75 20.0 -1.57\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree of the files that the page lists, with the matrices that it names, and nothing else."""
    layout = PAGE.split("ROOT/\n")[1].split("```")[0]
    files = re.findall(r"training/(\w+)/000000\.(\w+)", layout)
    matrices = re.findall(r"(\w+) \((\d)x(\d)\)", layout)
    assert {kind for kind, _ in files} == {"velodyne", "image_2", "calib", "label_2"}
    for kind, _ in files:
        (tmp_path / "training" / kind).mkdir(parents=True)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/train.txt").write_text("000000\n")
    lines = []
    for name, rows, columns in matrices:
        values = np.reshape(VALUES[name], (int(rows), int(columns))).ravel()
        lines.append(f"{name}: {' '.join(map(str, values))}\n")
    (tmp_path / "training/calib/000000.txt").write_text("".join(lines))
    (tmp_path / "training/label_2/000000.txt").write_text(LABEL)
    Image.new("RGB", (600, 200)).save(tmp_path / "training/image_2/000000.png")
    rng = np.random.default_rng(0)
    scan = np.column_stack([rng.uniform(18, 22, 500), rng.uniform(-1, 1, 500), rng.uniform(-0.7, 0.7, 500)])
    np.column_stack([scan, rng.random(500)]).astype("<f4").tofile(tmp_path / "training/velodyne/000000.bin")
    return tmp_path


def test_a_tree_of_what_the_page_asks_for_loads(root: Path) -> None:
    (frame,) = KittiDataset(root, "train")
    assert frame.objects is not None and frame.objects.num_points is not None
    assert frame.objects.num_points.item() > 200


def test_a_tree_of_what_the_page_asks_for_is_found_right(root: Path) -> None:
    assert check_kitti(root).problems() == []
