"""The key frames that a split names: built from tables, or from a file of records."""

from __future__ import annotations

from pathlib import Path

from datasets3d.depth import DepthReading
from datasets3d.nuscenes import SampleRecord, build_records, read_published_infos, read_records
from datasets3d.nuscenes.records.json_file import FORMAT

SUFFIXES = (".json", ".pkl")
HEAD_BYTES = 200


def load_records(root: Path, split: str, reading: DepthReading) -> list[SampleRecord]:
    """Return the key frames of a split.

    Args:
        root: Of the data set.
        split: `v1.0-trainval/train`, a split built from the tables of a version; or a file, as it is given or
            below the root: as `datasets3d.nuscenes.write_records` leaves it, or the authors' (`.pkl`).
        reading: Names the channels and the number of radar sweeps.

    Raises:
        FileNotFoundError: No such file, or no such tables.
        ValueError: Not a split, a file that is not what its name says, or one built from other tables.
    """
    path = Path(split)
    if path.suffix in SUFFIXES:
        found = next((place for place in (path, root / path) if place.is_file()), None)
        if found is None:
            raise FileNotFoundError(
                f"records {split}: no such file, neither as given nor below {root}; build them from the "
                "tables with v1.0-trainval/train in its place"
            )
        with found.open("rb") as file:
            ours = FORMAT.encode() in file.read(HEAD_BYTES)
        return read_records(found, root=root) if ours else read_published_infos(found, progress=True)
    version, separator, name = split.rpartition("/")
    if not separator or not version:
        raise ValueError(
            f"split {split!r}: expected VERSION/SPLIT, such as v1.0-trainval/train, or a file of records "
            f"({' or '.join(SUFFIXES)})"
        )
    return build_records(
        root,
        version=version,
        split=name,
        channels=(reading.camera, reading.lidar, reading.radar),
        sweeps={reading.radar: reading.radar_sweeps},
        progress=True,
    )
