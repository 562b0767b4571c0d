"""A furnished street as one triangle soup that remembers which object each triangle belongs to."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from datasets3d.synth.config import SynthConfig
from datasets3d.synth.world._furniture import furnish
from datasets3d.synth.world._traffic import Actor, Occupancy, draw_actors
from datasets3d.synth.world.ground import ground_mesh
from datasets3d.synth.world.mesh import Mesh, concatenate, place
from datasets3d.synth.world.plan import Plan, draw_plan

__all__ = ["Actor", "Scene", "Sun", "assemble", "build_scene"]


@dataclass(frozen=True, slots=True)
class Sun:
    """Daylight."""

    direction: Float[np.ndarray, "3"]
    """Unit vector towards the sun, the scene's frame."""
    strength: float
    """Direct light; about 1 on a clear day, near 0 under clouds."""
    haze: float
    """How white the sky is, 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The world at one time. Its frame is the LiDAR's for `build_scene`, the fixed world's for a drive.

    Instance i (1-based) is `actors[i - 1]`; 0 is everything that is never labelled.
    """

    mesh: Mesh
    face_instance: Int[np.ndarray, " m"]
    actors: tuple[Actor, ...]
    plan: Plan
    sun: Sun
    texture_seed: int
    texture_boxes: Float[np.ndarray, "k 7"] | None = None
    """Where each actor stood when its texture was fixed to it, so that it moves along; None: where it is."""

    @property
    def boxes_lidar(self) -> Float[np.ndarray, "k 7"]:
        """The actors' boxes."""
        return np.array([a.box_lidar for a in self.actors], dtype=np.float64).reshape(-1, 7)


def world_mesh(actor: Actor) -> Mesh:
    """An actor's mesh in the frame of its scene."""
    x, y, z, _, _, _, yaw = (float(v) for v in actor.box_lidar)
    return place(actor.mesh, position=(x, y, z), yaw_rad=yaw)


def assemble(
    actors: tuple[Actor, ...],
    background: list[Mesh],
    *,
    plan: Plan,
    sun: Sun,
    texture_seed: int,
    texture_boxes: Float[np.ndarray, "k 7"] | None = None,
) -> Scene:
    """Join the background (instance 0) and the actors into one scene."""
    meshes = [*background, *(world_mesh(a) for a in actors)]
    owner = [0] * len(background) + list(range(1, len(actors) + 1))
    counts = [len(m.faces) for m in meshes]
    return Scene(
        mesh=concatenate(meshes),
        face_instance=np.repeat(np.array(owner, dtype=np.int32), counts),
        actors=actors,
        plan=plan,
        sun=sun,
        texture_seed=texture_seed,
        texture_boxes=texture_boxes,
    )


def draw_sun(rng: np.random.Generator) -> Sun:
    """A sun between 12 and 60 degrees up; every fourth day is overcast."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(12, 60))
    direction = np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    overcast = rng.random() < 0.25
    strength = rng.uniform(0.0, 0.15) if overcast else rng.uniform(0.7, 1.1)
    return Sun(
        direction, float(strength), float(rng.uniform(0.7, 1.0) if overcast else rng.uniform(0.05, 0.7))
    )


def build_scene(config: SynthConfig, rng: np.random.Generator) -> Scene:
    """Draw a street, its traffic and its furniture. The same generator state gives the same scene."""
    plan = draw_plan(config.street, sensor_height_m=config.lidar.height_m, rng=rng)
    occupied = Occupancy()
    actors = draw_actors(plan, config.street, occupied=occupied, rng=rng)
    beside = furnish(plan, occupied=occupied, rng=rng)
    background = [ground_mesh(plan), *(prop.mesh for prop in beside)]
    sun = draw_sun(rng)
    return assemble(actors, background, plan=plan, sun=sun, texture_seed=int(rng.integers(2**31)))
