"""Rendered classes as ids of the ADE20K scene parsing set, as Sparse Beats Dense's mask files have them."""

import numpy as np
from jaxtyping import UInt8

from datasets3d.synth.sensors.camera import CameraView
from datasets3d.synth.world.materials import Semantic
from datasets3d.synth.world.scene import Scene

BICYCLE = 127

ADE20K_OF_SEMANTIC: dict[Semantic, int] = {
    Semantic.SKY: 2,
    Semantic.ROAD: 6,
    Semantic.LANE_MARKING: 6,
    Semantic.SIDEWALK: 11,
    Semantic.TERRAIN: 9,
    Semantic.BUILDING: 1,
    Semantic.FENCE: 32,
    Semantic.VEGETATION: 4,
    Semantic.TRUNK: 4,
    Semantic.POLE: 93,
    Semantic.SIGN: 43,
    Semantic.VEHICLE: BICYCLE,
    Semantic.PERSON: 12,
    Semantic.BICYCLE: BICYCLE,
    Semantic.OTHER: 138,
}
"""Counted from 0. Vehicles are told apart by their actor; vehicle parts that belong to no actor are the tyres
and saddles of parked bicycles. Terrain is grass, hedges are trees, guard rails and garden walls fences, bins
and containers ashcans."""

ADE20K_OF_ACTOR: dict[str, int] = {"Car": 20, "Van": 102, "Truck": 83, "Cyclist": BICYCLE, "Pedestrian": 12}
"""What the vehicle parts of an actor belong to."""


def ade20k_ids(view: CameraView, scene: Scene) -> UInt8[np.ndarray, "h w"]:
    """Return the class of each pixel as its 0-based id of ADE20K-150 (Sparse Beats Dense, mask files).

    Args:
        view: Rendered from `scene`.
    """
    of_semantic = np.array([ADE20K_OF_SEMANTIC[s] for s in Semantic], dtype=np.uint8)
    of_actor = np.array([BICYCLE, *(ADE20K_OF_ACTOR[a.name] for a in scene.actors)], dtype=np.uint8)
    vehicle = view.semantics == Semantic.VEHICLE
    return np.where(vehicle, of_actor[view.instances], of_semantic[view.semantics])
