"""A spinning multi-beam LiDAR."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8

from datasets3d.synth.config import LidarConfig
from datasets3d.synth.sensors._textures import surface_at
from datasets3d.synth.sensors.rays import Hits, RayCaster
from datasets3d.synth.world.scene import Scene


@dataclass(frozen=True, slots=True)
class LidarScan:
    """The returns of one turn, beam by beam, each counter-clockwise from the sensor's x axis."""

    points: Float32[np.ndarray, "n 4"]
    """X y z (the sensor's frame, metres) and intensity 0..0.99 in steps of 0.01, as KITTI stores it."""
    instances: Int32[np.ndarray, " n"]
    """Actor behind each return (1-based), 0 for the background."""
    semantics: UInt8[np.ndarray, " n"]
    faces: Int32[np.ndarray, " n"]
    """Triangle of the scene's mesh behind each return."""
    rings: UInt8[np.ndarray, " n"]
    """Rank of the beam by elevation, 0 the lowest, as nuScenes counts rings."""

    @property
    def nuscenes_points(self) -> Float32[np.ndarray, "n 5"]:
        """X y z, intensity and ring as nuScenes' files hold them.

        Intensity as Velodyne's manuals define it: 0..100 for matt surfaces, 255 for retro-reflectors.
        """
        intensity = np.where(self.points[:, 3] > 0.985, 255.0, np.round(100 * self.points[:, 3]))
        return np.column_stack([self.points[:, :3], intensity, self.rings]).astype(np.float32)


def ray_directions(config: LidarConfig) -> Float32[np.ndarray, "n 3"]:
    """Unit directions of one turn, beams x azimuths in that order."""
    elevation = np.deg2rad(np.array(config.elevations_deg))[:, None]
    azimuth = np.arange(config.azimuth_count) * (2 * np.pi / config.azimuth_count)
    flat = np.broadcast_arrays(
        np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
    )
    return np.stack(flat, axis=-1).reshape(-1, 3).astype(np.float32)


def scan(
    scene: Scene,
    caster: RayCaster,
    config: LidarConfig,
    *,
    rng: np.random.Generator,
    world_from_lidar: Float[np.ndarray, "4 4"] | None = None,
) -> LidarScan:
    """One turn of the sensor, which stands still meanwhile.

    A shot is lost when the surface is beyond the range limits, at random (`dropout`), on glass, or when too
    little light comes back. The received power, relative to the detection limit, is
    P = reflectivity / 0.1 * sqrt(cos incidence) * (range_at_10_percent / range)^2;
    the chance of a return is P^4 / (1 + P^4). The square root stands for rough surfaces (our choice: with
    the plain cosine of a matt plane the road would end at 20 m, in KITTI it is seen beyond 40 m).

    Args:
        world_from_lidar: Where the sensor is in the scene's frame; at its origin if not given. The points
            come out in the sensor's own frame.
    """
    sensor_directions = directions = ray_directions(config)
    origin = np.zeros(3, dtype=np.float32)
    if world_from_lidar is not None:
        origin = world_from_lidar[:3, 3].astype(np.float32)
        directions = (sensor_directions @ world_from_lidar[:3, :3].T).astype(np.float32)
    hits = caster.first_hits(np.broadcast_to(origin, directions.shape), directions)
    near = (hits.face >= 0) & (hits.range_m >= config.min_range_m) & (hits.range_m <= config.max_range_m)
    sensor_directions, directions = sensor_directions[near], directions[near]
    hits = Hits(hits.face[near], hits.range_m[near], hits.barycentric[near])
    surface = surface_at(
        scene, hits, origin=origin, directions=directions, pixel_rad=np.deg2rad(config.azimuth_step_deg)
    )
    cosine = np.abs(np.einsum("ni,ni->n", surface.normals, directions))
    power = surface.nir / 0.1 * np.sqrt(cosine) * (config.range_at_10_percent_m / hits.range_m) ** 2
    chance = power**4 / (1 + power**4) * (1 - config.dropout)
    chance = np.where(surface.glass, chance * (1 - config.glass_dropout) * cosine, chance)
    kept = rng.random(len(chance)) < chance
    range_m = hits.range_m + rng.normal(scale=config.range_noise_m, size=len(kept)).astype(np.float32)
    intensity = surface.nir * (0.35 + 0.65 * cosine) + rng.normal(scale=0.02, size=len(kept))
    intensity = np.round(np.clip(intensity, 0.0, 0.99), 2)
    points = np.column_stack([sensor_directions * range_m[:, None], intensity]).astype(np.float32)
    rank = np.argsort(np.argsort(config.elevations_deg)).astype(np.uint8)
    return LidarScan(
        points=points[kept],
        instances=scene.face_instance[hits.face[kept]].astype(np.int32),
        semantics=surface.semantic[kept],
        faces=hits.face[kept].astype(np.int32),
        rings=np.repeat(rank, config.azimuth_count)[near][kept],
    )
