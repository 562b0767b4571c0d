"""The plan of a street: where lanes, kerbs, sidewalks and building lines run, and how the ground rises.

Road coordinates are (s, t): metres along the centre line (0 beside the sensor, growing ahead) and metres to
its left. World coordinates are the LiDAR's: x forward, y left, z up, origin at the sensor; in a drive, where
the sensor moves, those of a sensor without height in the middle of the way.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from datasets3d.synth.config import StreetConfig

Layout = Literal["street", "intersection", "highway"]

KERB_M = 0.12
"""Height of sidewalks and verges over the carriageway."""


@dataclass(frozen=True, slots=True)
class Terrain:
    """A plane with one long wave; height 0 at the origin."""

    slope: tuple[float, float]
    wave_height_m: float
    wave_vector: tuple[float, float]
    phase_rad: float
    sensor_height_m: float

    def height(self, x: Float[np.ndarray, "..."], y: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Ground under (x, y) in the world, carriageway level."""
        wave = np.sin(self.wave_vector[0] * x + self.wave_vector[1] * y + self.phase_rad) - np.sin(
            self.phase_rad
        )
        return -self.sensor_height_m + self.slope[0] * x + self.slope[1] * y + self.wave_height_m * wave

    def gradient(
        self, x: Float[np.ndarray, "..."], y: Float[np.ndarray, "..."]
    ) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """Rise of the ground per metre along x and along y."""
        wave = self.wave_height_m * np.cos(self.wave_vector[0] * x + self.wave_vector[1] * y + self.phase_rad)
        return self.slope[0] + self.wave_vector[0] * wave, self.slope[1] + self.wave_vector[1] * wave


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One street, symmetric cross-section apart from the parking lanes."""

    layout: Layout
    heading_rad: float
    """Direction of the road at s = 0 in the world."""
    curvature: float
    """1 / radius, positive to the left."""
    ego_t: float
    """The sensor's place across the road."""
    lane_width_m: float
    lanes: int
    """Lanes per direction."""
    parking_m: tuple[float, float]
    """Widths of the parking lanes, right and left; 0 for none."""
    sidewalk_m: float
    setback_m: float
    """From the sidewalk's far edge to the house fronts."""
    crossing_s: float | None
    """Where another street crosses, if one does."""
    crossing_half_m: float
    terrain: Terrain
    length_m: float
    urban: bool
    """Closed rows of tall houses instead of single houses with gardens."""
    stretch_m: float = 0.0
    """Added at either end to the furnished part of the street, which is made for one frame at s = 0."""

    def kerb(self, side: int) -> float:
        """|t| of the kerb; side -1 right, +1 left."""
        return self.lanes * self.lane_width_m + self.parking_m[(side + 1) // 2]

    def to_world(
        self, s: Float[np.ndarray, "..."], t: Float[np.ndarray, "..."]
    ) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """X, y and road heading (radians) at road coordinates."""
        s, t = np.asarray(s, dtype=np.float64), np.asarray(t, dtype=np.float64)
        h0, k = self.heading_rad, self.curvature
        heading = h0 + k * s
        if abs(k) < 1e-6:
            along_x, along_y = s * np.cos(h0), s * np.sin(h0)
        else:
            along_x, along_y = (np.sin(heading) - np.sin(h0)) / k, (np.cos(h0) - np.cos(heading)) / k
        x = self.ego_t * np.sin(h0) + along_x - t * np.sin(heading)
        y = -self.ego_t * np.cos(h0) + along_y + t * np.cos(heading)
        return x, y, heading

    def to_road(
        self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """S and t of points on the ground, the inverse of `to_world`, within half a turn of the road."""
        h0, k = self.heading_rad, self.curvature
        x, y = x - self.ego_t * np.sin(h0), y + self.ego_t * np.cos(h0)
        if abs(k) < 1e-6:
            return x * np.cos(h0) + y * np.sin(h0), y * np.cos(h0) - x * np.sin(h0)
        # From the centre of the circle; it lies at t = 1 / k.
        x, y = x + np.sin(h0) / k, y - np.cos(h0) / k
        heading = np.arctan2(np.sign(k) * x, -np.sign(k) * y)
        turn = np.arctan2(np.sin(heading - h0), np.cos(heading - h0))
        return turn / k, 1 / k - np.sign(k) * np.hypot(x, y)

    def point(self, s: float, t: float) -> tuple[float, float, float]:
        """`to_world` for one point."""
        x, y, heading = self.to_world(np.array([s]), np.array([t]))
        return float(x[0]), float(y[0]), float(heading[0])

    def is_road(self, s: Float[np.ndarray, "..."], t: Float[np.ndarray, "..."]) -> np.ndarray:
        """Whether a point lies on a carriageway (parking lanes included)."""
        road = (t > -self.kerb(-1)) & (t < self.kerb(1))
        if self.crossing_s is not None:
            road = road | (np.abs(s - self.crossing_s) < self.crossing_half_m)
        return road

    def is_parking(
        self, s: Float[np.ndarray, "..."], t: Float[np.ndarray, "..."], *, margin_m: float = 0.0
    ) -> np.ndarray:
        """Whether a point lies on a parking lane, or beyond its kerb by no more than the margin."""
        edge = self.lanes * self.lane_width_m
        right = (t < -edge) & (t > -self.kerb(-1) - margin_m) & (self.parking_m[0] > 0)
        left = (t > edge) & (t < self.kerb(1) + margin_m) & (self.parking_m[1] > 0)
        parking = right | left
        if self.crossing_s is not None:
            parking = parking & (np.abs(s - self.crossing_s) >= self.crossing_half_m)
        return parking

    def ground(self, s: float, t: float) -> float:
        """Height of the walkable ground at road coordinates."""
        x, y, _ = self.point(s, t)
        low = self.is_road(np.array([s]), np.array([t]))[0] or self.layout == "highway"
        return float(self.terrain.height(np.array([x]), np.array([y]))[0]) + (0.0 if low else KERB_M)

    def in_crossing(self, s: float, *, margin_m: float) -> bool:
        """Whether s lies in the corridor of the crossing street."""
        return self.crossing_s is not None and abs(s - self.crossing_s) < self.crossing_half_m + margin_m


def draw_plan(config: StreetConfig, *, sensor_height_m: float, rng: np.random.Generator) -> Plan:
    """A random street of one of the three layouts."""
    weights = np.array([config.street_weight, config.intersection_weight, config.highway_weight])
    layouts: tuple[Layout, ...] = ("street", "intersection", "highway")
    layout = layouts[int(rng.choice(3, p=weights / weights.sum()))]
    highway = layout == "highway"
    lanes = int(rng.choice([2, 3])) if highway else int(rng.choice([1, 2], p=[0.75, 0.25]))
    lane_width = float(rng.uniform(3.4, 3.7) if highway else rng.uniform(2.8, 3.4))
    ego_lane = int(rng.integers(lanes))
    parking = rng.choice([0.0, 2.1], size=2, p=[1.0, 0.0] if highway else [0.25, 0.75])
    angle = rng.uniform(0, 2 * np.pi)
    wave_length = rng.uniform(120, 250)
    terrain = Terrain(
        slope=(float(rng.normal(scale=config.terrain_slope)), float(rng.normal(scale=config.terrain_slope))),
        wave_height_m=float(rng.uniform(0, 25.0) * config.terrain_slope),
        wave_vector=(
            float(np.cos(angle) * 2 * np.pi / wave_length),
            float(np.sin(angle) * 2 * np.pi / wave_length),
        ),
        phase_rad=float(rng.uniform(0, 2 * np.pi)),
        sensor_height_m=sensor_height_m,
    )
    return Plan(
        layout=layout,
        heading_rad=float(rng.normal(scale=0.025)),
        curvature=float(rng.choice([-1, 0, 1]) / rng.uniform(160, 500)),
        ego_t=-(ego_lane + 0.5) * lane_width + float(rng.normal(scale=0.25)),
        lane_width_m=lane_width,
        lanes=lanes,
        parking_m=(float(parking[0]), float(parking[1])),
        sidewalk_m=0.0 if highway else float(rng.uniform(1.8, 3.5)),
        setback_m=float(rng.choice([0.3, rng.uniform(3, 8)], p=[0.35, 0.65])),
        crossing_s=float(rng.uniform(14, 45)) if layout == "intersection" else None,
        crossing_half_m=float(rng.uniform(3.2, 6.0)),
        terrain=terrain,
        length_m=config.length_m,
        urban=bool(rng.random() < 0.4),
    )
