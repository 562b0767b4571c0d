import numpy as np
import pytest
from datasets3d.segmentation import IGNORED, LabelledScan

POINTS = np.zeros((3, 4), np.float32)


def test_zero_points_are_a_scan() -> None:
    scan = LabelledScan(frame_id="a", points=POINTS[:0], classes=np.zeros(0, np.uint8))
    assert len(scan) == 0 and scan.world_from_lidar is None


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"classes": np.zeros(2, np.uint8)}, ValueError, r"classes: expected shape \(3\), got \(2,\)"),
        ({"classes": np.zeros(3, np.int64)}, TypeError, "classes: expected uint8, got int64"),
        ({"instances": np.zeros(4, np.int32)}, ValueError, r"instances: expected shape \(3\)"),
        ({"points": POINTS[:, :3]}, ValueError, r"points: expected shape \(any, 4\), got \(3, 3\)"),
        ({"points": POINTS.astype(np.float64)}, TypeError, "points: expected float32"),
        (
            {"point_columns": ("z", "y", "x", "intensity")},
            ValueError,
            "expected x, y, z and then other names",
        ),
        ({"world_from_lidar": np.eye(3)}, ValueError, r"world_from_lidar: expected shape \(4, 4\)"),
        ({"world_from_lidar": np.full((4, 4), np.nan)}, ValueError, "NaN or infinite numbers are no pose"),
    ],
)
def test_what_does_not_fit_is_named(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LabelledScan(**{"frame_id": "a", "points": POINTS, **fields})


def test_ignored_is_no_class_index() -> None:
    assert np.iinfo(np.uint8).max == IGNORED
