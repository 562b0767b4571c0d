"""Pictures of rooms with boxes: from above, from outside, and close-ups of single objects for a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8
from PIL import Image, ImageDraw

from fusion3d_appkit.draw import GAP, INK, Colour, framed, write
from fusion3d_appkit.splat import NEAR_M, RoomView, splat, view_aslant, view_from_above

CUT_M = 2.1
"""From above, points higher over the floor are left out: ceilings hide the room."""
MAX_POINTS = 1_000_000
"""Of more, so many are drawn by lot and shown."""
_FINE = 2
"""Pictures are drawn in so many times their pixels, then made smaller."""
_SEEN_M = 0.06
"""A line is behind what is nearer to the eye by more."""
_EDGES = np.array(
    [(0, 1), (1, 3), (3, 2), (2, 0), (4, 5), (5, 7), (7, 6), (6, 4), (0, 4), (1, 5), (2, 6), (3, 7)]
)
_SIGNS = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)]) / 2
_TEXT_STEPS = (0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5)
"""Lines by which a text is moved from its place if there is another."""
_TAIL = 0.002
_CELL_M = 0.15
_COVER, _MAX_SIDE_M = 2.6, 0.09
"""A point covers so much more than its share of a surface, that no holes are left."""


class ShownBox(NamedTuple):
    """A box, and how it is shown."""

    box: Float[np.ndarray, " 6"]
    """Centre x y z and sizes dx dy dz, metres."""
    colour: Colour
    text: str = ""
    """Written beside it, such as a class and a score."""


def class_colours(count: int) -> list[Colour]:
    """Return colours for classes, easily told apart as long as there are few; dark enough for white paper.

    Example:
        >>> class_colours(2)
        [(213, 94, 0), (0, 114, 178)]
    """
    import colorsys

    first: list[Colour] = [(213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (148, 103, 20)]
    colours = list(first[:count])
    for i in range(count - len(colours)):
        hue, dark = (0.618034 * i + 0.07) % 1.0, (0.85, 0.6)[i % 2]
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, dark)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def height_colours(points: Float[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    """Return greys for points without colours, lighter the higher (0 to 2.6 m)."""
    grey = 95 + 120 * np.clip(points[:, 2] / 2.6, 0, 1)
    return np.repeat(grey[:, None], 3, axis=1).astype(np.uint8)


def draw_room_from_above(
    points: Float[np.ndarray, "n 3"],
    colours_rgb: UInt8[np.ndarray, "n 3"] | None,
    boxes: Sequence[ShownBox] = (),
    *,
    width: int = 640,
    cut_m: float = CUT_M,
) -> Image.Image:
    """Draw a room as on a map: x to the right, y up, without what is higher than `cut_m`.

    Args:
        points: x y z in metres, z up, the floor at 0.
        colours_rgb: Of the points; None: greys by height.
        boxes: Drawn over all.
        width: Of the picture in pixels; the height follows.
        cut_m: Height above which points are left out.
    """
    points, colours = _thinned(points, colours_rgb)
    low, high = _ends(points, boxes)
    view = view_from_above(low, np.array([*high[:2], cut_m]), width=width)
    kept = points[:, 2] < cut_m
    return _drawn(points[kept], colours[kept], boxes, view, is_seen_through=True)


def draw_room(
    points: Float[np.ndarray, "n 3"],
    colours_rgb: UInt8[np.ndarray, "n 3"] | None,
    boxes: Sequence[ShownBox] = (),
    *,
    size: tuple[int, int] = (860, 600),
    azimuth_deg: float = -125.0,
    elevation_deg: float = 42.0,
) -> Image.Image:
    """Draw a room from outside and above, without its ceiling and the walls on the side of the eye.

    Edges of boxes behind points are dotted.

    Args:
        points: x y z in metres, z up, the floor at 0.
        colours_rgb: Of the points; None: greys by height.
        boxes: Drawn over all.
        size: Width and height in pixels.
        azimuth_deg: Direction from the middle to the eye, from x to y.
        elevation_deg: Height of the eye over the horizon, below 90.
    """
    points, colours = _thinned(points, colours_rgb)
    low, high = _ends(points, boxes)
    kept = ~_hides(points, low, high, azimuth_deg)
    points, colours = points[kept], colours[kept]
    view = view_aslant(low, high, size=size, azimuth_deg=azimuth_deg, elevation_deg=elevation_deg)
    return _drawn(points, colours, boxes, view)


def draw_close_up(
    points: Float[np.ndarray, "n 3"],
    colours_rgb: UInt8[np.ndarray, "n 3"] | None,
    shown: ShownBox,
    *,
    others: Sequence[ShownBox] = (),
    size: tuple[int, int] = (220, 220),
    margin_m: float = 0.35,
) -> Image.Image:
    """Draw one object with what is within `margin_m` of its box, from the side that most of its points face.

    Args:
        points: x y z in metres, z up.
        colours_rgb: Of the points; None: greys by height.
        shown: The box, which the picture shows as large as it can.
        others: Further boxes, such as the true one; drawn before.
        size: Width and height in pixels.
        margin_m: Half of it for objects that are themselves no larger.
    """
    centre, extent = np.asarray(shown.box[:3], np.float64), np.asarray(shown.box[3:6], np.float64)
    margin = min(margin_m, 0.15 + 0.5 * float(extent.max()))
    low, high = centre - extent / 2 - margin, centre + extent / 2 + margin
    near = ((points >= low) & (points <= high)).all(axis=1)
    points, colours = _thinned(points[near], None if colours_rgb is None else colours_rgb[near])
    azimuth = _open_side(points - centre, extent / 2)
    view = view_aslant(
        centre - extent / 2 - 0.4 * margin,
        centre + extent / 2 + 0.4 * margin,
        size=size,
        azimuth_deg=azimuth,
        elevation_deg=35.0,
        margin_px=4,
    )
    return framed(_drawn(points, colours, [*others, shown], view))


def gallery(pictures: Sequence[tuple[Image.Image, str]], *, columns: int = 4) -> Image.Image:
    """Return small pictures row by row, each with a line of text below; white where there are none.

    Raises:
        ValueError: Not a single column.
    """
    if columns < 1:
        raise ValueError(f"gallery: columns must be at least 1, got {columns}")
    width = max((picture.width for picture, _ in pictures), default=1)
    height = max((picture.height for picture, _ in pictures), default=1) + 20
    rows = -(-len(pictures) // columns)
    used = min(columns, max(len(pictures), 1))
    sheet = Image.new("RGB", (used * (width + GAP) - GAP, max(rows * (height + GAP) - GAP, 1)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (picture, text) in enumerate(pictures):
        left, top = i % columns * (width + GAP), i // columns * (height + GAP)
        sheet.paste(picture, (left, top))
        write(pen, (left, top + height - 18), _fitting(pen, text, width), colour=INK)
    return sheet


def point_spacings(points: Float[np.ndarray, "n 3"]) -> Float64[np.ndarray, " n"]:
    """Return about how far every point is from its neighbours on a surface, metres."""
    if not len(points):
        return np.zeros(0)
    cells = np.floor((points - points.min(axis=0)) / _CELL_M).astype(np.int64)
    span = cells.max(axis=0) + 1
    keys = (cells[:, 0] * span[1] + cells[:, 1]) * span[2] + cells[:, 2]
    _, cell, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return _CELL_M / counts[cell] ** 0.5


def _thinned(
    points: Float[np.ndarray, "n 3"], colours_rgb: UInt8[np.ndarray, "n 3"] | None
) -> tuple[Float[np.ndarray, "k 3"], UInt8[np.ndarray, "k 3"]]:
    """Return at most `MAX_POINTS` points, and colours of them."""
    if len(points) > MAX_POINTS:
        rows = np.random.default_rng(0).choice(len(points), MAX_POINTS, replace=False, shuffle=False)
        points, colours_rgb = points[rows], None if colours_rgb is None else colours_rgb[rows]
    return points, height_colours(points) if colours_rgb is None else colours_rgb


def _drawn(
    points: np.ndarray,
    colours: np.ndarray,
    boxes: Sequence[ShownBox],
    view: RoomView,
    *,
    is_seen_through: bool = False,
) -> Image.Image:
    fine = view.enlarged(_FINE)
    picture, depths = splat(
        points, colours, fine, sides_m=_COVER * np.minimum(point_spacings(points), _MAX_SIDE_M)
    )
    for shown in boxes:
        _draw_edges(picture, depths, shown, fine, is_seen_through=is_seen_through)
    result = Image.fromarray(picture).resize(view.size, Image.Resampling.LANCZOS)
    _write_texts(result, boxes, view)
    return result


def _ends(points: np.ndarray, boxes: Sequence[ShownBox]) -> tuple[Float64[np.ndarray, " 3"], np.ndarray]:
    """Return the corners of what a picture shows: nearly all points, and all boxes."""
    if len(points):
        low, high = np.quantile(points, [_TAIL, 1 - _TAIL], axis=0)
    else:
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for shown in boxes:
        box = np.asarray(shown.box, np.float64)
        low, high = np.minimum(low, box[:3] - box[3:6] / 2), np.maximum(high, box[:3] + box[3:6] / 2)
    if not np.isfinite(low).all():
        return np.zeros(3), np.ones(3)
    return low, np.maximum(high, low + 0.1)


def _hides(
    points: np.ndarray, low: np.ndarray, high: np.ndarray, azimuth_deg: float
) -> Bool[np.ndarray, " n"]:
    """Mark the ceiling, and the walls between eye and room, by where they are."""
    hides = points[:, 2] > max(low[2] + 0.85 * (high[2] - low[2]), 1.8)
    above_floor = points[:, 2] > low[2] + 0.12
    for axis, toward in enumerate((np.cos(np.radians(azimuth_deg)), np.sin(np.radians(azimuth_deg)))):
        if abs(toward) < 0.2:
            continue
        depth = high[axis] - points[:, axis] if toward > 0 else points[:, axis] - low[axis]
        hides |= above_floor & (depth < 0.2)
    return hides


def _open_side(points: np.ndarray, half: np.ndarray) -> float:
    """Return the azimuth, of eight, with the fewest points between the object and the eye."""
    inside = (np.abs(points) <= half).all(axis=1)
    around = points[~inside & (points[:, 2] > -half[2] + 0.05)]
    turns = np.arange(8) * 45.0 - 125.0
    toward = np.stack([np.cos(np.radians(turns)), np.sin(np.radians(turns))], axis=1)
    lengths = np.maximum(np.linalg.norm(around[:, :2], axis=1), 1e-6)
    facing = (around[:, :2] @ toward.T) / lengths[:, None]
    return float(turns[int(np.argmin((facing > 0.6).sum(axis=0)))])


def _draw_edges(
    picture: np.ndarray, depths: np.ndarray, shown: ShownBox, view: RoomView, *, is_seen_through: bool
) -> None:
    """Draw the edges of a box into a picture, dot by dot; those behind points are thinner and dotted."""
    height, width = depths.shape
    box = np.asarray(shown.box, np.float64)
    corners = box[:3] + _SIGNS * box[3:6]
    for start, end in corners[_EDGES]:
        uv, _ = view.to_pixels(np.stack([start, end]))
        count = int(np.clip(np.abs(uv[1] - uv[0]).max(), 1, 4 * max(width, height))) + 1
        dots, depth = view.to_pixels(start + np.linspace(0, 1, count)[:, None] * (end - start))
        columns, rows = np.floor(dots).astype(np.int64).T
        inside = (columns >= 2) & (columns < width - 2) & (rows >= 2) & (rows < height - 2) & (depth > NEAR_M)
        behind = np.zeros(count, bool)
        if not is_seen_through:
            behind[inside] = depths[rows[inside], columns[inside]] < depth[inside] - _SEEN_M
        faint = inside & behind & (np.arange(count) // 4 % 2 == 0)
        for chosen, thick in ((faint, (0, 1)), (inside & ~behind, (-1, 0, 1))):
            for dy in thick:
                for dx in thick:
                    picture[rows[chosen] + dy, columns[chosen] + dx] = shown.colour


def _write_texts(picture: Image.Image, boxes: Sequence[ShownBox], view: RoomView) -> None:
    """Write the texts at the upper edges of the boxes, none over another if there is room."""
    pen = ImageDraw.Draw(picture)
    taken: list[tuple[float, float, float, float]] = []
    for shown in boxes:
        if not shown.text:
            continue
        box = np.asarray(shown.box, np.float64)
        uv, _ = view.to_pixels(box[:3] + _SIGNS[4:] * box[3:6])
        left, top, right, bottom = pen.textbbox((0, 0), shown.text, font_size=11)
        wide, high = right - left + 6, bottom - top + 4
        x = float(np.clip(uv[:, 0].mean() - wide / 2, 0, max(picture.width - wide, 0)))
        y = float(np.clip(uv[:, 1].min() - high - 1, 0, max(picture.height - high, 0)))
        places = [(x, y + step * (high + 1), x + wide, y + step * (high + 1) + high) for step in _TEXT_STEPS]
        inside = [place for place in places if place[1] >= 0 and place[3] <= picture.height]
        free = [place for place in inside if not any(_overlap(place, other) for other in taken)]
        place = next(iter(free), places[0])
        taken.append(place)
        pen.rounded_rectangle(place, radius=3, fill=shown.colour)
        pen.text((place[0] + 3 - left, place[1] + 2 - top), shown.text, fill="white", font_size=11)


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _fitting(pen: ImageDraw.ImageDraw, text: str, width: float) -> str:
    """Return the text, cut with dots if it is wider."""
    if pen.textlength(text, font_size=13) <= width:
        return text
    while text and pen.textlength(text + "…", font_size=13) > width:
        text = text[:-1]
    return text + "…"
