"""Scans of rooms with boxes around their objects, of any data set: the typed scan and its objects."""

from datasets3d.indoor.room import Room, RoomObjects

__all__ = ["Room", "RoomObjects"]
