"""Pictures of detections, from above and over the camera image. Pure functions from arrays to pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from geom3d import boxes as box_ops
from geom3d.cameras import PinholeCamera
from PIL import Image, ImageDraw

# Corner order of geom3d.boxes.corners: four below, four above; the first two and their upper twins face
# forward.
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
TRUTH = (40, 200, 80)
FOUND = (255, 150, 0)
MIN_DEPTH_M = 0.1


@dataclass(frozen=True, slots=True)
class BevView:
    """The ground rectangle that a picture from above shows, in the LiDAR frame, metres."""

    x: tuple[float, float] = (0.0, 70.4)
    y: tuple[float, float] = (-40.0, 40.0)
    pixels_per_metre: float = 8.0


def draw_bev(
    points: np.ndarray, *, truth: np.ndarray, found: np.ndarray, scores: np.ndarray, view: BevView
) -> Image.Image:
    """Draw points and boxes from above; the sensor is at the bottom, x points up, y to the left.

    Args:
        points: [n, 3 or more] x y z in the LiDAR frame, metres; brighter is higher.
        truth: [m, 7] labelled boxes, green.
        found: [k, 7] detected boxes, orange, with their scores.
        scores: [k], in [0, 1].
    """
    scale = view.pixels_per_metre
    width, height = round((view.y[1] - view.y[0]) * scale), round((view.x[1] - view.x[0]) * scale)

    def to_pixels(xy: np.ndarray) -> np.ndarray:
        return np.stack([(view.y[1] - xy[..., 1]) * scale, (view.x[1] - xy[..., 0]) * scale], axis=-1)

    canvas = np.full((height, width, 3), 14, dtype=np.uint8)
    uv = np.floor(to_pixels(points[:, :2])).astype(np.int64)
    inside = (uv[:, 0] >= 0) & (uv[:, 0] < width) & (uv[:, 1] >= 0) & (uv[:, 1] < height)
    level = np.clip((points[:, 2] + 2.5) / 4.0, 0.0, 1.0) * 155 + 100
    canvas[uv[inside, 1], uv[inside, 0]] = level[inside, None].astype(np.uint8)
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    for box in truth:
        _draw_footprint(pen, to_pixels(box_ops.corners_bev(box)), colour=TRUTH)
    for box, score in zip(found, scores, strict=True):
        outline = to_pixels(box_ops.corners_bev(box))
        _draw_footprint(pen, outline, colour=FOUND)
        pen.text(tuple(outline[0] + 2), f"{score:.2f}", fill=FOUND)
    return picture


def _draw_footprint(
    pen: ImageDraw.ImageDraw, corners_uv: np.ndarray, *, colour: tuple[int, int, int]
) -> None:
    corners = [tuple(corner) for corner in corners_uv]
    pen.polygon(corners, outline=colour, width=2)
    front = (corners_uv[0] + corners_uv[1]) / 2
    pen.line([tuple(corners_uv.mean(axis=0)), tuple(front)], fill=colour, width=2)


def draw_image(
    image: np.ndarray, *, truth: np.ndarray, found: np.ndarray, scores: np.ndarray, camera: PinholeCamera
) -> Image.Image:
    """Draw boxes as wire frames over the camera image. Parts behind the camera are cut off.

    Args:
        image: uint8 [h, w, 3] RGB.
        truth: [m, 7] labelled boxes in the frame the camera is described in, green.
        found: [k, 7] detected boxes, orange.
        scores: [k], in [0, 1].
    """
    picture = Image.fromarray(image).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for box in truth:
        _draw_wire_frame(pen, box, camera, colour=TRUTH)
    for box, score in zip(found, scores, strict=True):
        anchor = _draw_wire_frame(pen, box, camera, colour=FOUND)
        if anchor is not None:
            pen.text((anchor[0] + 2, anchor[1] - 12), f"{score:.2f}", fill=FOUND)
    return picture


def _draw_wire_frame(
    pen: ImageDraw.ImageDraw, box: np.ndarray, camera: PinholeCamera, *, colour: tuple[int, int, int]
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
