from pathlib import Path

import pytest
from evaluators.indoor import IndoorBoxes, collect_folders, evaluate_folders, write_boxes

TRUTH = IndoorBoxes([[0.0, 0.0, 0.5, 1.0, 1.0, 1.0]], ["bed"])
FOUND = IndoorBoxes(TRUTH.boxes, TRUTH.labels, [0.5])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three scenes with ground truth, the first two with predictions."""
    gt_dir, pred_dir = tmp_path / "gt", tmp_path / "pred"
    gt_dir.mkdir()
    pred_dir.mkdir()
    for scene in range(3):
        write_boxes(gt_dir / f"scene{scene:04d}_00.npz", TRUTH)
    for scene in range(2):
        write_boxes(pred_dir / f"scene{scene:04d}_00.npz", FOUND)
    return gt_dir, pred_dir


def test_missing_files_are_refused_or_counted(folders: tuple[Path, Path]) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"lacks prediction files for 1 of 3 frames: scene0002_00; write"
    ):
        evaluate_folders(*folders)
    result = evaluate_folders(*folders, missing="empty")
    assert (result.counts.n_frames, result.counts.n_missing, result.counts.n_pred) == (3, 1, 2)
    assert any("1 frames had no predictions and were taken as empty" in note for note in result.notes())
    assert result.recall("bed", 0.5) == 2 / 3


@pytest.mark.slow
def test_several_processes_give_the_same(folders: tuple[Path, Path]) -> None:
    for scene in range(3, 40):
        write_boxes(folders[0] / f"scene{scene:04d}_00.npz", TRUTH)
    one = collect_folders(*folders, missing="empty").compute()
    two = collect_folders(*folders, missing="empty", processes=2).compute()
    assert two.to_json() == one.to_json()


def test_json_and_npz_may_be_mixed_but_not_for_one_scene(folders: tuple[Path, Path]) -> None:
    text = '{"boxes": [], "labels": [], "scores": []}'
    (folders[1] / "scene0002_00.json").write_text(text)
    assert evaluate_folders(*folders).counts.n_missing == 0
    (folders[1] / "scene0000_00.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"pred holds scene0000_00 twice, as scene0000_00\.json and as scene0000_00\.npz"
    ):
        evaluate_folders(*folders)


def test_predictions_without_ground_truth_are_refused(folders: tuple[Path, Path]) -> None:
    write_boxes(folders[1] / "scene0707_00.npz", FOUND)
    with pytest.raises(
        ValueError, match=r"predictions for 1 frames without ground truth in .*: scene0707_00;"
    ):
        evaluate_folders(*folders, missing="empty")


def test_a_split_chooses_the_frames(folders: tuple[Path, Path]) -> None:
    assert evaluate_folders(*folders, frames=["scene0001_00"]).counts.n_frames == 1
    with pytest.raises(FileNotFoundError, match="lacks ground truth files for 1 of 1 frames: scene0009_00"):
        evaluate_folders(*folders, frames=["scene0009_00"])
    with pytest.raises(ValueError, match="1 frames are listed more than once: scene0001_00"):
        evaluate_folders(*folders, frames=["scene0001_00", "scene0001_00"])


def test_folders_must_be_there_and_hold_frames(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r"pred_dir: no folder .*nowhere; expected frames in it, one file each, .npz or .json",
    ):
        evaluate_folders(folders[0], tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"gt_dir: no frames to evaluate in .*\.npz or \.json"):
        evaluate_folders(tmp_path, folders[1])


def test_other_files_are_left_alone(folders: tuple[Path, Path]) -> None:
    (folders[1] / "readme.txt").touch()
    (folders[1] / ".scene0009_00.npz").touch()
    assert evaluate_folders(*folders, missing="empty").counts.n_frames == 3


def test_errors_name_the_scene(folders: tuple[Path, Path]) -> None:
    write_boxes(folders[1] / "scene0002_00.npz", IndoorBoxes(TRUTH.boxes, ["sofabed"], [0.5]))
    with pytest.raises(
        ValueError, match="frame 'scene0002_00', predictions, row 1: label 'sofabed' is not in"
    ):
        evaluate_folders(*folders)


def test_progress_sees_every_scene_in_order(folders: tuple[Path, Path]) -> None:
    seen: list[str] = []

    def watch(scenes: list[str]) -> list[str]:
        seen.extend(scenes)
        return scenes

    collect_folders(*folders, missing="empty", progress=watch)  # pyright: ignore[reportArgumentType]
    assert seen == ["scene0000_00", "scene0001_00", "scene0002_00"]
