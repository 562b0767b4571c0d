"""The records of a nuScenes split in one file, so that training need not read the tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from datasets3d import _sources, nuscenes

RecordsFormat = Literal["records", "published"]
"""Ours, or as JSON in the layout of `nuscenes_radar_5sweeps_infos_*.pkl`."""

_TABLES = ("scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor", "splits")
"""What records are built from."""


def prepare_nuscenes(
    root: Path | str,
    out: Path | str,
    *,
    version: str = "v1.0-trainval",
    split: str | Sequence[str] | None = None,
    channels: Sequence[str] = nuscenes.DEPTH_CHANNELS,
    radar_sweeps: int = 5,
    layout: RecordsFormat = "records",
) -> list[nuscenes.SampleRecord]:
    """Write the records of a split to a file and return them; errors as of `build_records`, and these.

    Args:
        root: Folder with samples/, sweeps/ and the version folder.
        out: The file.
        version: Name of the folder with the tables.
        split: None takes all scenes.
        channels: Sensors that every key frame must have.
        radar_sweeps: Of every radar, the key frame's included.
        layout: What the file looks like.

    Raises:
        ValueError: Fewer than one radar sweep.
    """
    if radar_sweeps < 1:
        raise ValueError(f"prepare_nuscenes: radar_sweeps must be at least 1, got {radar_sweeps}")
    sweeps: dict[str, int] = dict.fromkeys(nuscenes.RADARS, radar_sweeps)
    records = nuscenes.build_records(
        root, version=version, split=split, channels=channels, sweeps=sweeps, progress=True
    )
    if layout == "published":
        nuscenes.write_published_infos(out, records)
    else:
        tables = (Path(root) / version / f"{name}.json" for name in _TABLES)
        nuscenes.write_records(out, records, sources=_sources.digests(Path(root), tables))
    return records
