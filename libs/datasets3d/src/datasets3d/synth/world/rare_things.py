"""What the streets of the other layouts lack: motorcycles, buses, trailers, low signs and paved yards.

A drive gets them afterwards, by random numbers of their own, so that the drive itself stays what it is.
"""

import numpy as np
from jaxtyping import Float

from datasets3d.synth.semantickitti_config import RareThingsConfig
from datasets3d.synth.world._motion import Track
from datasets3d.synth.world._moving_traffic import (
    ROAD_END_M,
    SpaceTime,
    empty_road,
    furnished_m,
    ground_used,
    join_traffic,
    lane_speeds,
    park,
)
from datasets3d.synth.world._props import sign
from datasets3d.synth.world._rare_vehicles import bus, motorcycle, motorcyclist, trailer
from datasets3d.synth.world.drive import Drive, in_the_way
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import Mesh, place, quads
from datasets3d.synth.world.plan import KERB_M, Plan
from datasets3d.synth.world.props import Prop, PropKind

_YARD_LIFT_M = 0.03
"""Paving lies over the lawn."""
_CLEAR_M = 1.1
"""Nothing stands so near to a motorcycle on the sidewalk."""


def add_rare_things(drive: Drive, config: RareThingsConfig, rng: np.random.Generator) -> Drive:
    """Return the drive with more road users and yards; those that it had keep their numbers and their ways.

    New actors are called Bus, Trailer, Motorcycle (nobody on it) and Motorcyclist. They are placed like the
    others, none into another within the modelled time; what fits nowhere is left out.
    """
    plan = drive.plan
    taken = empty_road(plan, ego=drive.ego, duration_s=drive.duration_s)
    for actor, track in zip(drive.actors, drive.tracks, strict=True):
        taken.join(actor, track)
    driven = 2 * (plan.length_m - ROAD_END_M) / 100
    furnished = furnished_m(plan) / 100
    flow = _flow(drive, rng=rng)
    for name, rate, draw in (
        ("Bus", config.buses_per_100m, bus),
        ("Motorcyclist", config.motorcyclists_per_100m, motorcyclist),
    ):
        for _ in range(int(rng.poisson(rate * driven))):
            join_traffic(taken, name, draw(rng), flow=flow, rng=rng)
    props = []
    if plan.layout != "highway":
        for _ in range(int(rng.poisson(config.trailers_per_100m * furnished))):
            if max(plan.parking_m) > 0:
                park(taken, "Trailer", trailer(rng), rng=rng)
        for _ in range(int(rng.poisson(config.motorcycles_per_100m * furnished))):
            _leave_motorcycle(drive, taken, motorcycle(rng), rng=rng)
        props = _yards(plan, config, rng=rng)
        count = int(rng.poisson(config.low_signs_per_100m * furnished))
        props += _low_signs(drive, taken, count, rng=rng)
    old = len(drive.actors)
    return drive.joined_by(props=props, actors=tuple(taken.actors[old:]), tracks=tuple(taken.tracks[old:]))


def _flow(drive: Drive, *, rng: np.random.Generator) -> dict[tuple[int, int], float]:
    """The speed in each lane: that of a vehicle which drives there, drawn where none does."""
    plan = drive.plan
    flow = lane_speeds(plan, drive.ego, rng=rng)
    for actor, track in zip(drive.actors, drive.tracks, strict=True):
        lane = (-track.along_s, int(abs(track.t_m) // plan.lane_width_m))
        if actor.name in ("Car", "Van", "Truck") and track.along_s and lane in flow:
            flow[lane] = track.speed_mps
    return flow


def _leave_motorcycle(drive: Drive, taken: SpaceTime, mesh: Mesh, *, rng: np.random.Generator) -> None:
    """On a parking lane, or on the sidewalk where nothing else stands."""
    plan = drive.plan
    if max(plan.parking_m) > 0 and rng.random() < 0.5:
        park(taken, "Motorcycle", mesh, rng=rng)
        return
    for _ in range(8):
        side = int(rng.choice([-1, 1]))
        s = float(rng.uniform(-40 - plan.stretch_m, 80 + plan.stretch_m))
        t = side * (plan.kerb(side) + float(rng.uniform(0.6, 1.0)))
        turn = float(rng.choice([0.0, np.pi]) + rng.normal(scale=0.15))
        if plan.in_crossing(s, margin_m=3.0) or not _is_clear(drive, s, t):
            continue
        if taken.stand("Motorcycle", mesh, Track(s_m=s, t_m=t, turn_rad=turn)):
            return


def _low_signs(drive: Drive, taken: SpaceTime, count: int, *, rng: np.random.Generator) -> list[Prop]:
    """At the kerb, each facing the traffic of its side, where nothing stands and nobody walks."""
    plan, used, signs = drive.plan, np.array(ground_used(taken).discs), []
    for _ in range(count):
        side = int(rng.choice([-1, 1]))
        s = float(rng.uniform(-40 - plan.stretch_m, 80 + plan.stretch_m))
        t, mesh = side * (plan.kerb(side) + 0.5), sign(rng, height_m=(1.1, 2.2))
        x, y, heading = plan.point(s, t)
        turn = heading + (np.pi if side > 0 else 0.0)
        placed = place(mesh, position=(x, y, plan.ground(s, t)), yaw_rad=turn)
        if not plan.in_crossing(s, margin_m=0.5) and _is_clear(drive, s, t):
            signs += [] if in_the_way(placed, plan, used) else [Prop(PropKind.TRAFFIC_SIGN, placed)]
    return signs


def _is_clear(drive: Drive, s: float, t: float) -> bool:
    """Whether no thing of the background stands near a place, below two metres."""
    x, y, _ = drive.plan.point(s, t)
    vertices = drive.background.vertices
    near = vertices[np.hypot(vertices[:, 0] - x, vertices[:, 1] - y) < _CLEAR_M]
    height = near[:, 2] - drive.plan.ground(s, t)
    return not bool(((height > KERB_M) & (height < 2.0)).any())


def _yards(plan: Plan, config: RareThingsConfig, *, rng: np.random.Generator) -> list[Prop]:
    """Paved strips from the sidewalk to the house line, where there are front gardens."""
    if plan.urban or plan.setback_m < 2:
        return []
    yards = []
    for _ in range(int(rng.poisson(config.yards_per_100m * furnished_m(plan) / 100))):
        side = int(rng.choice([-1, 1]))
        s, width = float(rng.uniform(-60 - plan.stretch_m, 90 + plan.stretch_m)), float(rng.uniform(4, 9))
        if plan.in_crossing(s, margin_m=width / 2 + 3.0):
            continue
        near = plan.kerb(side) + plan.sidewalk_m
        s_m = np.linspace(s - width / 2, s + width / 2, 6)
        t_m = side * np.linspace(near, near + plan.setback_m, 5)
        yards.append(Prop(PropKind.YARD, _paving(plan, s_m, np.sort(t_m))))
    return yards


def _paving(plan: Plan, s_m: Float[np.ndarray, " ns"], t_m: Float[np.ndarray, " nt"]) -> Mesh:
    """A sheet over the ground beside the road; s and t ascend."""
    grid_s, grid_t = np.meshgrid(s_m, t_m, indexing="ij")
    x, y, _ = plan.to_world(grid_s, grid_t)
    sheet = np.stack([x, y, plan.terrain.height(x, y) + KERB_M + _YARD_LIFT_M], axis=-1)
    index = (slice(None, -1), slice(1, None))
    corners = [sheet[index[a], index[b]] for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]
    return quads(np.stack(corners, axis=2).reshape(-1, 4, 3), material=Material.BRICK, color=(0.3, 0.24, 0.2))
