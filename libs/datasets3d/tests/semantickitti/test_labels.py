import os
from pathlib import Path

import numpy as np
import pytest
from datasets3d.segmentation import IGNORED
from datasets3d.semantickitti import MOVING, MULTI_SCAN, RAW_IDS, SCANS, SINGLE_SCAN, SPLITS, SPVNAS, TABLES


def test_the_splits_have_the_official_numbers_of_scans() -> None:
    counts = {name: sum(SCANS[s] for s in sequences) for name, sequences in SPLITS.items()}
    assert counts == {"train": 19130, "val": 4071, "trainval": 23201, "test": 20351}
    assert set(SCANS) == {f"{i:02d}" for i in range(22)}


def test_every_table_knows_every_official_id() -> None:
    raw = np.array([raw.raw for raw in RAW_IDS], np.uint32)
    for table in TABLES.values():
        assert table.unknown_counts(raw) == {}
        found = table.class_indices(table.raw_ids(np.arange(len(table.classes))))
        assert found.tolist() == list(range(len(table.classes)))


def test_moving_objects_count_as_still_ones_only_in_single_scans() -> None:
    raw = np.array([252, 10, 257, 253], np.uint32)
    assert [SINGLE_SCAN.classes[i] for i in SINGLE_SCAN.class_indices(raw)] == [
        *("car", "car", "other-vehicle", "bicyclist"),
    ]
    assert [MULTI_SCAN.classes[i] for i in MULTI_SCAN.class_indices(raw)] == [
        *("moving-car", "car", "moving-other-vehicle", "moving-bicyclist"),
    ]
    assert MOVING.class_indices(raw).tolist() == [1, 0, 1, 1]


def test_the_released_code_ignores_five_ids_that_the_official_tool_counts() -> None:
    raw = np.array([raw.raw for raw in RAW_IDS], np.uint32)
    differs = SPVNAS.class_indices(raw) != SINGLE_SCAN.class_indices(raw)
    assert raw[differs].tolist() == [13, 16, 60, 256, 257]
    assert (SPVNAS.class_indices(raw[differs]) == IGNORED).all()
    assert SPVNAS.class_indices(np.array([2, 1000], np.uint32)).tolist() == [0, 0]


def test_colours_are_red_green_blue() -> None:
    assert SINGLE_SCAN.colours_rgb[SINGLE_SCAN.index("car")] == (100, 150, 245)
    assert SINGLE_SCAN.colours_rgb[SINGLE_SCAN.index("building")] == (255, 200, 0)


@pytest.mark.golden
def test_the_table_of_the_released_code_is_the_released_code() -> None:
    root = os.environ.get("FUSION3D_GOLDEN")
    if not root:
        pytest.skip("FUSION3D_GOLDEN is not set")
    golden = np.load(Path(root) / "cluster3dseg/dataset.npz")
    np.testing.assert_array_equal(
        SPVNAS.class_indices(np.arange(260, dtype=np.uint32)), golden["label_map_260"]
    )
    found = SPVNAS.class_indices(golden["seq08_raw_labels"])
    np.testing.assert_array_equal(found, golden["val_targets_mapped_F"])
