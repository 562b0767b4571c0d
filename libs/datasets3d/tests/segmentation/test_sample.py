import math
import os
from pathlib import Path

import numpy as np
import pytest
from datasets3d.segmentation import IGNORED, LabelledScan, SamplingConfig, SegmentationSample, make_sample
from datasets3d.segmentation.augment import rotate_scale
from datasets3d.segmentation.sample import keep, voxels_of
from hypothesis import given
from hypothesis import strategies as st

Golden = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def golden() -> Golden:
    root = os.environ.get("FUSION3D_GOLDEN")
    if not root:
        pytest.skip("needs the golden vectors: set FUSION3D_GOLDEN to their folder")
    return dict(np.load(Path(root) / "cluster3dseg" / "dataset.npz"))


def golden_scan(golden: Golden, sequence: str) -> LabelledScan:
    classes = golden["label_map_260"][golden[f"{sequence}_raw_labels"] & 0xFFFF].astype(np.uint8)
    return LabelledScan(frame_id=f"{sequence}/0", points=golden[f"{sequence}_points"], classes=classes)


def scan_of(xyz: list[list[float]], classes: list[int] | None = None) -> LabelledScan:
    points = np.column_stack([np.array(xyz, np.float32).reshape(-1, 3), np.arange(len(xyz))])
    return LabelledScan(
        frame_id="08/000001",
        points=points.astype(np.float32),
        classes=None if classes is None else np.array(classes, np.uint8),
    )


def assert_equal_to_golden(sample: SegmentationSample, golden: Golden, split: str) -> None:
    assert sample.classes is not None and sample.point_classes is not None
    np.testing.assert_array_equal(sample.features, golden[f"{split}_lidar_F"])
    np.testing.assert_array_equal(sample.cells_xyz, golden[f"{split}_lidar_C"])
    np.testing.assert_array_equal(sample.classes, golden[f"{split}_targets_F"])
    np.testing.assert_array_equal(sample.point_classes, golden[f"{split}_targets_mapped_F"])


@pytest.mark.golden
@pytest.mark.parametrize(("split", "sequence"), [("val", "seq08"), ("test", "seq11")])
def test_samples_of_evaluation_equal_the_released_ones(golden: Golden, split: str, sequence: str) -> None:
    scan = golden_scan(golden, sequence)
    if split == "test":
        # The released data set has no labels there and calls everything ignored.
        scan = LabelledScan(
            frame_id=scan.frame_id,
            points=scan.points,
            classes=np.full(len(scan), IGNORED, np.uint8),
        )
    sample = make_sample(scan, SamplingConfig())
    assert_equal_to_golden(sample, golden, split)
    np.testing.assert_array_equal(sample.inverse, golden[f"{split}_inverse_map_F"])


@pytest.mark.golden
def test_the_sample_of_training_equals_the_released_one(golden: Golden) -> None:
    released = np.random.RandomState(1)
    yaw_rad, factor = released.uniform(0, 2 * math.pi), released.uniform(0.95, 1.05)
    scan = rotate_scale(golden_scan(golden, "seq00"), yaw_rad, factor)
    sample = make_sample(scan, SamplingConfig())
    np.testing.assert_array_equal(sample.inverse, golden["train_inverse_map_F"])
    kept = keep(sample, released.choice(len(sample), 1200, replace=False))
    assert_equal_to_golden(kept, golden, "train")


@given(
    cells=st.lists(st.tuples(*[st.integers(-4, 4)] * 3), max_size=30),
    offset=st.floats(-0.45, 0.45),
    voxel_m=st.sampled_from([0.05, 0.25, 1.0]),
)
def test_voxels_are_sorted_and_stand_for_their_first_points(
    cells: list[tuple[int, int, int]], offset: float, voxel_m: float
) -> None:
    wanted = np.array(cells, np.int64).reshape(-1, 3)
    points = ((wanted + offset) * voxel_m).astype(np.float32)
    voxels = voxels_of(points, voxel_m)
    assert [tuple(cell) for cell in voxels.cells_xyz] == sorted({tuple(cell) for cell in voxels.cells_xyz})
    moved = wanted - wanted.min(axis=0, initial=4)
    np.testing.assert_array_equal(voxels.cells_xyz[voxels.inverse], moved)
    for row, first in enumerate(voxels.first):
        assert first == np.flatnonzero(voxels.inverse == row)[0]


def test_halves_are_rounded_to_even() -> None:
    # 0.25 is a power of two: the halves are exact.
    x = np.array([0.125, 0.375, 0.625, 0.875], np.float32)
    voxels = voxels_of(np.column_stack([x, 0 * x, 0 * x]), 0.25)
    np.testing.assert_array_equal(voxels.cells_xyz[:, 0], [0, 2, 4])
    np.testing.assert_array_equal(voxels.inverse, [0, 1, 1, 2])


def test_features_and_classes_are_those_of_the_first_point() -> None:
    sample = make_sample(scan_of([[0.06, 0, 0], [0, 0, 0], [0.04, 0, 0]], [1, 2, 3]), SamplingConfig())
    np.testing.assert_array_equal(sample.features[:, 3], [1, 0])
    np.testing.assert_array_equal(sample.classes, [2, 1])
    np.testing.assert_array_equal(sample.inverse, [1, 0, 1])
    np.testing.assert_array_equal(sample.point_classes, [1, 2, 3])


def test_a_scan_without_labels_gives_a_sample_without_labels() -> None:
    sample = make_sample(scan_of([[0, 0, 0]]), SamplingConfig())
    assert sample.classes is None and sample.point_classes is None
    assert len(sample) == 1


def test_a_scan_without_points_gives_no_voxels() -> None:
    sample = make_sample(scan_of([], []), SamplingConfig(), rng=np.random.default_rng(0))
    assert sample.features.shape == (0, 4) and sample.cells_xyz.shape == (0, 3)
    assert len(sample.inverse) == 0
    assert len(keep(sample, np.zeros(0, np.int64))) == 0


def test_only_training_limits_the_voxels() -> None:
    scan = scan_of([[float(x), 0, 0] for x in range(50)] * 2, [1] * 100)
    config = SamplingConfig(max_voxels=20)
    assert len(make_sample(scan, config)) == 50
    sample = make_sample(scan, config, rng=np.random.default_rng(3))
    assert len(sample) == 20 and len({tuple(cell) for cell in sample.cells_xyz}) == 20
    assert len(make_sample(scan, SamplingConfig(max_voxels=None), rng=np.random.default_rng(3))) == 50
    again = make_sample(scan, config, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(sample.cells_xyz, again.cells_xyz)


def test_after_the_limit_points_find_their_voxel_or_none() -> None:
    scan = scan_of([[float(x), 0, 0] for x in range(50)] * 2, [1] * 100)
    sample = make_sample(scan, SamplingConfig(max_voxels=20), rng=np.random.default_rng(3))
    found = sample.inverse >= 0
    assert np.count_nonzero(found) == 40
    np.testing.assert_array_equal(sample.features[sample.inverse[found], 0], scan.points[found, 0])
    twice = keep(sample, np.array([19, 0]))
    assert np.count_nonzero(twice.inverse >= 0) == 4


def test_a_scan_at_the_limit_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    make_sample(scan_of([[0, 0, 0], [1, 0, 0]]), SamplingConfig(max_voxels=2), rng=rng)
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused_with_scan_and_point(value: float) -> None:
    scan = scan_of([[0, 0, 0], [1, value, 0]])
    with pytest.raises(ValueError, match=r"scan 08/000001: 1 of 2 points hold NaN or infinity.*number 1"):
        make_sample(scan, SamplingConfig())


def test_intensities_that_are_no_numbers_are_refused() -> None:
    points = np.array([[0, 0, 0, math.nan]], np.float32)
    with pytest.raises(ValueError, match="1 of 1 points hold NaN"):
        make_sample(LabelledScan(frame_id="0", points=points), SamplingConfig())


def test_points_too_far_out_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a coordinate of 1e\+30 m is too far out"):
        make_sample(scan_of([[0, 0, 0], [1e30, 0, 0]]), SamplingConfig())
    with pytest.raises(ValueError, match="more than can be numbered"):
        make_sample(scan_of([[0, 0, 0], [5e6, 5e6, 5e6]]), SamplingConfig(voxel_m=0.01))


def test_points_far_apart_on_one_axis_are_no_problem() -> None:
    cells = make_sample(scan_of([[-5e7, 0, 0], [5e7, 0, 0]]), SamplingConfig()).cells_xyz
    np.testing.assert_array_equal(cells[:, 0], [0, 2_000_000_000])


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"SamplingConfig.voxel_m must be positive, got 0"):
        SamplingConfig(voxel_m=0.0)
    with pytest.raises(ValueError, match=r"SamplingConfig.max_voxels must be at least 1, got 0"):
        SamplingConfig(max_voxels=0)
    with pytest.raises(ValueError, match="voxel_m must be positive, got -1"):
        voxels_of(np.zeros((1, 3), np.float32), -1.0)
    sample = make_sample(scan_of([[0, 0, 0], [1, 0, 0]]), SamplingConfig())
    with pytest.raises(ValueError, match=r"rows must lie in 0..1, got 0..2"):
        keep(sample, np.array([0, 2]))
    with pytest.raises(ValueError, match="some come twice"):
        keep(sample, np.array([1, 1]))


@pytest.mark.parametrize(
    ("cells", "inverse", "message"),
    [
        ([[0, 0, -1]], [0], "cells_xyz must be at least 0, got -1"),
        ([[0, 0, 0]], [1], r"inverse must lie in -1..0, got 1..1"),
        ([[0, 0, 0]], [-2], r"inverse must lie in -1..0, got -2..-2"),
    ],
)
def test_a_sample_checks_its_rows(cells: list[list[int]], inverse: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentationSample(
            frame_id="0",
            features=np.zeros((1, 4), np.float32),
            cells_xyz=np.array(cells, np.int32),
            inverse=np.array(inverse, np.int64),
        )


def test_lengths_of_a_sample_must_fit(unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=r"SegmentationSample.classes: expected shape"):
        SegmentationSample(
            frame_id="0",
            features=np.zeros((1, 4), np.float32),
            cells_xyz=np.zeros((1, 3), np.int32),
            inverse=np.zeros(1, np.int64),
            classes=np.zeros(2, np.uint8),
        )


@pytest.mark.real_data
def test_the_real_scan_has_the_recorded_number_of_voxels() -> None:
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real sensor frames here")
    file = Path(root) / "semantickitti/sequences/08/velodyne/000000.bin"
    scan = LabelledScan(frame_id="08/000000", points=np.fromfile(file, np.float32).reshape(-1, 4))
    sample = make_sample(scan, SamplingConfig())
    assert (len(scan), len(sample)) == (123_389, 94_625)
