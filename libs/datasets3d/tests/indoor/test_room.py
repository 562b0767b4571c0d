"""The typed room: columns fit together, objects and points are taken by rows."""

import numpy as np
import pytest
from datasets3d.indoor import Room, RoomObjects


def _room(**changes):
    columns = {
        "name": "scene0000_00",
        "points": np.arange(12, dtype=np.float32).reshape(4, 3),
        "colors": np.arange(12, dtype=np.uint8).reshape(4, 3),
        "instances": np.array([0, 0, 1, -1], np.int32),
        "objects": RoomObjects(
            names=("chair", "cup"),
            boxes=np.ones((2, 6), np.float32),
            instances=np.arange(2, dtype=np.int32),
        ),
    }
    return Room(**(columns | changes))


def test_points_are_taken_with_their_columns():
    taken = _room().take(np.array([2, 0]))
    assert len(taken) == 2 and taken.instances.tolist() == [1, 0] and taken.colors[0].tolist() == [6, 7, 8]
    assert taken.classes is None and len(taken.objects) == 2
    assert len(_room().take(np.zeros(4, bool))) == 0


def test_objects_are_taken_by_number_and_mask():
    objects = _room().objects
    assert objects.take(np.array([1])).names == ("cup",)
    assert len(objects.take(np.array([False, False]))) == 0
    assert objects.take(np.array([True, True])).instances.tolist() == [0, 1]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"points": np.zeros((4, 3))}, TypeError, "Room.points"),
        ({"points": np.zeros((4, 4), np.float32)}, ValueError, "Room.points"),
        ({"colors": np.zeros((3, 3), np.uint8)}, ValueError, "Room.colors"),
        ({"instances": np.zeros(4, np.int64)}, TypeError, "Room.instances"),
        ({"aligned_from_scan": np.eye(3)}, ValueError, "Room.aligned_from_scan"),
    ],
)
def test_columns_that_do_not_fit_are_named(changes, error, named):
    with pytest.raises(error, match=named):
        _room(**changes)


@pytest.mark.parametrize("size", [-0.1, np.nan])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match=r"RoomObjects\.boxes"):
        RoomObjects(names=("cup",), boxes=np.array([[0, 0, 0, 1, 1, size]], np.float32))
