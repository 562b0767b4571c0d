"""Views of a scan for voting at test time: turned, mirrored and scaled copies, whose scores are added up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from datasets3d._validate import check_positive
from datasets3d.segmentation.augment import flip_y, rotate_scale
from datasets3d.segmentation.scan import LabelledScan


@dataclass(frozen=True, kw_only=True)
class View:
    """One way to look at a scan: mirrored, then turned, then scaled.

    Raises:
        ValueError: The scale is not positive.
    """

    rotation_rad: float = 0.0
    """Turn counter-clockwise about z."""
    flip: bool = False
    """Whether y is mirrored."""
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the scale."""
        check_positive(self, "scale")


_QUARTER_TURNS_RAD = (0.0, math.pi / 2, math.pi, 3 * math.pi / 2)

VIEWS: Mapping[int, tuple[View, ...]] = MappingProxyType(
    {
        1: (View(),),
        4: tuple(View(rotation_rad=turn) for turn in _QUARTER_TURNS_RAD),
        12: tuple(
            View(rotation_rad=turn, scale=factor)
            for factor in (1.0, 0.95, 1.05)
            for turn in _QUARTER_TURNS_RAD
        ),
    }
)
"""Presets by their number of votes, the scan as it is always first.

1: no voting, the protocol of Cluster3DSeg (specification section 8). 4: turns by 90 degrees. 12: the same at
three scales, the ends and the middle of the range that training draws from. Nothing is mirrored, because the
published training does not mirror. Ours: the released code has no voting, and of the five views of SPVNAS'
entry on the leaderboard only the number is known."""


def apply_view(scan: LabelledScan, view: View) -> LabelledScan:
    """Return the scan as the view has it: same points, same order; the identity returns the scan itself.

    Example:
        >>> import numpy as np
        >>> scan = LabelledScan(frame_id="0", points=np.array([[1, 0, 3, 0.5]], np.float32))
        >>> _, quarter, *_ = VIEWS[4]
        >>> apply_view(scan, quarter).points[0, :2].round(3).tolist()
        [0.0, 1.0]
    """
    if view.flip:
        scan = flip_y(scan)
    if view.rotation_rad == 0 and view.scale == 1:
        return scan
    return rotate_scale(scan, view.rotation_rad, view.scale)
