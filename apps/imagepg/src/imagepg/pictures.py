"""Pictures of what `insight.look_inside` saw: generated points, image attention, occupancy, stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from datasets3d.frame import Frame
from fusion3d_appkit.draw import (
    DISTINCT,
    FOUND,
    HEAT_SCALE,
    INK,
    SCORE_SCALE,
    TRUTH,
    BevView,
    Colour,
    below,
    beside,
    colour_bar,
    draw_dots,
    draw_footprint,
    draw_map,
    draw_wire_frame,
    framed,
    legend,
    outline_cells,
    scan_from_above,
    shades,
    titled,
    write,
)
from geom3d import boxes as box_ops
from geom3d.cameras import PinholeCamera
from PIL import Image, ImageDraw

from imagepg.insight import FrameInsight

MIN_SCORE = 0.3
SCAN_GREY = 185
SCENE_PIXELS = 720
MAP_PIXELS = 440
OBJECT_PIXELS = 250
STAGES_PIXELS = 300
CROP_PIXELS = (720, 420)
GRID_POINTS = 5
"""Grid points whose attention is drawn, one colour each."""
DOT_PIXELS = 14
"""Radius of a sample with all the weight of its head; the area of a dot is its weight."""
STAGE_SCALE = "plasma"


def draw_generated(insight: FrameInsight, *, min_score: float) -> Image.Image | None:
    """Draw the scan from above, and over it the generated points of the shown RoIs by foreground score.

    Returns:
        None for a model that generates no points.
    """
    if insight.generated is None or insight.point_scores is None:
        return None
    view = _whole_scene(insight, SCENE_PIXELS)
    picture = scan_from_above(insight.points, SCAN_GREY, view=view)
    pen = ImageDraw.Draw(picture)
    for box in insight.truth:
        draw_footprint(pen, box, view=view, colour=TRUTH, width=1)
    rows = insight.shown(min_score)
    scores = insight.point_scores[rows].ravel()
    order = scores.argsort(kind="stable")
    uv = view.to_pixels(insight.generated[rows].reshape(-1, 3)[order, :2])
    draw_dots(pen, uv, shades(scores[order], scale=SCORE_SCALE), radius=1.5)
    bar = colour_bar("score of a generated point", scale=SCORE_SCALE, width=picture.width)
    return below(framed(picture), bar)


def draw_object(insight: FrameInsight, roi: int) -> Image.Image | None:
    """Draw one RoI from above and from the side, in the frame of its final box, its front to the right.

    Columns: measured points, the complete surface if it is known, the generated points by score.

    Returns:
        None for a model that generates no points.
    """
    if insight.generated is None or insight.point_scores is None:
        return None
    box = insight.final_boxes[roi]
    clouds: dict[str, tuple[np.ndarray, np.ndarray, float]] = {
        "measured": (insight.points, np.array(INK), 1.2)
    }
    if insight.dense is not None:
        clouds["complete surface"] = (insight.dense, np.array(TRUTH), 0.8)
    scores = insight.point_scores[roi]
    order = scores.argsort(kind="stable")
    colours = shades(scores[order], scale=SCORE_SCALE)
    clouds["generated"] = (insight.generated[roi, order], colours, 2.5)
    columns = []
    for name, (points, colour, radius) in clouds.items():
        local = box_ops.to_canonical(points.astype(np.float64), box.astype(np.float64))
        panels = [_panel(insight, box, local, colour, radius, up=up) for up in (1, 2)]
        columns.append(titled(below(*panels), name))
    picture = beside(*columns)
    bar = colour_bar("score of a generated point", scale=SCORE_SCALE, width=picture.width)
    name = insight.class_names[insight.labels[roi] - 1]
    title = f"{name}, score {insight.scores[roi]:.2f}; upper row seen from above, lower row from the side"
    return titled(below(picture, bar), title)


def _panel(
    insight: FrameInsight, box: np.ndarray, local: np.ndarray, colours: np.ndarray, radius: float, *, up: int
) -> Image.Image:
    """Draw points in the frame of a box: x points right, the axis `up` (1: y, 2: z) up. Labels are green."""
    reach = float(box[3:6].max()) / 2 + 0.7
    scale = OBJECT_PIXELS / reach

    def to_pixels(xyz: np.ndarray) -> np.ndarray:
        return np.stack([reach + xyz[..., 0], reach - xyz[..., up]], axis=-1) * scale

    # drawn twice as large and reduced, for round dots and smooth lines
    picture = Image.new("RGB", (2 * OBJECT_PIXELS, 2 * OBJECT_PIXELS), "white")
    pen = ImageDraw.Draw(picture)
    inside = (np.abs(local) < reach).all(axis=1)
    chosen = np.broadcast_to(colours, (len(local), 3))[inside]
    draw_dots(pen, to_pixels(local[inside]), chosen, radius=2 * radius)
    own = np.concatenate([np.zeros(3), box[3:6], np.zeros(1)])
    outlines = [(box_ops.corners(own), FOUND)]
    for corners in box_ops.corners(insight.truth.astype(np.float64)):
        outlines.append((box_ops.to_canonical(corners, box.astype(np.float64)), TRUTH))
    for corners, colour in outlines:
        if (np.abs(corners.mean(axis=0)) < reach).all():
            _outline(pen, to_pixels(corners), colour, from_above=up == 1)
    return framed(_with_ruler(picture.reduce(2), pixels_per_metre=scale / 2))


def _with_ruler(picture: Image.Image, *, pixels_per_metre: float) -> Image.Image:
    """Draw a ruler of one metre into the lower left corner, and return the picture."""
    pen, bottom = ImageDraw.Draw(picture), picture.height
    pen.rectangle((2, bottom - 22, 40 + pixels_per_metre, bottom - 3), fill="white")
    write(pen, (6, bottom - 20), "1 m", colour=INK)
    pen.line([(34, bottom - 12), (34 + pixels_per_metre, bottom - 12)], fill=INK, width=2)
    return picture


def _outline(pen: ImageDraw.ImageDraw, corners: np.ndarray, colour: Colour, *, from_above: bool) -> None:
    """Draw the four lower corners, or the rectangle around all eight."""
    if not from_above:
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    pen.polygon([tuple(corner) for corner in corners[:4]], outline=colour, width=4)


def draw_attention(
    insight: FrameInsight, roi: int, image: np.ndarray, camera: PinholeCamera
) -> Image.Image | None:
    """Draw where the image is read for some grid points of a RoI: a cross at the pixel, dots at the samples.

    Args:
        image: uint8 [h, w, 3], the camera image in any size.
        camera: Of that image.

    Returns:
        The part of the image around the RoI; None without image branch or if no grid point is in view.
    """
    attention = insight.attention
    if attention is None or not (attention.rois == roi).any():
        return None
    of_roi = np.flatnonzero(attention.rois == roi)
    chosen = of_roi[_spread(attention.pixels[of_roi], GRID_POINTS)]
    scale = np.array([image.shape[1], image.shape[0]]) / np.array(attention.image_size)[::-1]
    pixels = attention.pixels * scale
    locations = attention.locations[chosen].reshape(len(chosen), -1, 2) * scale
    low, zoom, picture = _crop(image, np.concatenate([pixels[of_roi], locations.reshape(-1, 2)]))
    pen = ImageDraw.Draw(picture)
    shift = np.array([[zoom, 0, -zoom * low[0]], [0, zoom, -zoom * low[1]], [0, 0, 1]])
    closer = replace(camera, image_from_cam=shift @ camera.image_from_cam)
    draw_wire_frame(pen, insight.final_boxes[roi], closer, colour=INK)
    for i, row in enumerate(chosen.tolist()):
        colour = DISTINCT[i % len(DISTINCT)]
        cross = (pixels[row] - low) * zoom
        weights = attention.weights[row].ravel()
        for place, weight in zip((locations[i] - low) * zoom, weights, strict=True):
            pen.line([tuple(cross), tuple(place)], fill=colour, width=1)
            reach = DOT_PIXELS * float(weight) ** 0.5
            around = (place[0] - reach, place[1] - reach, place[0] + reach, place[1] + reach)
            pen.ellipse(around, fill=colour, outline=(0, 0, 0))
        _cross(pen, cross)
    return picture


def _spread(pixels: np.ndarray, count: int) -> list[int]:
    """Return up to `count` rows far from each other: the first, then always the farthest of the rest."""
    rows = [0]
    distance = np.linalg.norm(pixels - pixels[0], axis=1)
    while len(rows) < count and distance.max() > 0:
        rows.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(pixels - pixels[rows[-1]], axis=1))
    return rows


def _crop(image: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, float, Image.Image]:
    """Return the part of the image around places, enlarged, its upper left corner and the factor."""
    size = np.array([image.shape[1], image.shape[0]])
    centre = np.clip((places.min(axis=0) + places.max(axis=0)) / 2, 0, size)
    half = np.maximum(np.ptp(places, axis=0) * 0.6, 20)
    half = np.minimum(np.maximum(half, half[::-1] * np.array([1.0, 0.5])), size / 2)
    low = np.floor(np.clip(centre - half, 0, size - 2 * half)).astype(int)
    high = np.minimum(np.ceil(low + 2 * half).astype(int), size)
    zoom = float(np.min(np.array(CROP_PIXELS) / (high - low)))
    part = Image.fromarray(image[low[1] : high[1], low[0] : high[0]])
    width, height = np.round((high - low) * zoom).astype(int).tolist()
    return low, zoom, part.resize((width, height), Image.Resampling.BICUBIC)


def _cross(pen: ImageDraw.ImageDraw, at: np.ndarray) -> None:
    u, v = at
    for colour, width in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        pen.line([(u - 7, v), (u + 7, v)], fill=colour, width=width)
        pen.line([(u, v - 7), (u, v + 7)], fill=colour, width=width)


def draw_occupancy(insight: FrameInsight) -> Image.Image | None:
    """Draw the probability of the occupancy map from above, the cells that guide outlined; the target beside.

    Returns:
        None for a model without occupancy network.
    """
    occupancy = insight.occupancy
    if occupancy is None:
        return None
    maps = {"found": occupancy.probability}
    if occupancy.target is not None:
        maps["target"] = occupancy.target
    view = _whole_scene(insight, MAP_PIXELS)
    pictures = []
    for name, values in maps.items():
        picture = draw_map(values, view=view)
        if name == "found":
            outline_cells(picture, occupancy.guides, colour=FOUND)
        pen = ImageDraw.Draw(picture)
        for box in insight.truth:
            draw_footprint(pen, box, view=view, colour=TRUTH, width=2)
        pictures.append(titled(framed(picture), name))
    joined = beside(*pictures)
    return below(joined, colour_bar("probability", scale=HEAT_SCALE, width=joined.width))


def draw_stages(insight: FrameInsight, roi: int) -> Image.Image:
    """Draw the box of one RoI after every stage from above, the label green, with a legend beside."""
    count = len(insight.boxes)
    # the palest end of the scale would be lost on white
    colours = shades(np.linspace(0.85, 0.0, count) if count > 1 else np.zeros(1), scale=STAGE_SCALE)
    box = insight.final_boxes[roi].astype(float)
    reach = float(max(box[3:5].max(), 1.0)) * 0.5 + 1.2
    # drawn twice as large and reduced, for smooth lines
    scale = 2 * STAGES_PIXELS / (2 * reach)
    view = BevView((box[0] - reach, box[0] + reach), (box[1] - reach, box[1] + reach), scale)
    picture = scan_from_above(np.zeros((0, 2)), 0, view=view)
    pen = ImageDraw.Draw(picture)
    draw_dots(pen, view.to_pixels(insight.points[:, :2]), np.full(3, SCAN_GREY), radius=2.5)
    for label in insight.truth:
        draw_footprint(pen, label, view=view, colour=TRUTH, width=10)
    entries: list[tuple[str, Colour]] = [("label", TRUTH)] if len(insight.truth) else []
    for t, (red, green, blue) in enumerate(colours.tolist()):
        draw_footprint(pen, insight.boxes[t, roi], view=view, colour=(red, green, blue), width=4)
        entries.append((stage_title(insight, t), (red, green, blue)))
    title = f"{insight.class_names[insight.labels[roi] - 1]}, score {insight.scores[roi]:.2f}"
    shown = framed(_with_ruler(picture.reduce(2), pixels_per_metre=scale / 2))
    return titled(beside(shown, legend(entries)), title)


def stage_title(insight: FrameInsight, stage: int) -> str:
    """Return the name of a stage as legend and table call it; 0 is the proposals."""
    name = insight.stage_names[stage]
    return name if stage == 0 else f"stage {stage}: cloud {name}"


def _whole_scene(insight: FrameInsight, width: int) -> BevView:
    x0, y0, _, x1, y1, _ = insight.bounds
    return BevView((x0, x1), (y0, y1), width / (y1 - y0))


def frame_pictures(
    insight: FrameInsight,
    frame: Frame,
    *,
    camera: str = "image_2",
    min_score: float = MIN_SCORE,
    objects: int = 2,
) -> Mapping[str, Image.Image]:
    """Return what there is to draw, by name.

    `generated` and `occupancy` show the frame; `object_<i>`, `attention_<i>` and `stages_<i>` one RoI each.

    Args:
        frame: The frame that the insight is about, for its image.
        camera: Name of the image that the model saw.
        min_score: RoIs with a lower score are not drawn.
        objects: So many of the best RoIs are drawn one by one.
    """
    rois = insight.shown(min_score)[:objects].tolist()
    pictures = {
        "generated": draw_generated(insight, min_score=min_score),
        "occupancy": draw_occupancy(insight),
    }
    for number, roi in enumerate(rois, start=1):
        pictures[f"object_{number}"] = draw_object(insight, roi)
        if camera in frame.images:
            seen = draw_attention(insight, roi, frame.images[camera], frame.cameras[camera])
            pictures[f"attention_{number}"] = seen
        pictures[f"stages_{number}"] = draw_stages(insight, roi)
    return {name: picture for name, picture in pictures.items() if picture is not None}
