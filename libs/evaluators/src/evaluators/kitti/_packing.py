"""All frames as flat columns, with the overlaps that every class, level and table share."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluators.kitti._rows import (
    ALPHA,
    BBOX,
    LOCATION,
    OCCLUDED,
    ROTATION_Y,
    SCORE,
    SIZE_HWL,
    TRUNCATED,
    Rows,
)
from evaluators.kitti.objects import ABSENT_LOCATION
from evaluators.kitti.protocol import DontCareRule


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatObjects:
    """The rows of all frames, one after the other."""

    starts: np.ndarray
    """int64 [frames + 1]: rows of frame i are starts[i] to starts[i + 1]."""
    codes: np.ndarray
    """int64 [n]: class number in `Packed.codes`."""
    values: np.ndarray
    """float64 [n, columns]: the numbers of the files."""
    image: np.ndarray
    """float64 [n, 4]: x1 y1 x2 y2 in pixels."""
    space: np.ndarray
    """float64 [n, 7]: x z length width yaw y height, yaw counter-clockwise in the plane x z; length 0 if
    there is no ground box, height 0 if there is no 3D box."""

    @property
    def heights_px(self) -> np.ndarray:
        """Height in the image."""
        return np.abs(self.image[:, 3] - self.image[:, 1])

    @property
    def truncated(self) -> np.ndarray:
        """Share outside the image."""
        return self.values[:, TRUNCATED]

    @property
    def occluded(self) -> np.ndarray:
        """0 to 3, whole numbers."""
        return self.values[:, OCCLUDED]

    @property
    def alpha_rad(self) -> np.ndarray:
        """Observation angle."""
        return self.values[:, ALPHA]

    @property
    def location(self) -> np.ndarray:
        """Centre of the bottom face, x y z in metres [n, 3]."""
        return self.values[:, LOCATION]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Ground truth and detections of all frames and everything that does not depend on class or level."""

    codes: dict[str, int]
    """Class number of each lower-case name that occurs."""
    gt: FlatObjects
    pred: FlatObjects
    scores: np.ndarray
    """float64 [detections]."""
    pair_gt: np.ndarray
    """int64 [p]: ground truth row of each pair with any overlap, sorted."""
    pair_pred: np.ndarray
    overlaps: np.ndarray
    """float64 [3, p]: intersection over union 2d, bev, 3d."""
    covered: np.ndarray
    """float64 [detections]: largest share of the image box inside one DontCare region."""

    def code(self, name: str) -> int:
        """Return the number of the class, or -2 if no object has that name."""
        return self.codes.get(name.lower(), -2)


def pack(gt_rows: Rows, pred_rows: Rows, dont_care: DontCareRule = "any case") -> Packed:
    """Return the columns of both, frame by frame the same, and compute their overlaps once."""
    from evaluators.kitti import _kernels

    codes: dict[str, int] = {}
    gt = _flat(gt_rows, codes)
    pred = _flat(pred_rows, codes)
    pair_gt, pair_pred, overlaps = _kernels.overlapping_pairs(
        gt.starts, pred.starts, gt.image, pred.image, gt.space, pred.space
    )
    regions = [
        name == "DontCare" if dont_care == "exact" else name.lower() == "dontcare" for name in gt_rows.names
    ]
    is_region = np.array(regions, dtype=np.bool_)[gt_rows.codes]
    return Packed(
        codes=codes,
        gt=gt,
        pred=pred,
        scores=np.ascontiguousarray(pred.values[:, SCORE]),
        pair_gt=pair_gt,
        pair_pred=pair_pred,
        overlaps=np.ascontiguousarray(overlaps.T),
        covered=_kernels.covered_shares(gt.starts, pred.starts, gt.image, pred.image, is_region),
    )


def _flat(rows: Rows, codes: dict[str, int]) -> FlatObjects:
    height, width, length = rows.values[:, SIZE_HWL].T
    x, y, z = rows.values[:, LOCATION].T
    on_ground = (width > 0) & (length > 0) & (x != ABSENT_LOCATION) & (z != ABSENT_LOCATION)
    in_space = on_ground & (height > 0) & (y != ABSENT_LOCATION)
    # rotation_y turns from x towards -z; in the plane (x, z) that is clockwise.
    yaw = -rows.values[:, ROTATION_Y]
    space = (x, z, np.where(on_ground, length, 0.0), width, yaw, y, np.where(in_space, height, 0.0))
    numbers = [codes.setdefault(name.lower(), len(codes)) for name in rows.names]
    return FlatObjects(
        starts=rows.starts,
        codes=np.array(numbers, dtype=np.int64)[rows.codes],
        values=rows.values,
        image=np.ascontiguousarray(rows.values[:, BBOX]),
        space=np.stack(space, axis=1),
    )
