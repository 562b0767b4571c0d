"""The labelled boxes of key frames (`sample_annotation`), in the global frame."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geom3d import transforms
from jaxtyping import Float64

from datasets3d.nuscenes.key_frames import KeyFrames
from datasets3d.nuscenes.tables import Table, stream

_FIELDS = (("translation", 3), ("size", 3), ("rotation", 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """The boxes of one key frame, as columns of equal length m (m may be 0)."""

    names: tuple[str, ...]
    """Full category names, such as `vehicle.car` or `human.pedestrian.adult`."""
    instances: tuple[str, ...]
    """Tokens of `instance`: the same object has the same one in every key frame of its scene."""
    translation: Float64[np.ndarray, "m 3"]
    """Centre in the global frame, metres."""
    size_wlh: Float64[np.ndarray, "m 3"]
    """Width, length, height, metres."""
    rotation_wxyz: Float64[np.ndarray, "m 4"]
    """Quaternion; the box's x axis is its heading."""

    def boxes(self, frame_from_global: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "m 7"]:
        """Return the boxes x y z dx dy dz yaw in another frame.

        The heading is turned in space and then laid flat, as the official kit does it.
        """
        rotation = frame_from_global[:3, :3] @ transforms.rotation_from_quaternion(self.rotation_wxyz)
        yaw = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
        centre = transforms.apply(frame_from_global, self.translation)
        return np.column_stack([centre, self.size_wlh[:, [1, 0, 2]], yaw])


def read_annotations(
    folder: Path, frames: KeyFrames, *, progress: bool = False
) -> dict[str, Annotations] | None:
    """Return the boxes of every chosen key frame by its token; None if none has any (the test split).

    Args:
        folder: The version folder.

    Raises:
        FileNotFoundError: The table sample_annotation, instance or category is missing.
        ValueError: A token leads nowhere, or a field is missing or of another type.
    """
    categories = {row.token: row.text("name") for row in Table(folder, "category")}
    # Only two texts of an instance are kept: there are tens of thousands of them.
    instances: dict[str, tuple[str, str]] = {}
    for row in stream(folder, "instance"):
        name = categories.get(row.text("category_token"))
        if name is None:
            raise row.dangling("category_token", "category")
        instances[row.token] = (name, row.token)
    labels: dict[str, list[tuple[str, str]]] = {token: [] for token in frames.tokens}
    numbers: dict[str, array[float]] = {token: array("d") for token in frames.tokens}
    for row in stream(folder, "sample_annotation", progress=progress):
        sample = row.text("sample_token")
        if sample not in frames.known:
            raise row.dangling("sample_token", "sample")
        if sample in labels:
            instance = instances.get(row.text("instance_token"))
            if instance is None:
                raise row.dangling("instance_token", "instance")
            labels[sample].append(instance)
            for field, count in _FIELDS:
                numbers[sample].extend(row.numbers(field, count))
    if not any(labels.values()):
        return None
    return {token: _annotations(labels[token], numbers[token]) for token in labels}


def _annotations(labels: Sequence[tuple[str, str]], numbers: array[float]) -> Annotations:
    columns = np.array(numbers, np.float64).reshape(len(labels), 10)
    return Annotations(
        names=tuple(name for name, _ in labels),
        instances=tuple(instance for _, instance in labels),
        translation=columns[:, :3],
        size_wlh=columns[:, 3:6],
        rotation_wxyz=columns[:, 6:],
    )
