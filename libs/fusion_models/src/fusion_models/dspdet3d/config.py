"""All numbers of DSPDet3D's network, losses and post-processing, in one frozen table."""

import sys
from dataclasses import dataclass
from typing import Literal, get_args

from fusion_models.dspdet3d.checks import check_choice, check_range, check_shape

KeepRule = Literal["v4", "v1"]
"""Which voxels have to survive pruning for the sake of a small object; see `DSPDet3DConfig.keep_rule`."""
Overlap = Literal["bev", "3d"]
"""Seen from above, height ignored, as published; or in space, so that stacked objects stay apart."""

SCANNET_MD40_NAMES = (
    "bathtub",
    "bed",
    "bench",
    "bookshelf",
    "bottle",
    "chair",
    "cup",
    "curtain",
    "desk",
    "door",
    "dresser",
    "keyboard",
    "lamp",
    "laptop",
    "monitor",
    "night_stand",
    "plant",
    "sofa",
    "stool",
    "table",
    "toilet",
    "wardrobe",
)
"""Classes of the ScanNet-md40 benchmark in the order of the index. Source: released configuration."""


@dataclass(frozen=True)
class DSPDet3DConfig:
    """DSPDet3D (arXiv 2305.03716 v4); the defaults are the published ones for ScanNet-md40.

    Levels are numbered from 0, the finest, whose cells are `FINEST_STRIDE` voxels wide; each further level
    has cells twice as wide.

    Raises:
        ValueError: No classes or two of one name, stages that do not fit together, or a number outside its
            range; the message names the field.

    Example:
        >>> config = DSPDet3DConfig()
        >>> config.num_classes, config.strides, config.cells_m
        (22, (4, 8, 16, 32), (0.04, 0.08, 0.16, 0.32))
    """

    class_names: tuple[str, ...] = SCANNET_MD40_NAMES
    """Classes in the order of the index: 22 for ScanNet-md40, 70 for TO-SCENE, 1 for any object."""
    voxel_size_m: float = 0.01
    """Edge of the voxels that points are put into, in metres. Source: released configuration."""
    stem_channels: int = 64
    """Channels of the first convolution, at stride 2. Source: released backbone."""
    stage_blocks: tuple[int, ...] = (3, 4, 6, 3)
    """Residual blocks of every stage, finest level first (ResNet-34). Source: released backbone."""
    stage_channels: tuple[int, ...] = (64, 128, 128, 128)
    """Channels of every level, finest first. Source: released configuration."""
    out_channels: int = 128
    """Channels that the heads read, at every level. Source: released configuration."""

    prune_threshold: float = 0.3
    """A voxel is up-sampled if its probability of keeping exceeds this, strictly; 0 keeps all. Used in
    evaluation alone, without training anew. Source: ScanNet-md40 0.3, TO-SCENE 0.5."""
    max_train_voxels: int = 100_000
    """Voxels of a room that a level keeps in training, best first (weak pruning). Source: released
    configuration, `pts_prune_threshold`."""

    volume_threshold: float = 27.0
    """A box belongs to the coarsest level of which it fills more than this many cells, else to level 0.
    Source: released configuration."""
    keep_rule: KeepRule = "v4"
    """`"v4"`: a voxel of level L is kept if the centre of a box of a finer level lies less than `keep_radius`
    / 2 cells of level L away along every axis. `"v1"`, the code of 2023: less than (`keep_radius` + 1) / 4
    cells of the level above that of the box; it went with a radius of 13 and `assign_cells=None`. Source:
    released code and its history."""
    keep_radius: int = 7
    """Edge of the cube of `keep_rule` in cells. Source: released configuration since July 2024."""
    assign_top: int = 6
    """Locations nearest to the centre that a box trains. Source: released configuration."""
    assign_cells: int | None = 7
    """Edge, in cells of the level of a box, of the cube around its centre that holds the locations it may
    train; None: no cube. Source: released assigner, which has the edge in metres for voxels of 1 cm."""

    box_weight: float = 1.0
    """Weight of the box loss (DIoU). Source: released configuration."""
    class_weight: float = 1.0
    """Weight of the focal loss of the classes. Source: released configuration."""
    keep_weight: float = 0.01
    """Weight of the focal loss of the pruning. Source: released code."""
    focal_gamma: float = 2.0
    """Exponent of both focal losses. Source: released configuration."""
    focal_alpha: float = 0.25
    """Weight of the foreground in both focal losses; for pruning, what is pruned. Source: as above."""

    nms_pre: int = 1000
    """Locations of a room, of all levels together, that become boxes, by best class score. Source: as above
    (the demo of single rooms has 300)."""
    score_threshold: float = 0.01
    """A detection has a higher score, strictly. Source: as above (the demo of single rooms has 0.2)."""
    nms_iou: float = 0.5
    """A box removes weaker ones of its class that overlap more, strictly. Source: released configuration."""
    nms_overlap: Overlap = "bev"
    """How boxes overlap. As published height is ignored: stacked objects of a class remove each other.
    Source: released code."""

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        check_shape(self)
        check_choice(self, "keep_rule", get_args(KeepRule))
        check_choice(self, "nms_overlap", get_args(Overlap))
        check_range(self, ("prune_threshold", "score_threshold", "nms_iou", "focal_alpha"), 0, 1)
        check_range(self, ("box_weight", "class_weight", "keep_weight", "focal_gamma"), 0, sys.float_info.max)
        check_range(self, ("voxel_size_m", "volume_threshold"), sys.float_info.min, sys.float_info.max)
        check_range(self, ("max_train_voxels", "keep_radius", "assign_top", "nms_pre"), 1, sys.maxsize)
        if self.assign_cells is not None:
            check_range(self, ("assign_cells",), 1, sys.maxsize)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def strides(self) -> tuple[int, ...]:
        """Voxels along a cell of every level, finest first."""
        return tuple(FINEST_STRIDE * 2**level for level in range(len(self.stage_blocks)))

    @property
    def cells_m(self) -> tuple[float, ...]:
        """Edge of the cells of every level in metres, finest first."""
        return tuple(stride * self.voxel_size_m for stride in self.strides)


FINEST_STRIDE = 4
"""Voxels along a cell of level 0: the first convolution and the first stage halve the resolution."""
