from pathlib import Path

import pytest
from evaluators.kitti import collect_folders, evaluate_folders, read_frame_list
from hypothesis import given
from hypothesis import strategies as st

LABEL = "Car 0.00 0 -1.60 100.00 120.00 200.00 180.00 1.50 1.60 3.90 1.00 1.70 20.00 -1.50"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three frames with labels, the first two with predictions."""
    gt_dir, pred_dir = tmp_path / "label_2", tmp_path / "pred"
    gt_dir.mkdir()
    pred_dir.mkdir()
    for frame in range(3):
        (gt_dir / f"{frame:06d}.txt").write_text(LABEL + "\n")
    for frame in range(2):
        (pred_dir / f"{frame:06d}.txt").write_text(LABEL + " 0.5\n")
    return gt_dir, pred_dir


def test_missing_files_are_refused_with_count_and_names(folders: tuple[Path, Path]) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"lacks prediction files for 1 of 3 frames: 000002; write an empty"
    ):
        evaluate_folders(*folders)


def test_missing_files_can_count_as_empty(folders: tuple[Path, Path]) -> None:
    result = evaluate_folders(*folders, missing="empty")
    assert (result.counts.n_frames, result.counts.n_missing, result.counts.n_pred) == (3, 1, 2)


def test_an_empty_file_is_a_frame_without_detections(folders: tuple[Path, Path]) -> None:
    (folders[1] / "000002.txt").touch()
    assert evaluate_folders(*folders).counts.n_missing == 0


def test_unknown_prediction_frames_are_refused(folders: tuple[Path, Path]) -> None:
    (folders[1] / "000077.txt").touch()
    with pytest.raises(
        ValueError, match=r"predictions for 1 frames without ground truth in .*: 000077; wrong folder"
    ):
        evaluate_folders(*folders, missing="empty")


def test_a_split_chooses_the_frames(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("000001\n\n")
    frame_ids = read_frame_list(tmp_path / "val.txt")
    assert frame_ids == ["000001"]
    assert evaluate_folders(*folders, frames=frame_ids).counts.n_frames == 1


def test_a_split_file_holds_one_name_per_line(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("000001\r\n000002 1\n")
    with pytest.raises(ValueError, match=r"val\.txt, line 2: expected one frame name, got 2 words; keep"):
        read_frame_list(tmp_path / "val.txt")
    (tmp_path / "val.txt").write_bytes(b"000001\n\xff\n")
    with pytest.raises(ValueError, match=r"val\.txt, line 2: expected text, got the byte 0xff"):
        read_frame_list(tmp_path / "val.txt")


@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_split_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.txt"
    path.write_bytes(content)
    try:
        names = read_frame_list(path)
    except ValueError as error:
        assert f"{path}, line " in str(error)
    else:
        assert all(name and name.split() == [name] for name in names)


def test_a_split_without_labels_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(
        FileNotFoundError, match="lacks ground truth files for 1 of 2 frames: 000009; wrong list of frames"
    ):
        evaluate_folders(*folders, frames=["000000", "000009"])


def test_a_frame_is_listed_once(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="1 frames are listed more than once: 000001"):
        evaluate_folders(*folders, frames=["000001", "000001"])


def test_missing_folders_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"pred_dir: no folder .*nowhere; expected frames in it, one file each, .txt"
    ):
        evaluate_folders(folders[0], tmp_path / "nowhere")


def test_a_folder_without_frames_points_to_the_sub_folder(folders: tuple[Path, Path]) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no frames to evaluate in .* sub-folder 'label_2' holds such files"
    ):
        evaluate_folders(folders[0].parent, folders[1])


def test_predictions_in_a_sub_folder_are_pointed_out(folders: tuple[Path, Path], tmp_path: Path) -> None:
    outer = tmp_path / "results"
    outer.mkdir()
    folders[1].rename(outer / "data")
    with pytest.raises(FileNotFoundError, match=r"lacks prediction files for 3 of 3 .* sub-folder 'data'"):
        evaluate_folders(folders[0], outer)


def test_progress_sees_every_frame_in_order(folders: tuple[Path, Path]) -> None:
    seen: list[str] = []

    def watch(frames: list[str]) -> list[str]:
        seen.extend(frames)
        return frames

    collect_folders(*folders, missing="empty", progress=watch)
    assert seen == ["000000", "000001", "000002"]


def test_invalid_rows_are_named_by_frame_and_row(folders: tuple[Path, Path]) -> None:
    bad = LABEL.replace("100.00 120.00 200.00", "300.00 120.00 200.00")
    (folders[1] / "000001.txt").write_text(f"{LABEL} 0.5\n{bad} 0.4\n")
    with pytest.raises(
        ValueError, match=r"frame '000001', predictions, row 2 \(Car\): expected an image box"
    ):
        evaluate_folders(*folders, missing="empty")
    counts = evaluate_folders(*folders, missing="empty", on_invalid="drop").counts
    assert (counts.n_pred, counts.n_dropped_pred) == (2, 1)


def test_rules_and_processes_reach_the_evaluation(folders: tuple[Path, Path]) -> None:
    result = evaluate_folders(*folders, missing="empty", protocol="openpcdet", processes=2)
    assert result.protocol.name == "openpcdet"
    assert result.counts.n_frames == 3


def test_fewer_than_one_process_are_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="processes must be at least 1, got 0"):
        evaluate_folders(*folders, missing="empty", processes=0)
