"""Pictures of scans, boxes and points, from above and over the camera image: from arrays to pictures.

Drawn dark on white, in colours that the colour-blind tell apart (Okabe and Ito's, and perceptual scales).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from geom3d import boxes as box_ops
from geom3d.cameras import PinholeCamera
from PIL import Image, ImageDraw, ImageFont

# Corner order of geom3d.boxes.corners: four below, four above; the first two and their upper twins face
# forward.
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
Colour = tuple[int, int, int]
TRUTH: Colour = (0, 158, 115)
FOUND: Colour = (213, 94, 0)
INK: Colour = (28, 35, 48)
DISTINCT: tuple[Colour, ...] = ((230, 159, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66), (213, 94, 0))
"""Colours for things without an order, to be drawn on a photograph."""
SCORE_SCALE = "viridis_r"
"""Colour scale of scores: the surer, the darker."""
HEAT_SCALE = "Blues"
"""Colour scale of maps: 0 is nearly white, 1 dark blue."""
MIN_DEPTH_M = 0.1
GAP = 8


@dataclass(frozen=True, slots=True)
class BevView:
    """The ground rectangle that a picture from above shows, in the LiDAR frame, metres."""

    x: tuple[float, float] = (0.0, 70.4)
    y: tuple[float, float] = (-40.0, 40.0)
    pixels_per_metre: float = 8.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        scale = self.pixels_per_metre
        return round((self.y[1] - self.y[0]) * scale), round((self.x[1] - self.x[0]) * scale)

    def to_pixels(self, xy: np.ndarray) -> np.ndarray:
        """Return [..., 2] column and row of points [..., 2] in metres; x points up, y to the left."""
        ahead = (self.x[1] - xy[..., 0]) * self.pixels_per_metre
        return np.stack([(self.y[1] - xy[..., 1]) * self.pixels_per_metre, ahead], axis=-1)


def draw_bev(
    points: np.ndarray, *, truth: np.ndarray, found: np.ndarray, scores: np.ndarray, view: BevView
) -> Image.Image:
    """Draw points and boxes from above; the sensor is at the bottom, x points up, y to the left.

    Args:
        points: [n, 3 or more] x y z in the LiDAR frame, metres; darker is higher.
        truth: [m, 7] labelled boxes, green.
        found: [k, 7] detected boxes, red-orange, with their scores.
        scores: [k], in [0, 1].
    """
    height = np.clip((points[:, 2] + 2.5) / 4.0, 0.0, 1.0)
    picture = scan_from_above(points, (200 - 160 * height).astype(np.uint8), view=view)
    pen = ImageDraw.Draw(picture)
    for box in truth:
        draw_footprint(pen, box, view=view, colour=TRUTH)
    for box, score in zip(found, scores, strict=True):
        anchor = draw_footprint(pen, box, view=view, colour=FOUND)
        write(pen, (anchor[0] + 2, anchor[1] + 2), f"{score:.2f}", colour=FOUND)
    return picture


def scan_from_above(points: np.ndarray, grey: np.ndarray | int, *, view: BevView) -> Image.Image:
    """Return a white picture with a pixel for every point of [n, 2 or more], in its grey value (0 black)."""
    width, height = view.size
    canvas = np.full((height, width), 255, dtype=np.uint8)
    columns, rows = np.floor(view.to_pixels(points[:, :2])).astype(np.int64).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    canvas[rows[inside], columns[inside]] = np.broadcast_to(grey, len(points))[inside]
    return Image.fromarray(canvas).convert("RGB")


def draw_footprint(
    pen: ImageDraw.ImageDraw, box: np.ndarray, *, view: BevView, colour: Colour, width: int = 2
) -> np.ndarray:
    """Draw a box [7] from above with a line to its front; return the pixel [2] of its first corner."""
    corners = view.to_pixels(box_ops.corners_bev(box))
    pen.polygon([tuple(corner) for corner in corners], outline=colour, width=width)
    front = (corners[0] + corners[1]) / 2
    pen.line([tuple(corners.mean(axis=0)), tuple(front)], fill=colour, width=width)
    return corners[0]


def draw_image(
    image: np.ndarray, *, truth: np.ndarray, found: np.ndarray, scores: np.ndarray, camera: PinholeCamera
) -> Image.Image:
    """Draw boxes as wire frames over the camera image. Parts behind the camera are cut off.

    Args:
        image: uint8 [h, w, 3] RGB.
        truth: [m, 7] labelled boxes in the frame the camera is described in, green.
        found: [k, 7] detected boxes, red-orange.
        scores: [k], in [0, 1].
    """
    picture = Image.fromarray(image).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for box in truth:
        draw_wire_frame(pen, box, camera, colour=TRUTH)
    for box, score in zip(found, scores, strict=True):
        anchor = draw_wire_frame(pen, box, camera, colour=FOUND)
        if anchor is not None:
            write(pen, (anchor[0] + 2, anchor[1] - 14), f"{score:.2f}", colour=FOUND)
    return picture


def draw_wire_frame(
    pen: ImageDraw.ImageDraw, box: np.ndarray, camera: PinholeCamera, *, colour: Colour
) -> np.ndarray | None:
    """Draw the twelve edges; return the topmost drawn end in pixels, or None if nothing is in front."""
    corners = np.asarray(box_ops.corners(box), dtype=np.float64)
    homogeneous = np.concatenate([corners, np.ones((8, 1))], axis=1) @ camera.image_from_lidar.T
    ends = []
    for start, stop in EDGES:
        a, b = homogeneous[start], homogeneous[stop]
        if max(a[2], b[2]) <= MIN_DEPTH_M:
            continue
        if min(a[2], b[2]) < MIN_DEPTH_M:
            near, far = (a, b) if a[2] < b[2] else (b, a)
            cut = near + (far - near) * (MIN_DEPTH_M - near[2]) / (far[2] - near[2])
            a, b = cut, far
        line = [a[:2] / a[2], b[:2] / b[2]]
        pen.line([tuple(line[0]), tuple(line[1])], fill=colour, width=2)
        ends += line
    return min(ends, key=lambda uv: uv[1]) if ends else None


def draw_dots(pen: ImageDraw.ImageDraw, uv: np.ndarray, colours: np.ndarray, *, radius: float) -> None:
    """Draw discs at the pixels [n, 2] in the colours [n, 3] (or one [3]), later ones over earlier ones."""
    colours = np.broadcast_to(colours, (len(uv), 3))
    for (u, v), colour in zip(uv.tolist(), colours.tolist(), strict=True):
        pen.ellipse((u - radius, v - radius, u + radius, v + radius), fill=tuple(colour))


def shades(values: np.ndarray, *, scale: str) -> np.ndarray:
    """Return uint8 [..., 3] colours of values in [0, 1] on one of matplotlib's colour scales.

    Example:
        >>> shades(np.array([0.0, 1.0]), scale="Greys").tolist()
        [[255, 255, 255], [0, 0, 0]]
    """
    from matplotlib import colormaps

    return colormaps[scale](np.asarray(values, dtype=np.float64), bytes=True)[..., :3]


def draw_map(values: np.ndarray, *, view: BevView) -> Image.Image:
    """Draw a map [y, x] of values in [0, 1] over the whole view as shades of blue; x points up."""
    upright = shades(values.T[::-1, ::-1], scale=HEAT_SCALE)
    return Image.fromarray(np.ascontiguousarray(upright)).resize(view.size, Image.Resampling.NEAREST)


def outline_cells(picture: Image.Image, cells: np.ndarray, *, colour: Colour) -> None:
    """Draw the outline of the marked cells of a map (bool [y, x]) that covers the whole picture, x up."""
    upright = Image.fromarray(np.ascontiguousarray(cells.T[::-1, ::-1]).astype(np.uint8) * 255)
    inside = np.pad(np.asarray(upright.resize(picture.size, Image.Resampling.NEAREST)) > 0, 1)
    core = inside[1:-1, 1:-1]
    core = core & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    edge = inside[1:-1, 1:-1] & ~core
    picture.paste(Image.new("RGB", picture.size, colour), mask=Image.fromarray(edge))


def colour_bar(text: str, *, scale: str, width: int, ends: tuple[str, str] = ("0", "1")) -> Image.Image:
    """Return a strip with the colours from 0 to 1, what they stand for, and the names of both ends."""
    strip = Image.new("RGB", (width, 22), "white")
    pen = ImageDraw.Draw(strip)
    name, space = f"{text}:  {ends[0]}", pen.textlength(ends[1], font=_font(13))
    write(pen, (0, 3), name, colour=INK)
    left = round(pen.textlength(name, font=_font(13))) + 6
    right = max(left + 40, min(width - 9 - round(space), left + 240))
    colours = shades(np.linspace(0, 1, right - left), scale=scale)
    strip.paste(Image.fromarray(np.repeat(colours[None], 14, axis=0)), (left, 4))
    pen.rectangle((left, 4, right, 17), outline=(120, 120, 120))
    write(pen, (right + 5, 3), ends[1], colour=INK)
    return strip


def legend(entries: Sequence[tuple[str, Colour]]) -> Image.Image:
    """Return a list of lines in their colours with what they stand for, one below the other."""
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    width = 40 + max((round(pen.textlength(text, font=_font(13))) for text, _ in entries), default=0)
    picture = Image.new("RGB", (width, max(1, 22 * len(entries))), "white")
    pen = ImageDraw.Draw(picture)
    for i, (text, colour) in enumerate(entries):
        pen.line([(2, 22 * i + 11), (26, 22 * i + 11)], fill=colour, width=4)
        write(pen, (34, 22 * i + 3), text, colour=INK)
    return picture


def titled(picture: Image.Image, title: str) -> Image.Image:
    """Return the picture with a line of text above."""
    result = Image.new("RGB", (picture.width, picture.height + 20), "white")
    write(ImageDraw.Draw(result), (0, 2), title, colour=INK)
    result.paste(picture, (0, 20))
    return result


def framed(picture: Image.Image) -> Image.Image:
    """Draw a thin grey frame on the edge of the picture, and return it."""
    corner = (picture.width - 1, picture.height - 1)
    ImageDraw.Draw(picture).rectangle((0, 0, *corner), outline=(190, 190, 190))
    return picture


def beside(*pictures: Image.Image) -> Image.Image:
    """Return the pictures in one row on white, their upper edges aligned."""
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    result = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        result.paste(picture, (left, 0))
        left += picture.width + GAP
    return result


def below(*pictures: Image.Image) -> Image.Image:
    """Return the pictures in one column on white, their left edges aligned."""
    height = sum(picture.height for picture in pictures) + GAP * (len(pictures) - 1)
    result = Image.new("RGB", (max(picture.width for picture in pictures), height), "white")
    top = 0
    for picture in pictures:
        result.paste(picture, (0, top))
        top += picture.height + GAP
    return result


def write(pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, *, colour: Colour) -> None:
    """Write one line of text; `at` is its upper left corner in pixels."""
    pen.text(at, text, fill=colour, font=_font(13))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
