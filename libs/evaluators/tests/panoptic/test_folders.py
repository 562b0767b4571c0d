"""Trees of label files and folders of archives."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from evaluators import panoptic
from evaluators.panoptic import PanopticEvaluator
from evaluators.semantickitti import write_label_file
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def main(golden_panoptic: Path) -> Path:
    return golden_panoptic / "semantickitti" / "main"


@pytest.fixture
def nuscenes(golden_panoptic: Path) -> Path:
    return golden_panoptic / "nuscenes"


def tree(root: Path, kind: str, frames: dict[str, np.ndarray]) -> Path:
    for name, labels in frames.items():
        sequence, scan = name.split("/")
        write_label_file(root / "sequences" / sequence / kind / f"{scan}.label", labels)
    return root


CAR = np.full(60, 10, dtype=np.uint32)


def test_two_processes_give_the_same_digits(main: Path) -> None:
    alone = panoptic.collect_folders(main, main)
    together = panoptic.collect_folders(main, main, processes=2)
    assert together.compute().to_json() == alone.compute().to_json()


def test_progress_sees_every_scan(main: Path) -> None:
    seen: list[str] = []
    panoptic.collect_folders(main, main, progress=lambda names: (seen.append(name) or name for name in names))
    assert seen == [f"08/{index:06d}" for index in range(6)]


def test_settings_reach_the_evaluator(main: Path) -> None:
    result = panoptic.evaluate_folders(main, main, protocol="semantic-kitti-api-multi", min_points=7)
    assert (result.protocol.name, result.protocol.min_points) == ("semantic-kitti-api-multi", 7)


def test_several_sequences_are_read(tmp_path: Path) -> None:
    gt = tree(tmp_path / "gt", "labels", {"00/000000": CAR, "08/000000": CAR, "08/000001": CAR})
    pred = tree(tmp_path / "pred", "predictions", {"00/000000": CAR, "08/000000": CAR, "08/000001": CAR})
    assert panoptic.evaluate_folders(gt, pred).counts.n_frames == 2
    assert panoptic.evaluate_folders(gt, pred, sequences=["00", "08"]).counts.n_frames == 3


def test_missing_predictions_are_refused_or_counted(tmp_path: Path) -> None:
    gt = tree(tmp_path / "gt", "labels", {"08/000000": CAR, "08/000001": CAR})
    pred = tree(tmp_path / "pred", "predictions", {"08/000001": CAR})
    with pytest.raises(FileNotFoundError, match=r"lacks predictions for 1 of 2 frames: 08/000000"):
        panoptic.evaluate_folders(gt, pred)
    result = panoptic.evaluate_folders(gt, pred, missing="empty")
    assert (result.counts.n_missing, result.tp[1], result.fn[1]) == (1, 1, 1)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    gt = tree(tmp_path / "gt", "labels", {"08/000000": CAR})
    pred = tree(tmp_path / "pred", "predictions", {"08/000000": CAR})
    path = pred / "sequences/08/predictions/000000.label"
    path.write_bytes(b"12345")
    with pytest.raises(ValueError, match=r"000000\.label: 5 bytes are no multiple of 4"):
        panoptic.evaluate_folders(gt, pred)
    write_label_file(path, CAR[:9])
    with pytest.raises(ValueError, match="frame '08/000000': 9 predicted labels for 60 points"):
        panoptic.evaluate_folders(gt, pred)


def test_each_kind_of_folder_has_its_function(main: Path) -> None:
    with pytest.raises(ValueError, match="packs labels as 'thousands'; use collect_nuscenes_folders"):
        panoptic.evaluate_folders(main, main, protocol="nuscenes-panoptic")
    with pytest.raises(ValueError, match="packs labels as 'low-16-bits'; use collect_folders"):
        panoptic.collect_nuscenes_folders(main, main, like=panoptic.PanopticEvaluator())


def test_nuscenes_tokens_choose_the_frames(nuscenes: Path) -> None:
    tokens = sorted(path.name.split("_")[0] for path in (nuscenes / "gt").iterdir())
    some = panoptic.evaluate_nuscenes_folders(nuscenes / "gt", nuscenes / "pred", frames=tokens[:2])
    parts = [
        panoptic.collect_nuscenes_folders(nuscenes / "gt", nuscenes / "pred", frames=[token])
        for token in tokens
    ]
    parts[1].merge(parts[0])
    assert parts[1].compute().to_json() == some.to_json()
    parts[1].merge(parts[2])
    everything = panoptic.collect_nuscenes_folders(nuscenes / "gt", nuscenes / "pred", processes=2)
    assert everything.compute().to_json() == parts[1].compute().to_json()


def test_nuscenes_folders_must_fit(nuscenes: Path, tmp_path: Path) -> None:
    pred = tmp_path / "pred"
    shutil.copytree(nuscenes / "pred", pred)
    first = sorted(pred.iterdir())[0]
    token = first.name.split("_")[0]
    with pytest.raises(
        FileNotFoundError, match="lacks ground truth files for 1 of 1 frames: nothing; wrong list of frames"
    ):
        panoptic.evaluate_nuscenes_folders(nuscenes / "gt", pred, frames=["nothing"])
    with pytest.raises(
        FileNotFoundError, match=r"no folder .*absent; expected frames in it, one file each, _panoptic.npz"
    ):
        panoptic.evaluate_nuscenes_folders(nuscenes / "gt", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="gt_dir: no frames to evaluate in"):
        panoptic.evaluate_nuscenes_folders(tmp_path, pred)
    first.rename(pred / "stray_panoptic.npz")
    with pytest.raises(
        ValueError, match=r"predictions for 1 frames without ground truth in .*: stray; wrong folder"
    ):
        panoptic.evaluate_nuscenes_folders(nuscenes / "gt", pred)
    (pred / "stray_panoptic.npz").unlink()
    with pytest.raises(
        FileNotFoundError, match=f"lacks prediction files for 1 of 3 frames: {token}; name the frames"
    ):
        panoptic.evaluate_nuscenes_folders(nuscenes / "gt", pred)
    assert panoptic.evaluate_nuscenes_folders(nuscenes / "gt", pred, missing="empty").counts.n_missing == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.zeros(3, dtype=np.uint16)}, "expected an array named data, got"),
        (
            {"data": np.zeros((3, 1), dtype=np.uint16)},
            r"expected one row of whole numbers, got uint16 .*\(3, 1\)",
        ),
        ({"data": np.zeros(3)}, "expected one row of whole numbers, got float64"),
        ({"data": np.array([-1, 5])}, r"expected numbers in 0\.\.4294967295, got -1\.\.5"),
        ({"data": np.array([{}], dtype=object)}, "cannot be read as .npz"),
    ],
)
def test_archives_that_hold_something_else_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "t_panoptic.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"t_panoptic.npz:? {message}"):
        panoptic.read_panoptic_npz(path)


def test_files_that_are_no_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t_panoptic.npz"
    with pytest.raises(FileNotFoundError):
        panoptic.read_panoptic_npz(path)
    for content in (b"", b"text", plain_array(), archive(b"not an array")):
        path.write_bytes(content)
        with pytest.raises(
            ValueError,
            match=r"t_panoptic\.npz(:| cannot be read as)",
        ):
            panoptic.read_panoptic_npz(path)


def plain_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3, dtype=np.uint16))
    return buffer.getvalue()


def archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("data.npy", content)
    return buffer.getvalue()


def saved() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, data=np.arange(200, dtype=np.uint16))
    return buffer.getvalue()


SAVED, ARRAY = saved(), plain_array()


@pytest.mark.slow
@given(at=st.integers(0, len(SAVED) - 1), byte=st.integers(0, 255), length=st.integers(0, len(SAVED)))
@settings(max_examples=400)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_changed_archives_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz_panoptic.npz"
    content = bytearray(SAVED)
    content[at] = byte
    read_or_refused(path, bytes(content[:length] if byte % 7 == 0 else content))


@pytest.mark.slow
@given(at=st.integers(0, len(ARRAY) - 1), bytes_in=st.binary(max_size=12))
@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::SyntaxWarning")
def test_changed_arrays_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, bytes_in: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz_panoptic.npz"
    read_or_refused(path, archive(ARRAY[:at] + bytes_in + ARRAY[at + len(bytes_in) :]))
    read_or_refused(path, bytes_in)


def read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        labels = panoptic.read_panoptic_npz(path)
    except ValueError as error:
        assert "fuzz_panoptic.npz" in str(error)
    else:
        assert labels.dtype == np.uint32


def test_collected_evaluators_are_open(main: Path) -> None:
    evaluator = panoptic.collect_folders(main, main)
    assert isinstance(evaluator, PanopticEvaluator)
    evaluator.update("08/999999", CAR, CAR)
    assert len(evaluator) == 7
