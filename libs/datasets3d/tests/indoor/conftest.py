"""Made rooms: floor, walls, ceiling and furniture as points with noise, and the boxes of the furniture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest


class MadeRoom(NamedTuple):
    points: np.ndarray
    """In the aligned frame: z up, the floor at 0, walls along x and y, metres."""
    boxes: np.ndarray
    """Centre and size of the pieces of furniture that stand along x and y."""


def _block(centre: np.ndarray, size: np.ndarray, yaw: float) -> list[np.ndarray]:
    """Corner and two edges of every face but the lowest."""
    edges = np.diag(size) @ [[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]
    corner, (x, y, z) = centre - edges.sum(axis=0) / 2, edges
    faces = [(corner, x, z), (corner + y, x, z), (corner, y, z), (corner + x, y, z), (corner + z, x, y)]
    return [np.stack(face) for face in faces]


def make_room(
    seed: int = 0,
    *,
    size: tuple[float, float, float] = (4.6, 3.6, 2.6),
    has_ceiling: bool = True,
    walls: tuple[int, ...] = (0, 1, 2, 3),
    furniture: int = 6,
    points_per_m2: float = 230.0,
    noise_m: float = 0.004,
) -> MadeRoom:
    rng = np.random.default_rng(seed)
    x, y, z = np.diag(size)
    zero = np.zeros(3)
    around = [(zero, x, z), (y, x, z), (zero, y, z), (x, y, z)]
    faces = [np.stack(face) for face in [(zero, x, y), *([(z, x, y)] if has_ceiling else [])]]
    faces += [np.stack(around[wall]) for wall in walls]
    boxes = []
    for number in range(furniture):
        kind = rng.integers(0, 3)
        yaw = rng.uniform(0, np.pi) if number % 2 else 0.0
        lowest, highest = (
            ([0.8, 0.6, 0.70], [1.6, 0.9, 0.76]),  # a table
            ([0.6, 0.35, 0.8], [1.1, 0.6, 1.9]),  # a cupboard
            ([1.0, 0.8, 0.40], [1.9, 1.4, 0.6]),  # a bed
        )[kind]
        extent = rng.uniform(lowest, highest)
        centre = np.array([*rng.uniform([1.1, 1.0], [size[0] - 1.1, size[1] - 1.0]), extent[2] / 2])
        if kind == 1:
            centre[1], yaw = extent[1] / 2, 0.0
        faces += _block(centre, extent, yaw)
        if yaw == 0.0:
            boxes.append([*centre, *extent])
    parts = []
    for corner, along, up in faces:
        count = int(np.linalg.norm(np.cross(along, up)) * points_per_m2) + 1
        share = rng.random((count, 2))
        parts.append(corner + share[:, :1] * along + share[:, 1:] * up)
    points = np.concatenate(parts)
    points += rng.normal(0, noise_m, points.shape)
    shift = [size[0] / 2, size[1] / 2, 0.0]
    return MadeRoom(points - shift, np.array(boxes) - [*shift, 0, 0, 0])


@pytest.fixture(scope="session", name="make_room")
def _make_room():
    return make_room
