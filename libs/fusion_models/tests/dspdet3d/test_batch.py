from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets3d.indoor import Room, RoomObjects
from fusion_models.dspdet3d import collate_rooms

CLASSES = ("bottle", "cup")


def room(name="a", points=5, objects=("cup", "wall", "bottle")) -> Room:
    rng = np.random.default_rng(len(name) + points)
    boxes = rng.uniform(0, 1, (len(objects), 6)).astype(np.float32)
    return Room(
        name=name,
        points=rng.uniform(-1, 1, (points, 3)).astype(np.float32),
        objects=RoomObjects(names=tuple(objects), boxes=boxes),
    )


def test_rooms_come_one_after_the_other_with_the_objects_of_the_classes():
    rooms = [room("a", 5), room("bb", 0, ()), room("ccc", 3, ("wall",)), room("dddd", 2, ("cup", "cup"))]
    batch = collate_rooms(rooms, CLASSES)
    assert len(batch) == 4 and batch.names == ("a", "bb", "ccc", "dddd")
    assert batch.point_counts == (5, 0, 3, 2) and batch.box_counts == (2, 0, 0, 2)
    assert batch.labels.tolist() == [1, 0, 1, 1]
    assert torch.equal(batch.points, torch.from_numpy(np.concatenate([r.points for r in rooms])))
    assert np.array_equal(batch.boxes[:2].numpy(), rooms[0].objects.boxes[[0, 2]])


def test_rooms_without_labels_give_a_batch_without():
    batch = collate_rooms([replace(room(), objects=None)], CLASSES)
    assert batch.boxes is None and batch.labels is None and batch.box_counts is None


def test_rooms_without_any_object_of_the_classes_have_labels_all_the_same():
    batch = collate_rooms([room(objects=("wall",)), room(objects=())], CLASSES)
    assert batch.boxes.shape == (0, 6) and batch.labels.dtype == torch.int64
    assert batch.box_counts == (0, 0)


def test_moving_a_batch_moves_every_tensor():
    moved = collate_rooms([room()], CLASSES).to("meta")
    assert {t.device.type for t in (moved.points, moved.boxes, moved.labels)} == {"meta"}
    assert moved.point_counts == (5,)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="at least one room, got none"):
        collate_rooms([], CLASSES)
    with pytest.raises(ValueError, match=r"rooms \['b'\] have no labels, the others do; do not mix"):
        collate_rooms([room(), replace(room("b"), objects=None)], CLASSES)
    with pytest.raises(ValueError, match="class_names must be distinct"):
        collate_rooms([room()], ("cup", "cup"))
    with pytest.raises(ValueError, match="labels and box_counts must all be given or all be None"):
        replace(collate_rooms([room()], CLASSES), labels=None)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_points_and_boxes_that_are_not_finite_are_refused_by_the_name_of_the_room(value):
    broken = room("scene0001_00")
    broken.points[3, 1] = value
    with pytest.raises(ValueError, match="points must be finite, got NaN or infinity: 1 in scene0001_00"):
        collate_rooms([room(), broken, room()], CLASSES)
    broken = room("scene0002_00")
    broken.objects.boxes[0, 2] = value
    with pytest.raises(ValueError, match="boxes must be finite, got NaN or infinity: 1 in scene0002_00"):
        collate_rooms([broken], CLASSES)


def test_boxes_of_other_classes_may_hold_anything():
    other = room()
    other.objects.boxes[1, 0] = np.nan
    assert torch.isfinite(collate_rooms([other], CLASSES).boxes).all()
