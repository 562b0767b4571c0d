"""Objects of many frames, row by row: what an evaluator holds and what the file reader returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluators.kitti.objects import KittiObjects

TRUNCATED, OCCLUDED, ALPHA, ROTATION_Y, SCORE = 0, 1, 2, 13, 14
BBOX, SIZE_HWL, LOCATION = slice(3, 7), slice(7, 10), slice(10, 13)
LABEL_COLUMNS, DETECTION_COLUMNS = 14, 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The rows of all frames, one frame after the other."""

    counts: np.ndarray
    """int64 [frames]: rows of each frame."""
    names: tuple[str, ...]
    """The class names that occur, as written, each once."""
    codes: np.ndarray
    """int64 [n]: index into `names`."""
    values: np.ndarray
    """float64 [n, columns]: the numbers of a line, in the order of the files."""

    @classmethod
    def of(cls, names: Iterable[Sequence[str]], values: Sequence[np.ndarray], columns: int) -> Rows:
        """Return the rows of frames given by the names [n] and the numbers [n, columns] of each."""
        known: dict[str, int] = {}
        codes = [known.setdefault(name, len(known)) for frame in names for name in frame]
        return cls(
            counts=np.array([len(frame) for frame in values], dtype=np.int64),
            names=tuple(known),
            codes=np.array(codes, dtype=np.int64),
            values=np.concatenate([np.empty((0, columns)), *values]),
        )

    @classmethod
    def of_objects(cls, frames: Sequence[KittiObjects], columns: int) -> Rows:
        """Return the rows of frames of objects, with or without the score."""
        return cls.of([frame.names for frame in frames], [_values(item, columns) for item in frames], columns)

    @classmethod
    def joined(cls, parts: Sequence[Rows], order: np.ndarray) -> Rows:
        """Return all frames of the parts, in the order given (int64 [frames], a permutation)."""
        known: dict[str, int] = {}
        codes = [
            np.array([known.setdefault(name, len(known)) for name in part.names], dtype=np.int64)[part.codes]
            for part in parts
        ]
        counts = np.concatenate([part.counts for part in parts])
        starts = (np.cumsum(counts) - counts)[order]
        counts = counts[order]
        # Row i of a frame moves from its old start + i to its new start + i.
        shifts = starts - (np.cumsum(counts) - counts)
        rows: np.ndarray = np.repeat(shifts, counts) + np.arange(int(counts.sum()))
        return cls(
            counts=counts,
            names=tuple(known),
            codes=np.concatenate(codes)[rows],
            values=np.concatenate([part.values for part in parts])[rows],
        )

    @property
    def starts(self) -> np.ndarray:
        """int64 [frames + 1]: rows of frame i are starts[i] to starts[i + 1]."""
        return np.append(0, np.cumsum(self.counts))

    @property
    def frames(self) -> np.ndarray:
        """int64 [n]: the frame of each row."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def select(self, kept: np.ndarray) -> Rows:
        """Return the rows marked True."""
        counts = np.bincount(self.frames[kept], minlength=len(self.counts))
        return replace(self, counts=counts, codes=self.codes[kept], values=self.values[kept])


def _values(objects: KittiObjects, columns: int) -> np.ndarray:
    parts = [
        objects.truncated,
        objects.occluded,
        objects.alpha,
        objects.bbox,
        objects.size_hwl,
        objects.location,
        objects.rotation_y,
        *(() if objects.score is None else (objects.score,)),
    ]
    return np.column_stack(parts)[:, :columns].astype(np.float64)
