"""The released loaders' own results on two samples, see tests/golden/sparse_beats_dense/README.md."""

import numpy as np
import pytest
from datasets3d.depth import DepthReading, read_evaluation_sample, read_training_sample
from datasets3d.depth.projection import project
from datasets3d.depth.reading import lidar_pixels, radar_points
from datasets3d.nuscenes.radar import filter_states, read_radar

HEIGHT, WIDTH = 225, 400
READING = DepthReading()


@pytest.fixture(params=[0, 1])
def index(request) -> int:
    return request.param


def expect_map(found: np.ndarray, uv: np.ndarray, depth: np.ndarray) -> None:
    expected = np.zeros((HEIGHT, WIDTH), np.float32)
    expected[uv[:, 1], uv[:, 0]] = depth
    np.testing.assert_array_equal(found != 0, expected != 0)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


def test_radar_returns_are_filtered_and_moved(golden, index):
    record = golden.records[index]
    kept = filter_states(read_radar(record.key("RADAR_FRONT").path(golden.root)))[:, :3]
    np.testing.assert_array_equal(kept, golden.arrays[f"{index}_radar_kept"].astype(np.float32))
    points = radar_points(record, golden.root, READING)
    expected = golden.arrays[f"{index}_radar_camera_xyz"]
    np.testing.assert_allclose(points, expected, rtol=1e-6, atol=1e-6)
    uv, depth = project(points, np.array(record.key("CAM_FRONT").intrinsic))
    uvd = np.column_stack([uv, depth])
    np.testing.assert_allclose(uvd, golden.arrays[f"{index}_radar_uvd"], rtol=1e-6, atol=1e-6)


def test_lidar_projection_is_not_guarded(golden, index):
    uv, depth = lidar_pixels(golden.records[index], golden.root, READING)
    expected = golden.arrays[f"{index}_lidar_uvd_first500"]
    assert (expected[:, 2] < 0).any()
    found = np.column_stack([uv, depth])[:500]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_evaluation_sample(golden, index):
    arrays = golden.arrays
    sample = read_evaluation_sample(golden.records[index], golden.root, READING)
    expect_map(
        sample.lidar_map, arrays[f"{index}_eval_lidar_uv"].astype(int), arrays[f"{index}_eval_lidar_depth"]
    )
    columns = np.tile(arrays[f"{index}_eval_radar_columns"], (HEIGHT, 1))
    np.testing.assert_allclose(sample.radar_map, columns, rtol=1e-6, atol=0)
    count = int(arrays[f"{index}_count"])
    assert len(sample.radar_points) == count
    np.testing.assert_allclose(
        sample.radar_points, arrays[f"{index}_radar_points"][:count], rtol=1e-6, atol=1e-6
    )
    assert sample.radar_classes is None


@pytest.mark.parametrize("radius", [3, 6])
def test_training_sample(golden, index, radius):
    reading = DepthReading(query_radius_px=float(radius))
    sample = read_training_sample(golden.records[index], golden.root, reading)
    name = f"{index}_train_r{radius}_lidar"
    expect_map(sample.lidar_map, golden.arrays[f"{name}_uv"].astype(int), golden.arrays[f"{name}_depth"])
    masks = np.unpackbits(golden.arrays[f"{index}_seg_roi"], axis=-1)[:, :WIDTH].astype(bool)
    np.testing.assert_array_equal(sample.radar_classes, masks)
