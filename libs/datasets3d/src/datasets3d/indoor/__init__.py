"""Scans of rooms with boxes around their objects, of any data set or one's own."""

from datasets3d.indoor.augment import RoomAugmentation, augment_room, sample_points
from datasets3d.indoor.labels import SCANNET18, SCANNET20, SCANNET_MD40, TO_SCENE, LabelSet
from datasets3d.indoor.own_boxes import (
    OwnBoxes,
    own_boxes,
    upright_boxes,
    write_boxed_scan,
    write_boxes_json,
    write_boxes_ply,
)
from datasets3d.indoor.own_scan import RepairedRoom, RoomMistake, find_room_mistakes, read_room, repair_room
from datasets3d.indoor.room import Room, RoomObjects

__all__ = [
    "SCANNET18",
    "SCANNET20",
    "SCANNET_MD40",
    "TO_SCENE",
    "LabelSet",
    "OwnBoxes",
    "RepairedRoom",
    "Room",
    "RoomAugmentation",
    "RoomMistake",
    "RoomObjects",
    "augment_room",
    "find_room_mistakes",
    "own_boxes",
    "read_room",
    "repair_room",
    "sample_points",
    "upright_boxes",
    "write_boxed_scan",
    "write_boxes_json",
    "write_boxes_ply",
]
