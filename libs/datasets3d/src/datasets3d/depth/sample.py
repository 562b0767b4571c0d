"""`DepthSample`: one camera image with the radar and LiDAR that fall on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from datasets3d._validate import check_array


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthSample:
    """One key frame, seen by one camera. Pixels: u right, v down. Depth: metres along the camera's z.

    Raises:
        TypeError: An array has another dtype than stated here.
        ValueError: An array has another shape; the message names it.

    Example:
        >>> sample = DepthSample(
        ...     frame_id="a",
        ...     image=np.zeros((2, 3, 3), np.uint8),
        ...     radar_points=np.zeros((0, 3), np.float32),
        ...     radar_map=np.zeros((2, 3), np.float32),
        ... )
        >>> sample.lidar_map is None
        True
    """

    frame_id: str
    """Token of the key frame."""
    image: UInt8[np.ndarray, "h w 3"]
    """RGB."""
    radar_points: Float32[np.ndarray, "r 3"]
    """All returns that passed the state filter, in or out of view: camera frame (x right, y down, z forward)
    of the picture as it was taken; augmentation does not move them."""
    radar_map: Float32[np.ndarray, "h w"]
    """Depth of the radar return that fills the pixel; 0 where none does."""
    lidar_map: Float32[np.ndarray, "h w"] | None = None
    """The only depth target: one sweep in the picture. 0 where unknown; may be negative in the official
    evaluation protocol (points behind the camera), which counts as unknown."""
    radar_classes: Bool[np.ndarray, "h w"] | None = None
    """Where the picture shows what radar can hit (vehicles, people, walls, poles); None without masks."""
    true_depth: Float32[np.ndarray, "h w"] | None = None
    """Depth of every pixel where a synthetic world knows it; 0 for the sky."""

    def __post_init__(self) -> None:
        """Check shapes and dtypes."""
        check_array("DepthSample.image", self.image, np.uint8, (None, None, 3))
        check_array("DepthSample.radar_points", self.radar_points, np.float32, (None, 3))
        shape = self.image.shape[:2]
        for name, dtype in (
            ("radar_map", np.float32),
            ("lidar_map", np.float32),
            ("radar_classes", np.bool_),
            ("true_depth", np.float32),
        ):
            if getattr(self, name) is not None:
                check_array(f"DepthSample.{name}", getattr(self, name), dtype, shape)
