"""Radar waves in a scene: what comes back along each ray, and which of it the sensor can tell apart."""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from datasets3d.synth.sensors._noise import value_noise
from datasets3d.synth.sensors.radar_config import RadarScanConfig
from datasets3d.synth.sensors.rays import SURFACE_OFFSET_M, Hits, RayCaster
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import face_normals
from datasets3d.synth.world.scene import Scene

# Radar cross-section per square metre across the ray: the rough part, and what a surface met head-on adds.
# Chosen so that whole objects get the figures commonly given at 77 GHz (person -8..0 dBsm, car about 10,
# lorry 20 and more, lamp post 0..10) and a sweep the spread of the real file. Corners between metal plates,
# which send most of it back, are far below the size of our triangles: they are in the rough part.
_SECTION: dict[Material, tuple[float, float]] = {
    Material.ROAD: (2e-4, 0.0),
    Material.SIDEWALK: (1e-3, 0.0),
    Material.GRASS: (6e-3, 0.0),
    Material.CURB: (0.15, 0.3),
    Material.FACADE: (0.5, 6.0),
    Material.ROOF: (0.1, 0.5),
    Material.BRICK: (0.4, 3.0),
    Material.METAL: (4.0, 10.0),
    Material.WOOD: (0.2, 0.6),
    Material.BARK: (0.4, 0.8),
    Material.LEAVES: (0.15, 0.0),
    Material.HEDGE: (0.2, 0.0),
    Material.PAINT: (2.0, 12.0),
    Material.GLASS: (0.4, 3.0),
    Material.TYRE: (0.3, 0.0),
    Material.PLASTIC: (0.5, 0.0),
    Material.LAMP_RED: (0.5, 0.0),
    Material.LAMP_WHITE: (0.5, 0.0),
    Material.PLATE: (3.0, 12.0),
    Material.CLOTH: (0.5, 0.0),
    Material.SKIN: (0.5, 0.0),
    Material.HAIR: (0.2, 0.0),
    Material.BIKE: (1.5, 2.0),
    Material.SIGN: (4.0, 12.0),
    Material.BIN: (1.0, 3.0),
    Material.CARGO: (4.0, 14.0),
    Material.FENCE: (0.8, 2.0),
    Material.RAIL: (4.0, 10.0),
}
_ROUGH, _HEAD_ON = np.array([_SECTION[m] for m in Material]).T
_SMOOTH = np.isin(
    np.arange(len(Material)),
    [Material.FACADE, Material.GLASS, Material.PAINT, Material.CARGO, Material.RAIL, Material.SIGN],
)
"""Materials flat enough at a wavelength of 4 mm to work as mirrors."""
_DETAIL_DB = 50.0
"""Range of the fixed random gain of background surfaces: window sills, gutters, joints (our fit)."""
_DETAIL_MIDDLE_DB = 3.0
_DETAIL_M = 1.2


@dataclass(frozen=True, slots=True)
class Echoes:
    """Power that comes back, n parts of it. Sensor frame: azimuth counter-clockwise from straight ahead."""

    range_m: Float64[np.ndarray, " n"]
    azimuth_rad: Float64[np.ndarray, " n"]
    range_rate_m_s: Float64[np.ndarray, " n"]
    """Positive where the distance grows."""
    section_m2: Float64[np.ndarray, " n"]
    """Radar cross-section."""
    instance: Int[np.ndarray, " n"]
    """Actor (1-based), 0 for the background."""
    mirrored: Bool[np.ndarray, " n"]
    """The wave went by way of a smooth surface: nothing stands where the echo seems to be."""

    def take(self, index: np.ndarray) -> "Echoes":
        """Some of the echoes, in the order of the index (or mask)."""
        return Echoes(*(getattr(self, f.name)[index] for f in fields(self)))


def join(first: Echoes, second: Echoes) -> Echoes:
    """All echoes of both."""
    return Echoes(
        *(np.concatenate([getattr(first, f.name), getattr(second, f.name)]) for f in fields(Echoes))
    )


@dataclass(frozen=True, slots=True)
class RadarMotion:
    """Who moves, all in the scene's frame."""

    world_from_radar: Float[np.ndarray, "4 4"]
    sensor_velocity: Float[np.ndarray, "3"]
    """Metres per second."""
    actor_velocities: Float[np.ndarray, "k 3"]
    """In the order of the scene's actors."""

    def of(self, instance: Int[np.ndarray, " n"]) -> Float64[np.ndarray, "n 3"]:
        """Velocity of each instance; the background stands still."""
        return np.concatenate([np.zeros((1, 3)), self.actor_velocities])[instance]


def trace(
    scene: Scene,
    caster: RayCaster,
    scan: RadarScanConfig,
    motion: RadarMotion,
    *,
    mirror_loss_db: float,
    rng: np.random.Generator,
) -> Echoes:
    """Send jittered rays through the scan's field of view, and those that meet a mirror once further."""
    azimuth, elevation, solid_angle = _rays(scan, rng)
    flat = np.cos(elevation)
    local = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=1)
    directions = local @ motion.world_from_radar[:3, :3].T
    origins = np.broadcast_to(motion.world_from_radar[:3, 3], directions.shape)
    hits = caster.first_hits(origins, directions)
    at = np.flatnonzero((hits.face >= 0) & (hits.range_m < scan.max_range_m))
    first = _Path(directions[at], directions[at], origins[at], np.zeros(len(at)), motion)
    hits = Hits(hits.face[at], hits.range_m[at], hits.barycentric[at])
    direct = first.echoes(scene, hits, azimuth[at], solid_angle[at])
    second, kept = first.reflected(scene, hits)
    onward = caster.first_hits(second.origins, second.directions)
    total = second.travelled_m + onward.range_m
    reached = np.flatnonzero((onward.face >= 0) & (total < scan.max_range_m))
    onward = Hits(onward.face[reached], onward.range_m[reached], onward.barycentric[reached])
    loss = 10 ** (-mirror_loss_db / 10)
    ghosts = second.take(reached).echoes(
        scene, onward, azimuth[at][kept][reached], solid_angle[at][kept][reached] * loss
    )
    return join(direct, ghosts)


def _rays(scan: RadarScanConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth, elevation and solid angle of each ray: one at a random place in each cell of a grid."""
    columns, rows = scan.rays
    half_azimuth, half_elevation = np.deg2rad(scan.half_view_deg), np.deg2rad(scan.half_elevation_deg)
    u = (np.arange(columns)[:, None] + rng.random((columns, rows))) / columns
    v = (np.arange(rows)[None, :] + rng.random((columns, rows))) / rows
    azimuth, elevation = (2 * u.ravel() - 1) * half_azimuth, (2 * v.ravel() - 1) * half_elevation
    solid_angle = np.cos(elevation) * (4 * half_azimuth * half_elevation / (columns * rows))
    return azimuth, elevation, solid_angle


@dataclass(frozen=True, slots=True)
class _Path:
    """N rays on their way: the leg from `origins` on, after `travelled_m` to get there."""

    seen: Float64[np.ndarray, "n 3"]
    """Unit direction in which the sensor sees the path."""
    directions: Float64[np.ndarray, "n 3"]
    """Unit direction of this leg."""
    origins: Float64[np.ndarray, "n 3"]
    travelled_m: Float64[np.ndarray, " n"]
    motion: RadarMotion
    mirror_velocity: Float64[np.ndarray, "n 3"] | None = None
    """Of the surface at `origins`; None for the first leg."""

    def take(self, index: np.ndarray) -> "_Path":
        columns = ("seen", "directions", "origins", "travelled_m", "mirror_velocity")
        given = {name: getattr(self, name) for name in columns}
        return replace(self, **{name: c[index] for name, c in given.items() if c is not None})

    def echoes(self, scene: Scene, hits: Hits, azimuth: np.ndarray, solid_angle: np.ndarray) -> Echoes:
        """What comes back from the surfaces this leg ends on."""
        instance = scene.face_instance[hits.face].astype(np.int64)
        range_m = self.travelled_m + hits.range_m
        # The length of a path over a mirror changes with all three: its first leg's direction carries the
        # sensor, its second the target, their difference the mirror.
        rate = np.einsum("ni,ni->n", self.directions, self.motion.of(instance))
        rate -= self.seen @ self.motion.sensor_velocity
        if self.mirror_velocity is not None:
            rate += np.einsum("ni,ni->n", self.seen - self.directions, self.mirror_velocity)
        section = range_m**2 * solid_angle * self._section(scene, hits, instance)
        mirrored = np.full(len(range_m), self.mirror_velocity is not None)
        return Echoes(range_m, azimuth, rate, section, instance, mirrored)

    def _section(self, scene: Scene, hits: Hits, instance: np.ndarray) -> np.ndarray:
        """Radar cross-section per area across the ray."""
        material = scene.mesh.material[hits.face]
        cosine = np.abs(np.einsum("ni,ni->n", _normals(scene, hits), self.directions))
        section = _ROUGH[material] + _HEAD_ON[material] * cosine**16
        points = self.origins + self.directions * hits.range_m[:, None]
        noise = value_noise(points.astype(np.float32), cell_m=_DETAIL_M, seed=scene.texture_seed)
        detail_db = _DETAIL_DB * (noise.astype(np.float64) - 0.5) + _DETAIL_MIDDLE_DB
        return section * 10 ** (np.where(instance == 0, detail_db, 0.0) / 10)

    def reflected(self, scene: Scene, hits: Hits) -> tuple["_Path", np.ndarray]:
        """The next leg of those rays that end on a mirror, and which rays they are."""
        kept = np.flatnonzero(_SMOOTH[scene.mesh.material[hits.face]])
        mirrors = Hits(hits.face[kept], hits.range_m[kept], hits.barycentric[kept])
        normals, incoming = _normals(scene, mirrors), self.directions[kept]
        along = np.einsum("ni,ni->n", normals, incoming)
        outgoing = incoming - 2 * along[:, None] * normals
        points = self.origins[kept] + incoming * mirrors.range_m[:, None]
        points -= np.sign(along)[:, None] * SURFACE_OFFSET_M * normals
        velocity = self.motion.of(scene.face_instance[mirrors.face].astype(np.int64))
        travelled = self.travelled_m[kept] + mirrors.range_m
        return _Path(self.seen[kept], outgoing, points, travelled, self.motion, velocity), kept


def _normals(scene: Scene, hits: Hits) -> np.ndarray:
    return face_normals(scene.mesh.vertices, scene.mesh.faces[hits.face])


def resolve(echoes: Echoes, scan: RadarScanConfig, rng: np.random.Generator) -> Echoes:
    """Merge the echoes that fall into one cell of range, azimuth and speed; places are means by power.

    The grid starts at a random place. An echo's power is drawn from a gamma distribution of shape 2 about the
    cell's (Swerling's third case: one strong reflector among many weak ones).
    """
    shift = rng.random(3)
    angles = np.linspace(-scan.half_view_deg, scan.half_view_deg, 481)
    per_degree = 1 / table_at(scan.azimuth_cell_deg, angles)
    passed = np.concatenate([[0.0], np.cumsum((per_degree[1:] + per_degree[:-1]) / 2 * np.diff(angles))])
    columns = np.interp(np.rad2deg(echoes.azimuth_rad), angles, passed)
    cell = np.stack(
        [echoes.range_m / scan.range_cell_m, columns, echoes.range_rate_m_s / scan.speed_cell_m_s], axis=1
    )
    _, group = np.unique(np.floor(cell + shift).astype(np.int64), axis=0, return_inverse=True)
    group = group.reshape(-1)
    power = np.bincount(group, echoes.section_m2)
    order = np.lexsort([echoes.section_m2, group])
    strongest = order[np.searchsorted(group[order], np.arange(len(power)), side="right") - 1]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, echoes.section_m2 * values) / power

    return Echoes(
        mean(echoes.range_m),
        mean(echoes.azimuth_rad),
        mean(echoes.range_rate_m_s),
        power * rng.gamma(2.0, 0.5, len(power)),
        echoes.instance[strongest],
        echoes.mirrored[strongest],
    )


def table_at(table: tuple[tuple[float, float], ...], azimuth_deg: Float[np.ndarray, " n"]) -> np.ndarray:
    """Interpolate pairs of |azimuth| and value."""
    angles, values = zip(*table, strict=True)
    return np.interp(np.abs(azimuth_deg), angles, values)


def beside_stronger(
    range_m: Float64[np.ndarray, " n"],
    azimuth_rad: Float64[np.ndarray, " n"],
    section_db: Float64[np.ndarray, " n"],
    scan: RadarScanConfig,
) -> Bool[np.ndarray, " n"]:
    """Whether a stronger echo stands in one of the cells around. Memory grows with n squared."""
    cell_m, cell_rad = max(2 * scan.range_cell_m, 1.6), np.deg2rad(1.5 * scan.azimuth_cell_deg[0][1])
    near = np.abs(range_m[:, None] - range_m) < cell_m
    near &= np.abs(azimuth_rad[:, None] - azimuth_rad) < cell_rad
    return (near & (section_db > section_db[:, None])).any(axis=1)
