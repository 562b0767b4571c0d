"""The page on one's own labelled scans and the readers agree: what it shows is read."""

import re
from pathlib import Path

import numpy as np
import pytest
from datasets3d.check import check
from datasets3d.segmentation import IGNORED, ScanFolder, read_label_table
from datasets3d.semantickitti import SemanticKittiDataset, write_labels

PAGE = (Path(__file__).parents[1] / "docs/own_scans.md").read_text()
POINTS = (
    np.random.default_rng(0).normal([0, 0, -1, 0.5], [9, 9, 0.5, 0.1], (300, 4)).clip(-50, 1).astype("<f4")
)


def files_below(title: str) -> list[str]:
    """The files that a section of the page lists."""
    block = PAGE.split(f"## {title}\n")[1].split("```\n")[1]
    found = re.findall(r"^(?:  |ROOT/)(\S+)", block, re.MULTILINE)
    assert found
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in files_below("A folder of scans"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "scans/000000.bin").write_bytes(POINTS.tobytes())
    write_labels(tmp_path / "labels/000000.label", np.arange(300, dtype=np.uint32) % 5)
    (tmp_path / "table.yaml").write_text(PAGE.split("```yaml\n")[1].split("```")[0])
    return tmp_path


def test_a_folder_as_the_page_shows_it_is_read(folder: Path) -> None:
    table = read_label_table(folder / "table.yaml")
    assert table.classes == ("ground", "tree", "person") and table.things == ("person",)
    (scan,) = ScanFolder(folder / "scans", table=table)
    assert scan.classes is not None and scan.classes[:5].tolist() == [IGNORED, 0, 0, 1, 2]
    assert len(ScanFolder(folder / "scans")) == 1


def test_a_tree_as_the_page_shows_it_is_read_and_found_right(tmp_path: Path) -> None:
    pose = "1 0 0 0 0 1 0 0 0 0 1 0"
    content = {
        "velodyne/000000.bin": POINTS.tobytes(),
        "labels/000000.label": np.full(300, 40, "<u4").tobytes(),
        "poses.txt": f"{pose}\n".encode(),
        "calib.txt": f"Tr: {pose}\n".encode(),
        "times.txt": b"0.0\n",
    }
    names = files_below("SemanticKITTI's layout")
    assert [name.removeprefix("sequences/00/") for name in names] == list(content)
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content[name.removeprefix("sequences/00/")])
    (scan,) = SemanticKittiDataset(tmp_path, "train", sweeps=2)
    assert scan.world_from_lidar is not None and scan.time_s == 0
    assert check(tmp_path).problems() == []
