"""TR3D: objects in rooms on two levels, from locations near their centres.

Paper: TR3D: Towards Real-Time Indoor 3D Object Detection, arXiv 2302.02858. A pooled ResNet-34 of at most 128
channels; a neck that goes from the coarsest stage to the second one and makes all cells in reach; two levels
predict boxes as DSPDet3D does. Nothing is pruned. `tr3d_losses` has the losses.

Written from the paper and from what the released code computes; layers are tested against MinkowskiEngine's
results and dense convolutions, not against a run of the released network.
"""

import itertools
import sys
from dataclasses import dataclass

import torch
from jaxtyping import Float
from sparseops import GridFrame, SparseTensor
from sparseops.nn import TransposedConv3d
from sparseops.nn.conv import SparseConvBase
from torch import Tensor, nn

from fusion_models.dspdet3d.backbone import generative_up, same_cells
from fusion_models.dspdet3d.baseline_blocks import PooledBackbone, union_of
from fusion_models.dspdet3d.baseline_config import BaselineConfig
from fusion_models.dspdet3d.batch import RoomBatch
from fusion_models.dspdet3d.checks import check_range
from fusion_models.dspdet3d.inference import RoomDetections, detect
from fusion_models.dspdet3d.outputs import DSPDet3DOutputs, LevelOutputs, level_outputs
from fusion_models.dspdet3d.starts import CLASS_BIAS, draw_head, draw_kaiming, draw_uniform
from fusion_models.dspdet3d.voxels import voxels_of_points
from fusion_models.layers.rows import RowBatchNorm

SCANNET18_LEVELS = (0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0)
"""Level of every class of `SCANNET18_NAMES`. Source: released configuration, `label2level`."""


@dataclass(frozen=True)
class TR3DConfig(BaselineConfig):
    """TR3D (arXiv 2302.02858); the defaults are the published ones for ScanNet.

    Raises:
        ValueError: As `BaselineConfig`, or `label_levels` that are not one level for each class.

    Example:
        >>> TR3DConfig().strides, TR3DConfig().cells_m
        ((16, 32), (0.16, 0.32))
    """

    stage_channels: tuple[int, ...] = (64, 128, 128, 128)
    """Channels of every stage, finest first; all but the first and the last predict. Source: released
    configuration."""
    label_levels: tuple[int, ...] | None = SCANNET18_LEVELS
    """Level (0 is the finer) whose locations learn the objects of every class; None: by the size of each
    object, see `volume_threshold`. Source: released configuration."""
    volume_threshold: float = 27.0
    """With `label_levels=None`, a box belongs to the coarsest level of which it fills more than this many
    cells, else to level 0. Source: rule and number of DSPDet3D; TR3D itself has levels by class alone."""
    assign_top: int = 6
    """Locations nearest to the centre that a box trains. Source: released configuration."""

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        BaselineConfig.__post_init__(self)
        check_range(self, ("volume_threshold",), sys.float_info.min, sys.float_info.max)
        check_range(self, ("assign_top",), 1, sys.maxsize)
        levels, number = self.label_levels, len(self.strides)
        if levels is not None and (
            len(levels) != self.num_classes or not all(0 <= level < number for level in levels)
        ):
            raise ValueError(
                f"TR3DConfig.label_levels must be one number from 0 to {number - 1} for each of "
                f"{self.num_classes} class_names, or None, got {levels}"
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Voxels along a cell of every level that predicts, finest first."""
        return self.stage_strides[1:-1]


def tr3d(class_names: tuple[str, ...] | None = None) -> TR3DConfig:
    """Return TR3D as published for ScanNet, or the same network for other classes.

    14.7 million parameters. Which level learns an object of other classes depends on its size
    (`TR3DConfig.volume_threshold`), as no table of levels is published for them.

    Example:
        >>> tr3d().num_classes, tr3d(("cup", "table")).label_levels
        (18, None)
    """
    return TR3DConfig() if class_names is None else TR3DConfig(class_names=class_names, label_levels=None)


class TR3D(nn.Module):
    """The network of a configuration.

    Example:
        >>> model = TR3D(tr3d())
        >>> sum(parameter.numel() for parameter in model.parameters())
        14661464
    """

    def __init__(self, config: TR3DConfig) -> None:
        super().__init__()
        self.config = config
        channels, out = config.stage_channels[1:], config.out_channels
        self.backbone = PooledBackbone(config, norm=RowBatchNorm(config.stem_channels))
        self.ups = nn.ModuleList(generative_up(coarse, fine) for fine, coarse in itertools.pairwise(channels))
        self.laterals = nn.ModuleList(same_cells(width, width) for width in channels[:-1])
        self.outs = nn.ModuleList(same_cells(width, out) for width in channels[:-1])
        self.class_head, self.box_head = nn.Linear(out, config.num_classes), nn.Linear(out, 6)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all convolutions and heads anew, as the released code does at the start of a training."""
        for layer in self.modules():
            if isinstance(layer, TransposedConv3d):
                draw_uniform(layer)
            elif isinstance(layer, SparseConvBase):
                draw_kaiming(layer)
            elif isinstance(layer, nn.Linear):
                draw_head(layer)
        nn.init.constant_(self.class_head.bias, CLASS_BIAS)

    def forward(
        self, batch: RoomBatch, *, point_features: Float[Tensor, "n 3"] | None = None
    ) -> DSPDet3DOutputs:
        """Return what the heads say at both levels; there are no `prune_logits`.

        Args:
            point_features: Of every point, instead of its x y z: red, green and blue in 0..1 for the released
                weights.

        Raises:
            ValueError: Points, counts and features that do not go together, or points too far apart.
        """
        config = self.config
        voxels, frame = voxels_of_points(
            batch,
            voxel_size_m=config.voxel_size_m,
            coarsest=config.stage_strides[-1],
            point_features=point_features,
        )
        features = self.backbone(voxels)[1:]
        tensor, found = features[-1], []
        for level in reversed(range(len(config.strides))):
            tensor = self.laterals[level](union_of(self.ups[level](tensor), features[level]))
            found.append(self._outputs(level, self.outs[level](tensor), frame))
        return DSPDet3DOutputs(tuple(reversed(found)))

    @torch.no_grad()
    def predict(
        self, batch: RoomBatch, *, point_features: Float[Tensor, "n 3"] | None = None
    ) -> list[RoomDetections]:
        """Return the objects of every room, best first; see `forward` and `inference.detect`.

        Raises:
            ValueError: The network is in training mode; see also `forward`.
        """
        if self.training:
            raise ValueError("TR3D.predict: the network is in training mode; call .eval() first")
        return detect(self(batch, point_features=point_features), self.config, len(batch))

    def _outputs(self, level: int, out: SparseTensor, frame: GridFrame) -> LevelOutputs:
        with torch.autocast(out.features.device.type, enabled=False):
            rows = out.features.float()
            boxes_raw, class_logits = self.box_head(rows), self.class_head(rows)
        return level_outputs(
            out.sites,
            boxes_raw,
            class_logits,
            frame=frame,
            stride=self.config.strides[level],
            voxel_size_m=self.config.voxel_size_m,
        )
