from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d.depth import (
    DepthReading,
    read_evaluation_sample,
    read_input_sample,
    read_training_sample,
)
from datasets3d.depth.pictures import write_depth_picture
from datasets3d.depth.projection import on_canvas
from datasets3d.depth.reading import lidar_pixels, radar_points
from datasets3d.nuscenes import SampleRecord, build_records
from PIL import Image

READING = DepthReading()


def with_camera(record: SampleRecord, **changes) -> SampleRecord:
    camera = replace(record.key("CAM_FRONT"), **changes)
    return replace(record, sensors={**record.sensors, "CAM_FRONT": (camera,)})


def test_published_settings():
    assert (
        DepthReading(
            camera="CAM_FRONT",
            radar="RADAR_FRONT",
            lidar="LIDAR_TOP",
            max_depth_m=80.0,
            query_radius_px=5.0,
            drop_behind=False,
            radar_sweeps=1,
            radar_drawing="columns",
            mask_folder="seg_mask",
            true_depth_folder=None,
            supervision_folder=None,
        )
        == DepthReading()
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DepthReading(max_depth_m=0.0), "max_depth_m must be positive, got 0.0"),
        (lambda: DepthReading(query_radius_px=-1.0), "query_radius_px must be at least 0, got -1.0"),
        (lambda: DepthReading(radar_sweeps=0), "radar_sweeps must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_input_sample(small):
    small.radar((0.0, 0.0, 5.0), (1.0, 0.0, 1.0))
    sample = read_input_sample(small.record, small.root, READING)
    assert sample.frame_id == "t"
    assert sample.image.shape == (4, 6, 3)
    assert np.abs(sample.image[0, 0].astype(int) - (10, 20, 30)).max() <= 3, "RGB, as the picture was saved"
    assert sample.radar_points.tolist() == [[0, 0, 5], [1, 0, 1]]
    assert sample.radar_map[0].tolist() == [0, 0, 0, 5, 1, 0]
    assert (sample.radar_map == sample.radar_map[0]).all()
    assert sample.lidar_map is sample.radar_classes is sample.true_depth is None


def test_radar_as_points(small):
    small.radar((0.0, 0.0, 5.0))
    sample = read_input_sample(small.record, small.root, DepthReading(radar_drawing="points"))
    assert np.argwhere(sample.radar_map).tolist() == [[2, 3]]
    assert sample.radar_map[2, 3] == 5


def test_radar_behind_the_camera_is_drawn_as_released(small):
    small.radar((0.0, 0.0, -5.0))
    assert (read_input_sample(small.record, small.root, READING).radar_map[:, 3] == -5).all()


@pytest.mark.parametrize("points", [(), ((50.0, 0.0, 1.0), (0.0, -50.0, 1.0))], ids=["empty", "out of view"])
def test_no_radar_in_view_is_a_map_of_zeros(small, points):
    small.radar(*points)
    sample = read_training_sample(small.record, small.root, READING)
    assert not sample.radar_map.any()
    assert sample.radar_points.shape == (len(points), 3)


def test_radar_sweeps_move_with_the_car_and_the_newest_is_last(small):
    # The older sweep was taken from one metre further left, so its point now lies at x = -1.
    assert radar_points(small.record, small.root, DepthReading(radar_sweeps=2)).tolist() == [
        [-1, 0, 7],
        [0, 0, 5],
    ]
    assert len(radar_points(small.record, small.root, DepthReading(radar_sweeps=9))) == 2
    small.radar((1.0, 0.0, 7.0), sweep=1)
    sample = read_input_sample(small.record, small.root, DepthReading(radar_sweeps=2))
    assert sample.radar_map[0].tolist() == [0, 0, 0, 5, 0, 0]


def test_evaluation_lets_points_behind_overwrite_unless_told_otherwise(small):
    small.lidar((0.0, 0.0, 5.0), (0.0, 0.0, -90.0), (1.0, 0.0, 1.0), (0.0, -0.1, 300.0), (0.0, 1.0, 1.0))
    official = read_evaluation_sample(small.record, small.root, READING)
    assert official.lidar_map[2].tolist() == [0, 0, 0, -90, 1, 0]
    assert official.lidar_map[1, 3] == 300
    clean = read_evaluation_sample(small.record, small.root, DepthReading(drop_behind=True))
    assert clean.lidar_map[2].tolist() == [0, 0, 0, 5, 1, 0]
    assert official.radar_classes is None


def test_evaluation_needs_no_mask(small):
    small.mask(np.zeros((4, 6), np.uint8)).unlink()
    read_evaluation_sample(small.record, small.root, READING)


def test_training_limits_depth_at_both_ends(small):
    small.lidar((0.0, 0.0, 5.0), (0.0, 0.0, -9.0), (0.0, 0.0, 80.0), (20.0, 0.0, 10.0), (90.0, 0.0, 90.0))
    sample = read_training_sample(small.record, small.root, DepthReading(query_radius_px=None))
    assert np.argwhere(sample.lidar_map).tolist() == [[2, 3], [2, 5]]
    assert sample.lidar_map[2, 3] == 5


def test_training_filters_overlaps_also_against_points_beside_the_picture(small):
    # u = 5.5 at 40 m, in view; u = 6.5 at 10 m, just outside.
    small.lidar((2.5 * 40, 0.0, 40.0), (3.5 * 10, 0.0, 10.0))
    near = read_training_sample(small.record, small.root, DepthReading(query_radius_px=2.0))
    assert not near.lidar_map.any()
    narrow = read_training_sample(small.record, small.root, DepthReading(query_radius_px=0.5))
    assert narrow.lidar_map[2, 5] == 40
    off = read_training_sample(small.record, small.root, DepthReading(query_radius_px=None))
    assert off.lidar_map[2, 5] == 40


def test_an_empty_sweep_is_a_map_of_zeros(small):
    small.lidar()
    assert not read_training_sample(small.record, small.root, READING).lidar_map.any()
    assert not read_evaluation_sample(small.record, small.root, READING).lidar_map.any()


def test_masks(small):
    ids = np.full((4, 6), 2, np.uint8)
    ids[1, 2] = 20
    small.mask(ids)
    assert np.argwhere(read_training_sample(small.record, small.root, READING).radar_classes).tolist() == [
        [1, 2]
    ]
    without = DepthReading(mask_folder=None)
    assert read_training_sample(small.record, small.root, without).radar_classes is None


def test_a_missing_mask_is_an_error_not_zeros(small):
    small.mask(np.zeros((4, 6), np.uint8)).unlink()
    with pytest.raises(FileNotFoundError, match=r"no mask .*seg_mask/a\.png; unpack"):
        read_training_sample(small.record, small.root, READING)


def test_pictures_of_another_size_are_refused(small):
    small.mask(np.zeros((6, 4), np.uint8))
    with pytest.raises(ValueError, match=r"seg_mask/a\.png is 4x6, its image 6x4"):
        read_training_sample(small.record, small.root, READING)
    write_depth_picture(small.root / "depth" / "CAM_FRONT" / "a.png", np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"depth/CAM_FRONT/a\.png is 2x2, its image 6x4"):
        read_input_sample(small.record, small.root, DepthReading(true_depth_folder="depth"))
    Image.new("RGB", (12, 8)).save(small.record.key("CAM_FRONT").path(small.root))
    with pytest.raises(ValueError, match=r"a\.jpg is 12x8, its record says 6x4"):
        read_input_sample(small.record, small.root, READING)
    # A record that does not say its size takes the picture's.
    silent = with_camera(small.record, size_wh=None)
    assert read_input_sample(silent, small.root, READING).image.shape == (8, 12, 3)


def test_true_depth_and_supervision_by_pictures(small):
    depth = np.full((4, 6), 30, np.float32)
    depth[0] = (0, 79.5, 80, 100, 1, 0)
    write_depth_picture(small.root / "depth" / "CAM_FRONT" / "a.png", depth)
    reading = DepthReading(true_depth_folder="depth", supervision_folder="depth")
    sample = read_training_sample(small.record, small.root, reading)
    assert np.array_equal(sample.true_depth, depth)
    assert sample.lidar_map[0].tolist() == [0, 79.5, 0, 0, 1, 0]
    assert (sample.lidar_map[1:] == 30).all()
    # Evaluation measures on the sweep all the same.
    assert np.count_nonzero(read_evaluation_sample(small.record, small.root, reading).lidar_map) == 1
    with pytest.raises(FileNotFoundError, match=r"no depth picture .*dense/CAM_FRONT/a\.png"):
        read_training_sample(small.record, small.root, DepthReading(supervision_folder="dense"))


@pytest.mark.parametrize("channel", ["CAM_FRONT", "RADAR_FRONT", "LIDAR_TOP"])
def test_missing_files_and_channels_are_named(small, channel):
    small.record.key(channel).path(small.root).unlink()
    with pytest.raises(FileNotFoundError, match=channel):
        read_training_sample(small.record, small.root, READING)
    sensors = {name: files for name, files in small.record.sensors.items() if name != channel}
    with pytest.raises(KeyError, match=f"sample t has no {channel}"):
        read_training_sample(replace(small.record, sensors=sensors), small.root, READING)


def test_a_camera_without_intrinsics_is_refused(small):
    with pytest.raises(ValueError, match=r"CAM_FRONT has no intrinsics \(samples/CAM_FRONT/a\.jpg\)"):
        read_input_sample(with_camera(small.record, intrinsic=None), small.root, READING)


REAL_FRONT = {
    "CAM_FRONT": 3067,
    "CAM_FRONT_RIGHT": 3079,
    "CAM_FRONT_LEFT": 3704,
    "CAM_BACK": 4826,
    "CAM_BACK_LEFT": 4097,
    "CAM_BACK_RIGHT": 3379,
}


def real_record(root: Path, camera: str) -> SampleRecord:
    (record,) = build_records(root, version="v1.0-mini", channels=(camera, "LIDAR_TOP"))
    return record


@pytest.mark.real_data
@pytest.mark.parametrize(("channel", "count"), REAL_FRONT.items())
def test_real_points_in_each_camera(real_nuscenes, channel, count):
    record = real_record(real_nuscenes, channel)
    uv, depth = lidar_pixels(record, real_nuscenes, DepthReading(camera=channel))
    assert len(uv) == 34688
    assert int((on_canvas(uv, width=1600, height=900) & (depth > 1)).sum()) == count


@pytest.mark.real_data
def test_real_key_frame_with_the_radar_of_another_log(real_nuscenes):
    record = real_record(real_nuscenes, "CAM_FRONT")
    lidar = record.key("LIDAR_TOP")
    (radar_file,) = (real_nuscenes / "samples" / "RADAR_FRONT").iterdir()
    # Its calibration is not known: the front bumper, looking ahead.
    radar = replace(
        lidar,
        channel="RADAR_FRONT",
        filename=f"samples/RADAR_FRONT/{radar_file.name}",
        calibration=replace(lidar.calibration, translation=(3.4, 0.0, 0.5), rotation=(1.0, 0.0, 0.0, 0.0)),
    )
    record = replace(record, sensors={**record.sensors, "RADAR_FRONT": (radar,)})
    reading = DepthReading(mask_folder=None)
    training = read_training_sample(record, real_nuscenes, reading)
    evaluation = read_evaluation_sample(record, real_nuscenes, reading)
    assert training.radar_points.shape == (56, 3)
    assert training.image.shape == (900, 1600, 3)
    assert (training.radar_map == training.radar_map[0]).all()
    columns = np.count_nonzero(training.radar_map[0])
    assert 10 < columns < 56
    # 3067 points; the mirrored ones from behind overwrite some, and some share a pixel.
    assert np.count_nonzero(evaluation.lidar_map > 0) == 3046
    assert np.count_nonzero(evaluation.lidar_map < 0) == 6209
    assert np.count_nonzero(training.lidar_map) == 3032
    unfiltered = read_training_sample(record, real_nuscenes, replace(reading, query_radius_px=None))
    assert np.count_nonzero(unfiltered.lidar_map) == 3057
    clean = read_evaluation_sample(record, real_nuscenes, replace(reading, drop_behind=True))
    assert np.count_nonzero(clean.lidar_map) == np.count_nonzero(clean.lidar_map > 0) == 3064
