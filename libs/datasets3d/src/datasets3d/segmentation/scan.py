"""The typed scan of segmentation: `LabelledScan`, points with a class and an instance each.

Nothing is copied on construction: treat the arrays as read-only, and make a changed scan with
`dataclasses.replace`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from datasets3d._validate import check_array
from datasets3d.frame import POINT_COLUMNS

IGNORED = 255
"""The class of points that neither train nor count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScan:
    """One scan with a class for every point; zero points are a scan, too.

    Raises:
        TypeError: An array has another dtype than stated here.
        ValueError: An array has another shape or length, the pose is no finite matrix, or the columns are
            named otherwise.

    Example:
        >>> scan = LabelledScan(
        ...     frame_id="08/000123",
        ...     points=np.zeros((2, 4), np.float32),
        ...     classes=np.array([8, IGNORED], np.uint8),
        ... )
        >>> len(scan), scan.instances is None
        (2, True)
    """

    frame_id: str
    """`08/000123`: sequence and number, for SemanticKITTI."""
    points: Float32[np.ndarray, "n c"]
    """x y z in metres, LiDAR frame, z up, then what `point_columns` names."""
    point_columns: tuple[str, ...] = POINT_COLUMNS
    """Names of the columns of `points`, x y z first."""
    classes: UInt8[np.ndarray, " n"] | None = None
    """Class of every point: index into the classes of the label table, or `IGNORED`; None without labels."""
    instances: Int32[np.ndarray, " n"] | None = None
    """Object of every point, 0 where there is none; an object is its number together with its class."""
    world_from_lidar: Float64[np.ndarray, "4 4"] | None = None
    """Where the sensor was, in the world of its sequence; None if unknown or not asked for."""
    time_s: float | None = None
    """Seconds since the start of the sequence; None if unknown."""

    def __post_init__(self) -> None:
        """Check shapes, dtypes, lengths and names of columns."""
        columns = self.point_columns
        if columns[:3] != ("x", "y", "z") or len(set(columns)) != len(columns):
            raise ValueError(
                f"LabelledScan.point_columns: expected x, y, z and then other names, each once, got {columns}"
            )
        check_array("LabelledScan.points", self.points, np.float32, (None, len(columns)))
        count = len(self.points)
        if self.classes is not None:
            check_array("LabelledScan.classes", self.classes, np.uint8, (count,))
        if self.instances is not None:
            check_array("LabelledScan.instances", self.instances, np.int32, (count,))
        if self.world_from_lidar is not None:
            check_array("LabelledScan.world_from_lidar", self.world_from_lidar, np.float64, (4, 4))
            if not np.isfinite(self.world_from_lidar).all():
                raise ValueError("LabelledScan.world_from_lidar: NaN or infinite numbers are no pose")

    def __len__(self) -> int:
        """Count the points."""
        return len(self.points)
