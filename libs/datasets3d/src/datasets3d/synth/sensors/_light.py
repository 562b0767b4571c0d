"""Light: sky, sun, shadows, reflections and the darkness of corners."""

import numpy as np
from jaxtyping import Float32

from datasets3d.synth.sensors._noise import value_noise
from datasets3d.synth.sensors._textures import Surface
from datasets3d.synth.sensors.rays import SURFACE_OFFSET_M, RayCaster
from datasets3d.synth.world.materials import GLOSS, Material
from datasets3d.synth.world.scene import Scene, Sun

_OPENNESS_STEP = 3
"""Openness is measured at every third pixel of every third row."""
_OPENNESS_RAYS = 8
_OPENNESS_REACH_M = 2.0


def sky_color(directions: Float32[np.ndarray, "n 3"], sun: Sun, *, seed: int) -> Float32[np.ndarray, "n 3"]:
    """Radiance of the sky: blue overhead, white at the horizon, clouds, a glow about the sun."""
    up = np.clip(directions[:, 2], 0.0, 1.0)
    blue = np.array([0.25, 0.48, 0.95], dtype=np.float32) * 0.9
    white = np.array([0.95, 0.98, 1.02], dtype=np.float32)
    plane = directions / np.maximum(directions[:, 2:3], 0.06)
    plane = plane * np.array([1.0, 1.0, 0.0], dtype=np.float32)
    cloud = 0.65 * value_noise(plane, cell_m=1.7, seed=seed + 31) + 0.35 * value_noise(
        plane, cell_m=0.5, seed=seed + 32
    )
    cloud = np.clip((cloud - 0.55 + 0.35 * sun.haze) * 4, 0, 1) * np.clip(up * 8, 0, 1)
    pale = np.clip(np.maximum(np.exp(-4.5 * up), sun.haze * 0.8) + 0.8 * cloud, 0, 1)[:, None]
    glow = np.clip(directions @ sun.direction.astype(np.float32), 0, 1) ** 40 * sun.strength
    return (blue * (1 - pale) + white * pale) * (1 + 1.5 * glow)[:, None]


def sunlit(surface: Surface, caster: RayCaster, sun: Sun, *, shadows: bool) -> Float32[np.ndarray, " n"]:
    """The cosine of the sun's incidence, 0 in shadow; leaves let light through."""
    cosine = surface.normals @ sun.direction.astype(np.float32)
    leaf = surface.material == Material.LEAVES
    cosine = np.where(leaf, 0.35 + 0.5 * np.abs(cosine), np.maximum(cosine, 0.0))
    if shadows and sun.strength > 0.02:
        lit = np.nonzero(cosine > 0)[0]
        start = surface.points[lit] + SURFACE_OFFSET_M * surface.normals[lit] * 4
        start += SURFACE_OFFSET_M * sun.direction.astype(np.float32)
        towards = np.broadcast_to(sun.direction.astype(np.float32), start.shape)
        cosine[lit[caster.is_blocked(start, towards)]] = 0.0
    return cosine.astype(np.float32)


def shade(
    surface: Surface, directions: Float32[np.ndarray, "n 3"], lit: Float32[np.ndarray, " n"], scene: Scene
) -> Float32[np.ndarray, "n 3"]:
    """Matt surfaces under sun and sky, plus a mirror-like part for paint and glass."""
    sun = scene.sun
    warm = np.array([1.0, 0.93, 0.82], dtype=np.float32) * 2.6 * sun.strength
    sky = np.array([0.75, 0.88, 1.08], dtype=np.float32) * (0.55 + 0.5 * sun.haze * (1 - 0.6 * sun.strength))
    bounce = np.array([0.55, 0.5, 0.44], dtype=np.float32) * (0.25 + 0.3 * sun.strength)
    upward = (0.5 + 0.5 * surface.normals[:, 2])[:, None]
    ambient = sky * upward + bounce * (1 - upward)
    color = surface.albedo * (lit[:, None] * warm + ambient)
    gloss = np.where(surface.glass, 0.9, GLOSS[surface.material])
    shiny = np.nonzero(gloss > 0.1)[0]
    normal, view = surface.normals[shiny], directions[shiny]
    facing = np.clip(-np.einsum("ni,ni->n", normal, view), 0, 1)
    mirror = view + 2 * facing[:, None] * normal
    fresnel = gloss[shiny] * (0.06 + 0.94 * (1 - facing) ** 5)
    seen = sky_color(mirror, sun, seed=scene.texture_seed)
    # What a mirror would see below the skyline is about as bright as a shaded street.
    seen = np.where((mirror[:, 2] > 0.12)[:, None], seen * 1.4, 0.18 + 0.5 * np.clip(mirror[:, 2:3], 0, 1))
    highlight = np.clip(mirror @ sun.direction.astype(np.float32), 0, 1) ** 180 * (lit[shiny] > 0)
    color[shiny] += fresnel[:, None] * seen + (gloss[shiny] * highlight * 6 * sun.strength)[:, None]
    return color.astype(np.float32)


def sky_openness(
    points: Float32[np.ndarray, "h w 3"], normals: Float32[np.ndarray, "h w 3"], caster: RayCaster
) -> Float32[np.ndarray, "h w"]:
    """A factor in 0.3..1 for how much of the sky within two metres is free: dark under cars and in corners.

    Measured on a coarse grid with a few rays each, then smoothed. Pixels of the sky (NaN points) are open.
    """
    height, width = points.shape[:2]
    rows, columns = np.arange(1, height, _OPENNESS_STEP), np.arange(1, width, _OPENNESS_STEP)
    grid = np.ix_(rows, columns)
    start = (points[grid] + 0.02 * normals[grid]).reshape(-1, 3)
    normal = normals[grid].reshape(-1, 3)
    solid = np.nonzero(np.isfinite(start[:, 0]))[0]
    start, normal = start[solid], normal[solid]
    blocked = np.zeros(len(solid), dtype=np.float32)
    for direction in _sphere(_OPENNESS_RAYS, len(solid)):
        towards = normal * 1.02 + direction
        towards *= _OPENNESS_REACH_M / np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-3)
        blocked += caster.is_blocked(start, towards, reach=1.0)
    coarse = np.ones(len(rows) * len(columns), dtype=np.float32)
    coarse[solid] = 1 - 0.7 * blocked / _OPENNESS_RAYS
    coarse = _blur(_blur(coarse.reshape(len(rows), len(columns))))
    row_of = np.minimum(np.arange(height) // _OPENNESS_STEP, len(rows) - 1)
    column_of = np.minimum(np.arange(width) // _OPENNESS_STEP, len(columns) - 1)
    return _blur(coarse[np.ix_(row_of, column_of)])


def _sphere(count: int, points: int) -> list[Float32[np.ndarray, "points 3"]]:
    """Evenly spread directions (a Fibonacci sphere), turned about z from point to point."""
    turn = (np.arange(points) * 2.399963).astype(np.float32)
    directions = []
    for i in range(count):
        z = 1 - (2 * i + 1) / count
        radius = np.sqrt(1 - z * z)
        angle = i * 2.399963 + turn * 7.0
        directions.append(
            np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(points, z)], axis=1).astype(
                np.float32
            )
        )
    return directions


def _blur(image: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """A 3 x 3 box mean, edges repeated."""
    padded = np.pad(image, 1, mode="edge")
    height, width = image.shape
    rows = padded[:height] + padded[1:-1] + padded[2:]
    return ((rows[:, :width] + rows[:, 1:-1] + rows[:, 2:]) / 9).astype(np.float32)
