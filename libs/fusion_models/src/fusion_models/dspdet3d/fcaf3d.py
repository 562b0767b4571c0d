"""FCAF3D: objects in rooms on four levels, from locations inside them.

Paper: FCAF3D: Fully Convolutional Anchor-Free 3D Object Detection, arXiv 2112.00322. A pooled ResNet-34; from
the coarsest stage to the finest, voxels are up-sampled, joined with those of the backbone, and of a room the
best by the class scores of the coarser level stay. A box is told by the distances from a location to its six
faces, and how central the location is. `fcaf3d_losses` has the losses.

Written from the paper and from what the released code computes; layers are tested against MinkowskiEngine's
results and dense convolutions, not against a run of the released network.
"""

import itertools
import sys
from dataclasses import dataclass

import torch
from jaxtyping import Float
from sparseops import GridFrame, SparseTensor, TensorFields, prune
from sparseops.nn import SparseSequential, SubmanifoldConv3d, TransposedConv3d
from sparseops.nn.conv import SparseConvBase
from torch import Tensor, nn

from fusion_models.dspdet3d.baseline_blocks import PooledBackbone, RoomInstanceNorm, union_of
from fusion_models.dspdet3d.baseline_config import BaselineConfig
from fusion_models.dspdet3d.batch import RoomBatch
from fusion_models.dspdet3d.checks import check_range
from fusion_models.dspdet3d.inference import RoomDetections, best_of_classes, decode_boxes
from fusion_models.dspdet3d.outputs import LevelOutputs, level_outputs
from fusion_models.dspdet3d.starts import CLASS_BIAS, draw_head, draw_kaiming, draw_uniform
from fusion_models.dspdet3d.voxels import voxels_of_points
from fusion_models.dspdet3d.weak_prune import child_scores, weak_prune
from fusion_models.layers.rows import RowBatchNorm


@dataclass(frozen=True)
class FCAF3DConfig(BaselineConfig):
    """FCAF3D (arXiv 2112.00322); the defaults are the published ones for ScanNet.

    Of `nms_pre` there are so many for each level. Raises as `BaselineConfig`.

    Example:
        >>> FCAF3DConfig().cells_m
        (0.08, 0.16, 0.32, 0.64)
    """

    max_voxels: int = 100_000
    """Voxels of a room that a level keeps, in training and evaluation. Source: released configuration,
    `pts_threshold`."""
    assign_least: int = 27
    """A box is learnt at the coarsest level up to which all levels have so many locations inside it, at the
    finest if that has fewer. Source: released configuration, `limit`."""
    assign_top: int = 18
    """Locations inside a box that it trains, the most central ones. Source: released configuration."""
    center_weight: float = 1.0
    """Weight of the loss of the centerness. Source: released configuration."""

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        BaselineConfig.__post_init__(self)
        check_range(self, ("max_voxels", "assign_least", "assign_top"), 1, sys.maxsize)
        check_range(self, ("center_weight",), 0, sys.float_info.max)


def fcaf3d(class_names: tuple[str, ...] | None = None) -> FCAF3DConfig:
    """Return FCAF3D as published for ScanNet, or the same network for other classes.

    70 million parameters.

    Example:
        >>> fcaf3d().num_classes, fcaf3d(("cup", "table")).num_classes
        (18, 2)
    """
    return FCAF3DConfig() if class_names is None else FCAF3DConfig(class_names=class_names)


@dataclass(frozen=True, slots=True)
class FCAF3DOutputs(TensorFields):
    """What a forward pass computes."""

    levels: tuple[LevelOutputs, ...]
    """Finest first; there are no `prune_logits`."""
    center_logits: tuple[Float[Tensor, " _"], ...]
    """Of every level: the sigmoid is how central a voxel is in its box, 1 at the centre and 0 at a face."""


class FCAF3D(nn.Module):
    """The network of a configuration.

    Example:
        >>> model = FCAF3D(fcaf3d())
        >>> sum(parameter.numel() for parameter in model.parameters())
        70479574
    """

    def __init__(self, config: FCAF3DConfig) -> None:
        super().__init__()
        self.config = config
        channels, out = config.stage_channels, config.out_channels
        self.backbone = PooledBackbone(config, norm=RoomInstanceNorm(config.stem_channels))
        self.ups = nn.ModuleList(_up(coarse, fine) for fine, coarse in itertools.pairwise(channels))
        self.outs = nn.ModuleList(SparseSequential(*_same_cells(width, out)) for width in channels)
        self.class_head = nn.Linear(out, config.num_classes)
        self.box_head, self.center_head = nn.Linear(out, 6, bias=False), nn.Linear(out, 1, bias=False)
        self.scales = nn.ParameterList(torch.ones(()) for _ in channels)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all convolutions and heads anew, as the released code does at the start of a training."""
        for layer in self.backbone.modules():
            if isinstance(layer, SparseConvBase):
                draw_kaiming(layer)
        for layer in (*self.ups.modules(), *self.outs.modules()):
            if isinstance(layer, SparseConvBase):
                draw_uniform(layer)
        for head in (self.class_head, self.box_head, self.center_head):
            draw_head(head)
        nn.init.constant_(self.class_head.bias, CLASS_BIAS)
        for scale in self.scales:
            nn.init.ones_(scale)

    def forward(
        self, batch: RoomBatch, *, point_features: Float[Tensor, "n 3"] | None = None
    ) -> FCAF3DOutputs:
        """Return what the heads say at every level.

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
        features = self.backbone(voxels)
        tensor = features[-1]
        found: list[tuple[LevelOutputs, Tensor]] = []
        for level in reversed(range(len(features))):
            if found:
                finer = union_of(self.ups[level](tensor), features[level])
                scores = found[-1][0].class_logits.amax(1)
                tensor = best_voxels(finer, scores, tensor, limit=config.max_voxels)
            found.append(self._outputs(level, self.outs[level](tensor), frame))
        levels, center_logits = zip(*reversed(found), strict=True)
        return FCAF3DOutputs(levels, center_logits)

    @torch.no_grad()
    def predict(
        self, batch: RoomBatch, *, point_features: Float[Tensor, "n 3"] | None = None
    ) -> list[RoomDetections]:
        """Return the objects of every room, best first; see `forward` and `detect_central`.

        Raises:
            ValueError: The network is in training mode; see also `forward`.
        """
        if self.training:
            raise ValueError("FCAF3D.predict: the network is in training mode; call .eval() first")
        return detect_central(self(batch, point_features=point_features), self.config, len(batch))

    def _outputs(self, level: int, out: SparseTensor, frame: GridFrame) -> tuple[LevelOutputs, Tensor]:
        with torch.autocast(out.features.device.type, enabled=False):
            rows = out.features.float()
            boxes_raw = boxes_from_faces(self.box_head(rows) * self.scales[level])
            class_logits, center_logits = self.class_head(rows), self.center_head(rows)[:, 0]
        outputs = level_outputs(
            out.sites,
            boxes_raw,
            class_logits,
            frame=frame,
            stride=self.config.strides[level],
            voxel_size_m=self.config.voxel_size_m,
        )
        return outputs, center_logits


def boxes_from_faces(log_distances: Float[Tensor, "v 6"]) -> Float[Tensor, "v 6"]:
    """Return boxes as `LevelOutputs.boxes_raw` tells them: centre minus location, logarithm of the size.

    Args:
        log_distances: Logarithm of the distances in metres to the faces at low and high x, y, z.

    Example:
        >>> distances = torch.tensor([[1.0, 3.0, 1.0, 1.0, 2.0, 2.0]])
        >>> raw = boxes_from_faces(distances.log())
        >>> raw[:, :3], raw[:, 3:].exp()
        (tensor([[1., 0., 0.]]), tensor([[4., 2., 4.]]))
    """
    low, high = log_distances[:, 0::2], log_distances[:, 1::2]
    return torch.cat([(high.exp() - low.exp()) / 2, torch.logaddexp(low, high)], dim=1)


def best_voxels(
    tensor: SparseTensor, scores: Float[Tensor, " n"], coarse: SparseTensor, *, limit: int
) -> SparseTensor:
    """Keep the voxels of every room with the best scores of the coarser level, of equals the lower rows.

    Scores are interpolated as `child_scores` says: where the coarser level has no voxels they are 0, which is
    better than what most voxels have in it. Source: released head.

    Args:
        scores: Of the rows of `coarse`.
    """
    rooms = tensor.coords[:, 0].long()
    if int(torch.bincount(rooms, minlength=1).max()) <= limit:
        return tensor
    return prune(tensor, weak_prune(child_scores(scores, coarse.sites, tensor.sites), rooms, limit))


@torch.no_grad()
def detect_central(outputs: FCAF3DOutputs, config: FCAF3DConfig, batch_size: int) -> list[RoomDetections]:
    """Return the objects of every room; none for a room without voxels or with low scores alone.

    Scores are those of the classes times the centerness. Of every level the `nms_pre` voxels with the best
    score count, of equals lower rows. Each class is suppressed by itself. Source: released head.

    Args:
        batch_size: Number of rooms; the last ones may have no voxels.
    """
    found = []
    for room in range(batch_size):
        boxes, scores = [], []
        for level, center_logits in zip(outputs.levels, outputs.center_logits, strict=True):
            rows = (level.batch_indices == room).nonzero()[:, 0]
            central = level.class_logits[rows].sigmoid() * center_logits[rows, None].sigmoid()
            best = central.amax(1).argsort(descending=True, stable=True)[: config.nms_pre]
            boxes.append(decode_boxes(level.points[rows[best]], level.boxes_raw[rows[best]]))
            scores.append(central[best])
        found.append(
            best_of_classes(
                torch.cat(boxes),
                torch.cat(scores),
                score_threshold=config.score_threshold,
                nms_iou=config.nms_iou,
                nms_overlap=config.nms_overlap,
            )
        )
    return found


def _same_cells(entering: int, channels: int) -> tuple[nn.Module, ...]:
    return (
        SubmanifoldConv3d(entering, channels, 3, bias=False),
        RowBatchNorm(channels),
        nn.ELU(inplace=True),
    )


def _up(coarse: int, fine: int) -> SparseSequential:
    """Up-sampling to the eight cells of a coarse one."""
    return SparseSequential(
        TransposedConv3d(coarse, fine, 2, stride=2, bias=False, site_rule="minkowski"),
        RowBatchNorm(fine),
        nn.ELU(inplace=True),
        *_same_cells(fine, fine),
    )
