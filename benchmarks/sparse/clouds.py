"""Seeded scenes with the sparsity of real scans: a street seen by a spinning sensor, a furnished room.

Plain NumPy, so that every library gets the same voxels: `cloud(name)`.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

GRID = (41, 1600, 1408)
"""z y x cells of the street, the topmost layer empty: 70.4 m ahead, 40 m to each side (KITTI)."""
VOXEL_M = (0.05, 0.05, 0.1)
"""x y z edges of the street's cells."""
BOUNDS_M = (0.0, -40.0, -3.0, 70.4, 40.0, 1.0)
"""x y z from, x y z to."""
HEIGHT_M = 1.73
"""Of the sensor above the street."""
CLOUDS = ("street 16k", "street 16k x 2", "street 40k", "room 80k")


@dataclass(frozen=True)
class Cloud:
    """Voxels in the order of the scan, and four features each."""

    coords_bzyx: NDArray[np.int32]
    features: NDArray[np.float32]
    spatial_shape: tuple[int, int, int]
    batch_size: int


@cache
def cloud(name: str) -> Cloud:
    """Return one of `CLOUDS`."""
    match name:
        case "street 16k":
            return batch([street_scan(12)])
        case "street 16k x 2":
            return batch([street_scan(12), street_scan(5)])
        case "street 40k":
            return batch([street_scan(2, step_deg=0.088, view_deg=110.0)])
        case "room 80k":
            return _room()
    raise ValueError(f"cloud: the name must be one of {', '.join(CLOUDS)}, got {name!r}")


def batch(scans: list[NDArray[np.float32]]) -> Cloud:
    """Voxelise street scans into one batch."""
    coords, features = [], []
    for index, points in enumerate(scans):
        zyx = np.floor((points[:, :3] - BOUNDS_M[:3]) / VOXEL_M)[:, ::-1].astype(np.int64)
        inside = ((zyx >= 0) & (zyx < (GRID[0] - 1, *GRID[1:]))).all(axis=1)
        rows = first_of_cell(zyx[inside])
        coords.append(np.insert(zyx[inside][rows], 0, index, axis=1).astype(np.int32))
        features.append(points[inside][rows] / np.float32((70, 40, 3, 1)))
    return Cloud(np.concatenate(coords), np.concatenate(features), GRID, len(scans))


def first_of_cell(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of the first point of every cell, ascending."""
    return np.sort(
        np.unique(np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1)), return_index=True)[1]
    )


def street_scan(seed: int, *, step_deg: float = 0.24, view_deg: float = 81.0) -> NDArray[np.float32]:
    """Return x y z intensity of a street seen by a sensor of 64 beams, beam by beam."""
    rng = np.random.default_rng(seed)
    elevation = np.deg2rad(np.concatenate([np.linspace(2, -8.33, 32), np.linspace(-8.83, -24.33, 32)]))
    azimuth = np.deg2rad(np.arange(-view_deg / 2, view_deg / 2, step_deg))
    up, side = (angle.ravel() for angle in np.meshgrid(elevation, azimuth, indexing="ij"))
    ray = np.stack([np.cos(up) * np.cos(side), np.cos(up) * np.sin(side), np.sin(up)], axis=1)
    distance = np.where(ray[:, 2] < 0, HEIGHT_M / np.maximum(-ray[:, 2], 1e-9), np.inf)
    for front in (1, -1):
        y, ahead = front * rng.uniform(12, 19), -5.0
        while ahead < 80:  # house by house, some set back
            width = rng.uniform(6, 16)
            house = (
                ahead + width / 2,
                y + front * rng.uniform(0, 5),
                width,
                rng.uniform(4, 8),
                rng.normal(0, 0.04),
            )
            distance = np.minimum(distance, _box(ray, house, height=8.0))
            ahead += width + rng.uniform(0, 6)
    for _ in range(24):  # cars, hedges, bins: upright boxes
        at = (rng.uniform(6, 62), rng.choice([-1, 1]) * rng.uniform(2.5, 12))
        thing = (*at, rng.uniform(0.8, 4.6), rng.uniform(0.4, 1.8), rng.normal(0, 0.1))
        distance = np.minimum(distance, _box(ray, thing, height=rng.uniform(1.0, 1.8)))
    for _ in range(36):  # trunks, poles, people: upright cylinders
        at = np.array([rng.uniform(4, 62), rng.choice([-1, 1]) * rng.uniform(3, 13)])
        distance = np.minimum(
            distance, _cylinder(ray, at, rng.uniform(0.06, 0.35), height=rng.uniform(1.6, 5.5))
        )
    keep = (distance < 80) & (rng.random(len(ray)) > 0.08)
    along = distance[keep] + rng.normal(0, 0.015, keep.sum())
    points = ray[keep] * along[:, None] + rng.normal(0, 0.006, (keep.sum(), 3))
    return np.column_stack([points, rng.beta(2, 5, len(points))]).astype(np.float32)


def _box(ray: NDArray, box: tuple[float, ...], *, height: float) -> NDArray:
    """Distance along every ray to a box on the ground: x y, size along and across, yaw; inf where missed."""
    x, y, length, width, yaw = box
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    half = np.array([length, width, height]) / 2
    centre, local = turn @ (x, y, height / 2 - HEIGHT_M), ray @ turn.T
    with np.errstate(divide="ignore", invalid="ignore"):
        faces = np.stack([(centre - half) / local, (centre + half) / local])
    enter, leave = faces.min(axis=0).max(axis=1), faces.max(axis=0).min(axis=1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def _cylinder(ray: NDArray, at: NDArray, radius: float, *, height: float) -> NDArray:
    """Distance along every ray to an upright cylinder on the ground; inf where missed."""
    flat, along = (ray[:, :2] ** 2).sum(axis=1), ray[:, :2] @ at
    inner = along**2 - flat * (at @ at - radius**2)
    hit = (along - np.sqrt(np.maximum(inner, 0))) / flat
    z = hit * ray[:, 2] + HEIGHT_M
    return np.where((inner > 0) & (hit > 0) & (z > 0) & (z < height), hit, np.inf)


@cache
def room_points(seed: int = 0, count: int = 118_000) -> NDArray[np.float32]:
    """Return x y z of points on the surfaces of a furnished room, with 3 mm of noise, in no order."""
    rng = np.random.default_rng(seed)
    width, depth, height = rng.uniform(4.6, 5.4), rng.uniform(4.0, 4.8), 1.4
    x, y, z = np.eye(3)
    patches = [(0 * x, width * x, depth * y, 1.0), (0 * x, width * x, height * z, 0.5)]
    patches += [(0 * x, depth * y, height * z, 0.5), (depth * y, width * x, height * z, 0.5)]
    for _ in range(16):  # tables, cabinets, beds: what stands is seen from above and from the sides
        size = rng.uniform((0.3, 0.3, 0.35), (1.6, 0.9, 1.2))
        corner = rng.uniform((0.1, 0.1, 0), (width - size[0] - 0.1, depth - size[1] - 0.1, 0.3))
        a, b, c = size[0] * x, size[1] * y, size[2] * z
        patches += [(corner + c, a, b, 1.2), (corner, a, c, 0.9), (corner, b, c, 0.9)]
        patches += [(corner + b, a, c, 0.5), (corner + a, b, c, 0.7)]
    origins, us, vs = (np.array([patch[i] for patch in patches]) for i in range(3))
    weights = np.linalg.norm(np.cross(us, vs), axis=1) * [density for *_, density in patches]
    patch = rng.choice(len(patches), count, p=weights / weights.sum())
    points = origins[patch] + us[patch] * rng.random((count, 1)) + vs[patch] * rng.random((count, 1))
    for centre, radius in zip(
        rng.uniform(0, (width, depth, 1.5), (40, 3)), rng.uniform(0.1, 0.35, 40), strict=True
    ):
        points = points[((points - centre) ** 2).sum(axis=1) > radius**2]  # where the scanner did not look
    return (points + rng.normal(0, 0.003, points.shape)).astype(np.float32)


def _room() -> Cloud:
    points = room_points()
    zyx = np.floor((points - points.min(axis=0)) / 0.02)[:, ::-1].astype(np.int64)
    rows = first_of_cell(zyx)
    features = np.column_stack([points[rows], np.ones(len(rows))]).astype(np.float32)
    shape = tuple(int(size) for size in zyx.max(axis=0) + 1)
    return Cloud(
        np.insert(zyx[rows], 0, 0, axis=1).astype(np.int32), features, (shape[0], shape[1], shape[2]), 1
    )
