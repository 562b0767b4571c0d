"""DSPDet3D: detection of small objects from coarse to fine, with voxels pruned on the way.

Paper: 3D Small Object Detection with Dynamic Spatial Pruning, arXiv 2305.03716 (v4, ECCV 2024). A backbone
gives features on four levels. The decoder goes from the coarsest to the finest: at every level the heads
predict boxes for all voxels; where no smaller object is near, a voxel is pruned; the others are up-sampled to
all cells in reach (27 children each), and get the backbone's features where it has some ("partial addition").

`DSPDet3D.forward` reads from top to bottom as the data flows. Neighbours of a level are planned once and
shared by the convolutions on it.
"""

import itertools

import torch
from jaxtyping import Float
from sparseops import GridFrame, SparseTensor, lookup, prune
from sparseops.nn import TransposedConv3d
from sparseops.nn.conv import SparseConvBase
from torch import Tensor, nn

from fusion_models.dspdet3d.backbone import Backbone, generative_up, same_cells
from fusion_models.dspdet3d.batch import RoomBatch
from fusion_models.dspdet3d.config import DSPDet3DConfig
from fusion_models.dspdet3d.inference import RoomDetections, detect
from fusion_models.dspdet3d.outputs import DSPDet3DOutputs, LevelOutputs, level_outputs
from fusion_models.dspdet3d.starts import CLASS_BIAS, draw_head, draw_kaiming, draw_uniform
from fusion_models.dspdet3d.voxels import voxels_of_points
from fusion_models.dspdet3d.weak_prune import child_scores, weak_prune


class DSPDet3D(nn.Module):
    """The network of a configuration.

    In evaluation mode a voxel is up-sampled if its probability of keeping exceeds a threshold ("dynamic
    pruning"), which may be another one in every call, without training anew. In training mode the threshold
    does not count: a room keeps the best `max_train_voxels` of a level ("weak pruning"). Autocast is safe.
    Batches may hold rooms without points.

    Example:
        >>> model = DSPDet3D(DSPDet3DConfig())
        >>> sum(parameter.numel() for parameter in model.parameters())
        16101087
    """

    def __init__(self, config: DSPDet3DConfig) -> None:
        super().__init__()
        self.config = config
        channels, out = config.stage_channels, config.out_channels
        self.backbone = Backbone(config)
        self.ups = nn.ModuleList(generative_up(coarse, fine) for fine, coarse in itertools.pairwise(channels))
        self.laterals = nn.ModuleList(same_cells(width, width) for width in channels)
        self.outs = nn.ModuleList(same_cells(width, out) for width in channels)
        self.prune_heads = nn.ModuleList(nn.Linear(width, 1) for width in channels[1:])
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

    def forward(self, batch: RoomBatch, *, prune_threshold: float | None = None) -> DSPDet3DOutputs:
        """Return what the heads say at every level.

        Args:
            prune_threshold: In evaluation, a voxel is up-sampled if its probability of keeping is higher than
                this; 0 keeps all, 1 none. None: `DSPDet3DConfig.prune_threshold`.

        Raises:
            ValueError: Points and counts that do not go together, points too far apart, a threshold outside
                0 to 1, or one given in training mode.
        """
        threshold = self._threshold(prune_threshold)
        strides = self.config.strides
        voxels, frame = voxels_of_points(batch, voxel_size_m=self.config.voxel_size_m, coarsest=strides[-1])
        features = self.backbone(voxels)
        tensor, found = features[-1], []
        for level in reversed(range(len(features))):
            prune_logits = self._prune_logits(level, tensor)
            tensor = self.laterals[level](tensor)
            found.append(self._outputs(level, self.outs[level](tensor), prune_logits, frame))
            if prune_logits is None:
                break
            if self.training:
                fine = self._weakly_pruned(self.ups[level - 1](tensor), tensor, prune_logits)
            else:
                fine = self.ups[level - 1](pruned(tensor, prune_logits, threshold))
            tensor = partial_add(fine, features[level - 1])
        return DSPDet3DOutputs(tuple(reversed(found)))

    @torch.no_grad()
    def predict(self, batch: RoomBatch, *, prune_threshold: float | None = None) -> list[RoomDetections]:
        """Return the objects of every room, best first; see `forward` and `inference.detect`.

        Raises:
            ValueError: The network is in training mode; see also `forward`.
        """
        if self.training:
            raise ValueError("DSPDet3D.predict: the network is in training mode; call .eval() first")
        return detect(self(batch, prune_threshold=prune_threshold), self.config, len(batch))

    def _threshold(self, prune_threshold: float | None) -> float:
        if prune_threshold is None:
            return self.config.prune_threshold
        if self.training:
            raise ValueError(
                "DSPDet3D: prune_threshold is for evaluation, but the network is in training mode; call "
                ".eval() first, or leave it out"
            )
        if not 0 <= prune_threshold <= 1:
            raise ValueError(f"DSPDet3D: prune_threshold must lie in 0 to 1, got {prune_threshold}")
        return prune_threshold

    def _prune_logits(self, level: int, tensor: SparseTensor) -> Float[Tensor, " v"] | None:
        if level == 0:
            return None
        with torch.autocast(tensor.features.device.type, enabled=False):
            return self.prune_heads[level - 1](tensor.features.float())[:, 0]

    def _weakly_pruned(
        self, tensor: SparseTensor, coarse: SparseTensor, prune_logits: Float[Tensor, " v"]
    ) -> SparseTensor:
        """Keep as many voxels of a room as training allows, those that the coarser level finds best."""
        rooms, limit = tensor.coords[:, 0].long(), self.config.max_train_voxels
        if int(torch.bincount(rooms, minlength=1).max()) <= limit:
            return tensor
        scores = child_scores(-prune_logits, coarse.sites, tensor.sites)
        return prune(tensor, weak_prune(scores, rooms, limit))

    def _outputs(
        self, level: int, out: SparseTensor, prune_logits: Float[Tensor, " v"] | None, frame: GridFrame
    ) -> LevelOutputs:
        stride = self.config.strides[level]
        with torch.autocast(out.features.device.type, enabled=False):
            rows = out.features.float()
            boxes_raw, class_logits = self.box_head(rows), self.class_head(rows)
        return level_outputs(
            out.sites,
            boxes_raw,
            class_logits,
            prune_logits,
            frame=frame,
            stride=stride,
            voxel_size_m=self.config.voxel_size_m,
        )


def pruned(tensor: SparseTensor, prune_logits: Float[Tensor, " v"], threshold: float) -> SparseTensor:
    """Keep the voxels whose probability of keeping, 1 - sigmoid(prune_logits), exceeds a threshold strictly.

    It is computed as sigmoid(-prune_logits), which is above 0 also where the other is rounded to it.
    """
    keep = (-prune_logits).sigmoid() > threshold
    return tensor if bool(keep.all()) else prune(tensor, keep)


def partial_add(tensor: SparseTensor, other: SparseTensor) -> SparseTensor:
    """Add the features that another tensor of the grid has at the sites of the first, and no site.

    Example:
        >>> coords = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 3]], dtype=torch.int32)
        >>> here = SparseTensor(torch.tensor([[1.0], [2.0]]), coords[:2], (1, 1, 4), 1)
        >>> there = SparseTensor(torch.tensor([[10.0], [20.0]]), coords[1:], (1, 1, 4), 1)
        >>> partial_add(here, there).features.tolist()
        [[1.0], [12.0]]
    """
    rows = lookup(tensor.sites, other.coords)
    shared = rows >= 0
    added = other.features[shared].to(tensor.features.dtype)
    return tensor.replace(tensor.features.index_add(0, rows[shared], added))
