"""A colour camera: one ray per pixel, sun and sky light, cast shadows; depth, semantics and instances from the same rays."""

from dataclasses import dataclass

import numpy as np
from geom3d.cameras import PinholeCamera
from jaxtyping import Float32, Int32, UInt8

from datasets3d.synth._materials import GLOSS, Material, Semantic
from datasets3d.synth._noise import value_noise
from datasets3d.synth._rays import SURFACE_OFFSET_M, Hits, RayCaster
from datasets3d.synth._textures import Surface, surface_at
from datasets3d.synth.config import CameraConfig
from datasets3d.synth.scene import Scene, Sun


@dataclass(frozen=True, slots=True)
class CameraView:
    """What the camera records and what a labeller would want to know."""

    image: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    """Distance along the optical axis in metres; infinity for the sky."""
    semantics: UInt8[np.ndarray, "h w"]
    instances: Int32[np.ndarray, "h w"]
    """Actor at each pixel (1-based), 0 for the background."""


def camera_rays(
    camera: PinholeCamera, *, pixels: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "n 3"]]:
    """The optical centre and one unit direction per pixel, LiDAR frame.

    Pixel (u, v) is the integer coordinate itself, as KITTI's projections have it.

    Args:
        pixels: Columns u and rows v; all pixels row by row if not given.
    """
    image_from_lidar = np.asarray(camera.image_from_lidar, dtype=np.float64)
    inverse = np.linalg.inv(image_from_lidar[:, :3])
    origin = -inverse @ image_from_lidar[:, 3]
    if pixels is None:
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        pixels = u.ravel(), v.ravel()
    directions = np.stack([*pixels, np.ones(len(pixels[0]))], axis=1) @ inverse.T
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return origin.astype(np.float32), directions.astype(np.float32)


def render(
    scene: Scene,
    caster: RayCaster,
    camera: PinholeCamera,
    config: CameraConfig,
    *,
    rng: np.random.Generator,
) -> CameraView:
    """One picture. The camera's own size counts, not the config's."""
    origin, directions = camera_rays(camera)
    all_hits = caster.first_hits(np.broadcast_to(origin, directions.shape), directions)
    seen = np.nonzero(all_hits.face >= 0)[0]
    hits = Hits(all_hits.face[seen], all_hits.range_m[seen], all_hits.barycentric[seen])
    pixel_rad = 1.0 / float(camera.image_from_cam[0, 0])
    surface = surface_at(scene, hits, origin=origin, directions=directions[seen], pixel_rad=pixel_rad)
    radiance = sky_color(directions, scene.sun, seed=scene.texture_seed)
    lit = _sunlit(surface, caster, scene.sun, shadows=config.shadows)
    radiance[seen] = _shade(surface, directions[seen], lit, scene)
    shape = (camera.height, camera.width)
    semantics = np.full(len(directions), Semantic.SKY, dtype=np.uint8)
    semantics[seen] = surface.semantic
    instances = np.zeros(len(directions), dtype=np.int32)
    instances[seen] = scene.face_instance[hits.face]
    axis = np.asarray(camera.cam_from_lidar, dtype=np.float64)[2]
    depth = np.full(len(directions), np.inf, dtype=np.float32)
    depth[seen] = (surface.points @ axis[:3] + axis[3]).astype(np.float32)
    image = _develop(radiance.reshape(*shape, 3), semantics.reshape(shape), noise=config.noise, rng=rng)
    return CameraView(image, depth.reshape(shape), semantics.reshape(shape), instances.reshape(shape))


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


def _sunlit(surface: Surface, caster: RayCaster, sun: Sun, *, shadows: bool) -> Float32[np.ndarray, " n"]:
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


def _shade(
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


def _develop(
    radiance: Float32[np.ndarray, "h w 3"],
    semantics: UInt8[np.ndarray, "h w"],
    *,
    noise: float,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "h w 3"]:
    """Expose for the ground (skies may burn out, as KITTI's do), blur to a lens's sharpness, add noise, 8-bit sRGB."""
    brightness = radiance.mean(axis=2)
    ground = brightness[semantics != Semantic.SKY]
    middle = float(np.mean(ground)) if ground.size else 0.5
    exposed = radiance * np.float32(0.24 * rng.uniform(0.8, 1.25) / max(middle, 1e-3))
    soft = np.array([0.14, 0.72, 0.14], dtype=np.float32)
    for axis in (0, 1):
        padded = np.pad(exposed, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        length = exposed.shape[axis]
        exposed = sum(w * np.take(padded, np.arange(k, k + length), axis=axis) for k, w in enumerate(soft))
    exposed = exposed / (1 + 0.12 * exposed)
    grain = rng.standard_normal(size=exposed.shape, dtype=np.float32)
    exposed += noise * grain * np.sqrt(np.maximum(exposed, 0.02) / 0.5)
    encoded = np.clip(exposed, 0.0, 1.0) ** np.float32(1 / 2.2)
    return (encoded * 255 + 0.5).astype(np.uint8)
