from dataclasses import replace

import numpy as np
import pytest
from evaluators.nuscenes import (
    DETECTION_CVPR_2019,
    NuscenesBoxes,
    NuscenesClass,
    NuscenesProtocol,
    rotation_from_yaw,
)


def test_columns_become_float64_and_rows_can_be_chosen() -> None:
    boxes = NuscenesBoxes.ground_truth(
        ["car", "bus"],
        translation=[[1, 2, 3], [4, 5, 6]],
        size_wlh=np.ones((2, 3), dtype=np.float32),
        rotation=rotation_from_yaw([0, 1]),
        velocity=[[0, 0], [1, 1]],
        attributes=["", "vehicle.moving"],
        num_pts=[3, 0],
    )
    assert boxes.size_wlh.dtype == boxes.translation.dtype == np.float64
    assert boxes.num_pts.dtype == np.int64
    bus = boxes.select(np.array([False, True]))
    assert (bus.names, bus.attributes, bus.num_pts.tolist(), bus.score) == (
        ("bus",),
        ("vehicle.moving",),
        [0],
        None,
    )
    assert len(NuscenesBoxes.empty()) == 0


def test_columns_must_fit_the_names() -> None:
    good = {
        "translation": [[0, 0, 0]],
        "size_wlh": [[1, 1, 1]],
        "rotation": [[1, 0, 0, 0]],
        "velocity": [[0, 0]],
    }
    with pytest.raises(
        ValueError, match=r"NuscenesBoxes.velocity must have shape \[1, 2\] for 1 names, got \[1, 3\]"
    ):
        NuscenesBoxes.ground_truth(["car"], **good | {"velocity": [[0, 0, 0]]})
    with pytest.raises(ValueError, match=r"NuscenesBoxes.score must have shape \[1\] for 1 names, got \[2\]"):
        NuscenesBoxes.predictions(["car"], **good, score=[1, 2])
    with pytest.raises(ValueError, match="attributes must have 1 entries, as names, got 2"):
        NuscenesBoxes.ground_truth(["car"], **good, attributes=["", ""])
    with pytest.raises(ValueError, match="num_pts must hold whole numbers"):
        NuscenesBoxes.ground_truth(["car"], **good, num_pts=[0.5])


def test_yaw_becomes_a_unit_quaternion() -> None:
    turns = rotation_from_yaw(np.linspace(-4, 4, 9))
    np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1.0)
    np.testing.assert_allclose(rotation_from_yaw(np.pi / 2), [[np.sqrt(0.5), 0, 0, np.sqrt(0.5)]])


def test_configurations_must_make_sense() -> None:
    car = DETECTION_CVPR_2019.classes[0]
    for change, message in (
        ({"classes": ()}, "needs at least one class"),
        ({"classes": (car, car)}, "each once; got"),
        ({"tp_threshold_m": 3.0}, "tp_threshold_m 3.0 must be one of dist_thresholds_m"),
        ({"dist_thresholds_m": (2.0, 2.0)}, "holds a value twice"),
        ({"min_recall": 1.0}, "needs min_recall in"),
        ({"min_precision": 1.0}, "needs min_recall in"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(DETECTION_CVPR_2019, **change)
    with pytest.raises(ValueError, match="range_m of 'x' must be positive, got 0"):
        NuscenesClass(name="x", range_m=0.0)


@pytest.mark.usefixtures("unchecked_shapes")
def test_unscored_errors_are_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unscored knows trans_err, .*, got \['yaw'\]"):
        NuscenesClass(name="x", range_m=1.0, unscored=("yaw",))


def test_the_official_attributes() -> None:
    protocol: NuscenesProtocol = DETECTION_CVPR_2019
    assert len(protocol.attribute_names) == 8
    assert [rule.name for rule in protocol.classes if not rule.attributes] == ["traffic_cone", "barrier"]
    assert [rule.name for rule in protocol.classes if rule.dropped_in_racks] == ["motorcycle", "bicycle"]
