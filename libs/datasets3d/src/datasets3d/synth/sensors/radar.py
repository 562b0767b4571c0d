"""An automotive radar: few returns, exact in range and radial speed, coarse in angle, blind to height."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32

from datasets3d.nuscenes.radar import RADAR_FIELDS
from datasets3d.synth.sensors._echoes import Echoes, RadarMotion, beside_stronger, resolve, table_at, trace
from datasets3d.synth.sensors._radar_codes import Judged, codes
from datasets3d.synth.sensors.radar_config import RadarConfig, RadarScanConfig
from datasets3d.synth.sensors.rays import RayCaster
from datasets3d.synth.world.scene import Scene

__all__ = ["RadarConfig", "RadarScanConfig", "RadarSweep", "simulate_radar"]

_VEHICLES = ("Car", "Van", "Truck")


@dataclass(frozen=True, slots=True, eq=False)
class RadarSweep:
    """The returns of one cycle: the near scan's by range, then the far scan's, as the sensor sends them."""

    returns: Float32[np.ndarray, "n 18"]
    """Columns as in `datasets3d.nuscenes.radar.RADAR_FIELDS`."""
    instances: Int32[np.ndarray, " n"]
    """Actor behind most of each return's power (1-based), 0 for the background."""
    mirrored: Bool[np.ndarray, " n"]
    """Ghosts: the wave came by way of a mirror, nothing stands at the place told."""


def simulate_radar(
    scene: Scene,
    caster: RayCaster,
    config: RadarConfig,
    *,
    world_from_radar: Float[np.ndarray, "4 4"],
    sensor_velocity: Float[np.ndarray, "3"],
    actor_velocities: Float[np.ndarray, "k 3"],
    rng: np.random.Generator,
) -> RadarSweep:
    """One cycle of the sensor.

    Rays gather radar cross-section by material and incidence; echoes in one cell of range, azimuth and
    radial speed merge; a cell is detected with the chance 1 / (1 + exp(-margin)), the margin in dB over what
    the scan needs at that range, 6 dB more at the edge of its view. Smooth surfaces pass waves on once, which
    puts ghosts behind them. Heights are lost: z is 0. Places fall on the sensor's grid of 0.2 m, speeds on
    0.25 m/s, cross-sections on 0.5 dB, as in the real file. `vx` is the radial speed divided by the cosine of
    the azimuth, `vy` 0: with them the file's relation to `vx_comp`, `vy_comp` (the radial speed freed of the
    car's own, as a vector along the line of sight) holds.

    The codes: `invalid_state` 15 above 95 m in the near scan, 11 and 9 beside a stronger return, 10 about 50
    degrees, 3 and 4 for weak ones, 7, 12 and 16 as the config says and for ghosts; `pdh0`, `ambig_state` and
    the `_rms` codes go with them as in the real file.

    Args:
        scene: In any frame ("world"); `caster` holds its mesh.
        world_from_radar: The radar frame is x forward, y left, z up.
        sensor_velocity: Metres per second, world frame.
        actor_velocities: The same, in the order of `scene.actors`.

    Raises:
        ValueError: There is not one velocity per actor.
    """
    if len(actor_velocities) != len(scene.actors):
        raise ValueError(
            f"simulate_radar: actor_velocities has {len(actor_velocities)} rows, the scene "
            f"{len(scene.actors)} actors; give one velocity per actor"
        )
    motion = RadarMotion(world_from_radar, sensor_velocity, actor_velocities)
    found = [_detect(scene, caster, scan, motion, config, rng) for scan in (config.near, config.far)]
    margin = np.concatenate([m for _, m in found])
    strongest = np.argsort(-margin, kind="stable")[: config.max_returns]
    sent = np.zeros(len(margin), dtype=bool)
    sent[strongest] = True
    near_count = len(found[0][1])
    found = [
        (echoes.take(keep), m[keep])
        for (echoes, m), keep in zip(found, (sent[:near_count], sent[near_count:]), strict=True)
    ]
    returns = np.concatenate(
        [
            _measure(*one, scene=scene, config=config, scan=scan, motion=motion, rng=rng)
            for one, scan in zip(found, (config.near, config.far), strict=True)
        ]
    )
    returns[:, RADAR_FIELDS.index("id")] = np.arange(len(returns))
    instances = np.concatenate([echoes.instance for echoes, _ in found]).astype(np.int32)
    return RadarSweep(returns, instances, np.concatenate([echoes.mirrored for echoes, _ in found]))


def _detect(
    scene: Scene,
    caster: RayCaster,
    scan: RadarScanConfig,
    motion: RadarMotion,
    config: RadarConfig,
    rng: np.random.Generator,
) -> tuple[Echoes, Float64[np.ndarray, " n"]]:
    """The detected echoes of one scan by range, and by how many dB each stands over the limit."""
    echoes = trace(scene, caster, scan, motion, mirror_loss_db=config.mirror_loss_db, rng=rng)
    echoes = resolve(echoes, scan, rng)
    section_dbsm = 10 * np.log10(echoes.section_m2)
    at_edge = (np.rad2deg(echoes.azimuth_rad) / scan.half_view_deg) ** 2
    margin = section_dbsm - scan.rcs_limit_dbsm - 6 * at_edge
    margin -= 40 * np.log10(echoes.range_m / scan.rcs_limit_range_m)
    chance = 1 / (1 + np.exp(-np.clip(margin, -50, 50)))
    found = (rng.random(len(chance)) < chance) & (section_dbsm >= config.rcs_floor_dbsm)
    found &= echoes.range_m >= config.min_range_m
    index = np.flatnonzero(found)
    hidden = beside_stronger(echoes.range_m[index], echoes.azimuth_rad[index], section_dbsm[index], scan)
    index = index[~hidden | (rng.random(len(index)) < config.beside_stronger_share)]
    index = index[np.argsort(echoes.range_m[index], kind="stable")]
    return echoes.take(index), margin[index]


def _measure(
    echoes: Echoes,
    margin_db: Float64[np.ndarray, " n"],
    *,
    scene: Scene,
    config: RadarConfig,
    scan: RadarScanConfig,
    motion: RadarMotion,
    rng: np.random.Generator,
) -> Float32[np.ndarray, "n 18"]:
    """Add noise, fall on the sensor's grids, and fill in the codes; `id` is left 0."""
    count = len(margin_db)
    noise_rad = np.deg2rad(table_at(scan.azimuth_noise_deg, np.rad2deg(echoes.azimuth_rad)))
    range_m = echoes.range_m + scan.range_noise_m * rng.standard_normal(count)
    azimuth = echoes.azimuth_rad + noise_rad * rng.standard_normal(count)
    rate = echoes.range_rate_m_s + config.speed_noise_m_s * rng.standard_normal(count)
    x = 0.2 * np.round(range_m * np.cos(azimuth) / 0.2)
    y = 0.2 * np.round((range_m * np.sin(azimuth) - 0.1) / 0.2) + 0.1
    azimuth = np.arctan2(y, x)
    cosine = np.maximum(np.cos(azimuth), 0.1)
    vx = 0.25 * np.round(rate / cosine / 0.25)
    sight = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    own_velocity = motion.world_from_radar[:3, :3].T @ motion.sensor_velocity
    over_ground = vx * np.cos(azimuth) + sight @ own_velocity[:2]
    rcs = 0.5 * np.round(10 * np.log10(echoes.section_m2) / 0.5)
    judged = Judged(
        range_m=np.hypot(x, y),
        azimuth_rad=azimuth,
        over_ground_m_s=over_ground,
        rcs_dbsm=rcs,
        margin_db=margin_db,
        mirrored=echoes.mirrored,
        velocity=motion.of(echoes.instance) @ motion.world_from_radar[:3, :2],
        is_vehicle=np.array([False, *(a.name in _VEHICLES for a in scene.actors)])[echoes.instance],
    )
    columns = {
        "x": x,
        "y": y,
        "rcs": rcs,
        "vx": vx,
        "vx_comp": over_ground * sight[:, 0],
        "vy_comp": over_ground * sight[:, 1],
        **codes(judged, config=config, scan=scan, rng=rng),
    }
    returns = np.zeros((count, len(RADAR_FIELDS)), dtype=np.float32)
    for name, column in columns.items():
        returns[:, RADAR_FIELDS.index(name)] = column
    return returns
