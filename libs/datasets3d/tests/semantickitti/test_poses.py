from pathlib import Path

import numpy as np
import pytest
from datasets3d.semantickitti import lidar_poses, read_calibration, read_poses, read_times
from geom3d import transforms

LINE = "1 0 0 0.5 0 1 0 0 0 0 1 0"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "poses.txt"
    path.write_text(text)
    return path


def test_poses_are_read(tmp_path: Path) -> None:
    found = read_poses(write(tmp_path, f"{LINE}\n{LINE}\n"))
    assert found.shape == (2, 4, 4)
    assert found[0].tolist() == [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert read_poses(write(tmp_path, "")).shape == (0, 4, 4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE[:-2], "expected the 12 numbers of a 3x4 matrix"),
        (f"{LINE} {LINE}", "expected the 12 numbers of a 3x4 matrix"),
        (LINE.replace("0.5", "x"), "expected the 12 numbers of a 3x4 matrix"),
        (LINE.replace("0.5", "nan"), "is no rotation with a translation"),
        (LINE.replace("1", "2"), "is no rotation with a translation"),
        (LINE.replace("1", "-1"), "is no rotation with a translation"),
        (LINE.replace("1", "1e300"), "is no rotation with a translation"),
        ("", "expected the 12 numbers of a 3x4 matrix"),
    ],
)
def test_lines_that_are_no_poses_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"poses\.txt, line 2: .*{message}"):
        read_poses(write(tmp_path, f"{LINE}\n{line}\n{LINE}\n"))


def test_the_line_tr_is_the_calibration(tmp_path: Path) -> None:
    path = write(tmp_path, f"P0: {LINE}\nTr: {LINE.replace('0.5', '2')}\n")
    assert read_calibration(path)[0, 3] == 2.0
    with pytest.raises(ValueError, match=r"has no line `Tr: \.\.\.`"):
        read_calibration(write(tmp_path, f"P0: {LINE}\n"))
    with pytest.raises(ValueError, match=r"line 1: expected the 12 numbers"):
        read_calibration(write(tmp_path, "Tr: 1 2 3\n"))


def test_the_first_scan_of_a_sequence_is_at_the_origin() -> None:
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    cam_from_lidar = transforms.from_parts(turn * np.sign(np.linalg.det(turn)), rng.normal(size=3))
    ahead = transforms.from_parts(np.eye(3), np.array([3.0, 0.0, 0.0]))
    world_from_cam = np.stack([np.eye(4), cam_from_lidar @ ahead @ transforms.invert(cam_from_lidar)])
    np.testing.assert_allclose(lidar_poses(world_from_cam, cam_from_lidar), [np.eye(4), ahead], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n0.1\nx\n", "line 3: expected seconds, got 'x'"),
        ("0\n0.1\n0.1\n", "line 3: times must increase"),
        ("0\n\n0.1\n", "line 2: expected seconds"),
        ("nan\n", "line 1: times must increase"),
    ],
)
def test_times_that_are_none_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_times(write(tmp_path, text))


def test_times_are_read(tmp_path: Path) -> None:
    assert read_times(write(tmp_path, "0.0\n1.0e-01\n")).tolist() == [0.0, 0.1]
    assert read_times(write(tmp_path, "")).tolist() == []


@pytest.mark.parametrize("read", [read_poses, read_times, read_calibration])
def test_a_missing_file_is_named_with_the_cure(tmp_path: Path, read) -> None:
    with pytest.raises(FileNotFoundError, match=r"no .*poses\.txt; .*needed to put scans together: unpack"):
        read(tmp_path / "poses.txt")
