"""The findings of `check_kitti`: figures by frame and overall, and what they mean."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from datasets3d._validate import nearest_names
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
_MIN_POINTS_TO_TELL = 5
_SHOWN_FRAMES = 40


def _with(boxes_lidar: np.ndarray, column: int, values: np.ndarray) -> np.ndarray:
    changed = boxes_lidar.copy()
    changed[:, column] = values
    return changed


def _swapped(boxes_lidar: np.ndarray) -> np.ndarray:
    return boxes_lidar[:, [0, 1, 2, 4, 3, 5, 6]]


HYPOTHESES: tuple[tuple[Callable[[np.ndarray], np.ndarray], str], ...] = (
    (
        lambda b: _with(b, 2, b[:, 2] - b[:, 5] / 2),
        "the labels' y seems to be the box centre; KITTI's is the bottom face: add height / 2 to y",
    ),
    (
        lambda b: _with(b, 2, b[:, 2] - b[:, 5]),
        "the labels' y seems to be the box top; KITTI's is the bottom face: add the height to y",
    ),
    (
        _swapped,
        "width and length seem swapped; the columns are height width length, with length along the heading",
    ),
    (
        lambda b: _with(b, 6, -b[:, 6]),
        "rotation_y seems to have the other sign; it is measured about the camera's y, which points down",
    ),
    (
        lambda b: _with(b, 1, -b[:, 1]),
        "left and right seem swapped; the camera's x points right, the LiDAR's y points left",
    ),
)
"""Common mistakes: what the boxes would be without them, and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCheck:
    """One labelled object in figures."""

    name: str
    size_lwh: tuple[float, ...]
    num_points: int
    """Of the whole scan, inside the box."""
    num_points_if: tuple[int, ...]
    """The same under each of `HYPOTHESES`."""
    iou_image: float
    """2D IoU of the projected, clipped 3D box with the labelled 2D box."""
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

    def problems(self) -> list[str]:
        """Return what is wrong, with the cure: first overall, then file by file."""
        return [*self._overall_problems(), *(p for frame in self.frames for p in frame.problems)]

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
        unknown = sorted({o.name for o in objects} - set(KITTI_CLASSES))
        return [text for true, text in checks if true] + [
            f"class {name!r} is none of KITTI's; {nearest_names(name, list(KITTI_CLASSES))}"
            for name in unknown
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
            self._empty_boxes(),
            self._bad_boxes_image(),
        ]
        return [text for text in found if text]

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
        whole = [o for o in self._objects() if o.truncation < 0.5]
        if not whole or median(o.iou_image for o in whole) >= MIN_BOX_IOU:
            return ""
        return (
            f"projected 3D boxes and labelled 2D boxes agree badly (median IoU "
            f"{median(o.iou_image for o in whole):.2f}, KITTI: 0.97): {self._likely_cause(whole)}"
        )

    def _likely_cause(self, objects: list[ObjectCheck]) -> str:
        """Name the mistake without which the boxes would hold most points, if that helps much."""
        now = sum(o.num_points for o in objects)
        supposed = [sum(o.num_points_if[i] for o in objects) for i in range(len(HYPOTHESES))]
        best = int(np.argmax(supposed))
        if supposed[best] > max(1.5 * now, _MIN_POINTS_TO_TELL * len(objects)):
            return f"{HYPOTHESES[best][1]} (then {supposed[best]} instead of {now} points in boxes)"
        return (
            "compare Tr_velo_to_cam, R0_rect and P2 with the sensors, and the label columns with the README"
        )


def _reach(frame: FrameCheck) -> float:
    return max(abs(v) for v in (*(frame.least or ())[:3], *(frame.greatest or ())[:3]))
