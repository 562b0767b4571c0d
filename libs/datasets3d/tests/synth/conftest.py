import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("embreex", reason="needs the extra: pip install fusion3d-datasets3d[synth]")

from datasets3d.nuscenes.tables import TABLES
from datasets3d.synth import (
    Actor,
    CameraConfig,
    LidarConfig,
    NuscenesSynthConfig,
    RadarConfig,
    Scene,
    StreetConfig,
    Sun,
    SynthConfig,
    write_nuscenes,
)
from datasets3d.synth.world._vehicles import vehicle
from datasets3d.synth.world.ground import ground_mesh
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import box
from datasets3d.synth.world.plan import Plan, Terrain
from datasets3d.synth.world.scene import assemble


@pytest.fixture(scope="session")
def small_config() -> SynthConfig:
    """A quarter-size picture and every other beam and shot: a frame in well under a second."""
    every_other = LidarConfig().elevations_deg[::2]
    return SynthConfig(
        lidar=LidarConfig(elevations_deg=every_other, azimuth_step_deg=0.35),
        camera=CameraConfig(width=414, height=125),
    )


@pytest.fixture(scope="session")
def flat_plan() -> Plan:
    """A straight, level road through the origin."""
    return Plan(
        layout="street",
        heading_rad=0.0,
        curvature=0.0,
        ego_t=0.0,
        lane_width_m=3.5,
        lanes=1,
        parking_m=(2.0, 2.0),
        sidewalk_m=2.0,
        setback_m=3.0,
        crossing_s=None,
        crossing_half_m=4.0,
        terrain=Terrain((0.0, 0.0), 0.0, (0.03, 0.0), 0.0, 1.73),
        length_m=100.0,
        urban=False,
    )


@pytest.fixture(scope="session")
def make_scene(flat_plan):
    """A function that puts cars (x, y, yaw) and grey walls (x, y, length, height) on the flat road."""

    def build(
        cars: list[tuple[float, float, float]], walls: list[tuple[float, float, float, float]] = ()
    ) -> Scene:
        size = np.array([4.0, 1.7, 1.5])
        mesh = vehicle("hatch", size=size, color=np.array([0.4, 0.1, 0.1]))
        actors = tuple(
            Actor("Car", mesh, np.array([x, y, -1.73 + size[2] / 2, *size, yaw])) for x, y, yaw in cars
        )
        background = [ground_mesh(flat_plan)]
        background += [
            box((0.2, length, height), (x, y, -1.73 + height / 2), material=Material.BRICK)
            for x, y, length, height in walls
        ]
        sun = Sun(np.array([0.0, 0.6, 0.8]), 1.0, 0.3)
        return assemble(actors, background, plan=flat_plan, sun=sun, texture_seed=1)

    return build


@pytest.fixture(scope="session")
def tiny_nuscenes() -> NuscenesSynthConfig:
    """Two small cameras, few rays, two key frames."""
    return NuscenesSynthConfig(
        street=StreetConfig(
            cars_per_frame=6.0, pedestrians_per_frame=2.0, intersection_weight=0.0, highway_weight=0.0
        ),
        lidar=replace(LidarConfig.hdl32(), azimuth_step_deg=1.0),
        camera=CameraConfig(width=128, height=72, shadows=False),
        cameras=("CAM_FRONT", "CAM_BACK"),
        radar=RadarConfig(
            near=replace(RadarConfig().near, rays=(120, 8)), far=replace(RadarConfig().far, rays=(60, 8))
        ),
        key_frames=2,
        lidar_sweeps=1,
        radar_sweeps=1,
    )


@pytest.fixture(scope="session")
def nuscenes_tree(tmp_path_factory, tiny_nuscenes) -> Path:
    """Two scenes of the tiny settings, seed 3."""
    out = tmp_path_factory.mktemp("synth") / "nuscenes"
    return write_nuscenes(out, scenes=2, seed=3, config=tiny_nuscenes, workers=1, progress=False)


@pytest.fixture(scope="session")
def nuscenes_tables(nuscenes_tree) -> dict[str, list[dict]]:
    folder = nuscenes_tree / "v1.0-trainval"
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in TABLES}
