"""Numbers of TR3D and FCAF3D, the detectors that DSPDet3D is compared with: what both have."""

import sys
from dataclasses import dataclass, replace
from typing import TypeVar, get_args

from fusion_models.dspdet3d.checks import check_choice, check_range, check_shape
from fusion_models.dspdet3d.config import Overlap

SCANNET18_NAMES = (
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "desk",
    "curtain",
    "refrigerator",
    "showercurtrain",
    "toilet",
    "sink",
    "bathtub",
    "garbagebin",
)
"""Classes of ScanNet's detection benchmark in the order of the index. Source: released configurations, whose
spelling this is."""


@dataclass(frozen=True)
class BaselineConfig:
    """What TR3D and FCAF3D have in common; the defaults are published for both.

    Raises:
        ValueError: No classes or two of one name, stages that do not fit together, or a number outside its
            range; the message names the field.
    """

    class_names: tuple[str, ...] = SCANNET18_NAMES
    """Classes in the order of the index."""
    voxel_size_m: float = 0.01
    """Edge of the voxels that points are put into, in metres. Source: released configurations."""
    stem_stride: int = 4
    """Voxels along a cell after the stem. 4: a convolution of stride 2, then max pooling; 2: no pooling, so
    that all levels are twice as fine, see `higher`. Source: released backbones."""
    stem_channels: int = 64
    """Channels of the first convolution. Source: released backbones."""
    stage_blocks: tuple[int, ...] = (3, 4, 6, 3)
    """Residual blocks of every stage, finest first (ResNet-34). Source: released configurations."""
    stage_channels: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of every stage, finest first. Source: released FCAF3D."""
    out_channels: int = 128
    """Channels that the heads read, at every level. Source: released configurations."""

    box_weight: float = 1.0
    """Weight of the box loss. Source: released configurations."""
    class_weight: float = 1.0
    """Weight of the focal loss of the classes. Source: released configurations."""
    focal_gamma: float = 2.0
    """Exponent of the focal loss. Source: released configurations."""
    focal_alpha: float = 0.25
    """Weight of the foreground in the focal loss. Source: released configurations."""

    nms_pre: int = 1000
    """Locations of a room that become boxes, by best score. Source: released configurations."""
    score_threshold: float = 0.01
    """A detection has a higher score, strictly. Source: released configurations."""
    nms_iou: float = 0.5
    """A box removes weaker ones of its class that overlap more, strictly. Source: as above."""
    nms_overlap: Overlap = "bev"
    """How boxes overlap; as published height is ignored. Source: released heads."""

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        check_shape(self, least_stages=3)
        check_choice(self, "stem_stride", (2, 4))
        check_choice(self, "nms_overlap", get_args(Overlap))
        check_range(self, ("score_threshold", "nms_iou", "focal_alpha"), 0, 1)
        check_range(self, ("box_weight", "class_weight", "focal_gamma"), 0, sys.float_info.max)
        check_range(self, ("voxel_size_m",), sys.float_info.min, sys.float_info.max)
        check_range(self, ("nms_pre",), 1, sys.maxsize)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Voxels along a cell of every stage, finest first."""
        return tuple(self.stem_stride * 2 ** (stage + 1) for stage in range(len(self.stage_blocks)))

    @property
    def strides(self) -> tuple[int, ...]:
        """Voxels along a cell of every level that predicts, finest first."""
        return self.stage_strides

    @property
    def cells_m(self) -> tuple[float, ...]:
        """Edge of the cells of every level that predicts in metres, finest first."""
        return tuple(stride * self.voxel_size_m for stride in self.strides)


Config = TypeVar("Config", bound=BaselineConfig)


def higher(config: Config) -> Config:
    """Return the same detector with levels twice as fine, as in table 1 of DSPDet3D.

    Weights have the same shapes. That paper says of its rows FCAF3D-higher and TR3D-higher that the
    resolution was doubled, not by what; here the max pooling of the stem is left out, which also tells the
    backbone of DSPDet3D from that of TR3D.

    Example:
        >>> BaselineConfig().cells_m, higher(BaselineConfig()).cells_m
        ((0.08, 0.16, 0.32, 0.64), (0.04, 0.08, 0.16, 0.32))
    """
    return replace(config, stem_stride=2)
