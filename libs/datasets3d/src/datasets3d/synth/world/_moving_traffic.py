"""The actors of a drive: parked, driving, riding, walking, none into another within the modelled time."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from datasets3d.synth.config import StreetConfig
from datasets3d.synth.world._motion import EgoMotion, Track
from datasets3d.synth.world._traffic import (
    PARKED_SHARE,
    SPAWN_FACTOR,
    Actor,
    Occupancy,
    draw_crowd,
    draw_mesh,
    footprint,
    parking_spot,
    people_per_frame,
    vehicles_per_frame,
)
from datasets3d.synth.world.mesh import Mesh, place
from datasets3d.synth.world.plan import Plan

_CHECK_S = 0.1
"""Discs are compared so often."""
_CLEAR_M = 0.25
"""Kept free around whatever moves."""
_HEADWAY_S = 0.5
"""Kept free before and behind a vehicle, times its speed."""
_FRAME_ROAD_M = 130.0
"""Length of road that the expected numbers of `StreetConfig` were measured on."""
ROAD_END_M = 25.0
"""Traffic keeps off the last metres of the road, where houses stand across it."""
EGO_SIZE_M = (4.1, 1.8)
"""Length and width of the recording car."""
EGO_CENTRE_M = 1.4
"""Its middle before the rear axle."""
_EGO_CLEAR_RADIUS_M = 1.35


@dataclass(slots=True)
class SpaceTime:
    """What is taken where and when; grows while actors are placed."""

    plan: Plan
    time_s: Float[np.ndarray, " time"]
    standing: Occupancy
    moving: Float[np.ndarray, "time n 3"]
    """Discs x y radius."""
    tracks: list[Track] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)

    def stand(self, name: str, mesh: Mesh, track: Track) -> bool:
        """Add an actor that never moves, if its place is free at all times."""
        discs = _sweep(self.plan, track, mesh, time_s=self.time_s[:1])
        if not self._free(np.repeat(discs, len(self.time_s), axis=0)):
            return False
        self.standing.discs.extend((float(x), float(y), float(r)) for x, y, r in discs[0])
        self._add(name, mesh, track)
        return True

    def move(self, name: str, mesh: Mesh, track: Track) -> bool:
        """Add an actor that moves, if its way is free when it gets there."""
        discs = _sweep(self.plan, track, mesh, time_s=self.time_s)
        if not self._free(discs):
            return False
        self.moving = np.concatenate([self.moving, discs], axis=1)
        self._add(name, mesh, track)
        return True

    def join(self, actor: Actor, track: Track) -> None:
        """Add an actor that has its place already."""
        discs = _sweep(self.plan, track, actor.mesh, time_s=self.time_s)
        if track.speed_mps > 0:
            self.moving = np.concatenate([self.moving, discs], axis=1)
        else:
            self.standing.discs.extend((float(x), float(y), float(r)) for x, y, r in discs[0])
        self.actors.append(actor)
        self.tracks.append(track)

    def _free(self, discs: Float[np.ndarray, "time n 3"]) -> bool:
        standing = np.array(self.standing.discs)
        reach = np.abs(discs[..., :2]).max() + discs[..., 2].max()
        standing = standing[np.abs(standing[:, :2]).max(axis=1) - standing[:, 2] < reach]
        # Most refusals show in a tenth of the time steps.
        return not (
            _touch(discs[::10], self.moving[::10])
            or _touch(discs.reshape(1, -1, 3), standing[None])
            or _touch(discs, self.moving)
        )

    def _add(self, name: str, mesh: Mesh, track: Track) -> None:
        low, high = mesh.extent
        centred = place(mesh, position=-(low + high) / 2)
        self.tracks.append(track)
        start = actor_box(self.plan, track, size=high - low, time_s=0.0)
        self.actors.append(Actor(name, centred, start))


def _touch(a: Float[np.ndarray, "time n 3"], b: Float[np.ndarray, "time m 3"]) -> bool:
    """Whether any disc of a overlaps any of b at the same time."""
    if b.shape[1] == 0:
        return False
    x, y, near = (a[:, :, None, i] - sign * b[:, None, :, i] for i, sign in ((0, 1), (1, 1), (2, -1)))
    return bool((x * x + y * y < near * near).any())


def actor_box(
    plan: Plan, track: Track, *, size: Float[np.ndarray, "3"], time_s: float
) -> Float[np.ndarray, "7"]:
    """The upright box of an actor at one time, in the world."""
    time = np.array([time_s])
    x, y, yaw = track.poses(plan, time)[0]
    s, t = track.road(plan, time)
    z = plan.ground(float(s[0]), float(t[0])) + size[2] / 2
    return np.array([x, y, z, *size, np.arctan2(np.sin(yaw), np.cos(yaw))], dtype=np.float64)


def _sweep(
    plan: Plan, track: Track, mesh: Mesh, *, time_s: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "time n 3"]:
    """An actor's discs over time, with the room that a moving one keeps."""
    low, high = mesh.extent
    length, width, _ = (float(v) for v in high - low)
    moves = track.speed_mps > 0
    clear = 2 * _CLEAR_M if moves else 0.0
    ahead = 2 * _HEADWAY_S * track.speed_mps if moves and length > 1.0 else 0.0
    return _discs(track.poses(plan, time_s), length=length + clear + ahead, width=width + clear)


def _discs(
    poses: Float[np.ndarray, "time 3"], *, length: float, width: float, centre_m: float = 0.0
) -> Float[np.ndarray, "time n 3"]:
    local = np.array(footprint(centre_m, 0.0, 0.0, length, width))
    x, y, yaw = (poses[:, i, None] for i in range(3))
    return np.stack(
        [
            x + local[:, 0] * np.cos(yaw),
            y + local[:, 0] * np.sin(yaw),
            np.broadcast_to(local[:, 2], (len(poses), len(local))),
        ],
        axis=-1,
    )


def ego_corridor(plan: Plan, ego: EgoMotion) -> Occupancy:
    """The whole way of the recording car as discs that nothing standing may touch."""
    ends = ego.road_s(plan, np.array([0.0, 1e6]))
    rear, front = EGO_CENTRE_M - EGO_SIZE_M[0] / 2 - 1.0, EGO_CENTRE_M + EGO_SIZE_M[0] / 2 + 3.0
    s = np.arange(ends[0] + rear, ends[1] + front, 0.8)
    x, y, _ = plan.to_world(s, np.full_like(s, plan.ego_t))
    return Occupancy([(float(a), float(b), _EGO_CLEAR_RADIUS_M) for a, b in zip(x, y, strict=True)])


def empty_road(plan: Plan, *, ego: EgoMotion, duration_s: float) -> SpaceTime:
    """Nobody but the recording car."""
    time_s = np.arange(int(np.ceil(duration_s / _CHECK_S)) + 1) * _CHECK_S
    _, ego_speed = ego.at(time_s)
    length = EGO_SIZE_M[0] + 2 * _HEADWAY_S * float(ego_speed.max())
    ego_discs = _discs(
        ego.poses(plan, time_s), length=length, width=EGO_SIZE_M[1] + 2 * _CLEAR_M, centre_m=EGO_CENTRE_M
    )
    return SpaceTime(plan, time_s, ego_corridor(plan, ego), ego_discs)


def draw_moving_actors(
    plan: Plan, config: StreetConfig, *, ego: EgoMotion, duration_s: float, rng: np.random.Generator
) -> tuple[tuple[Actor, ...], tuple[Track, ...], Occupancy]:
    """Place everyone; return them at time 0, how they move, and the ground that they take for themselves."""
    taken = empty_road(plan, ego=ego, duration_s=duration_s)
    flow = lane_speeds(plan, ego, rng=rng)
    crowd = draw_crowd(config, rng)
    furnished, driven = furnished_m(plan), 2 * (plan.length_m - ROAD_END_M)
    for name, aim in vehicles_per_frame(config).items():
        rate = aim * SPAWN_FACTOR[name] * crowd["wheels"] / _FRAME_ROAD_M
        share = PARKED_SHARE[plan.layout] if name != "Truck" else 0.1
        share = share if max(plan.parking_m) > 0 else 0.0
        for _ in range(int(rng.poisson(rate * share * furnished))):
            park(taken, name, draw_mesh(name, rng), rng=rng)
        for _ in range(int(rng.poisson(rate * (1 - share) * driven))):
            join_traffic(taken, name, draw_mesh(name, rng), flow=flow, rng=rng)
    if plan.layout != "highway":
        people = people_per_frame(config)
        for name, add in (("Cyclist", _ride), ("Pedestrian", _walk)):
            rate = people[name] * SPAWN_FACTOR[name] * crowd["feet"] / _FRAME_ROAD_M
            for _ in range(int(rng.poisson(rate * furnished))):
                add(taken, rng=rng)
    return tuple(taken.actors), tuple(taken.tracks), ground_used(taken)


def furnished_m(plan: Plan) -> float:
    """Length of the road beside which things stand and people walk."""
    return _FRAME_ROAD_M + 2 * plan.stretch_m


def lane_speeds(plan: Plan, ego: EgoMotion, *, rng: np.random.Generator) -> dict[tuple[int, int], float]:
    """The speed of the traffic by side (-1 right) and lane; the recording car swims along in its own."""
    low, high = (8.0, 16.0) if plan.layout == "highway" else (5.0, 12.0)
    speeds = {(side, lane): float(rng.uniform(low, high)) for side in (-1, 1) for lane in range(plan.lanes)}
    speeds[-1, int(-plan.ego_t // plan.lane_width_m)] = max(float(ego.speed_mps.mean()), 3.0)
    return speeds


def park(taken: SpaceTime, name: str, mesh: Mesh, *, rng: np.random.Generator) -> None:
    """Add a vehicle on a parking lane, if a place is found; the plan must have such a lane."""
    plan = taken.plan
    sides = [side for side in (-1, 1) if plan.parking_m[(side + 1) // 2] > 0]
    for _ in range(8):
        near = float(rng.uniform(-45 - plan.stretch_m, 85 + plan.stretch_m))
        side = sides[int(rng.integers(len(sides)))]
        s, t, turn = parking_spot(plan, near, side=side, rng=rng)
        if plan.in_crossing(s, margin_m=4.0):
            continue
        if taken.stand(name, mesh, Track(s_m=s, t_m=t, turn_rad=turn)):
            return


def join_traffic(
    taken: SpaceTime, name: str, mesh: Mesh, *, flow: dict[tuple[int, int], float], rng: np.random.Generator
) -> None:
    """Add a vehicle that drives, if a way is found.

    Args:
        flow: The speed of the traffic by side (-1 right) and lane.
    """
    length = float(np.ptp(mesh.extent[:, 0]))
    for attempt in range(8):
        if taken.plan.crossing_s is not None and rng.random() < 0.3:
            track = _to_the_crossing(taken.plan, taken.plan.crossing_s, length, rng=rng)
        else:
            track = _in_lane(taken.plan, flow, hurry=1.0 - 0.08 * attempt, rng=rng)
        if taken.move(name, mesh, track):
            return


def _in_lane(
    plan: Plan, flow: dict[tuple[int, int], float], *, hurry: float, rng: np.random.Generator
) -> Track:
    side, lane = list(flow)[int(rng.integers(len(flow)))]
    end = plan.length_m - ROAD_END_M
    s = float(rng.uniform(-end, end))
    return Track(
        s_m=s,
        t_m=float(side * (lane + 0.5) * plan.lane_width_m + rng.normal(scale=0.15)),
        turn_rad=0.0 if side < 0 else np.pi,
        along_s=-side,
        speed_mps=flow[side, lane] * hurry * float(rng.uniform(0.92, 1.08)),
        reach_m=end + side * s,
    )


def _to_the_crossing(plan: Plan, crossing_s: float, length_m: float, *, rng: np.random.Generator) -> Track:
    """From a side street to the kerb line, to wait there."""
    side = int(rng.choice([-1, 1]))
    stop = plan.kerb(side) + 1.2 + length_m / 2
    start = float(rng.uniform(stop, max(24.0, stop + 1.0)))
    return Track(
        s_m=crossing_s - side * plan.crossing_half_m / 2,
        t_m=side * start,
        turn_rad=-side * np.pi / 2,
        along_t=-side,
        speed_mps=float(rng.uniform(4.0, 9.0)),
        reach_m=start - stop,
    )


def _ride(taken: SpaceTime, *, rng: np.random.Generator) -> None:
    """A cyclist at the right edge of the carriageway or on the sidewalk."""
    plan = taken.plan
    mesh = draw_mesh("Cyclist", rng)
    for _ in range(8):
        side = int(rng.choice([-1, 1]))
        edge, kerb = plan.lanes * plan.lane_width_m, plan.kerb(side)
        on_road = rng.random() < 0.6
        t = edge - 0.6 if on_road else kerb + 0.5 * max(plan.sidewalk_m, 1.2)
        s = float(rng.uniform(-45 - plan.stretch_m, 75 + plan.stretch_m))
        track = Track(
            s_m=s,
            t_m=float(side * t + rng.normal(scale=0.15)),
            turn_rad=0.0 if side < 0 else np.pi,
            along_s=-side,
            speed_mps=float(rng.uniform(3.0, 6.5)),
            reach_m=plan.length_m - ROAD_END_M + side * s,
        )
        if taken.move("Cyclist", mesh, track):
            return


def _walk(taken: SpaceTime, *, rng: np.random.Generator) -> None:
    """A pedestrian: walking along a sidewalk, standing there, or crossing the carriageway."""
    plan = taken.plan
    mesh = draw_mesh("Pedestrian", rng)
    for _ in range(8):
        s = float(rng.uniform(-40 - plan.stretch_m, 80 + plan.stretch_m))
        side, way = int(rng.choice([-1, 1])), int(rng.choice([-1, 1]))
        speed = float(rng.uniform(0.8, 1.7))
        kind = rng.choice(["along", "stand", "across"], p=[0.62, 0.2, 0.18])
        if kind == "across":
            start = float(rng.uniform(-plan.kerb(-side), plan.kerb(side) + 0.6))
            reach = start + plan.kerb(-side) + 0.8
            track = Track(s_m=s, t_m=side * start, turn_rad=-side * np.pi / 2, along_t=-side, speed_mps=speed,
                          reach_m=reach)  # fmt: skip
        else:
            # Beside the row of trees and lamps at the kerb.
            t = side * (plan.kerb(side) + float(rng.uniform(1.1, max(plan.sidewalk_m - 0.4, 1.15))))
            if kind == "along":
                reach = plan.length_m - ROAD_END_M - way * s
                turn = 0.0 if way > 0 else np.pi
                track = Track(s_m=s, t_m=t, turn_rad=turn, along_s=way, speed_mps=speed, reach_m=reach)
            else:
                track = Track(s_m=s, t_m=t, turn_rad=float(rng.uniform(-np.pi, np.pi)))
        if (taken.stand if kind == "stand" else taken.move)("Pedestrian", mesh, track):
            return


def ground_used(taken: SpaceTime) -> Occupancy:
    """Standing discs and the strips over which people walk and ride (vehicles keep to the carriageway)."""
    discs = list(taken.standing.discs)
    for actor, track in zip(taken.actors, taken.tracks, strict=True):
        if actor.name in ("Pedestrian", "Cyclist") and track.speed_mps > 0:
            way, _ = track.travelled(taken.time_s)
            every = np.unique(np.searchsorted(way, np.arange(0.0, way[-1] + 0.4, 0.4)).clip(max=len(way) - 1))
            poses = track.poses(taken.plan, taken.time_s[every])
            radius = float(actor.box_lidar[4]) / 2 + 0.25
            discs += [(float(x), float(y), radius) for x, y, _ in poses]
    return Occupancy(discs)
