"""A colour camera; depth, semantics and instances come from the same rays as the picture."""

from dataclasses import dataclass, replace

import numpy as np
from geom3d.cameras import PinholeCamera
from jaxtyping import Bool, Float32, Int, Int32, UInt8

from datasets3d.synth.config import CameraConfig
from datasets3d.synth.sensors._light import shade, sky_color, sky_openness, sunlit
from datasets3d.synth.sensors._textures import surface_at
from datasets3d.synth.sensors.rays import Hits, RayCaster
from datasets3d.synth.world.materials import Semantic
from datasets3d.synth.world.scene import Scene


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
    """The optical centre and one unit direction per pixel, in the scene's frame.

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
    """One picture. The camera's own size counts, not the config's.

    Args:
        camera: Its `cam_from_lidar` is the camera from the scene's frame.
    """
    origin, directions = camera_rays(camera)
    shape = (camera.height, camera.width)
    traced = _trace(scene, caster, origin, directions, camera=camera, shadows=config.shadows)
    axis = np.asarray(camera.cam_from_lidar, dtype=np.float64)[2]
    depth = (traced.range_m * (directions @ axis[:3]) + (origin @ axis[:3] + axis[3])).astype(np.float32)
    view = CameraView(
        image=np.zeros((*shape, 3), dtype=np.uint8),
        depth=depth.reshape(shape),
        semantics=traced.semantic.reshape(shape),
        instances=traced.instance.reshape(shape),
    )
    edges = np.nonzero(_edges(view, traced.material.reshape(shape)).ravel())[0]
    openness = sky_openness(traced.points.reshape(*shape, 3), traced.normals.reshape(*shape, 3), caster)
    radiance = traced.radiance * openness.reshape(-1, 1)
    radiance[edges] += sum(
        _trace(scene, caster, *rays, camera=camera, shadows=config.shadows).radiance
        for rays in _rays_beside(camera, edges)
    ) * openness.reshape(-1, 1)[edges]  # fmt: skip
    radiance[edges] /= 1 + len(_EDGE_OFFSETS)
    image = _develop(radiance.reshape(*shape, 3), view.semantics, noise=config.noise, rng=rng)
    return replace(view, image=image)


@dataclass(frozen=True, slots=True)
class _Traced:
    """What n camera rays meet."""

    radiance: Float32[np.ndarray, "n 3"]
    range_m: Float32[np.ndarray, " n"]
    points: Float32[np.ndarray, "n 3"]
    """NaN where the ray meets the sky; `normals` too."""
    normals: Float32[np.ndarray, "n 3"]
    semantic: UInt8[np.ndarray, " n"]
    material: UInt8[np.ndarray, " n"]
    instance: Int32[np.ndarray, " n"]


def _trace(
    scene: Scene,
    caster: RayCaster,
    origin: Float32[np.ndarray, "3"],
    directions: Float32[np.ndarray, "n 3"],
    *,
    camera: PinholeCamera,
    shadows: bool,
) -> _Traced:
    all_hits = caster.first_hits(np.broadcast_to(origin, directions.shape), directions)
    seen = np.nonzero(all_hits.face >= 0)[0]
    hits = Hits(all_hits.face[seen], all_hits.range_m[seen], all_hits.barycentric[seen])
    pixel_rad = 1.0 / float(camera.image_from_cam[0, 0])
    surface = surface_at(scene, hits, origin=origin, directions=directions[seen], pixel_rad=pixel_rad)
    radiance = np.empty_like(directions)
    sky = np.nonzero(all_hits.face < 0)[0]
    radiance[sky] = sky_color(directions[sky], scene.sun, seed=scene.texture_seed)
    lit = sunlit(surface, caster, scene.sun, shadows=shadows)
    radiance[seen] = shade(surface, directions[seen], lit, scene)
    semantic = np.full(len(directions), Semantic.SKY, dtype=np.uint8)
    material = np.full(len(directions), 255, dtype=np.uint8)
    instance = np.zeros(len(directions), dtype=np.int32)
    semantic[seen], material[seen] = surface.semantic, surface.material
    instance[seen] = scene.face_instance[hits.face]
    points, normals = (np.full_like(directions, np.nan) for _ in range(2))
    points[seen], normals[seen] = surface.points, surface.normals
    return _Traced(radiance, all_hits.range_m, points, normals, semantic, material, instance)


def _rays_beside(
    camera: PinholeCamera, pixels: Int[np.ndarray, " k"]
) -> list[tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "k 3"]]]:
    """Further rays through pixels (flat index), off their centres."""
    u, v = pixels % camera.width, pixels // camera.width
    return [camera_rays(camera, pixels=(u + du, v + dv)) for du, dv in _EDGE_OFFSETS]


_EDGE_OFFSETS = ((0.38, 0.13), (-0.13, 0.38), (-0.38, -0.13), (0.13, -0.38))
"""Further rays through pixels on an edge, in pixels from the centre (a rotated grid)."""


def _edges(view: CameraView, material: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels with a neighbour that shows something else or lies at another depth."""
    inverse_depth = 1 / view.depth
    edges = np.zeros(material.shape, dtype=bool)
    for here, there in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        differ = (material[here] != material[there]) | (view.semantics[here] != view.semantics[there])
        differ |= np.abs(inverse_depth[here] - inverse_depth[there]) > 0.06 * inverse_depth[here] + 1e-6
        edges[here] |= differ
        edges[there] |= differ
    return edges


def _develop(
    radiance: Float32[np.ndarray, "h w 3"],
    semantics: UInt8[np.ndarray, "h w"],
    *,
    noise: float,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "h w 3"]:
    """Expose for the ground (skies may burn out, as in KITTI), blur as a lens does, add noise, encode."""
    brightness = radiance.mean(axis=2)
    ground = brightness[semantics != Semantic.SKY]
    middle = float(np.mean(ground)) if ground.size else 0.5
    exposed = radiance * np.float32(0.24 * rng.uniform(0.8, 1.25) / max(middle, 1e-3))
    soft = np.array([0.14, 0.72, 0.14], dtype=np.float32)
    rows, columns = exposed.shape[:2]
    padded = np.pad(exposed, [(1, 1), (0, 0), (0, 0)], mode="edge")
    exposed = soft[0] * padded[:rows] + soft[1] * padded[1:-1] + soft[2] * padded[2:]
    padded = np.pad(exposed, [(0, 0), (1, 1), (0, 0)], mode="edge")
    exposed = soft[0] * padded[:, :columns] + soft[1] * padded[:, 1:-1] + soft[2] * padded[:, 2:]
    exposed = exposed / (1 + 0.12 * exposed)
    grain = rng.standard_normal(size=exposed.shape, dtype=np.float32)
    exposed += noise * grain * np.sqrt(np.maximum(exposed, 0.02) / 0.5)
    encoded = np.clip(exposed, 0.0, 1.0) ** np.float32(1 / 2.2)
    return (encoded * 255 + 0.5).astype(np.uint8)
