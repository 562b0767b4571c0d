"""All frames as flat arrays, with the overlaps that every class, level and table share."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluators.kitti.objects import ABSENT_LOCATION, KittiObjects


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatObjects:
    """The rows of all frames, one after the other."""

    starts: np.ndarray
    """int64 [frames + 1]: rows of frame i are starts[i] to starts[i + 1]."""
    codes: np.ndarray
    """int64 [n]: class number in `Packed.codes`."""
    truncated: np.ndarray
    occluded: np.ndarray
    alpha_rad: np.ndarray
    image: np.ndarray
    """float64 [n, 4]: x1 y1 x2 y2 in pixels."""
    space: np.ndarray
    """float64 [n, 7]: x z length width yaw y height, yaw counter-clockwise in the plane x z; length 0 if
    there is no ground box, height 0 if there is no 3D box."""
    depth_m: np.ndarray
    scores: np.ndarray

    @property
    def heights_px(self) -> np.ndarray:
        """Height in the image."""
        return np.abs(self.image[:, 3] - self.image[:, 1])

    @property
    def has_ground_box(self) -> np.ndarray:
        """True where the object can be compared in bird's eye view."""
        return self.space[:, 2] > 0

    @property
    def has_3d_box(self) -> np.ndarray:
        """True where the object can be compared in 3D."""
        return self.has_ground_box & (self.space[:, 6] > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Ground truth and detections of all frames and everything that does not depend on class or level."""

    codes: dict[str, int]
    """Class number of each lower-case name that occurs."""
    gt: FlatObjects
    det: FlatObjects
    pair_gt: np.ndarray
    """int64 [p]: ground truth row of each pair with any overlap, sorted."""
    pair_det: np.ndarray
    overlaps: np.ndarray
    """float64 [p, 3]: intersection over union 2d, bev, 3d."""
    covered: np.ndarray
    """float64 [detections]: largest share of the image box inside one DontCare region."""

    def code(self, name: str) -> int:
        """Return the number of the class, or -2 if no object has that name."""
        return self.codes.get(name.lower(), -2)


def pack(gt_frames: Sequence[KittiObjects], det_frames: Sequence[KittiObjects]) -> Packed:
    """Flatten the frames, given in the same order, and compute their overlaps once."""
    from evaluators.kitti import _kernels

    codes: dict[str, int] = {}
    gt = _flatten(gt_frames, codes)
    det = _flatten(det_frames, codes)
    pair_gt, pair_det, overlaps = _kernels.overlapping_pairs(
        gt.starts, det.starts, gt.image, det.image, gt.space, det.space
    )
    is_region = gt.codes == codes.get("dontcare", -2)
    covered = _kernels.covered_shares(gt.starts, det.starts, gt.image, det.image, is_region)
    return Packed(
        codes=codes, gt=gt, det=det, pair_gt=pair_gt, pair_det=pair_det, overlaps=overlaps, covered=covered
    )


def _flatten(frames: Sequence[KittiObjects], codes: dict[str, int]) -> FlatObjects:
    size_hwl = _stack([frame.size_hwl for frame in frames], (3,))
    location = _stack([frame.location for frame in frames], (3,))
    height, width, length = size_hwl.T
    x, y, z = location.T
    on_ground = (width > 0) & (length > 0) & (x != ABSENT_LOCATION) & (z != ABSENT_LOCATION)
    in_space = on_ground & (height > 0) & (y != ABSENT_LOCATION)
    # rotation_y turns from x towards -z; in the plane (x, z) that is clockwise.
    yaw = -_stack([frame.rotation_y for frame in frames], ())
    space = (x, z, np.where(on_ground, length, 0.0), width, yaw, y, np.where(in_space, height, 0.0))
    return FlatObjects(
        starts=np.cumsum([0, *map(len, frames)], dtype=np.int64),
        codes=_encode(frames, codes),
        truncated=_stack([frame.truncated for frame in frames], ()),
        occluded=_stack([frame.occluded for frame in frames], ()),
        alpha_rad=_stack([frame.alpha for frame in frames], ()),
        image=_stack([frame.bbox for frame in frames], (4,)),
        space=np.ascontiguousarray(np.stack(space, axis=1)),
        depth_m=z,
        scores=_stack([frame.score for frame in frames if frame.score is not None], ()),
    )


def _stack(columns: Sequence[np.ndarray], width: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.empty((0, *width)), *columns])


def _encode(frames: Sequence[KittiObjects], codes: dict[str, int]) -> np.ndarray:
    """Return the class number of every row; names that are new get the next number in `codes`."""
    # Names as written, so that lower() runs once per spelling and not once per object.
    spellings: dict[str, int] = {}
    for name in {name for frame in frames for name in frame.names}:
        spellings[name] = codes.setdefault(name.lower(), len(codes))
    return np.array([spellings[name] for frame in frames for name in frame.names], dtype=np.int64)
