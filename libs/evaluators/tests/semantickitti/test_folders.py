"""Folders give what arrays give, on threads and processes; errors name the file."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from evaluators.semantickitti import (
    RANGES_M,
    SemanticKittiEvaluator,
    collect_folders,
    evaluate,
    evaluate_folders,
    frame_path,
    write_label_file,
)

Scans = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@pytest.fixture
def scans(make_scans: Callable[..., Scans]) -> Scans:
    return make_scans(7, 70)


@pytest.fixture
def root(tmp_path: Path, scans: Scans) -> Path:
    for side, kind in zip(scans, ("labels", "predictions"), strict=True):
        for frame, labels in side.items():
            write_label_file(frame_path(tmp_path, frame, kind), labels)
    folder = tmp_path / "sequences/08/velodyne"
    folder.mkdir()
    for frame, points in points_of(scans).items():
        points.tofile(folder / f"{frame[3:]}.bin")
    return tmp_path


def points_of(scans: Scans) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        frame: rng.normal(0, 20, (len(labels), 4)).astype(np.float32) for frame, labels in scans[0].items()
    }


@pytest.mark.parametrize("processes", [1, 2])
def test_folders_equal_arrays(root: Path, scans: Scans, processes: int) -> None:
    like = SemanticKittiEvaluator("multi-scan", ranges_m=RANGES_M)
    evaluator = collect_folders(root, root, like=like, processes=processes)
    expected = evaluate(*scans, task="multi-scan", points=points_of(scans))
    assert evaluator.compute().to_json() == expected.to_json()
    assert len(like) == 0


def test_options_reach_the_evaluator(root: Path, scans: Scans) -> None:
    frame_path(root, "08/000001", "predictions").unlink()
    result = evaluate_folders(root, root, task="moving", limit=10, missing="empty", protocol="spvnas")
    gt, pred = scans
    del pred["08/000001"]
    expected = evaluate(gt, pred, task="moving", limit=10, missing="empty", protocol="spvnas")
    assert result.to_json() == expected.to_json()


def test_progress_sees_every_scan_once(root: Path, scans: Scans) -> None:
    seen: list[str] = []

    def progress(frames: Sequence[str]) -> Iterable[str]:
        for frame in frames:
            seen.append(frame)
            yield frame

    collect_folders(root, root, progress=progress)
    assert seen == sorted(scans[0])


def test_a_bad_file_is_named_and_ends_the_work(root: Path) -> None:
    # Two, one after the other: whatever the threads' pace, none of the two can read on behind both.
    for frame in ("08/000030", "08/000031"):
        path = frame_path(root, frame, "predictions")
        path.write_bytes(path.read_bytes() + b"x")
    drawn: list[str] = []

    def progress(frames: Sequence[str]) -> Iterable[str]:
        for frame in frames:
            drawn.append(frame)
            yield frame

    with pytest.raises(ValueError, match=r"08/predictions/00003[01]\.label: \d+ bytes are no multiple of 4"):
        collect_folders(root, root, progress=progress)
    assert len(drawn) <= 32


def test_errors_inside_a_scan_name_its_file(root: Path) -> None:
    path = frame_path(root, "08/000003", "labels")
    write_label_file(path, np.array([6], dtype=np.uint32))
    prediction = frame_path(root, "08/000003", "predictions")
    with pytest.raises(
        ValueError, match=r"predictions/000003\.label: \d+ points, but .*labels/000003\.label"
    ):
        evaluate_folders(root, root)
    write_label_file(prediction, np.array([40], dtype=np.uint32))
    with pytest.raises(ValueError, match=r"labels/000003\.label: raw ids .* 6 \(1 point\)"):
        evaluate_folders(root, root)
    assert evaluate_folders(root, root, unknown="unlabeled").counts.n_unknown_gt == 1


def test_missing_points_and_folders(root: Path, tmp_path: Path) -> None:
    frame_path(root, "08/000003", "velodyne").unlink()
    with pytest.raises(FileNotFoundError, match=r"velodyne/000003\.bin"):
        collect_folders(root, root, like=SemanticKittiEvaluator(ranges_m=RANGES_M))
    with pytest.raises(FileNotFoundError, match="no labels for sequence 05"):
        collect_folders(root, root, sequences=("05",))
    with pytest.raises(ValueError, match="processes must be at least 1, got 0"):
        collect_folders(root, root, processes=0)
