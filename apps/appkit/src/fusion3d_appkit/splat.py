"""Pictures of coloured clouds: every point a small square, the nearest in front, edges shaded by depth.

Plain NumPy: a million points take about a second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float64, UInt8

NEAR_M = 0.05
_PAPER = 255
_NOTHING = np.iinfo(np.int64).max
_DEPTH_STEPS = 1e4
"""Of a metre: depths are compared to a tenth of a millimetre."""
_MAX_SPLAT = 25
_EDGE_SHADE = 12.0
"""How dark a pixel becomes whose neighbours are nearer, per e-fold of depth."""
_MAX_EDGE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomView:
    """From where a room is seen; of no distance (`is_flat`) as on a map, else in perspective."""

    size: tuple[int, int]
    """Width and height of the picture, pixels."""
    view_from_room: Float64[np.ndarray, "3 4"]
    """Takes points to x right, y down, z away from the eye, metres."""
    focal_px: float
    """Pixels of a metre at the distance of a metre; on a map, at any distance."""
    middle_px: tuple[float, float]
    """Pixel of what is straight ahead."""
    is_flat: bool = False
    """Whether depth changes no size."""

    def to_pixels(
        self, points: Float[np.ndarray, "*n 3"]
    ) -> tuple[Float64[np.ndarray, "*n 2"], Float64[np.ndarray, "*n"]]:
        """Return column and row of points, and their depth; only of what is before the eye."""
        seen = points.astype(np.float64) @ self.view_from_room[:, :3].T + self.view_from_room[:, 3]
        depth = seen[..., 2]
        scale = self.focal_px / (np.ones_like(depth) if self.is_flat else np.maximum(depth, NEAR_M))
        return seen[..., :2] * scale[..., None] + self.middle_px, depth

    def enlarged(self, factor: int) -> RoomView:
        """Return the same view in so many times the pixels."""
        return replace(
            self,
            size=(self.size[0] * factor, self.size[1] * factor),
            focal_px=self.focal_px * factor,
            middle_px=(self.middle_px[0] * factor, self.middle_px[1] * factor),
        )


def view_from_above(
    low: Float[np.ndarray, " 3"], high: Float[np.ndarray, " 3"], *, width: int, margin_px: int = 12
) -> RoomView:
    """Return a map of what lies between two corners: x to the right, y up."""
    span = np.maximum(np.asarray(high - low, np.float64), 0.1)
    scale = (width - 2 * margin_px) / span[0]
    height = int(np.ceil(span[1] * scale)) + 2 * margin_px
    view = np.array([[1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, -1.0, float(high[2]) + 1.0]])
    middle = (margin_px - low[0] * scale, height - margin_px + low[1] * scale)
    return RoomView(
        size=(width, height),
        view_from_room=view,
        focal_px=float(scale),
        middle_px=(float(middle[0]), float(middle[1])),
        is_flat=True,
    )


def view_aslant(
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
    *,
    size: tuple[int, int],
    azimuth_deg: float = -125.0,
    elevation_deg: float = 40.0,
    opening_deg: float = 40.0,
    margin_px: int = 12,
) -> RoomView:
    """Return a view from outside and above that just shows what lies between two corners.

    Args:
        low: Least x y z.
        high: Greatest x y z.
        size: Width and height in pixels.
        azimuth_deg: Direction from the middle to the eye, from x to y.
        elevation_deg: Height of the eye over the horizon, below 90.
        opening_deg: Of the lens over the wider side; the smaller, the flatter the picture.
        margin_px: Kept free all around.
    """
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    back = np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    rows = np.stack([right, np.cross(-back, right), -back])
    corners = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    middle = corners.mean(axis=0)
    focal = max(size) / 2 / np.tan(np.radians(opening_deg) / 2)
    room = np.array(size, np.float64) - 2 * margin_px
    reach = float(np.linalg.norm(corners - middle, axis=1).max())

    def ends(distance: float) -> tuple[np.ndarray, np.ndarray]:
        seen = (corners - middle) @ rows.T + [0.0, 0.0, distance]
        uv = seen[:, :2] * focal / seen[:, 2:]
        return uv.min(axis=0), uv.max(axis=0)

    near, far = 1.05 * reach + NEAR_M, 60.0 * reach + 1.0
    for _ in range(60):
        between = (near + far) / 2
        least, most = ends(between)
        if (most - least <= room).all():
            far = between
        else:
            near = between
    least, most = ends(far)
    offset = np.array(size) / 2 - (least + most) / 2
    shift = rows @ -middle + [0.0, 0.0, far]
    return RoomView(
        size=size,
        view_from_room=np.column_stack([rows, shift]),
        focal_px=float(focal),
        middle_px=(float(offset[0]), float(offset[1])),
    )


def splat(
    points: Float[np.ndarray, "n 3"],
    colours_rgb: UInt8[np.ndarray, "n 3"],
    view: RoomView,
    *,
    sides_m: Float[np.ndarray, " n"],
) -> tuple[UInt8[np.ndarray, "h w 3"], Float64[np.ndarray, "h w"]]:
    """Return a picture on white, and the depth of every pixel (infinite where nothing is).

    Args:
        points: x y z in metres.
        colours_rgb: Of each.
        view: From where.
        sides_m: Of the squares that points stand for; at most `_MAX_SPLAT` pixels are drawn.
    """
    width, height = view.size
    uv, depth = view.to_pixels(points)
    columns, lines = np.floor(uv).astype(np.int64).T
    shown = (depth > NEAR_M) & (np.abs(uv - np.array(view.size) / 2) < np.array(view.size)).all(axis=1)
    number = np.flatnonzero(shown)
    scale = view.focal_px if view.is_flat else view.focal_px / depth[number]
    sides = np.clip(np.ceil(sides_m[number] * scale), 1, _MAX_SPLAT).astype(np.int64)
    nearest = np.full(height * width, _NOTHING)
    for side in np.unique(sides).tolist():
        chosen = number[sides == side]
        base = np.minimum(depth[chosen] * _DEPTH_STEPS, 2**30).astype(np.int64)
        bulge = sides_m[chosen] * _DEPTH_STEPS
        for dx, dy, share in _disc(side):
            x, y = columns[chosen] + dx, lines[chosen] + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            # The least key of a pixel is that of the nearest point: depth first, then the row.
            keys = (base + (share * bulge).astype(np.int64) << 32) | chosen
            np.minimum.at(nearest, y[inside] * width + x[inside], keys[inside])
    found = nearest < _NOTHING
    rows = nearest[found] & 0xFFFFFFFF
    picture = np.full((height * width, 3), _PAPER, np.uint8)
    picture[found] = colours_rgb[rows]
    depths = np.full(height * width, np.inf)
    depths[found] = depth[rows]
    picture, depths = picture.reshape(height, width, 3), depths.reshape(height, width)
    return _shaded(picture, depths), depths


def _disc(side: int) -> list[tuple[int, int, float]]:
    """Return the pixels of a square, or of a disc if it is large, and their squared distance over the side's.

    Rims lie farther back than the middle, so that of overlapping points each keeps what is nearest to it.
    """
    steps = np.arange(side) - (side - 1) / 2
    pixels = [
        (round(dx + 0.25), round(dy + 0.25), float(dx * dx + dy * dy) / side**2)
        for dy in steps
        for dx in steps
    ]
    return [pixel for pixel in pixels if side <= 3 or pixel[2] <= 0.25]


def _shaded(
    picture: UInt8[np.ndarray, "h w 3"], depths: Float64[np.ndarray, "h w"], *, reach_px: int = 2
) -> UInt8[np.ndarray, "h w 3"]:
    """Darken pixels whose neighbours are nearer, as in the shade of an edge: shape shows without light."""
    logs = np.log(np.where(np.isfinite(depths), depths, 1e6))
    padded = np.pad(logs, reach_px, mode="edge")
    height, width = logs.shape
    nearer = np.zeros_like(logs)
    for dy, dx in ((0, reach_px), (reach_px, 0), (reach_px, 2 * reach_px), (2 * reach_px, reach_px)):
        neighbour = padded[dy : dy + height, dx : dx + width]
        nearer += np.clip(logs - neighbour, 0, _MAX_EDGE / _EDGE_SHADE * 4)
    shade = np.exp(-_EDGE_SHADE / 4 * nearer)
    shade[~np.isfinite(depths)] = 1.0
    return (picture * shade[..., None]).astype(np.uint8)
