from pathlib import Path

import numpy as np
import pytest
from datasets3d.nuscenes.lidar import read_lidar, write_lidar


@pytest.mark.parametrize("count", [0, 1, 7])
def test_what_is_written_is_read(tmp_path: Path, count: int) -> None:
    points = np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32)
    write_lidar(tmp_path / "a.pcd.bin", points)
    assert (tmp_path / "a.pcd.bin").stat().st_size == 20 * count
    np.testing.assert_array_equal(read_lidar(tmp_path / "a.pcd.bin"), points)


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pcd.bin"
    with pytest.raises(FileNotFoundError, match=r"no point file .*a\.pcd\.bin"):
        read_lidar(path)
    path.write_bytes(bytes(39))
    with pytest.raises(ValueError, match="has 39 bytes, not a multiple of 20"):
        read_lidar(path)
    path.write_bytes(np.array([[0, 0, 0, 0, 0], [0, np.nan, 0, 0, 0]], "<f4").tobytes())
    with pytest.raises(ValueError, match="1 of 2 points hold NaN"):
        read_lidar(path)
    with pytest.raises(ValueError, match="points hold NaN"):
        write_lidar(path, np.full((1, 5), np.inf, np.float32))


@pytest.mark.real_data
def test_the_real_file(real_nuscenes: Path) -> None:
    (path,) = (real_nuscenes / "samples/LIDAR_TOP").iterdir()
    points = read_lidar(path)
    assert points.shape == (34688, 5)
    assert sorted(set(points[:, 4].tolist())) == list(range(32))
    assert points[:, :2].min(axis=0).round(1).tolist() == pytest.approx([-58.0, -96.3])
    assert points[:, :2].max(axis=0).round(1).tolist() == pytest.approx([96.9, 98.6])
    assert (points[:, 3].min(), points[:, 3].max()) == (0, 255)
