"""One or several processes: the same bits, the same errors."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from evaluators import kitti
from evaluators._parallel import gather


@pytest.fixture(scope="module")
def folders(golden_kitti: Path) -> tuple[Path, Path]:
    return golden_kitti / "main" / "label_2", golden_kitti / "main" / "det"


@pytest.mark.slow
def test_several_processes_gather_the_same_bits(folders: tuple[Path, Path], real_processes: None) -> None:
    alone = kitti.collect_folders(*folders)
    shared = kitti.collect_folders(*folders, processes=2)
    assert len(alone) == 200
    for name, array in alone.state().items():
        np.testing.assert_array_equal(shared.state()[name], array, strict=True)
    assert shared.compute().to_json() == alone.compute().to_json()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_error_of_a_worker_comes_through(
    folders: tuple[Path, Path], tmp_path: Path, processes: int, real_processes: None
) -> None:
    det = tmp_path / "det"
    shutil.copytree(folders[1], det)
    (det / "000150.txt").write_text("Car -1 -1 many\n")
    with pytest.raises(
        ValueError, match=r"000150\.txt, line 1: expected 16 fields .* got 4; repair the line"
    ):
        kitti.collect_folders(folders[0], det, processes=processes)


class Names:
    """An evaluator of nothing but names."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def reset(self) -> None:
        self.names = []

    def merge(self, other: "Names") -> None:
        self.names += other.names

    def state(self) -> dict[str, np.ndarray]:
        return {"names": np.array(self.names)}

    def merge_state(self, state: dict[str, np.ndarray]) -> None:
        self.names += state["names"].tolist()


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
def test_every_frame_is_collected_once_and_in_order(count: int) -> None:
    names = [f"{i:03d}" for i in range(count)]
    seen: list[str] = []

    def watch(frames: list[str]) -> list[str]:
        seen.extend(frames)
        return frames

    gathered = gather(names, lambda some: Names(list(some)), progress=watch)
    assert gathered.names == names
    assert seen == names


def test_no_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="no frames to evaluate"):
        gather([], Names)


def test_a_process_is_needed() -> None:
    with pytest.raises(ValueError, match="processes must be at least 1, got 0"):
        gather(["a"], Names, processes=0)
