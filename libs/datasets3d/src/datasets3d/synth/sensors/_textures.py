"""Procedural textures: what both sensors see where a ray meets a surface."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from datasets3d.synth.sensors._noise import value_noise
from datasets3d.synth.sensors.rays import Hits
from datasets3d.synth.world.materials import NIR, NIR_OF_COLOR, SEMANTIC, Material, Semantic
from datasets3d.synth.world.plan import Plan
from datasets3d.synth.world.scene import Scene


@dataclass(frozen=True, slots=True)
class Surface:
    """The surface at each of n hits."""

    points: Float32[np.ndarray, "n 3"]
    """The scene's frame, metres."""
    normals: Float32[np.ndarray, "n 3"]
    """Unit shading normals, turned towards the viewer."""
    albedo: Float32[np.ndarray, "n 3"]
    """Linear RGB, 0..1."""
    nir: Float32[np.ndarray, " n"]
    """Reflectivity at the LiDAR's wavelength; above 1 for retro-reflectors."""
    glass: Bool[np.ndarray, " n"]
    material: UInt8[np.ndarray, " n"]
    semantic: UInt8[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class _Sample:
    """The texture functions' input: hits on one material."""

    points: Float32[np.ndarray, "n 3"]
    """Where the texture is read: on an actor that moves, where the point was when the texture was fixed."""
    uv: Float32[np.ndarray, "n 2"]
    normals: Float32[np.ndarray, "n 3"]
    color: Float32[np.ndarray, "n 3"]
    footprint: Float32[np.ndarray, " n"]
    """Size of a pixel on the surface in metres; details smaller than it fade out."""
    plan: Plan
    seed: int

    def noise(self, cell_m: float, *, salt: int) -> Float32[np.ndarray, " n"]:
        """Noise about 0, in -0.5..0.5, faded where it would alias."""
        fade = np.clip(1.5 - self.footprint / cell_m, 0.0, 1.0)
        return (value_noise(self.points, cell_m=cell_m, seed=self.seed + salt) - 0.5) * fade


def _lines(position: np.ndarray, period: float, width: float, footprint: np.ndarray) -> np.ndarray:
    """1 on grooves of the given width, 0 between; blurred to the footprint."""
    distance = np.abs((position / period + 0.5) % 1.0 - 0.5) * period
    half = np.maximum(width, footprint) / 2
    return np.clip(1.5 - distance / half, 0.0, 1.0) * np.minimum(width / np.maximum(footprint, 1e-6), 1.0)


def _marking(s: np.ndarray, t: np.ndarray, plan: Plan) -> np.ndarray:
    """Where white paint lies on the carriageway."""
    painted = np.zeros(len(s), dtype=bool)
    inside = np.ones(len(s), dtype=bool)
    if plan.crossing_s is not None:
        from_crossing = np.abs(s - plan.crossing_s)
        inside = from_crossing > plan.crossing_half_m + 0.5
        stop = (from_crossing > plan.crossing_half_m + 3.2) & (from_crossing < plan.crossing_half_m + 3.7)
        ahead = np.sign(plan.crossing_s - s) * t < -0.2
        painted |= stop & ahead & (np.abs(t) < plan.lanes * plan.lane_width_m)
        side_road = (np.abs(t) > max(plan.kerb(1), plan.kerb(-1)) + 2.0) & (from_crossing < 0.07)
        painted |= side_road & (t % 6.0 < 3.0)
    highway = plan.layout == "highway"
    dash = (s % 12.0) < (6.0 if highway else 4.0)
    width = 0.075 if highway else 0.06
    for lane in range(-plan.lanes, plan.lanes + 1):
        on = np.abs(t - lane * plan.lane_width_m) < width
        if lane == 0:
            painted |= on & inside & (dash | highway)
        elif abs(lane) < plan.lanes:
            painted |= on & inside & dash
        elif highway or plan.parking_m[int(lane > 0)] > 0:
            painted |= on & inside & (highway | (s % 1.0 < 0.5))
    return painted


def _road(h: _Sample) -> tuple[np.ndarray, np.ndarray]:
    """Asphalt with patches, wheel tracks, tar seams and worn markings; returns albedo and paint."""
    s, t = h.uv[:, 0], h.uv[:, 1]
    base = 0.11 + 0.07 * ((h.seed % 97) / 97)
    patch = value_noise(h.points, cell_m=7.0, seed=h.seed) - 0.5
    grain = 0.9 * h.noise(0.025, salt=1) + 0.35 * h.noise(0.3, salt=2)
    lane = (t / h.plan.lane_width_m) % 1.0
    tracks = 0.1 * np.cos(4 * np.pi * lane)
    seam = _lines(t + 0.4 * patch, 3.1, 0.03, h.footprint) * 0.3
    gray = base * (1 + 0.35 * patch + grain + tracks - seam)
    painted = _marking(s, t, h.plan) & (value_noise(h.points, cell_m=0.25, seed=h.seed + 5) > 0.18)
    gray = np.where(painted, 0.55 + 0.15 * grain, gray)
    tint = np.array([1.0, 0.985, 0.96], dtype=np.float32)
    return gray[:, None] * tint, painted


def _sidewalk(h: _Sample) -> np.ndarray:
    joints = np.maximum(
        _lines(h.uv[:, 0], 0.5, 0.02, h.footprint), _lines(h.uv[:, 1], 0.5, 0.02, h.footprint)
    )
    cell = np.floor(h.points * [2.0, 2.0, 0.0]).astype(np.float32)
    slab = (value_noise(cell, cell_m=1.0, seed=h.seed) - 0.5) * np.clip(1.5 - h.footprint / 0.5, 0, 1)
    gray = 0.27 * (1 + 0.15 * slab + 0.4 * h.noise(0.04, salt=3) + 0.3 * h.noise(3.0, salt=4) - 0.4 * joints)
    return gray[:, None] * np.array([1.0, 0.96, 0.9], dtype=np.float32)


def _grass(h: _Sample) -> np.ndarray:
    dry = np.clip(0.5 + 1.4 * h.noise(4.0, salt=6) + 0.5 * h.noise(0.6, salt=7), 0, 1)[:, None]
    green, straw = np.array([0.07, 0.12, 0.03]), np.array([0.19, 0.16, 0.08])
    return (green * (1 - dry) + straw * dry) * (1 + 1.0 * h.noise(0.06, salt=8))[:, None]


def _facade(h: _Sample) -> tuple[np.ndarray, np.ndarray]:
    """Plaster with rows of framed windows; returns albedo and window glass."""
    u, v = h.uv[:, 0], h.uv[:, 1] - 1.0
    wall = h.color * (1 + 0.25 * h.noise(1.7, salt=9) + 0.2 * h.noise(0.05, salt=10))[:, None]
    wall = wall * (1 - 0.25 * np.clip(1.0 - v, 0, 1) * 0.6)[:, None]
    vertical = np.abs(h.normals[:, 2]) < 0.5
    pitch = 2.3
    column, row = (u / pitch) % 1.0 - 0.5, (v / 3.0) % 1.0
    frame = (np.abs(column) < 0.27) & (row > 0.28) & (row < 0.80) & vertical & (v > 0.3)
    pane = (np.abs(column) < 0.235) & (row > 0.305) & (row < 0.775) & frame & (np.abs(column) > 0.012)
    cell = np.stack([np.floor(u / pitch), np.floor(v / 3.0), np.floor(h.color[:, 0] * 1000)], axis=1)
    lit = value_noise(cell.astype(np.float32), cell_m=1.0, seed=h.seed + 11)[:, None]
    curtain = np.where(lit > 0.62, 0.35, 0.03) * np.where((row > 0.55)[:, None] | (lit < 0.8), 1.0, 0.15)
    albedo = np.where(frame[:, None], 0.62, wall)
    albedo = np.where(pane[:, None], curtain * np.array([0.9, 0.95, 1.0]), albedo)
    return albedo, pane


def _roof(h: _Sample) -> np.ndarray:
    rows = _lines(h.points[:, 2], 0.22, 0.06, h.footprint)
    return h.color * (1 + 0.5 * h.noise(0.25, salt=12) + 0.3 * h.noise(2.0, salt=13) - 0.35 * rows)[:, None]


def _brick(h: _Sample) -> np.ndarray:
    joints = np.maximum(
        _lines(h.points[:, 2], 0.12, 0.015, h.footprint), 0.6 * _lines(h.uv[:, 0], 0.3, 0.015, h.footprint)
    )
    return h.color * (1 + 0.45 * h.noise(0.2, salt=14) + 0.3 * h.noise(1.5, salt=15) + 0.25 * joints)[:, None]


def _foliage(h: _Sample) -> np.ndarray:
    return h.color * (1 + 1.1 * h.noise(0.08, salt=16) + 0.6 * h.noise(0.5, salt=17))[:, None]


def _rough(h: _Sample) -> np.ndarray:
    return h.color * (1 + 0.6 * h.noise(0.07, salt=18))[:, None]


def _plain(h: _Sample) -> np.ndarray:
    return h.color


_TEXTURES: dict[Material, Callable[[_Sample], np.ndarray]] = {
    Material.SIDEWALK: _sidewalk,
    Material.GRASS: _grass,
    Material.ROOF: _roof,
    Material.BRICK: _brick,
    Material.LEAVES: _foliage,
    Material.HEDGE: _foliage,
    Material.BARK: _rough,
    Material.CLOTH: _rough,
    Material.CURB: _rough,
}


def _texture_points(
    scene: Scene, points: Float32[np.ndarray, "n 3"], face: np.ndarray
) -> Float32[np.ndarray, "n 3"]:
    """Undo the actors' motion."""
    if scene.texture_boxes is None:
        return points
    instance = scene.face_instance[face]
    at = np.nonzero(instance)[0]
    now, then = scene.boxes_lidar[instance[at] - 1], scene.texture_boxes[instance[at] - 1]
    turn = then[:, 6] - now[:, 6]
    cos, sin = np.cos(turn), np.sin(turn)
    x, y, z = (points[at] - now[:, :3]).T
    fixed = points.copy()
    fixed[at] = np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1) + then[:, :3]
    return fixed


def surface_at(
    scene: Scene,
    hits: Hits,
    *,
    origin: Float32[np.ndarray, "3"],
    directions: Float32[np.ndarray, "n 3"],
    pixel_rad: float,
) -> Surface:
    """Evaluate the surface at hits (all must have hit; `face` >= 0).

    Args:
        directions: Unit length.
        pixel_rad: Angle between neighbouring rays, for fading fine texture.
    """
    mesh, face = scene.mesh, hits.face
    weights = np.concatenate([1 - hits.barycentric.sum(axis=1, keepdims=True), hits.barycentric], axis=1)
    normals = np.einsum("nc,nci->ni", weights, mesh.normals[face])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    away = np.einsum("ni,ni->n", normals, directions)
    normals = np.where((away > 0)[:, None], -normals, normals).astype(np.float32)
    points = origin + directions * hits.range_m[:, None]
    uv = np.einsum("nc,nci->ni", weights, mesh.uv[face])
    texture_points = _texture_points(scene, points, face)
    footprint = hits.range_m * np.float32(pixel_rad) / np.maximum(np.abs(away), 0.08)
    material = mesh.material[face]
    albedo = mesh.color[face].copy()
    glass = material == Material.GLASS
    semantic = SEMANTIC[material]
    nir_boost = np.zeros(len(face), dtype=np.float32)
    for kind in np.unique(material):
        at = np.nonzero(material == kind)[0]
        sample = _Sample(
            texture_points[at], uv[at], normals[at], albedo[at], footprint[at], scene.plan, scene.texture_seed
        )
        if kind == Material.ROAD:
            albedo[at], painted = _road(sample)
            semantic[at[painted]] = Semantic.LANE_MARKING
            nir_boost[at[painted]] = 0.25
        elif kind == Material.FACADE:
            albedo[at], glass[at] = _facade(sample)
        else:
            albedo[at] = _TEXTURES.get(Material(kind), _plain)(sample)
    albedo = np.clip(albedo, 0.004, 0.95).astype(np.float32)
    nir = NIR[material] + NIR_OF_COLOR[material] * albedo.mean(axis=1) + nir_boost
    return Surface(points.astype(np.float32), normals, albedo, nir, glass, material, semantic)
