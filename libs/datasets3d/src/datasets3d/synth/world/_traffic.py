"""Who drives, parks and walks where."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from datasets3d.synth.config import StreetConfig
from datasets3d.synth.world._people import cyclist, pedestrian
from datasets3d.synth.world._vehicles import draw_vehicle
from datasets3d.synth.world.mesh import Mesh, place
from datasets3d.synth.world.plan import Plan

# How many objects are set up for one that ends up labelled: the others stand behind the sensor, outside the
# image, or hidden. Measured with tools/plot_synth_statistics.py on 120 frames.
SPAWN_FACTOR = {"Car": 2.9, "Van": 2.5, "Truck": 2.0, "Pedestrian": 2.5, "Cyclist": 1.9}


PARKED_SHARE = {"street": 0.65, "intersection": 0.4, "highway": 0.0}
"""Of the cars and vans; trucks rarely park."""


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A labelled kind of object: its mesh (origin box centre, facing +x) and its box."""

    name: str
    mesh: Mesh
    box_lidar: Float[np.ndarray, "7"]
    """x y z dx dy dz yaw, the tight box of the mesh, in the frame of its scene (see `Scene`)."""


@dataclass(slots=True)
class Occupancy:
    """Discs on the ground that are taken; grows while a scene is furnished."""

    discs: list[tuple[float, float, float]] = field(default_factory=lambda: [(0.5, 0.0, 3.2)])
    """x, y, radius in metres. The first is the recording car itself."""

    def claim(self, discs: list[tuple[float, float, float]]) -> bool:
        """Take the discs if all are free; report whether they were."""
        taken = np.array(self.discs)
        for x, y, r in discs:
            if np.any(np.hypot(taken[:, 0] - x, taken[:, 1] - y) < taken[:, 2] + r):
                return False
        self.discs.extend(discs)
        return True


def footprint(
    x: float, y: float, yaw: float, length: float, width: float
) -> list[tuple[float, float, float]]:
    """Discs (x, y, radius) along a box, its sides covered."""
    radius = width / 2 + 0.12
    count = max(1, int(np.ceil(length / width)))
    offsets = (np.arange(count) - (count - 1) / 2) * ((length - width) / max(count - 1, 1))
    return [(x + o * np.cos(yaw), y + o * np.sin(yaw), radius) for o in offsets]


def actor_at(
    name: str, mesh: Mesh, plan: Plan, *, s: float, t: float, turn_rad: float, occupied: Occupancy
) -> Actor | None:
    """Stand a mesh on the road, turned against the road's heading; None where the place is taken."""
    low, high = mesh.extent
    size = high - low
    x, y, heading = plan.point(s, t)
    yaw = float(np.arctan2(np.sin(heading + turn_rad), np.cos(heading + turn_rad)))
    if not occupied.claim(footprint(x, y, yaw, float(size[0]), float(size[1]))):
        return None
    z = plan.ground(s, t) + size[2] / 2
    centred = place(mesh, position=-(low + high) / 2)
    return Actor(name, centred, np.array([x, y, z, *size, yaw], dtype=np.float64))


def parking_spot(plan: Plan, s: float, *, side: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """S, t and turn of a vehicle parked near s; a few stand against the direction of their side."""
    slot = round(s / 5.6) * 5.6 + rng.normal(scale=0.35)
    t = side * (plan.kerb(side) - 1.0 + rng.normal(scale=0.12))
    along = 0.0 if side < 0 else np.pi
    wrong_way = np.pi if rng.random() < 0.12 else 0.0
    return float(slot), float(t), float(along + wrong_way + rng.normal(scale=0.03))


def _vehicle_spot(plan: Plan, *, parked: bool, rng: np.random.Generator) -> tuple[float, float, float]:
    """S, t and turn of a vehicle."""
    s = float(rng.uniform(-45, 85))
    sides = [side for side in (-1, 1) if plan.parking_m[(side + 1) // 2] > 0]
    if parked and sides and not plan.in_crossing(s, margin_m=4.0):
        return parking_spot(plan, s, side=sides[int(rng.integers(len(sides)))], rng=rng)
    if plan.crossing_s is not None and rng.random() < 0.3:
        direction = rng.choice([-1.0, 1.0])
        t = rng.uniform(-38, 38)
        return (
            float(plan.crossing_s + direction * plan.crossing_half_m / 2),
            float(t),
            float(direction * np.pi / 2 + rng.normal(scale=0.05)),
        )
    side = -1 if rng.random() < 0.5 else 1
    lane = int(rng.integers(plan.lanes))
    t = side * (lane + 0.5) * plan.lane_width_m + rng.normal(scale=0.2)
    return s, float(t), float((0.0 if side < 0 else np.pi) + rng.normal(scale=0.03))


def _person_spot(plan: Plan, *, rng: np.random.Generator) -> tuple[float, float, float]:
    """S, t and turn of a pedestrian: mostly on the sidewalks, some on the carriageway."""
    s = float(3 + rng.gamma(2.0, 10.0)) if rng.random() < 0.75 else float(-rng.uniform(3, 40))
    side = int(rng.choice([-1, 1]))
    if rng.random() < 0.18 and plan.layout != "highway":
        return (
            s,
            float(rng.uniform(-plan.kerb(-1), plan.kerb(1))),
            float(side * np.pi / 2 + rng.normal(scale=0.3)),
        )
    walk = max(plan.sidewalk_m, 1.5)
    t = side * (plan.kerb(side) + rng.uniform(0.4, walk - 0.3))
    turn = (
        rng.choice([0.0, np.pi]) + rng.normal(scale=0.25)
        if rng.random() < 0.8
        else rng.uniform(-np.pi, np.pi)
    )
    return s, float(t), float(turn)


def _cyclist_spot(plan: Plan, *, rng: np.random.Generator) -> tuple[float, float, float]:
    s = float(4 + rng.gamma(2.0, 11.0)) if rng.random() < 0.75 else float(-rng.uniform(3, 40))
    side = int(rng.choice([-1, 1]))
    edge = plan.lanes * plan.lane_width_m
    t = (
        side * (edge - 0.6)
        if rng.random() < 0.6
        else side * (plan.kerb(side) + 0.5 * max(plan.sidewalk_m, 1.2))
    )
    turn = 0.0 if side < 0 else np.pi
    return s, float(t + rng.normal(scale=0.25)), float(turn + rng.normal(scale=0.12))


def vehicles_per_frame(config: StreetConfig) -> dict[str, float]:
    """Labelled vehicles of each class wanted in a frame."""
    return {"Car": config.cars_per_frame, "Truck": config.trucks_per_frame, "Van": config.vans_per_frame}


def people_per_frame(config: StreetConfig) -> dict[str, float]:
    """Labelled people of each class wanted in a frame."""
    return {"Pedestrian": config.pedestrians_per_frame, "Cyclist": config.cyclists_per_frame}


def draw_crowd(config: StreetConfig, rng: np.random.Generator) -> dict[str, float]:
    """By how much a street is fuller or emptier than wanted, at most four times."""
    return {
        kind: float(min(rng.gamma(config.crowding) / config.crowding, 4.0)) for kind in ("wheels", "feet")
    }


def draw_actors(
    plan: Plan, config: StreetConfig, *, occupied: Occupancy, rng: np.random.Generator
) -> tuple[Actor, ...]:
    """Place all vehicles and people of a frame, without overlap; crowded frames may hold fewer than drawn."""
    aims = {**vehicles_per_frame(config), **people_per_frame(config)}
    crowd = draw_crowd(config, rng)
    parked_share = PARKED_SHARE[plan.layout]
    actors = []
    for name, aim in aims.items():
        on_foot = name in ("Pedestrian", "Cyclist")
        if on_foot and plan.layout == "highway":
            continue
        factor = crowd["feet" if on_foot else "wheels"]
        for _ in range(int(rng.poisson(aim * SPAWN_FACTOR[name] * factor))):
            parked = bool(rng.random() < (parked_share if name != "Truck" else 0.1))
            mesh = draw_mesh(name, rng)
            for _ in range(8):
                if name == "Pedestrian":
                    s, t, turn = _person_spot(plan, rng=rng)
                elif name == "Cyclist":
                    s, t, turn = _cyclist_spot(plan, rng=rng)
                else:
                    s, t, turn = _vehicle_spot(plan, parked=parked, rng=rng)
                actor = actor_at(name, mesh, plan, s=s, t=t, turn_rad=turn, occupied=occupied)
                if actor is not None:
                    actors.append(actor)
                    break
    return tuple(actors)


def draw_mesh(name: str, rng: np.random.Generator) -> Mesh:
    """A random body of one kind of actor."""
    if name == "Pedestrian":
        return pedestrian(rng)
    if name == "Cyclist":
        return cyclist(rng)
    return draw_vehicle(name, rng)
