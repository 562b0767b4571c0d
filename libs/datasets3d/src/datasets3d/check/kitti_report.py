"""The findings of `check_kitti`: figures by frame and overall, and what they mean."""

import math
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from datasets3d._validate import nearest_names
from datasets3d.check.kitti_mistakes import MISTAKES
from datasets3d.check.report import CheckReport
from datasets3d.kitti.labels import KITTI_CLASSES

MAX_EMPTY_SHARE = 0.2
"""More boxes without points than this (of visible objects) mean that boxes and points disagree."""
MIN_IMAGE_SHARE = 0.02
"""Fewer points in the picture than this share mean that calibration and points disagree."""
MIN_BOX_IOU = 0.6
"""A lower median of 2D IoU means that calibration, 3D boxes and 2D boxes disagree. Real KITTI: 0.97."""
MAX_RANGE_M = 500.0
MAX_HEIGHT_SPAN_M = 60.0
MAX_TURN_RAD = 2 * math.pi + 0.01
"""A greater rotation_y is no radian. KITTI's lie in -pi..pi, other people's in 0..2 pi."""
MIN_GAIN, MIN_IOU_GAIN = 0.25, 0.1
"""A mistake is named if undoing it gains so much in share of points plus 2D IoU; unasked, so much in IoU."""
MIN_POINTS_TO_TELL = 5
"""An object. Fewer prove nothing."""
_SHOWN_FRAMES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCheck:
    """One labelled object in figures."""

    name: str
    size_lwh: tuple[float, ...]
    num_points: int
    """Of the whole scan, inside the box."""
    num_points_if: tuple[int, ...]
    """The same without each of `MISTAKES`."""
    iou_image: float
    """2D IoU of the projected, clipped 3D box with the labelled 2D box."""
    iou_image_if: tuple[float, ...]
    """The same without each of `MISTAKES`."""
    has_box_image: bool
    """The labelled 2D box has an area."""
    rotation_y: float
    truncation: float
    difficulty: int
    has_shape: bool
    """There is a dense target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCheck:
    """One frame in figures; only `problems` is filled when a file cannot be read."""

    subset: str
    frame_id: str
    problems: tuple[str, ...]
    image_size: tuple[int, int] | None = None
    num_points: int = 0
    num_in_image: int = 0
    least: tuple[float, ...] | None = None
    """Least x y z intensity."""
    greatest: tuple[float, ...] | None = None
    has_road_plane: bool = False
    num_dont_care: int = 0
    objects: tuple[ObjectCheck, ...] = ()

    @property
    def image_share(self) -> float:
        """Share of the points inside the picture."""
        return self.num_in_image / self.num_points if self.num_points else 0.0

    def row(self) -> str:
        """Return the frame as one line of the table."""
        if self.image_size is None:
            return f"{self.subset}/{self.frame_id}  unreadable"
        found = ", ".join(f"{o.name} {o.num_points} ({o.iou_image:.2f})" for o in self.objects) or "-"
        care = f", {self.num_dont_care} DontCare" if self.num_dont_care else ""
        return (
            f"{self.subset}/{self.frame_id} {self.num_points:>7} {self.image_size[0]}x{self.image_size[1]} "
            f"{self.num_in_image:>6} ({100 * self.image_share:.1f}%)  {found}{care}"
        )


@dataclass(frozen=True, kw_only=True)
class KittiCheckReport(CheckReport):
    """Everything `check_kitti` found."""

    splits: tuple[str, ...]
    frames: tuple[FrameCheck, ...]
    tree_problems: tuple[str, ...] = ()
    """Of split files, and of what was made from the data set."""
    empty_splits: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        """Return what is wrong, with the cure: first overall, then file by file."""
        return [
            *self._overall_problems(),
            *self.tree_problems,
            *(p for frame in self.frames for p in frame.problems),
        ]

    def notes(self) -> list[str]:
        """Return what may be all right but is worth knowing."""
        objects = self._objects()
        readable = [f for f in self.frames if f.image_size is not None]
        empty = [o for o in objects if o.num_points == 0]
        checks = (
            (any(not f.num_points for f in readable), "some scans hold no point"),
            (bool(empty), f"{len(empty)} of {len(objects)} boxes hold no point"),
            (
                any(f.greatest and f.greatest[3] > 1.0 for f in readable),
                "intensities exceed 1; KITTI's lie in 0..1: divide by 255 to use models trained on KITTI",
            ),
            (
                bool(readable) and not any(f.has_road_plane for f in readable),
                "no road planes (training/planes): pasted objects keep the height of their own frame",
            ),
            (
                bool(objects) and not all(o.has_shape for o in objects),
                f"{sum(not o.has_shape for o in objects)} of {len(objects)} objects have no dense target "
                "(training/object_shapes/): point generation learns nothing from them; "
                f"`python -m datasets3d complete kitti --root {self.root}` makes them",
            ),
        )
        unknown = sorted({o.name for o in objects} - set(KITTI_CLASSES) - set(self._misspelt()))
        return [
            *(text for true, text in checks if true),
            *(
                f"ImageSets/{name}.txt lists no frame, so that split cannot be used"
                for name in self.empty_splits
            ),
            *(
                f"class {name!r} is none of KITTI's; {nearest_names(name, list(KITTI_CLASSES))}"
                for name in unknown
            ),
        ]

    def class_counts(self) -> dict[str, int]:
        """Count objects by class name, sorted by name."""
        names = [o.name for o in self._objects()]
        return {name: names.count(name) for name in sorted(set(names))}

    def figures(self) -> list[str]:
        """Return frames and summary as lines of the table."""
        shown = [f for i, f in enumerate(self.frames) if i < _SHOWN_FRAMES or f.problems]
        lines = [f"{self.root}: splits {', '.join(self.splits)}; {len(self.frames)} frames", ""]
        lines += ["frame  points  picture  in picture (share)  objects: points in box (2D IoU)"]
        lines += [frame.row() for frame in shown]
        if len(shown) < len(self.frames):
            lines += [f"... and {len(self.frames) - len(shown)} more frames without problems"]
        return [*lines, "", *self._summary()]

    def content(self) -> dict[str, Any]:
        """Return splits, classes and frames as plain values."""
        return {
            "splits": list(self.splits),
            "class_counts": self.class_counts(),
            "frames": [asdict(frame) for frame in self.frames],
        }

    def _objects(self) -> list[ObjectCheck]:
        return [o for frame in self.frames for o in frame.objects]

    def _summary(self) -> list[str]:
        readable = [f for f in self.frames if f.num_points]
        lines = ["classes: " + (", ".join(f"{n} {c}" for n, c in self.class_counts().items()) or "none")]
        if readable:
            shares = [100 * f.image_share for f in readable]
            lines += [f"points in the picture: median {median(shares):.1f}%"]
            for i, axis in enumerate(("x", "y", "z", "intensity")):
                low = min(f.least[i] for f in readable if f.least)
                high = max(f.greatest[i] for f in readable if f.greatest)
                lines += [f"{axis}: {low:.2f} .. {high:.2f}"]
        objects = self._objects()
        if objects:
            lines += [f"points in a box: median {median(o.num_points for o in objects):.0f}"]
            lines += [
                f"2D IoU of projected and labelled box: median {median(o.iou_image for o in objects):.2f}"
            ]
        return lines

    def _overall_problems(self) -> list[str]:
        found = [
            self._bad_ranges(),
            self._bad_heights(),
            self._outside_picture(),
            self._degrees(),
            *(
                f"class {name!r} differs from KITTI's {known!r} in upper and lower case: rename it, "
                f"or nothing trained for {known!r} learns from it"
                for name, known in self._misspelt().items()
            ),
            self._flat_boxes_image(),
            *(self._boxes_disagree()),
        ]
        return [text for text in found if text]

    def _misspelt(self) -> dict[str, str]:
        """Return the classes that are KITTI's but for upper and lower case, with the right spelling."""
        names, known = {o.name for o in self._objects()}, {name.lower(): name for name in KITTI_CLASSES}
        return {
            name: known[name.lower()] for name in sorted(names - set(KITTI_CLASSES)) if name.lower() in known
        }

    def _degrees(self) -> str:
        angles = [o.rotation_y for o in self._objects() if abs(o.rotation_y) > MAX_TURN_RAD]
        if not angles:
            return ""
        return (
            f"rotation_y of {len(angles)} objects lies beyond a full turn (as {angles[0]:g}): it seems to be "
            "in degrees; it is in radians: multiply it by pi / 180, and alpha as well"
        )

    def _flat_boxes_image(self) -> str:
        objects = self._objects()
        flat = sum(not o.has_box_image for o in objects)
        if flat == 0:
            return ""
        return (
            f"{flat} of {len(objects)} labelled 2D boxes have no area: the benchmark ignores such objects; "
            "write the boxes around the projected 3D boxes (geom3d.kitti.boxes_image_from_lidar)"
        )

    def _boxes_disagree(self) -> list[str]:
        known = [text for text in (self._empty_boxes(), self._bad_boxes_image()) if text]
        return known or [text for text in [self._better_explained()] if text]

    def _better_explained(self) -> str:
        objects = [o for o in self._objects() if o.has_box_image]
        found = _likeliest(objects)
        if found is None or fmean(o.iou_image_if[found] - o.iou_image for o in objects) < MIN_IOU_GAIN:
            return ""
        return f"points, 3D boxes and 2D boxes do not quite agree: {self._likely_cause(objects)}"

    def _bad_ranges(self) -> str:
        far = [f for f in self.frames if f.greatest and f.least and _reach(f) > MAX_RANGE_M]
        if not far:
            return ""
        return (
            f"{len(far)} scans reach beyond {MAX_RANGE_M:.0f} m (first: {far[0].frame_id}): "
            "coordinates must be metres in the LiDAR frame; millimetres? a world frame?"
        )

    def _bad_heights(self) -> str:
        spans = [f.greatest[2] - f.least[2] for f in self.frames if f.greatest and f.least]
        if not spans or median(spans) <= MAX_HEIGHT_SPAN_M:
            return ""
        return f"heights span {median(spans):.0f} m: z must be up (KITTI: 16 m or less in a scan)"

    def _outside_picture(self) -> str:
        shares = [f.image_share for f in self.frames if f.num_points]
        if not shares or median(shares) >= MIN_IMAGE_SHARE:
            return ""
        return (
            f"only {100 * median(shares):.1f}% of the points fall into the picture (KITTI: 16%): "
            "points must be x forward, y left, z up; Tr_velo_to_cam maps them to x right, y down, z forward"
        )

    def _empty_boxes(self) -> str:
        rated = [o for o in self._objects() if o.difficulty >= 0]
        empty = [o for o in rated if o.num_points == 0]
        if not rated or len(empty) <= MAX_EMPTY_SHARE * len(rated):
            return ""
        cause = self._likely_cause(rated)
        return f"{len(empty)} of {len(rated)} visible objects have no point in their box: {cause}"

    def _bad_boxes_image(self) -> str:
        whole = [o for o in self._objects() if o.truncation < 0.5 and o.has_box_image]
        if not whole or median(o.iou_image for o in whole) >= MIN_BOX_IOU:
            return ""
        return (
            f"projected 3D boxes and labelled 2D boxes agree badly (median IoU "
            f"{median(o.iou_image for o in whole):.2f}, KITTI: 0.97): {self._likely_cause(whole)}"
        )

    def _likely_cause(self, objects: list[ObjectCheck]) -> str:
        """Name the mistake without which points and pictures would agree best, if that helps much."""
        found = _likeliest(objects)
        if found is None:
            return "compare Tr_velo_to_cam, R0_rect and P2 with the sensors, and the labels with the README"
        now, then = sum(o.num_points for o in objects), sum(o.num_points_if[found] for o in objects)
        iou = fmean(o.iou_image for o in objects), fmean(o.iou_image_if[found] for o in objects)
        return (
            f"{MISTAKES[found].cure} (then {then} instead of {now} points in boxes, and a mean 2D IoU of "
            f"{iou[1]:.2f} instead of {iou[0]:.2f})"
        )


def _likeliest(objects: list[ObjectCheck]) -> int | None:
    """Return the index of the mistake without which points and pictures agree best; None if none helps much.

    Points alone would favour whatever makes boxes larger, pictures alone what looks alike from the camera.
    """
    if not objects:
        return None
    points = np.array([(o.num_points, *o.num_points_if) for o in objects]).sum(axis=0)
    iou = np.array([(o.iou_image, *o.iou_image_if) for o in objects]).mean(axis=0)
    agreement = points / max(points.max(), MIN_POINTS_TO_TELL * len(objects)) + iou
    best = int(np.argmax(agreement[1:]))
    return best if agreement[1 + best] > agreement[0] + MIN_GAIN else None


def _reach(frame: FrameCheck) -> float:
    return max(abs(v) for v in (*(frame.least or ())[:3], *(frame.greatest or ())[:3]))
