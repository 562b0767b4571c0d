"""The rows of an evaluator as plain arrays, and back."""

from __future__ import annotations

from typing import Final

import numpy as np

from evaluators._evaluator import Layout
from evaluators.kitti._rows import DETECTION_COLUMNS, LABEL_COLUMNS, Rows
from evaluators.state import State

LAYOUT: Final[Layout] = {
    "missing": ("b", ("frames",)),
    "dropped": ("i", (2,)),
    "gt_counts": ("i", ("frames",)),
    "gt_values": ("f", ("gt", LABEL_COLUMNS)),
    "gt_names": ("U", ("gt",)),
    "pred_counts": ("i", ("frames",)),
    "pred_values": ("f", ("pred", DETECTION_COLUMNS)),
    "pred_names": ("U", ("pred",)),
}
"""Arrays of a state."""


def arrays_of(rows: Rows, side: str) -> dict[str, np.ndarray]:
    """Return the rows of one side, "gt" or "pred", as arrays of their own."""
    return {
        f"{side}_counts": rows.counts.copy(),
        f"{side}_names": np.array([*rows.names, ""], dtype=np.str_)[rows.codes],
        f"{side}_values": rows.values.copy(),
    }


def rows_of(state: State, side: str) -> Rows:
    """Return the rows of one side.

    Raises:
        ValueError: The numbers of rows of the frames do not add up.
    """
    counts, values = state[f"{side}_counts"], state[f"{side}_values"]
    if (counts < 0).any() or counts.sum() != len(values):
        raise ValueError(
            f"not what KittiEvaluator.state() returned: {side}_counts do not add up to the {len(values)} rows"
            f" of {side}_values"
        )
    known, codes = np.unique(state[f"{side}_names"], return_inverse=True)
    return Rows(
        counts=counts.astype(np.int64),
        names=tuple(map(str, known)),
        codes=codes.astype(np.int64),
        values=values.astype(np.float64),
    )
