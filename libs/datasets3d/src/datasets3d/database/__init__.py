"""The ground-truth object database: labelled objects cut out of a split, to paste into other frames."""

from datasets3d.database.sample import SamplingConfig, sample_objects
from datasets3d.database.store import DatabaseEntry, ObjectDatabase, build_database

__all__ = ["DatabaseEntry", "ObjectDatabase", "SamplingConfig", "build_database", "sample_objects"]
