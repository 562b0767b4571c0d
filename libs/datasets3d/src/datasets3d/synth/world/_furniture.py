"""Everything beside the road: houses, gardens, trees, posts, and clutter that resembles objects."""

import numpy as np

from datasets3d.synth.world import _props
from datasets3d.synth.world._buildings import house
from datasets3d.synth.world._traffic import Occupancy
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import box, ellipsoid, place
from datasets3d.synth.world.plan import Plan
from datasets3d.synth.world.props import Prop, PropKind


def _stand(prop: Prop, plan: Plan, *, s: float, t: float, turn_rad: float = 0.0) -> Prop:
    x, y, heading = plan.point(s, t)
    mesh = place(prop.mesh, position=(x, y, plan.ground(s, t)), yaw_rad=heading + turn_rad)
    return Prop(prop.kind, mesh)


def _facing_road(side: int) -> float:
    """Turn that points a mesh's -y side to the road."""
    return 0.0 if side > 0 else np.pi


def houses(plan: Plan, *, rng: np.random.Generator) -> list[Prop]:
    """Rows of houses on both sides and a closing row across each end of the street."""
    props = []
    for side in (-1, 1):
        line = plan.kerb(side) + plan.sidewalk_m + plan.setback_m
        s = -plan.length_m
        while s < plan.length_m:
            width = rng.uniform(11, 22) if plan.urban else rng.uniform(8, 15)
            mid = s + width / 2
            if not plan.in_crossing(mid, margin_m=width / 2 + 2.0) and rng.random() < 0.93:
                storeys = int(rng.integers(3, 6)) if plan.urban else int(rng.integers(1, 4))
                body = house(rng, width_m=width, depth_m=rng.uniform(8, 12), storeys=storeys,
                             gabled=bool(rng.random() < (0.3 if plan.urban else 0.85)))  # fmt: skip
                set_back = line + rng.uniform(0, 0.3 if plan.urban else 2.5)
                turn, home = _facing_road(side), Prop(PropKind.HOUSE, body)
                props.append(_stand(home, plan, s=mid, t=side * set_back, turn_rad=turn))
            s += width + (0.02 if plan.urban else rng.uniform(2.5, 8))
    return props + _closing_row(plan, rng=rng)


def _closing_row(plan: Plan, *, rng: np.random.Generator) -> list[Prop]:
    """Houses across both ends of the road, and behind the first rows, so that no view ends in nothing."""
    props = []
    for end in (-1, 1):
        for t in np.arange(-60, 61, 16.0):
            mesh = house(rng, width_m=15.0, depth_m=10.0, storeys=int(rng.integers(2, 5)), gabled=True)
            turn = -np.pi / 2 if end > 0 else np.pi / 2
            home = Prop(PropKind.HOUSE, mesh)
            props.append(_stand(home, plan, s=end * (plan.length_m - 12), t=float(t), turn_rad=turn))
    for side in (-1, 1):
        for s in np.arange(-plan.length_m + 20, plan.length_m - 20, 22.0):
            if rng.random() < 0.7:
                mesh = house(rng, width_m=14.0, depth_m=9.0, storeys=int(rng.integers(2, 5)), gabled=True)
                t = side * (plan.kerb(side) + plan.sidewalk_m + plan.setback_m + rng.uniform(26, 34))
                home = Prop(PropKind.HOUSE, mesh)
                props.append(_stand(home, plan, s=float(s), t=t, turn_rad=_facing_road(side)))
    return props


def gardens(plan: Plan, *, occupied: Occupancy, rng: np.random.Generator) -> list[Prop]:
    """Hedges, fences and walls along the sidewalks; bushes and trees behind them."""
    props = []
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
                hedge = _props.hedge(rng, length_m=length, height_m=float(rng.uniform(0.7, 1.9)))
                border = Prop(PropKind.HEDGE, hedge)
            elif kind == 1:
                border = Prop(PropKind.FENCE, _props.fence(rng, length_m=length))
            elif kind == 2:
                border = Prop(PropKind.WALL, _props.low_wall(rng, length_m=length))
            else:
                border = None
            if border is not None:
                props.append(_stand(border, plan, s=mid, t=side * edge, turn_rad=_facing_road(side)))
            for _ in range(int(rng.poisson(0.8))):
                spot = (
                    mid + rng.uniform(-4, 4),
                    side * (edge + rng.uniform(1.0, max(plan.setback_m - 1.0, 1.2))),
                )
                bush = _props.bush(rng, radius_m=float(rng.uniform(0.5, 1.1)))
                props += _try(Prop(PropKind.BUSH, bush), plan, spot, 0.7, occupied)
    return props


def _try(
    prop: Prop, plan: Plan, spot: tuple[float, float], radius_m: float, occupied: Occupancy
) -> list[Prop]:
    """The thing standing at (s, t) where that is free, else nothing."""
    x, y, _ = plan.point(*spot)
    if plan.in_crossing(spot[0], margin_m=0.5) or not occupied.claim([(x, y, radius_m)]):
        return []
    return [_stand(prop, plan, s=spot[0], t=spot[1])]


def street_furniture(plan: Plan, *, occupied: Occupancy, rng: np.random.Generator) -> list[Prop]:
    """Trees, lamps, signs, bins, bollards, containers and bicycle stands on the sidewalks."""
    props, more = [], plan.stretch_m
    alley = rng.random() < 0.45
    for side in (-1, 1):
        near = plan.kerb(side) + 0.45
        far = plan.kerb(side) + plan.sidewalk_m + 1.5
        step = rng.uniform(8, 14) if alley else rng.uniform(14, 30)
        for s in np.arange(-55 - more, 100 + more, step):
            t = side * (near if alley or plan.setback_m < 2 else far + rng.uniform(0, 2))
            cards = 2600 if -more < s < 45 + more else 800
            tree = Prop(PropKind.TREE, _props.tree(rng, height_m=float(rng.uniform(5, 11)), cards=cards))
            props += _try(tree, plan, (float(s + rng.normal(scale=1.0)), t), 0.35, occupied)
        for s in np.arange(rng.uniform(-40, -15) - more, 100 + more, rng.uniform(22, 32)):
            x_turn = _facing_road(side) + np.pi
            x, y, _ = plan.point(float(s), side * near)
            if not plan.in_crossing(float(s), margin_m=0.5) and occupied.claim([(x, y, 0.2)]):
                lamp = Prop(PropKind.LAMP_POST, _props.lamp_post())
                props.append(_stand(lamp, plan, s=float(s), t=side * near, turn_rad=x_turn))
        for _ in range(int(rng.poisson(5 * (90 + 2 * more) / 90))):
            spot = (
                float(rng.uniform(-20 - more, 70 + more)),
                side * (near + rng.uniform(0, max(plan.sidewalk_m - 0.6, 0.3))),
            )
            kind = rng.choice(
                ["sign", "bin", "bollard", "container", "bicycles"], p=[0.3, 0.3, 0.2, 0.1, 0.1]
            )
            thing, radius = _clutter(str(kind), rng)
            props += _try(thing, plan, spot, radius, occupied)
    return props


def _clutter(kind: str, rng: np.random.Generator) -> tuple[Prop, float]:
    """A thing and the radius it needs."""
    if kind == "sign":
        return Prop(PropKind.TRAFFIC_SIGN, _props.sign(rng)), 0.3
    if kind == "bin":
        return Prop(PropKind.BIN, _props.bin_(rng)), 0.45
    if kind == "bollard":
        return Prop(PropKind.BOLLARD, _props.bollard()), 0.15
    if kind == "container":
        return Prop(PropKind.CONTAINER, _props.container(rng)), 1.3
    return Prop(PropKind.BICYCLES, _props.parked_bicycles(rng)), 1.2


def skyline(plan: Plan, *, rng: np.random.Generator) -> list[Prop]:
    """A belt of distant woods, so that no view ends at the edge of the ground."""
    props = []
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
        props.append(Prop(PropKind.WOODS, crown))
    return props


def highway_sides(plan: Plan, *, occupied: Occupancy, rng: np.random.Generator) -> list[Prop]:
    """Guard rails, the median, signs, noise barriers and a belt of trees and bushes."""
    props, more = [], plan.stretch_m
    for t in (-plan.kerb(-1) - 0.8, plan.kerb(1) + 0.8):
        for s in np.arange(-plan.length_m + 4, plan.length_m - 4, 8.0):
            for height in (0.55, 0.72):
                rail = box((8.1, 0.06, 0.13), (0, 0, height), material=Material.RAIL, color=(0.5, 0.5, 0.5))
                props.append(_stand(Prop(PropKind.GUARD_RAIL, rail), plan, s=float(s), t=t))
            post = box((0.1, 0.1, 0.6), (0, 0, 0.3), material=Material.RAIL, color=(0.4, 0.4, 0.4))
            props.append(_stand(Prop(PropKind.GUARD_RAIL, post), plan, s=float(s), t=t))
    barrier = rng.random(2) < 0.3
    for side in (-1, 1):
        edge = plan.kerb(side)
        if barrier[(side + 1) // 2]:
            for s in np.arange(-plan.length_m + 4, plan.length_m - 4, 8.0):
                wall = box((8.0, 0.25, 4.0), (0, 0, 1.9), material=Material.BRICK, color=(0.42, 0.42, 0.38))
                barrier_piece = Prop(PropKind.NOISE_BARRIER, wall)
                props.append(_stand(barrier_piece, plan, s=float(s), t=side * (edge + 4.5)))
        for s in np.arange(-plan.length_m, plan.length_m, 9.0):
            spot = (float(s + rng.normal(scale=2.0)), side * (edge + rng.uniform(7, 16)))
            cards = 1400 if -more < s < 60 + more else 700
            tree = Prop(PropKind.TREE, _props.tree(rng, height_m=float(rng.uniform(6, 13)), cards=cards))
            props += _try(tree, plan, spot, 0.6, occupied)
            spot = (float(s + rng.normal(scale=3.0)), side * (edge + rng.uniform(2.5, 7)))
            bush = Prop(PropKind.BUSH, _props.bush(rng, radius_m=float(rng.uniform(0.5, 1.6))))
            props += _try(bush, plan, spot, 1.0, occupied)
        for s in np.arange(rng.uniform(0, 30) - more, 100 + more, 35):
            post = Prop(PropKind.TRAFFIC_SIGN, _props.sign(rng))
            props += _try(post, plan, (float(s), side * (edge + 1.6)), 0.3, occupied)
    return props


def furnish(plan: Plan, *, occupied: Occupancy, rng: np.random.Generator) -> list[Prop]:
    """All things beside the road of one plan, standing in the world."""
    if plan.layout == "highway":
        return highway_sides(plan, occupied=occupied, rng=rng) + skyline(plan, rng=rng)
    props = (
        skyline(plan, rng=rng) + houses(plan, rng=rng) + street_furniture(plan, occupied=occupied, rng=rng)
    )
    if plan.setback_m > 2:
        props += gardens(plan, occupied=occupied, rng=rng)
    return props
