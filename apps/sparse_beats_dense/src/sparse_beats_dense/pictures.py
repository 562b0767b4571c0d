"""Pictures of depth maps: depths, errors, and the stripes that LiDAR beams leave in a prediction."""

from __future__ import annotations

import numpy as np
from evaluators.depth.stripes import STEPS_PX
from fusion3d_appkit.draw import below, colour_bar, draw_dots, shades, titled
from jaxtyping import Float, Float64, UInt8
from PIL import Image, ImageDraw
from scipy.ndimage import uniform_filter1d

DEPTH_SCALE = "magma_r"
"""Colours of depths: the nearer, the brighter."""
ERROR_SCALE = "RdBu"
"""Colours of errors: red too near, blue too far."""
SHOWN_DEPTH_M = 80.0
SHOWN_ERROR_M = 5.0
SHOWN_BEND = 0.1
SMOOTHED = 1 / 25
"""Share of the width over which the stripe map is averaged along the rows: stripes stay, noise goes."""


def draw_depth(depth_m: Float[np.ndarray, "h w"], *, title: str) -> Image.Image:
    """Draw a dense depth map, 0 to 80 m; unknown pixels are white."""
    colours = shades(np.clip(depth_m / SHOWN_DEPTH_M, 0, 1), scale=DEPTH_SCALE)
    colours[~(depth_m > 0)] = 255
    bar = colour_bar("depth", scale=DEPTH_SCALE, width=depth_m.shape[1], ends=("0 m", f"{SHOWN_DEPTH_M:g} m"))
    return below(titled(Image.fromarray(colours), title), bar)


def draw_radar(image: UInt8[np.ndarray, "h w 3"], radar_map: Float[np.ndarray, "h w"]) -> Image.Image:
    """Draw the picture with the radar's columns over its lower edge, coloured by depth."""
    canvas = image.copy()
    line = radar_map.max(axis=0)
    columns = np.flatnonzero(line)
    colours = shades(np.clip(line[columns] / SHOWN_DEPTH_M, 0, 1), scale=DEPTH_SCALE)
    top = canvas.shape[0] * 4 // 5
    canvas[top:, columns] = colours
    return titled(Image.fromarray(canvas), f"picture, and {columns.size} columns with a radar return")


def draw_errors(
    depth_m: Float[np.ndarray, "h w"], truth_m: Float[np.ndarray, "h w"], *, title: str
) -> Image.Image:
    """Draw prediction minus truth where the truth is known: dots where it is sparse, else pixels."""
    known = truth_m > 0
    height, width = depth_m.shape
    shown = np.clip((depth_m - truth_m) / SHOWN_ERROR_M, -1, 1) / 2 + 0.5
    canvas = np.full((height, width, 3), 235, np.uint8)
    if known.mean() > 0.2:
        canvas[known] = shades(shown[known], scale=ERROR_SCALE)
        picture = Image.fromarray(canvas)
    else:
        picture = Image.fromarray(canvas)
        rows, columns = np.nonzero(known)
        colours = shades(shown[rows, columns], scale=ERROR_SCALE)
        draw_dots(
            ImageDraw.Draw(picture), np.stack([columns, rows], axis=1), colours, radius=max(1, width // 600)
        )
    ends = (f"{SHOWN_ERROR_M:g} m too near", f"{SHOWN_ERROR_M:g} m too far")
    bar = colour_bar("error", scale=ERROR_SCALE, width=width, ends=ends)
    return below(titled(picture, title), bar)


def row_bends(depth_m: Float[np.ndarray, "h w"], *, step_px: int) -> Float64[np.ndarray, "h w"]:
    """Return how far each pixel stands out from those above and below, smoothed along its row.

    The bend is that of `evaluators.depth.row_ripple`: 2 (q - m) / (q + m) with the inverse depth q and the
    mean m of the pixels `step_px` above and below. It is 0 on planes, positive where a row is too near. Rows
    and pixels without such neighbours are 0.
    """
    inverse = np.divide(1.0, depth_m, out=np.zeros(depth_m.shape), where=depth_m > 0)
    bends = np.zeros(depth_m.shape)
    middle, above, below_ = inverse[step_px:-step_px], inverse[: -2 * step_px], inverse[2 * step_px :]
    mean = (above + below_) / 2
    known = (middle > 0) & (above > 0) & (below_ > 0)
    total = np.where(known, middle + mean, 1.0)
    bends[step_px:-step_px] = np.where(known, np.clip(2 * (middle - mean) / total, -1, 1), 0.0)
    window = max(1, round(depth_m.shape[1] * SMOOTHED))
    return uniform_filter1d(bends, window, axis=1, mode="nearest")


def draw_stripes(depth_m: Float[np.ndarray, "h w"], *, title: str) -> Image.Image:
    """Draw where rows stand out from their neighbours, at the step where they do most.

    Horizontal bands are leakage of the beams; edges of objects show, too.
    """
    steps = [step for step in STEPS_PX if 2 * step < depth_m.shape[0]]
    maps = [row_bends(depth_m, step_px=step) for step in steps]
    chosen = max(range(len(maps)), key=lambda i: np.abs(np.median(maps[i], axis=1)).mean())
    shown = np.clip(maps[chosen] / SHOWN_BEND, -1, 1) / 2 + 0.5
    picture = Image.fromarray(shades(shown, scale="PuOr"))
    ends = (f"{SHOWN_BEND:.0%} too far", f"{SHOWN_BEND:.0%} too near")
    bar = colour_bar("against its rows", scale="PuOr", width=depth_m.shape[1], ends=ends)
    return below(titled(picture, f"{title}, step {steps[chosen]} px"), bar)
