"""Drive through synthetic streets and write what the sensors record as a nuScenes tree."""

import functools
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from datasets3d._atomic import write_json
from datasets3d.nuscenes.channels import LIDAR
from datasets3d.nuscenes.splits import SPLITS
from datasets3d.synth.layouts._nuscenes_frame import build_world, record_key_frame
from datasets3d.synth.layouts._nuscenes_tables import (
    MAP_FILE,
    VEHICLE,
    KeyFrameEntry,
    SceneEntry,
    build_tables,
)
from datasets3d.synth.layouts._writing import divide, new_folder, run, worker_count
from datasets3d.synth.nuscenes_config import NuscenesSynthConfig
from datasets3d.synth.sensors.rig import RADAR_CHANNELS, nuscenes_rig

VERSION = "v1.0-trainval"
_FIRST_DAY_US = 1_577_836_800_000_000
"""Scene 0 begins on 1 January 2020; every later one a day after the one before."""
_DAY_US = 86_400_000_000
_VAL_EVERY = 4
"""Scenes 1, 5, 9, ... are for validation."""


def write_nuscenes(
    out_dir: Path | str,
    *,
    scenes: int,
    seed: int,
    config: NuscenesSynthConfig | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a synthetic data set in the layout of nuScenes and return its folder.

    The tables lie in `v1.0-trainval/`, with a `splits.json` (train: three scenes of four; val). Scenes bear
    names of the official splits, so that tools with the official lists of names find them. Key frames come at
    2 Hz, LiDAR and radar sweeps between them; every file has its own time and its own pose of the car. An
    object is labelled within 80 m of the car if at least one LiDAR or radar point lies in its box; its
    visibility is measured in all cameras together. Each scene lies elsewhere in the global frame.

    Beside the official folders: `seg_mask/<image base name>.png` holds the ADE20K class of every pixel
    (8 bit, as the released Sparse Beats Dense expects it), `depth/<channel>/<image base name>.png` its depth
    along the camera's axis (16 bit, metres times 256; 0 for the sky and beyond 255.99 m).

    The same arguments give byte-identical files for any number of workers, with the same versions of numpy
    and Pillow. The folder appears under its name only when it is complete; until then it is
    `<out_dir>.partial`. Worker processes are spawned: in a script, call this under
    `if __name__ == "__main__":`.

    Args:
        out_dir: Must not exist, or be empty.
        scenes: 1 to 800.
        workers: Processes; all available cores by default. 1 works in this process.
        progress: Show a progress bar on the terminal.

    Raises:
        FileExistsError: `out_dir` holds something already.
        ValueError: `scenes` outside 1..800, `workers` below 1, a negative seed, or scenes longer than 60 s.
    """
    out_dir = Path(out_dir)
    config = NuscenesSynthConfig() if config is None else config
    if not 1 <= scenes <= 800:
        raise ValueError(f"write_nuscenes: scenes must lie in 1..800, got {scenes}")
    names = scene_names(scenes)
    frames = scenes * config.key_frames
    with new_folder(out_dir, seed=seed, workers=workers, writer="write_nuscenes") as partial:
        _make_folders(partial, config)
        done: dict[tuple[int, int], KeyFrameEntry] = {}
        count = worker_count(workers, frames=frames)
        jobs = divide(scenes, frames=config.key_frames, workers=count)
        recorded = run(functools.partial(_record, partial, config, seed), jobs, workers=count)
        for scene, index, entry in tqdm(
            recorded, total=frames, desc=f"synth {out_dir.name}", unit="key frame", disable=not progress
        ):
            done[scene, index] = entry
        entries = [
            SceneEntry(
                name=name,
                description=f"Synthetic street, seed {seed}, scene {number}",
                logfile=_logfile(number),
                date=_begin(number).strftime("%Y-%m-%d"),
                rig=nuscenes_rig(config),
                key_frames=tuple(done[number, index] for index in range(config.key_frames)),
            )
            for number, name in enumerate(names)
        ]
        for table, records in build_tables(entries, seed=seed).items():
            write_json(partial / VERSION / f"{table}.json", records)
        write_json(partial / VERSION / "splits.json", _splits(names))
    return out_dir


def scene_names(count: int) -> list[str]:
    """Names of the scenes, from the official lists: every fourth from that of the validation split.

    A longer data set begins with the scenes of a shorter one.

    Example:
        >>> scene_names(3)
        ['scene-0001', 'scene-0003', 'scene-0002']
    """
    train, val = iter(SPLITS["train"]), iter(SPLITS["val"])
    return [next(val if number % _VAL_EVERY == 1 else train) for number in range(count)]


def _splits(names: list[str]) -> dict[str, list[str]]:
    is_val = [number % _VAL_EVERY == 1 for number in range(len(names))]
    return {
        "train": [name for name, val in zip(names, is_val, strict=True) if not val],
        "val": [name for name, val in zip(names, is_val, strict=True) if val],
    }


def _make_folders(root: Path, config: NuscenesSynthConfig) -> None:
    for channel in (LIDAR, *config.cameras, *RADAR_CHANNELS):
        (root / "samples" / channel).mkdir(parents=True)
        (root / "sweeps" / channel).mkdir(parents=True)
    for channel in config.cameras:
        (root / "depth" / channel).mkdir(parents=True)
    (root / "seg_mask").mkdir()
    (root / VERSION).mkdir()
    # The official kit wants the file to be there; no scene here has a map.
    (root / MAP_FILE).parent.mkdir()
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), dtype=np.uint8)).save(buffer, format="PNG")
    (root / MAP_FILE).write_bytes(buffer.getvalue())


def _record(
    root: Path, config: NuscenesSynthConfig, seed: int, job: tuple[int, range]
) -> Iterator[tuple[int, int, KeyFrameEntry]]:
    scene, indices = job
    world, start_us = build_world(config, seed=seed, number=scene), _FIRST_DAY_US + scene * _DAY_US
    for index in indices:
        yield (
            scene,
            index,
            record_key_frame(root, world, index, logfile=_logfile(scene), start_us=start_us),
        )


def _begin(number: int) -> datetime:
    return datetime.fromtimestamp((_FIRST_DAY_US + number * _DAY_US) / 1e6, tz=UTC)


def _logfile(number: int) -> str:
    return f"{VEHICLE}-{_begin(number).strftime('%Y-%m-%d-%H-%M-%S')}+0000"
