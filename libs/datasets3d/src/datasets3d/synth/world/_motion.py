"""How the car and the actors of a drive move over time, in road coordinates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from datasets3d.synth.world.plan import Plan

_BRAKE_MPS2 = 2.0
_STEP_S = 0.01
_KNOT_S = 4.0
"""The car's speed is drawn every so often."""
_MAX_CHANGE_MPS = 5.0
"""From knot to knot: at most 1.9 m/s2 in between."""
MAX_EGO_SPEED_MPS = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The way of one actor: straight along or across the road at constant speed, braking before its end."""

    s_m: float
    t_m: float
    """Road coordinates at time 0."""
    turn_rad: float
    """Heading of the body against the road's."""
    along_s: int = 0
    along_t: int = 0
    """Direction of motion: one of them -1 or 1, the other 0; both 0 for what stands."""
    speed_mps: float = 0.0
    reach_m: float = 1e6
    """Length of the way; the actor stands at its end."""

    def travelled(
        self, time_s: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Metres since time 0, and the speed."""
        speed = min(self.speed_mps, float(np.sqrt(2 * _BRAKE_MPS2 * max(self.reach_m, 0.0))))
        if speed == 0.0:
            return np.zeros_like(time_s), np.zeros_like(time_s)
        braking_m = speed**2 / (2 * _BRAKE_MPS2)
        brake_at = (self.reach_m - braking_m) / speed
        braked = np.clip(time_s - brake_at, 0.0, speed / _BRAKE_MPS2)
        way = speed * np.minimum(time_s, brake_at) + speed * braked - _BRAKE_MPS2 * braked**2 / 2
        return way, speed - _BRAKE_MPS2 * braked

    def road(
        self, plan: Plan, time_s: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """S and t."""
        way, _ = self.travelled(time_s)
        s = self.s_m + self.along_s * way / (1 - plan.curvature * self.t_m)
        return s, self.t_m + self.along_t * way

    def poses(self, plan: Plan, time_s: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """X, y and yaw in the world."""
        x, y, heading = plan.to_world(*self.road(plan, time_s))
        return np.stack([x, y, heading + self.turn_rad], axis=1)

    def velocities(self, plan: Plan, time_s: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """In the world, m/s; up and down with the ground, kerbs left out."""
        x, y, heading = plan.to_world(*self.road(plan, time_s))
        _, speed = self.travelled(time_s)
        return slope_velocity(plan, x, y, heading + np.arctan2(self.along_t, self.along_s), speed)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgoMotion:
    """The recording car's way along its lane; equal steps of 10 ms, between them linear."""

    way_m: Float[np.ndarray, " n"]
    """Since time 0."""
    speed_mps: Float[np.ndarray, " n"]

    @property
    def length_m(self) -> float:
        """The whole way."""
        return float(self.way_m[-1])

    def at(self, time_s: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Way and speed."""
        index = time_s / _STEP_S
        grid = np.arange(len(self.way_m))
        return np.interp(index, grid, self.way_m), np.interp(index, grid, self.speed_mps)

    def road_s(self, plan: Plan, time_s: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """S of the rear axle: the middle of the way is s = 0."""
        way, _ = self.at(time_s)
        return (way - self.length_m / 2) / (1 - plan.curvature * plan.ego_t)

    def poses(self, plan: Plan, time_s: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """X, y and yaw of the rear axle in the world."""
        s = self.road_s(plan, time_s)
        x, y, heading = plan.to_world(s, np.full_like(s, plan.ego_t))
        return np.stack([x, y, heading], axis=1)


def draw_ego_motion(duration_s: float, *, rng: np.random.Generator) -> EgoMotion:
    """A smooth speed between 0 and 12 m/s: mostly driving, sometimes stopping or standing all the time."""
    knots = int(np.ceil(duration_s / _KNOT_S)) + 1
    kind = rng.choice(["drive", "stop", "stand"], p=[0.65, 0.25, 0.1])
    level = np.clip(rng.uniform(4.0, 11.0) + rng.normal(scale=1.2, size=knots), 2.0, MAX_EGO_SPEED_MPS)
    stop = int(rng.integers(knots))
    if kind == "stop":
        level[stop : stop + 2] = 0.0
    elif kind == "stand":
        level[:] = 0.0
    # What the car can brake or gain from one knot to the next; ahead of a stop it is slow already.
    gap = np.abs(np.arange(knots)[:, None] - np.arange(knots))
    level = (level + _MAX_CHANGE_MPS * gap).min(axis=1)
    time_s = np.arange(int(np.ceil(duration_s / _STEP_S)) + 2) * _STEP_S
    before = np.minimum((time_s / _KNOT_S).astype(int), knots - 1)
    share = np.clip(time_s / _KNOT_S - before, 0.0, 1.0)
    share = share * share * (3 - 2 * share)
    speed = level[before] * (1 - share) + level[np.minimum(before + 1, knots - 1)] * share
    way = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * _STEP_S)])
    return EgoMotion(way_m=way, speed_mps=speed)


def slope_velocity(
    plan: Plan,
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    yaw: Float[np.ndarray, " n"],
    speed: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n 3"]:
    """Velocity of what moves over the ground with a horizontal speed and direction."""
    rise_x, rise_y = plan.terrain.gradient(x, y)
    cos, sin = np.cos(yaw), np.sin(yaw)
    return speed[:, None] * np.stack([cos, sin, rise_x * cos + rise_y * sin], axis=1)
