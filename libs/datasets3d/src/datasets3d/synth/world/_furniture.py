"""Everything beside the road: houses, gardens, trees, posts, and clutter that resembles objects."""

import numpy as np

from datasets3d.synth.world import _props
from datasets3d.synth.world._buildings import house
from datasets3d.synth.world._traffic import Occupancy
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import Mesh, box, ellipsoid, place
from datasets3d.synth.world.plan import Plan


def _stand(mesh: Mesh, plan: Plan, *, s: float, t: float, turn_rad: float = 0.0) -> Mesh:
    x, y, heading = plan.point(s, t)
    return place(mesh, position=(x, y, plan.ground(s, t)), yaw_rad=heading + turn_rad)


def _facing_road(side: int) -> float:
    """Turn that points a mesh's -y side to the road."""
    return 0.0 if side > 0 else np.pi


def houses(plan: Plan, *, rng: np.random.Generator) -> list[Mesh]:
    """Rows of houses on both sides and a closing row across each end of the street."""
    meshes = []
    for side in (-1, 1):
        line = plan.kerb(side) + plan.sidewalk_m + plan.setback_m
        s = -plan.length_m
        while s < plan.length_m:
            width = rng.uniform(11, 22) if plan.urban else rng.uniform(8, 15)
            mid = s + width / 2
            if not plan.in_crossing(mid, margin_m=width / 2 + 2.0) and rng.random() < 0.93:
                storeys = int(rng.integers(3, 6)) if plan.urban else int(rng.integers(1, 4))
                mesh = house(rng, width_m=width, depth_m=rng.uniform(8, 12), storeys=storeys,
                             gabled=bool(rng.random() < (0.3 if plan.urban else 0.85)))  # fmt: skip
                set_back = line + rng.uniform(0, 0.3 if plan.urban else 2.5)
                meshes.append(_stand(mesh, plan, s=mid, t=side * set_back, turn_rad=_facing_road(side)))
            s += width + (0.02 if plan.urban else rng.uniform(2.5, 8))
    return meshes + _closing_row(plan, rng=rng)


def _closing_row(plan: Plan, *, rng: np.random.Generator) -> list[Mesh]:
    """Houses across both ends of the road, and behind the first rows, so that no view ends in nothing."""
    meshes = []
    for end in (-1, 1):
        for t in np.arange(-60, 61, 16.0):
            mesh = house(rng, width_m=15.0, depth_m=10.0, storeys=int(rng.integers(2, 5)), gabled=True)
            turn = -np.pi / 2 if end > 0 else np.pi / 2
            meshes.append(_stand(mesh, plan, s=end * (plan.length_m - 12), t=float(t), turn_rad=turn))
    for side in (-1, 1):
        for s in np.arange(-plan.length_m + 20, plan.length_m - 20, 22.0):
            if rng.random() < 0.7:
                mesh = house(rng, width_m=14.0, depth_m=9.0, storeys=int(rng.integers(2, 5)), gabled=True)
                t = side * (plan.kerb(side) + plan.sidewalk_m + plan.setback_m + rng.uniform(26, 34))
                meshes.append(_stand(mesh, plan, s=float(s), t=t, turn_rad=_facing_road(side)))
    return meshes


def gardens(plan: Plan, *, occupied: Occupancy, rng: np.random.Generator) -> list[Mesh]:
    """Hedges, fences and walls along the sidewalks; bushes and trees behind them."""
    meshes = []
    for side in (-1, 1):
        edge = plan.kerb(side) + plan.sidewalk_m + 0.4
        s = -60.0 - plan.stretch_m
        while s < 90 + plan.stretch_m:
            length = rng.uniform(6, 13)
            mid = s + length / 2
            s += length + rng.uniform(0.8, 3.0)
            if plan.in_crossing(mid, margin_m=length / 2 + 2.5):
                continue
            kind = rng.choice(4, p=[0.35, 0.25, 0.2, 0.2])
            if kind == 0:
                mesh = _props.hedge(rng, length_m=length, height_m=float(rng.uniform(0.7, 1.9)))
            elif kind == 1:
                mesh = _props.fence(rng, length_m=length)
            elif kind == 2:
                mesh = _props.low_wall(rng, length_m=length)
            else:
                mesh = None
            if mesh is not None:
                meshes.append(_stand(mesh, plan, s=mid, t=side * edge, turn_rad=_facing_road(side)))
            for _ in range(int(rng.poisson(0.8))):
                spot = (
                    mid + rng.uniform(-4, 4),
                    side * (edge + rng.uniform(1.0, max(plan.setback_m - 1.0, 1.2))),
                )
                meshes += _try(
                    _props.bush(rng, radius_m=float(rng.uniform(0.5, 1.1))), plan, spot, 0.7, occupied
                )
    return meshes


def _try(
    mesh: Mesh, plan: Plan, spot: tuple[float, float], radius_m: float, occupied: Occupancy
) -> list[Mesh]:
    """The mesh standing at (s, t) where that is free, else nothing."""
    x, y, _ = plan.point(*spot)
    if plan.in_crossing(spot[0], margin_m=0.5) or not occupied.claim([(x, y, radius_m)]):
        return []
    return [_stand(mesh, plan, s=spot[0], t=spot[1])]


def street_furniture(plan: Plan, *, occupied: Occupancy, rng: np.random.Generator) -> list[Mesh]:
    """Trees, lamps, signs, bins, bollards, containers and bicycle stands on the sidewalks."""
    meshes, more = [], plan.stretch_m
    alley = rng.random() < 0.45
    for side in (-1, 1):
        near = plan.kerb(side) + 0.45
        far = plan.kerb(side) + plan.sidewalk_m + 1.5
        step = rng.uniform(8, 14) if alley else rng.uniform(14, 30)
        for s in np.arange(-55 - more, 100 + more, step):
            t = side * (near if alley or plan.setback_m < 2 else far + rng.uniform(0, 2))
            cards = 2600 if -more < s < 45 + more else 800
            mesh = _props.tree(rng, height_m=float(rng.uniform(5, 11)), cards=cards)
            meshes += _try(mesh, plan, (float(s + rng.normal(scale=1.0)), t), 0.35, occupied)
        for s in np.arange(rng.uniform(-40, -15) - more, 100 + more, rng.uniform(22, 32)):
            x_turn = _facing_road(side) + np.pi
            x, y, _ = plan.point(float(s), side * near)
            if not plan.in_crossing(float(s), margin_m=0.5) and occupied.claim([(x, y, 0.2)]):
                meshes.append(_stand(_props.lamp_post(), plan, s=float(s), t=side * near, turn_rad=x_turn))
        for _ in range(int(rng.poisson(5 * (90 + 2 * more) / 90))):
            spot = (
                float(rng.uniform(-20 - more, 70 + more)),
                side * (near + rng.uniform(0, max(plan.sidewalk_m - 0.6, 0.3))),
            )
            kind = rng.choice(
                ["sign", "bin", "bollard", "container", "bicycles"], p=[0.3, 0.3, 0.2, 0.1, 0.1]
            )
            mesh, radius = _clutter(str(kind), rng)
            meshes += _try(mesh, plan, spot, radius, occupied)
    return meshes


def _clutter(kind: str, rng: np.random.Generator) -> tuple[Mesh, float]:
    """A mesh and the radius it needs."""
    if kind == "sign":
        return _props.sign(rng), 0.3
    if kind == "bin":
        return _props.bin_(rng), 0.45
    if kind == "bollard":
        return _props.bollard(), 0.15
    if kind == "container":
        return _props.container(rng), 1.3
    return _props.parked_bicycles(rng), 1.2


def skyline(plan: Plan, *, rng: np.random.Generator) -> list[Mesh]:
    """A belt of distant woods, so that no view ends at the edge of the ground."""
    meshes = []
    spots = [
        (float(s), side * 72.0) for side in (-1, 1) for s in np.arange(-plan.length_m, plan.length_m, 11)
    ]
    spots += [(end * (plan.length_m - 3), float(t)) for end in (-1, 1) for t in np.arange(-66, 67, 11)]
    for s, t in spots:
        x, y, _ = plan.point(s, t)
        size = rng.uniform([7, 7, 4], [10, 10, 11])
        color = rng.uniform(0.7, 1.3) * np.array([0.07, 0.10, 0.05])
        crown = ellipsoid(
            size,
            (x, y, plan.ground(s, t) + 0.4 * size[2]),
            material=Material.HEDGE,
            color=color,
        )
        meshes.append(crown)
    return meshes


def highway_sides(plan: Plan, *, occupied: Occupancy, rng: np.random.Generator) -> list[Mesh]:
    """Guard rails, the median, signs, noise barriers and a belt of trees and bushes."""
    meshes, more = [], plan.stretch_m
    for t in (-plan.kerb(-1) - 0.8, plan.kerb(1) + 0.8):
        for s in np.arange(-plan.length_m + 4, plan.length_m - 4, 8.0):
            for height in (0.55, 0.72):
                rail = box((8.1, 0.06, 0.13), (0, 0, height), material=Material.RAIL, color=(0.5, 0.5, 0.5))
                meshes.append(_stand(rail, plan, s=float(s), t=t))
            post = box((0.1, 0.1, 0.6), (0, 0, 0.3), material=Material.RAIL, color=(0.4, 0.4, 0.4))
            meshes.append(_stand(post, plan, s=float(s), t=t))
    barrier = rng.random(2) < 0.3
    for side in (-1, 1):
        edge = plan.kerb(side)
        if barrier[(side + 1) // 2]:
            for s in np.arange(-plan.length_m + 4, plan.length_m - 4, 8.0):
                wall = box((8.0, 0.25, 4.0), (0, 0, 1.9), material=Material.BRICK, color=(0.42, 0.42, 0.38))
                meshes.append(_stand(wall, plan, s=float(s), t=side * (edge + 4.5)))
        for s in np.arange(-plan.length_m, plan.length_m, 9.0):
            spot = (float(s + rng.normal(scale=2.0)), side * (edge + rng.uniform(7, 16)))
            cards = 1400 if -more < s < 60 + more else 700
            mesh = _props.tree(rng, height_m=float(rng.uniform(6, 13)), cards=cards)
            meshes += _try(mesh, plan, spot, 0.6, occupied)
            spot = (float(s + rng.normal(scale=3.0)), side * (edge + rng.uniform(2.5, 7)))
            meshes += _try(_props.bush(rng, radius_m=float(rng.uniform(0.5, 1.6))), plan, spot, 1.0, occupied)
        for s in np.arange(rng.uniform(0, 30) - more, 100 + more, 35):
            meshes += _try(_props.sign(rng), plan, (float(s), side * (edge + 1.6)), 0.3, occupied)
    return meshes


def furnish(plan: Plan, *, occupied: Occupancy, rng: np.random.Generator) -> list[Mesh]:
    """All things beside the road of one plan, standing in the world."""
    if plan.layout == "highway":
        return highway_sides(plan, occupied=occupied, rng=rng) + skyline(plan, rng=rng)
    meshes = (
        skyline(plan, rng=rng) + houses(plan, rng=rng) + street_furniture(plan, occupied=occupied, rng=rng)
    )
    if plan.setback_m > 2:
        meshes += gardens(plan, occupied=occupied, rng=rng)
    return meshes
