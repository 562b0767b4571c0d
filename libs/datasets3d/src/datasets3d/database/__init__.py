"""The ground-truth object database: labelled objects cut out of frames, to paste into others."""

from datasets3d.database.sample import SamplingConfig, sample_objects
from datasets3d.database.store import (
    DATABASE_FOLDER,
    DatabaseEntry,
    ObjectDatabase,
    ObjectImage,
    build_database,
)

__all__ = [
    "DATABASE_FOLDER",
    "DatabaseEntry",
    "ObjectDatabase",
    "ObjectImage",
    "SamplingConfig",
    "build_database",
    "sample_objects",
]
