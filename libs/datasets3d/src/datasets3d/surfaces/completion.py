"""Completing partial clouds of one class by mirroring and by best fitting donors. Own frames, metres.

Source: `multifindbestfit.py` of BtcDet with the parameters of ImagePG. Ties, which there fall as the GPU
sorts, go to the object that comes first. An object left without points takes the best donor whatever its
size, which the released code intends too, though its distance kernel then adds nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets3d._validate import check_positive
from datasets3d.surfaces import _kernels

_FEW_NEW_CELLS = 30
"""A donor that adds fewer cells costs 1 more."""
_FEW_NEW_POINTS = 4
"""A donor must add more points than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionConfig:
    """How the shapes of one class are completed. Defaults: cars. Source: BtcDet's best-fit targets."""

    mirror: bool = True
    """Add the mirror image across the object's own x-z plane."""
    min_donor_cells: int = 80
    """A donor covers more cells (seen from above) than this."""
    coverage_weight: float = 50.0
    """Cost of adding little: this over the number of new cells (`ex_ratio`)."""
    max_donors: int = 2
    """Donors that are used (`max_num_bm`)."""
    min_distance_m: float = 0.10
    """A donor's point must be farther than this from every point already there."""
    min_iou: float = 0.90
    """3D overlap of the two boxes at one pose that a donor should have."""
    max_cells: int = 2000
    """Stop when a donor has brought the covered cells to so many (`num_extra_coords`)."""
    max_candidates: int = 800
    """Donors looked at, best overlap first; an object itself counts as one."""
    cell_m: float = 0.16
    """Edge of the cells, seen from above."""
    mirror_distance_m: float = 0.05
    """A mirrored point must be farther than this from every measured one."""
    ground_margin_m: float = 0.15
    """Points up to this height above the box bottom count as ground and go."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_positive(self, "cell_m", "min_distance_m", "mirror_distance_m")


class Completer:
    """The objects of one class, all of them possible donors of each other.

    Args:
        clouds: Points [n_i, 3] of each object in its own frame.
        sizes: Box sizes dx dy dz [m, 3].
        config: Parameters of the class.
    """

    def __init__(self, clouds: list[np.ndarray], sizes: np.ndarray, config: CompletionConfig) -> None:
        self.clouds = [_own_points(cloud, size, config) for cloud, size in zip(clouds, sizes, strict=True)]
        self.sizes, self.config = sizes.astype(np.float64), config
        # The search wants each cloud in random order: far points then turn up early.
        shuffled = [np.random.default_rng(0).permutation(cloud) for cloud in self.clouds]
        self.points = np.concatenate([*shuffled, np.zeros((0, 3))])
        self.starts = np.cumsum([0, *map(len, self.clouds)])
        low = self.points[:, :2].min(axis=0, initial=np.inf)
        ij = np.floor((self.points[:, :2] - low) / config.cell_m).astype(np.int64)
        columns = int(ij[:, 1].max(initial=0)) + 1
        self.point_cells = ij[:, 0] * columns + ij[:, 1]
        self.num_cells = int(self.point_cells.max(initial=0)) + 1
        occupied = [len(np.unique(self._of(self.point_cells, i))) for i in range(len(clouds))]
        self.can_donate = np.array(occupied, np.int64) > config.min_donor_cells

    def completed(self, index: int) -> np.ndarray:
        """Return the completed cloud [n, 3] of one object: its own points, mirrored ones, donors' points."""
        cloud = self.clouds[index]
        covered = np.zeros(self.num_cells, bool)
        covered[self._of(self.point_cells, index)] = True
        iou = self._iou(index)
        donors = self._candidates(index, iou)
        half = self.sizes[index] / 2
        for _ in range(self.config.max_donors):
            gains = _kernels.count_new_cells(
                self.points, self.point_cells, self.starts, donors, half, covered
            )
            best = self._cheapest(index, donors, gains, iou)
            if best is None or (iou[donors[best]] < self.config.min_iou and len(cloud)):
                break
            new = self._new_points(cloud, self.clouds[donors[best]])
            if len(new) > _FEW_NEW_POINTS:
                cloud = np.concatenate([cloud, new])
                covered[self._cells_inside(int(donors[best]), half)] = True
                if covered.sum() >= self.config.max_cells:
                    break
            donors = np.delete(donors, best)
        return cloud

    def _cheapest(self, index: int, donors: np.ndarray, gains: np.ndarray, iou: np.ndarray) -> int | None:
        """Return the position of the cheapest donor (the first of equals); None if none adds a cell."""
        # Without the distance term this is a lower bound, so that few distances need computing.
        with np.errstate(divide="ignore"):
            bound = self.config.coverage_weight / gains
        bound = bound + 2.0 * (iou[donors] < self.config.min_iou) + 1.0 * (gains < _FEW_NEW_CELLS)
        best, least = None, np.inf
        for i in np.argsort(bound, kind="stable").tolist():
            if bound[i] > least or not np.isfinite(bound[i]):
                break
            # A little slack, so that rounding does not lose a tie.
            limit = (least - bound[i]) * (1 + 1e-9) + 1e-12
            cost = bound[i] + _kernels.farthest_nearest(
                self._of(self.points, index), self._of(self.points, int(donors[i])), limit
            )
            if cost < least or (cost == least and best is not None and i < best):
                best, least = i, cost
        return best

    def _candidates(self, index: int, iou: np.ndarray) -> np.ndarray:
        order = np.argsort(-iou, kind="stable")
        nearest = order[self.can_donate[order]][: self.config.max_candidates]
        return nearest[nearest != index]

    def _cells_inside(self, donor: int, half: np.ndarray) -> np.ndarray:
        inside = (np.abs(self._of(self.points, donor)) <= half).all(axis=1)
        return self._of(self.point_cells, donor)[inside]

    def _new_points(self, cloud: np.ndarray, donor_cloud: np.ndarray) -> np.ndarray:
        """Return the donor's points, wherever they lie, that are far enough from all that are there."""
        if not len(cloud):
            return donor_cloud
        return donor_cloud[_tree(cloud).query(donor_cloud)[0] > self.config.min_distance_m]

    def _iou(self, index: int) -> np.ndarray:
        """Return the 3D overlap of every box with this one, all at one pose."""
        common = np.minimum(self.sizes, self.sizes[index]).prod(axis=1)
        volume = self.sizes.prod(axis=1)
        return common / (volume + volume[index] - common)

    def _of(self, rows: np.ndarray, index: int) -> np.ndarray:
        return rows[self.starts[index] : self.starts[index + 1]]


def _own_points(cloud: np.ndarray, size: np.ndarray, config: CompletionConfig) -> np.ndarray:
    """Drop the ground and add the mirror image."""
    above = cloud[cloud[:, 2] > -size[2] / 2 + config.ground_margin_m]
    if not config.mirror or not len(above):
        return above
    mirrored = above * np.array([1.0, -1.0, 1.0])
    distance_m = _tree(above).query(mirrored)[0]
    return np.concatenate([above, mirrored[distance_m > config.mirror_distance_m]])


def _tree(points: np.ndarray) -> Any:
    from scipy.spatial import KDTree

    return KDTree(points)
