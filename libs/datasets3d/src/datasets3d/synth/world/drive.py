"""A drive through a street: the car, the other road users and what all of them look like at any time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from geom3d import transforms
from jaxtyping import Float, Int32

from datasets3d.synth.nuscenes_config import NuscenesSynthConfig
from datasets3d.synth.semantickitti_config import SemanticKittiSynthConfig
from datasets3d.synth.world._furniture import furnish
from datasets3d.synth.world._motion import (
    MAX_EGO_SPEED_MPS,
    EgoMotion,
    Track,
    draw_ego_motion,
    slope_velocity,
)
from datasets3d.synth.world._moving_traffic import ROAD_END_M, actor_box, draw_moving_actors
from datasets3d.synth.world.ground import ground_mesh
from datasets3d.synth.world.mesh import Mesh, concatenate
from datasets3d.synth.world.plan import Plan, draw_plan
from datasets3d.synth.world.props import Prop, PropKind
from datasets3d.synth.world.scene import Actor, Scene, Sun, assemble, draw_sun

_CAR_HEIGHT_M = 2.0
_TOUCH_M = 0.1
"""Discs are a little wider than the actors; a fence may stand that close."""
_MAX_TURN_RAD = 1.5
"""A road bends at most so much from its middle to either end, so that it never meets itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """A street in a fixed world frame (z up, metres) and everything that moves in it.

    Times run from 0 to `duration_s`. Made by `build_drive`.
    """

    plan: Plan
    sun: Sun
    texture_seed: int
    background: Mesh
    """All that never moves, in the world frame."""
    background_props: Int32[np.ndarray, " m"]
    """Which thing each triangle of the background belongs to: index into `prop_kinds`."""
    prop_kinds: tuple[PropKind, ...]
    """The first is the ground."""
    actors: tuple[Actor, ...]
    """At time 0; the order never changes."""
    tracks: tuple[Track, ...]
    ego: EgoMotion
    duration_s: float

    def joined_by(
        self, *, props: Sequence[Prop], actors: tuple[Actor, ...], tracks: tuple[Track, ...]
    ) -> "Drive":
        """Return the same drive with more things and road users, numbered after those that are there."""
        later = _prop_of_faces(props) + np.int32(len(self.prop_kinds))
        return replace(
            self,
            background=concatenate([self.background, *(prop.mesh for prop in props)]),
            background_props=np.concatenate([self.background_props, later]),
            prop_kinds=self.prop_kinds + tuple(prop.kind for prop in props),
            actors=self.actors + actors,
            tracks=self.tracks + tracks,
        )

    def world_from_ego(self, time_s: float) -> Float[np.ndarray, "4 4"]:
        """Return the car's pose: x forward, y left, z up, origin on the ground under the rear axle.

        Raises:
            ValueError: The time lies outside the drive.
        """
        time = self._time(time_s, "world_from_ego")
        x, y, yaw = self.ego.poses(self.plan, time).T
        rise_x, rise_y = self.plan.terrain.gradient(x, y)
        up = np.array([-rise_x[0], -rise_y[0], 1.0])
        forward = slope_velocity(self.plan, x, y, yaw, np.ones(1))[0]
        up, forward = up / np.linalg.norm(up), forward / np.linalg.norm(forward)
        rotation = np.stack([forward, np.cross(up, forward), up], axis=1)
        return transforms.from_parts(rotation, np.array([x[0], y[0], self.plan.terrain.height(x, y)[0]]))

    def scene_at(self, time_s: float) -> Scene:
        """Return the world at a time; textures stay on the background and travel with the actors.

        Raises:
            ValueError: The time lies outside the drive.
        """
        self._time(time_s, "scene_at")
        actors = tuple(
            replace(a, box_lidar=actor_box(self.plan, t, size=a.box_lidar[3:6], time_s=time_s))
            for a, t in zip(self.actors, self.tracks, strict=True)
        )
        return assemble(
            actors,
            [self.background],
            plan=self.plan,
            sun=self.sun,
            texture_seed=self.texture_seed,
            texture_boxes=np.array([a.box_lidar for a in self.actors]).reshape(-1, 7),
        )

    def actor_velocities(self, time_s: float) -> Float[np.ndarray, "k 3"]:
        """Return the velocities of the actors in the world, m/s.

        Raises:
            ValueError: The time lies outside the drive.
        """
        time = self._time(time_s, "actor_velocities")
        rows = [track.velocities(self.plan, time)[0] for track in self.tracks]
        return np.array(rows, dtype=np.float64).reshape(-1, 3)

    def _time(self, time_s: float, name: str) -> Float[np.ndarray, "1"]:
        if not 0 <= time_s <= self.duration_s:
            raise ValueError(f"Drive.{name}: time_s must lie in 0..{self.duration_s} s, got {time_s}")
        return np.array([time_s], dtype=np.float64)


def in_the_way(mesh: Mesh, plan: Plan, used: Float[np.ndarray, "n 3"]) -> bool:
    """Whether a thing beside the road reaches over the kerb, or into people, below the height of a car.

    Low crowns and bicycle stands do: they need more room than they claim. Houses stand across both ends of
    the road, where nobody drives.

    Args:
        used: Discs x y radius of all actors and their ways.
    """
    x, y, z = mesh.vertices.T
    low = z - plan.terrain.height(x, y) < _CAR_HEIGHT_M
    x, y = x[low], y[low]
    if not len(x):
        return False
    s, t = plan.to_road(x, y)
    on_road = (t > -plan.kerb(-1)) & (t < plan.kerb(1)) & (np.abs(s) < plan.length_m - ROAD_END_M)
    u, v, radius = used.T
    near = (u > x.min() - radius) & (u < x.max() + radius) & (v > y.min() - radius) & (v < y.max() + radius)
    apart = np.hypot(x[:, None] - u[near], y[:, None] - v[near])
    return bool(on_road.any() or (apart < radius[near] - _TOUCH_M).any())


def _prop_of_faces(props: Sequence[Prop]) -> Int32[np.ndarray, " m"]:
    counts = [len(prop.mesh.faces) for prop in props]
    return np.repeat(np.arange(len(props), dtype=np.int32), counts)


def build_drive(
    config: NuscenesSynthConfig | SemanticKittiSynthConfig, rng: np.random.Generator, duration_s: float
) -> Drive:
    """Draw a street with its traffic over a time. The same generator state gives the same drive.

    The street is as long as car and traffic need, whatever `config.street.length_m` says at least. Numbers of
    `config.street` are taken per 130 m of road, the length for which they are meant.

    Args:
        duration_s: Of the modelled time, seconds.

    Raises:
        ValueError: `duration_s` is not positive, or above 60.
    """
    if not 0 < duration_s <= 60:
        raise ValueError(f"build_drive: duration_s must lie in (0, 60], got {duration_s}")
    ego = draw_ego_motion(duration_s, rng=rng)
    stretch = ego.length_m / 2
    length = config.street.length_m + stretch + MAX_EGO_SPEED_MPS / 2 * duration_s
    plan = draw_plan(config.street, sensor_height_m=0.0, rng=rng)
    bend = _MAX_TURN_RAD / length
    plan = replace(
        plan, length_m=length, stretch_m=stretch, curvature=float(np.clip(plan.curvature, -bend, bend))
    )
    actors, tracks, occupied = draw_moving_actors(
        plan, config.street, ego=ego, duration_s=duration_s, rng=rng
    )
    used = np.array(occupied.discs)
    beside = [p for p in furnish(plan, occupied=occupied, rng=rng) if not in_the_way(p.mesh, plan, used)]
    props = (Prop(PropKind.GROUND, ground_mesh(plan)), *beside)
    return Drive(
        plan=plan,
        sun=draw_sun(rng),
        texture_seed=int(rng.integers(2**31)),
        background=concatenate([prop.mesh for prop in props]),
        background_props=_prop_of_faces(props),
        prop_kinds=tuple(prop.kind for prop in props),
        actors=actors,
        tracks=tracks,
        ego=ego,
        duration_s=duration_s,
    )
