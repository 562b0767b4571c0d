"""Completing partial clouds of one class by mirroring and by best fitting donors. Own frames, metres."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

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
    min_distance_m: float = 0.10
    """A donor's point must be farther than this from every point already there."""
    min_iou: float = 0.90
    """3D overlap of the two boxes at one pose that a donor should have."""
    max_cells: int = 2000
    """Stop when so many cells are covered."""
    max_candidates: int = 800
    """Donors looked at, best overlap first."""
    cell_m: float = 0.16
    mirror_distance_m: float = 0.05
    """A mirrored point must be farther than this from every measured one."""
    ground_margin_m: float = 0.15
    """Points up to this height above the box bottom count as ground and go."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("cell_m", "min_distance_m", "mirror_distance_m"):
            if getattr(self, name) <= 0:
                raise ValueError(f"CompletionConfig.{name} must be positive, got {getattr(self, name)}")


def complete(clouds: list[np.ndarray], sizes: np.ndarray, config: CompletionConfig) -> Iterator[np.ndarray]:
    """Yield the completed cloud [n, 3] of each object, in order.

    Args:
        clouds: Points [n_i, 3] of each object in its own frame.
        sizes: Box sizes dx dy dz [m, 3].
        config: Parameters of the class.
    """
    own = [_own_points(cloud, size, config) for cloud, size in zip(clouds, sizes, strict=True)]
    yield from map(_Completer(own, sizes, config).completed, range(len(own)))


def _own_points(cloud: np.ndarray, size: np.ndarray, config: CompletionConfig) -> np.ndarray:
    above = cloud[cloud[:, 2] > -size[2] / 2 + config.ground_margin_m]
    if not config.mirror or not len(above):
        return above
    mirrored = above * np.array([1.0, -1.0, 1.0])
    distance_m = _tree(above).query(mirrored)[0]
    return np.concatenate([above, mirrored[distance_m > config.mirror_distance_m]])


class _Completer:
    """The objects of one class, all of them possible donors of each other."""

    def __init__(self, clouds: list[np.ndarray], sizes: np.ndarray, config: CompletionConfig) -> None:
        self.clouds, self.sizes, self.config = clouds, sizes, config
        everything = np.concatenate([*clouds, np.zeros((1, 3))])
        self.origin = everything[:, :2].min(axis=0)
        self.columns = int((np.ptp(everything[:, 1])) / config.cell_m) + 1
        cells = [self._cells(cloud) for cloud in clouds]
        self.cells = [np.unique(c) for c in cells]
        self.point_cells = cells
        self.can_donate = np.array([len(c) > config.min_donor_cells for c in self.cells], bool)
        self.trees: dict[int, Any] = {}

    def completed(self, index: int) -> np.ndarray:
        cloud, covered = self.clouds[index], self.cells[index]
        iou = self._iou(index)
        donors = self._candidates(index, iou)
        distance_m: dict[int, float] = {}
        for _ in range(self.config.max_donors):
            gains = [self._new_cells(donor, index, covered) for donor in donors]
            best = self._cheapest(index, donors, gains, iou, distance_m)
            if best is None or (iou[donors[best]] < self.config.min_iou and len(self.clouds[index])):
                break
            cloud = self._merged(cloud, self.clouds[donors[best]])
            covered = np.union1d(covered, gains[best])
            if len(covered) >= self.config.max_cells:
                break
            del donors[best]
        return cloud

    def _cheapest(
        self,
        index: int,
        donors: list[int],
        gains: list[np.ndarray],
        iou: np.ndarray,
        distance_m: dict[int, float],
    ) -> int | None:
        """Return the position of the cheapest donor (the first of equals); None if none adds a cell."""
        gain = np.array([len(g) for g in gains], np.float64)
        # Without the distance term this is a lower bound, so that few distances need computing.
        with np.errstate(divide="ignore"):
            bound = self.config.coverage_weight / gain
        bound += 2.0 * (iou[donors] < self.config.min_iou) + 1.0 * (gain < _FEW_NEW_CELLS)
        best, least = None, np.inf
        for i in np.argsort(bound, kind="stable").tolist():
            if bound[i] > least or not np.isfinite(bound[i]):
                break
            cost = bound[i] + self._distance(index, donors[i], distance_m)
            if cost < least or (cost == least and best is not None and i < best):
                best, least = i, cost
        return best

    def _distance(self, index: int, donor: int, known: dict[int, float]) -> float:
        """Return the greatest distance from the object's points to the donor's nearest ones."""
        if donor not in known:
            if donor not in self.trees:
                self.trees[donor] = _tree(self.clouds[donor])
            points = self.clouds[index]
            known[donor] = float(self.trees[donor].query(points)[0].max()) if len(points) else 0.0
        return known[donor]

    def _candidates(self, index: int, iou: np.ndarray) -> list[int]:
        usable = self.can_donate.copy()
        usable[index] = False
        order = np.argsort(-iou, kind="stable")
        return order[usable[order]][: self.config.max_candidates].tolist()

    def _new_cells(self, donor: int, index: int, covered: np.ndarray) -> np.ndarray:
        inside = (np.abs(self.clouds[donor]) <= self.sizes[index] / 2).all(axis=1)
        return np.setdiff1d(self.point_cells[donor][inside], covered)

    def _merged(self, cloud: np.ndarray, donor_cloud: np.ndarray) -> np.ndarray:
        if not len(cloud):
            return donor_cloud
        far = donor_cloud[_tree(cloud).query(donor_cloud)[0] > self.config.min_distance_m]
        return np.concatenate([cloud, far]) if len(far) > _FEW_NEW_POINTS else cloud

    def _iou(self, index: int) -> np.ndarray:
        """Return the 3D overlap of every box with this one, all at one pose."""
        common = np.minimum(self.sizes, self.sizes[index]).prod(axis=1)
        volume = self.sizes.prod(axis=1)
        return common / (volume + volume[index] - common)

    def _cells(self, cloud: np.ndarray) -> np.ndarray:
        ij = np.floor((cloud[:, :2] - self.origin) / self.config.cell_m).astype(np.int64)
        return ij[:, 0] * (self.columns + 1) + ij[:, 1]


def _tree(points: np.ndarray) -> Any:
    from scipy.spatial import KDTree

    return KDTree(points)
