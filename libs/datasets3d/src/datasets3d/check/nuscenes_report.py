"""The findings of `check_nuscenes`: figures by version folder and channel, and what they mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from datasets3d.check.report import CheckReport
from datasets3d.nuscenes.channels import CAMERAS, LIDAR, RADARS

MASK_FOLDER = "seg_mask"
"""Where the release of Sparse Beats Dense has its pictures of classes."""


@dataclass(kw_only=True)
class ChannelCheck:
    """The files of one sensor in figures."""

    channel: str
    files: int = 0
    key_files: int = 0
    absent: int = 0
    damaged: int = 0
    problems: list[str] = field(default_factory=list)
    masks: int = 0
    """Key pictures that have one."""

    def row(self) -> str:
        """Return the channel as one line of the table."""
        return f"{self.channel:<18} {self.files:>8} {self.key_files:>10} {self.absent:>7} {self.damaged:>8}"


@dataclass(frozen=True, kw_only=True)
class VersionCheck:
    """One version folder."""

    version: str
    counts: dict[str, int]
    """Records by table."""
    table_problems: tuple[str, ...]
    channels: tuple[ChannelCheck, ...]


@dataclass(frozen=True, kw_only=True)
class NuscenesCheckReport(CheckReport):
    """Everything `check_nuscenes` found."""

    versions: tuple[VersionCheck, ...]

    def problems(self) -> list[str]:
        """Return what is wrong, with the cure: tables first, then files by channel."""
        return [
            problem
            for version in self.versions
            for problem in (*version.table_problems, *(p for c in version.channels for p in c.problems))
        ]

    def notes(self) -> list[str]:
        """Return what may be all right but is worth knowing."""
        notes = []
        for version in self.versions:
            seen = {channel.channel for channel in version.channels}
            radars = () if seen.isdisjoint(RADARS) else RADARS
            absent = [channel for channel in (LIDAR, *CAMERAS, *radars) if channel not in seen]
            if not version.counts.get("sample_annotation"):
                notes.append(
                    f"{version.version} has no boxes, as the test split: there is nothing to train on"
                )
            if absent:
                notes.append(
                    f"{version.version} has no files of {', '.join(absent)}: name those it has (cameras= and "
                    "radars= of NuscenesDataset); frames of 3D boxes need the LiDAR"
                )
            if seen.isdisjoint(RADARS):
                notes.append(f"{version.version} has no radar files, which depth completion needs")
            cameras = [c for c in version.channels if c.channel.startswith("CAM")]
            if all(c.masks == 0 for c in cameras):
                notes.append(
                    f"no masks in {MASK_FOLDER}/: unpack the published ones or make some to train depth "
                    "completion with its mask decoders; nothing else needs them"
                )
            notes += [
                f"{c.key_files - c.masks} of {c.key_files} key pictures of {c.channel} have no mask in "
                f"{MASK_FOLDER}/"
                for c in cameras
                if 0 < c.masks < c.key_files
            ]
        return notes

    def figures(self) -> list[str]:
        """Return versions and channels as lines of the table."""
        lines = [f"{self.root}: " + (", ".join(v.version for v in self.versions) or "no version")]
        for version in self.versions:
            counts = version.counts
            lines += [
                "",
                f"{version.version}: {counts.get('scene', 0)} scenes, {counts.get('sample', 0)} key frames, "
                f"{counts.get('sample_annotation', 0)} boxes",
                f"{'channel':<18} {'files':>8} {'key frames':>10} {'absent':>7} {'damaged':>8}",
                *(channel.row() for channel in version.channels),
            ]
        return [*lines, ""]

    def content(self) -> dict[str, Any]:
        """Return versions and channels as plain values."""
        return {"versions": [asdict(version) for version in self.versions]}
