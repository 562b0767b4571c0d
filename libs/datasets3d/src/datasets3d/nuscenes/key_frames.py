"""The key frames of a split, from the tables `scene` and `sample`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets3d.nuscenes.splits import split_scenes
from datasets3d.nuscenes.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFrame:
    """One record of the table `sample`."""

    token: str
    scene_token: str
    scene_name: str
    timestamp_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFrames:
    """The key frames of a split among all of the tables."""

    chosen: tuple[KeyFrame, ...]
    """By scene as in the table, then by time."""
    tokens: frozenset[str]
    """Of the chosen ones."""
    known: frozenset[str]
    """Tokens of all key frames of the tables."""


def read_key_frames(folder: Path, split: str | Sequence[str] | None) -> KeyFrames:
    """Return the key frames of a split from the tables `scene` and `sample`.

    Raises:
        FileNotFoundError: One of the two is missing.
        ValueError: As for `build_records`.
    """
    scenes, samples = Table(folder, "scene"), Table(folder, "sample")
    names = {row.token: row.text("name") for row in scenes}
    wanted = set(names.values()) if split is None else set(split_scenes(folder, split))
    absent = sorted(wanted - set(names.values()))
    if absent:
        raise ValueError(
            f"datasets3d.nuscenes: {len(absent)} of {len(wanted)} scenes of the split are not in "
            f"{scenes.path}: {_first(absent)}; it holds {_first(sorted(names.values()))}"
        )
    rank = {token: index for index, token in enumerate(names)}
    found: list[KeyFrame] = []
    for row in samples:
        scene = scenes.follow(row, "scene_token").token
        if names[scene] in wanted:
            found.append(
                KeyFrame(
                    token=row.token,
                    scene_token=scene,
                    scene_name=names[scene],
                    timestamp_us=row.whole("timestamp"),
                )
            )
    if not found:
        raise ValueError(f"datasets3d.nuscenes: {samples.path} holds no key frame of the split")
    found.sort(key=lambda frame: (rank[frame.scene_token], frame.timestamp_us))
    return KeyFrames(
        chosen=tuple(found),
        tokens=frozenset(frame.token for frame in found),
        known=frozenset(row.token for row in samples),
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
