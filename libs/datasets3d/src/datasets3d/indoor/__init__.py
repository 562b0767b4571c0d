"""Scans of rooms with boxes around their objects, of any data set or one's own."""

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
    "OwnBoxes",
    "RepairedRoom",
    "Room",
    "RoomMistake",
    "RoomObjects",
    "find_room_mistakes",
    "own_boxes",
    "read_room",
    "repair_room",
    "upright_boxes",
    "write_boxed_scan",
    "write_boxes_json",
    "write_boxes_ply",
]
