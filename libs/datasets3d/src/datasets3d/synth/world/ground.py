"""The ground mesh of a plan: flat strips with kerbs, texture coordinates in road coordinates (s, t)."""

import numpy as np
from jaxtyping import Float

from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import Mesh, concatenate, quads
from datasets3d.synth.world.plan import KERB_M, Plan


def _breakpoints(plan: Plan) -> tuple[Float[np.ndarray, " ns"], Float[np.ndarray, " nt"]]:
    s = list(np.arange(-plan.length_m, plan.length_m + 0.1, 4.0))
    if plan.crossing_s is not None:
        for reach in (plan.crossing_half_m, plan.crossing_half_m + 2.5):
            s += [plan.crossing_s - reach, plan.crossing_s + reach]
    right, left, walk = plan.kerb(-1), plan.kerb(1), plan.sidewalk_m
    t = [-right - walk, -right, left, left + walk, -left / 2, right / 2, 0.0]
    t += list(np.linspace(left + walk + 3, 75, 7)) + list(-np.linspace(right + walk + 3, 75, 7))
    return np.unique(np.round(s, 3)), np.unique(np.round(t, 3))


def ground_mesh(plan: Plan) -> Mesh:
    """Carriageway, sidewalks, verges and kerb stones."""
    s, t = _breakpoints(plan)
    mid_s, mid_t = np.meshgrid((s[1:] + s[:-1]) / 2, (t[1:] + t[:-1]) / 2, indexing="ij")
    road = plan.is_road(mid_s, mid_t)
    walk = (~road) & (mid_t > -plan.kerb(-1) - plan.sidewalk_m) & (mid_t < plan.kerb(1) + plan.sidewalk_m)
    if plan.urban and plan.layout != "highway":
        walk |= (~road) & (
            np.abs(mid_t) < max(plan.kerb(-1), plan.kerb(1)) + plan.sidewalk_m + plan.setback_m
        )
    if plan.crossing_s is not None:
        walk |= (~road) & (np.abs(mid_s - plan.crossing_s) < plan.crossing_half_m + 2.5)
    material = np.where(road, Material.ROAD, np.where(walk, Material.SIDEWALK, Material.GRASS)).astype(
        np.uint8
    )
    lift = np.where(road | (plan.layout == "highway"), 0.0, KERB_M)
    grid_s, grid_t = np.meshgrid(s, t, indexing="ij")
    x, y, _ = plan.to_world(grid_s, grid_t)
    base = np.stack([x, y, plan.terrain.height(x, y)], axis=-1)
    uv = np.stack([grid_s, grid_t], axis=-1)
    index = (slice(None, -1), slice(1, None))
    around = ((0, 0), (1, 0), (1, 1), (0, 1))
    corners = np.stack([base[index[a], index[b]] for a, b in around], axis=2)
    corners[..., 2] += lift[:, :, None]
    uvs = np.stack([uv[index[a], index[b]] for a, b in around], axis=2)
    flat = quads(corners.reshape(-1, 4, 3), uvs.reshape(-1, 4, 2), material=material.reshape(-1))
    kerbs = [_risers(base, lift, axis=axis) for axis in (0, 1)]
    return concatenate([flat, *[k for k in kerbs if k is not None]])


def _risers(
    base: Float[np.ndarray, "ns nt 3"], lift: Float[np.ndarray, "cs ct"], *, axis: int
) -> Mesh | None:
    """Upright quads between neighbouring cells of different height."""
    low, high = (lift[:-1], lift[1:]) if axis == 0 else (lift[:, :-1], lift[:, 1:])
    first, second = np.nonzero(low != high)
    if len(first) == 0:
        return None
    if axis == 0:
        a, b = base[first + 1, second], base[first + 1, second + 1]
    else:
        a, b = base[first, second + 1], base[first + 1, second + 1]
    up = np.array([0.0, 0.0, KERB_M])
    return quads(np.stack([a, b, b + up, a + up], axis=1), material=Material.CURB, color=(0.36, 0.35, 0.33))
