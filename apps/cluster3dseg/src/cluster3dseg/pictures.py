"""Pictures of labelled scans: from above, around the sensor, and where classes are wrong."""

from __future__ import annotations

import numpy as np
from datasets3d.segmentation import IGNORED
from datasets3d.segmentation.labels import LabelTable
from fusion3d_appkit.draw import BevView, Colour, legend, titled
from jaxtyping import Float, UInt8
from PIL import Image

WRONG: Colour = (213, 0, 50)
RIGHT: Colour = (205, 212, 218)
UNKNOWN: Colour = (240, 240, 240)
PAPER: Colour = (255, 255, 255)
AROUND_WH = (1024, 64)
"""Columns and rows of a picture around the sensor; the columns of a turn, and the beams of a HDL-64E."""
VIEW = BevView(x=(-40.0, 40.0), y=(-40.0, 40.0), pixels_per_metre=7.0)


def from_above(
    points: Float[np.ndarray, "n c"], colours: UInt8[np.ndarray, "n 3"], *, view: BevView = VIEW
) -> Image.Image:
    """Return a picture with a pixel for every point, the highest of a pixel on top; x points up, y left."""
    width, height = view.size
    canvas = np.full((height, width, 3), PAPER, np.uint8)
    order = np.argsort(points[:, 2], kind="stable")
    columns, rows = np.floor(view.to_pixels(points[order, :2])).astype(np.int64).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    canvas[rows[inside], columns[inside]] = colours[order][inside]
    return Image.fromarray(canvas)


def around(
    points: Float[np.ndarray, "n c"], colours: UInt8[np.ndarray, "n 3"], *, stretch: int = 4
) -> Image.Image:
    """Return what the sensor sees of a full turn, the nearest point of a pixel; straight ahead is the middle.

    Rows reach from the lowest inclination of the points to the highest.

    Args:
        stretch: Rows of the picture for each row of pixels.
    """
    width, height = AROUND_WH
    canvas = np.full((height, width, 3), PAPER, np.uint8)
    if len(points):
        x, y, z = points[:, :3].T.astype(np.float64)
        inclination = np.arctan2(z, np.hypot(x, y))
        low, high = np.quantile(inclination, [0.001, 0.999])
        columns = np.clip((0.5 - np.arctan2(y, x) / (2 * np.pi)) * width, 0, width - 1).astype(np.int64)
        share = np.clip((high - inclination) / max(high - low, 1e-6), 0, 1)
        rows = np.minimum(share * height, height - 1).astype(np.int64)
        order = np.argsort(-np.linalg.norm(points[:, :3], axis=1), kind="stable")
        canvas[rows[order], columns[order]] = colours[order]
    picture = Image.fromarray(canvas)
    return picture.resize((width, height * stretch), Image.Resampling.NEAREST)


def error_colours(found: UInt8[np.ndarray, " n"], truth: UInt8[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    """Return red where a class is wrong, grey where it is right, nearly white where none is labelled.

    Example:
        >>> error_colours(np.array([1, 1, 1], np.uint8), np.array([1, 2, 255], np.uint8))[:, 0].tolist()
        [205, 213, 240]
    """
    colours = np.where((found == truth)[:, None], RIGHT, WRONG).astype(np.uint8)
    colours[truth == IGNORED] = UNKNOWN
    return colours


def class_legend(table: LabelTable, classes: UInt8[np.ndarray, " n"]) -> Image.Image:
    """Return the names and colours of the classes that occur."""
    there = [i for i in np.unique(classes).tolist() if i != IGNORED]
    return legend([(table.classes[i], table.colours_rgb[i]) for i in there])


def labelled_pictures(
    points: Float[np.ndarray, "n c"], classes: UInt8[np.ndarray, " n"], table: LabelTable, *, title: str
) -> tuple[Image.Image, Image.Image]:
    """Return a scan in the colours of its classes, from above and around the sensor."""
    colours = table.colours(classes)
    return titled(from_above(points, colours), title), titled(around(points, colours), title)
