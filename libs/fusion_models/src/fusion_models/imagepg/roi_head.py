"""Second stage of PG-RCNN and ImagePG: RoIs generate points, a PointNet++ reads them, boxes come out.

PG-RCNN: Koo et al., arXiv 2307.12637. ImagePG: arXiv 2409.14985 (v4), which widens it and adds image
guidance, a fully connected path for the pooled grid, and attention over earlier refinement stages (from TED,
arXiv 2211.11962). That path alone, without points, is the second stage of Voxel R-CNN (arXiv 2012.15712).
One stage is one call of `RoiHead`; a detector with several stages calls the same head again with the boxes of
the stage before and the features of all stages before (`history`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from sparseops import SparseTensor, roi_grid
from torch import Tensor, nn

from fusion_models.detection.roi_outputs import RoiOutputs, decode_rois
from fusion_models.detection.roi_targets import RoiTargetConfig
from fusion_models.detection.voxel_pool import VoxelPool, VoxelPoolConfig, voxel_pools
from fusion_models.imagepg.deform_fusion import ImageView
from fusion_models.imagepg.point_generator import (
    GeneratorConfig,
    GridTransformer,
    ImageGuidance,
    PointGenerator,
)
from fusion_models.imagepg.pointnet2 import SetAbstraction, SetAbstractionConfig
from fusion_models.imagepg.roi_grid import positional_input
from fusion_models.imagepg.roi_losses import RoiLossConfig
from fusion_models.layers.recompute import recompute
from fusion_models.layers.rows import fully_connected


@dataclass(frozen=True)
class RoiHeadConfig:
    """The second stage; the defaults are those of imagepg.yaml (ROI_HEAD)."""

    grid_size: int = 6
    """Grid points along each axis of a RoI. Source: ROI_GRID_POOL.GRID_SIZE."""
    pools: tuple[VoxelPoolConfig, ...] = voxel_pools(64)
    """Voxel features pooled at the grid points. Source: ROI_GRID_POOL.POOL_LAYERS."""
    generator: GeneratorConfig | None = field(default_factory=GeneratorConfig)
    """None generates no points: the head of Voxel R-CNN, which reads the pooled grid through `shared_fc`.
    Then `image_channels` is None, `abstractions` are empty and the losses of points have weight 0."""
    image_channels: int | None = 64
    """Channels of the image map; None builds the head without image guidance. Source: IMG_FEATURES."""
    abstractions: tuple[SetAbstractionConfig, ...] = (
        SetAbstractionConfig(points=64, radius_m=0.4, samples=16, channels=(256, 256)),
        SetAbstractionConfig(points=32, radius_m=0.8, samples=24, channels=(256, 256)),
        SetAbstractionConfig(points=None, channels=(256, 256)),
    )
    """PointNet++ on the generated points; the last one takes all. Source: POINT_FEATURE_CONFIG.SA_CONFIG."""
    shared_fc: tuple[int, ...] = (256, 256)
    """Widths of the path from the pooled grid to the RoI's feature, added to PointNet++; empty for none.
    Source: SHARED_FC."""
    attends_history: bool = True
    """Attention over the features of earlier stages (TED). Source: set where REFINE_STAGES > 1."""
    score_fc: tuple[int, ...] = (256, 256)
    """Source: CLS_FC."""
    box_fc: tuple[int, ...] = (256, 256)
    """Source: REG_FC."""
    dropout: float = 0.1
    """Between the hidden layers. Source: DP_RATIO."""
    recompute: bool = False
    """Recompute the activations of pooling, image guidance, grid transformer, generator and PointNet++ in the
    backward pass: less memory, more time, the same results. A stage of 160 RoIs with the defaults keeps 123
    MB instead of 2301 MB until its backward pass (bytes of the distinct tensors that
    `torch.autograd.graph.saved_tensors_hooks` sees, but for parameters, voxels and image)."""
    targets: RoiTargetConfig = field(default_factory=RoiTargetConfig)
    """Which RoIs are trained on, and what they are to find."""
    losses: RoiLossConfig = field(default_factory=RoiLossConfig)
    """Weights and settings of the losses."""

    def __post_init__(self) -> None:
        if self.grid_size < 1:
            raise ValueError(f"RoiHeadConfig.grid_size must be positive, got {self.grid_size}")
        if not self.pools or not self.score_fc or not self.box_fc:
            raise ValueError("RoiHeadConfig: pools, score_fc and box_fc each need at least one entry")
        if self.generator is None:
            self._check_without_points()
        else:
            self._check_abstractions()
        if self.shared_fc and self.shared_fc[-1] != self.feature:
            raise ValueError(
                f"RoiHeadConfig.shared_fc must end with {self.feature} channels, those of the last "
                f"abstraction level, got {self.shared_fc}"
            )

    def _check_without_points(self) -> None:
        """A head that generates no points has nothing to guide, abstract or compare with dense points."""
        if self.abstractions or self.image_channels is not None or not self.shared_fc:
            raise ValueError(
                "RoiHeadConfig: generator None generates no points, so abstractions must be (), "
                "image_channels None and shared_fc not empty, got "
                f"{self.abstractions}, {self.image_channels} and {self.shared_fc}"
            )
        if self.losses.point_weight or self.losses.chamfer_weight:
            raise ValueError(
                "RoiHeadConfig: generator None generates no points to learn from, so losses.point_weight and "
                f"chamfer_weight must be 0, got {self.losses.point_weight} and {self.losses.chamfer_weight}"
            )

    def _check_abstractions(self) -> None:
        if not self.abstractions or self.abstractions[-1].points is not None:
            raise ValueError(
                "RoiHeadConfig.abstractions: the last level must take all points (points=None) so that one "
                f"feature per RoI remains, got {self.abstractions}"
            )
        available = self.grid_size**3
        for level in self.abstractions[:-1]:
            if level.points is None or level.points > available:
                raise ValueError(
                    f"RoiHeadConfig.abstractions: a level asks for {level.points} of {available} points; "
                    "lower it or raise grid_size"
                )
            available = level.points

    @property
    def pooled(self) -> int:
        """Channels pooled per grid point."""
        return sum(pool.channels for pool in self.pools)

    @property
    def feature(self) -> int:
        """Channels of a RoI's feature."""
        return self.abstractions[-1].channels[-1] if self.abstractions else self.shared_fc[-1]


class HistoryAttention(nn.Module):
    """Attention among the features a RoI had at all stages so far, averaged (TED)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(channels, channels, bias=False) for _ in range(3))

    def forward(self, stages: Float[Tensor, "n k c"]) -> Float[Tensor, "n c"]:
        """Return the mean over the stages of softmax(Q K^T) V; as published, the logits are not scaled.

        They grow large, so autocast is off in here.
        """
        with torch.autocast(stages.device.type, enabled=False):
            logits = self.query(stages) @ self.key(stages).mT
            return (logits.softmax(-1) @ self.value(stages)).mean(1)


class RoiHead(nn.Module):
    """One refinement stage; the weights are shared by all stages."""

    def __init__(
        self,
        config: RoiHeadConfig,
        *,
        voxel_channels: Mapping[str, int],
        voxel_size: Sequence[float],
        bounds: Sequence[float],
    ) -> None:
        """Build the head.

        Args:
            voxel_channels: Channels of each sparse tensor that `config.pools` names.
            voxel_size: Edges x y z of the input voxels in metres.
            bounds: x0 y0 z0 x1 y1 z1 of the voxel grid in metres.

        Raises:
            ValueError: A pool names a source that `voxel_channels` lacks.
        """
        super().__init__()
        self.config = config
        missing = [pool.source for pool in config.pools if pool.source not in voxel_channels]
        if missing:
            raise ValueError(
                f"RoiHead: no channels given for source {missing[0]!r}; the backbone offers "
                f"{sorted(voxel_channels)}"
            )
        self.pools = nn.ModuleList(
            VoxelPool(
                pool, in_channels=voxel_channels[pool.source], voxel_size=voxel_size, lower_bounds=bounds[:3]
            )
            for pool in config.pools
        )
        self.image = None
        if config.image_channels is not None:
            self.image = ImageGuidance(config.pooled, image_channels=config.image_channels)
        self.transformer = self.generator = None
        self.abstractions = nn.ModuleList()
        if config.generator is not None:
            self.transformer = GridTransformer(config.pooled, config.generator)
            self.generator = PointGenerator(config.pooled, config.generator, dropout=config.dropout)
            channels = config.generator.embedding[-1]
            for level in config.abstractions:
                self.abstractions.append(SetAbstraction(level, in_channels=channels))
                channels = level.channels[-1]
        self.shared = None
        if config.shared_fc:
            self.shared = fully_connected(
                config.pooled * config.grid_size**3, config.shared_fc, dropout=config.dropout
            )
        self.history = HistoryAttention(config.feature) if config.attends_history else None
        width = config.feature * (2 if config.attends_history else 1)
        self.score = fully_connected(width, config.score_fc, dropout=config.dropout)
        self.box = fully_connected(width, config.box_fc, dropout=config.dropout)
        self.score_out = nn.Linear(config.score_fc[-1], 1)
        self.box_out = nn.Linear(config.box_fc[-1], 7)
        self._init_weights()

    def _init_weights(self) -> None:
        for layer, std in ((self.score_out, 0.01), (self.box_out, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        if (
            self.generator is None
        ):  # the released Voxel R-CNN starts its pooling layers otherwise than its successors
            for layer in self.pools.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight)

    def forward(
        self,
        rois: Float[Tensor, "b r 7"],
        voxels: Mapping[str, SparseTensor],
        image: ImageView | None = None,
        *,
        history: Sequence[Float[Tensor, "n f"]] = (),
    ) -> RoiOutputs:
        """Refine the RoIs once. No gradient flows through the RoIs.

        Under autocast wide layers run in lower precision; geometry and all results keep that of the RoIs.

        Args:
            rois: In the frame of the voxels; zero rows (padding) give finite results without meaning.
            voxels: Sparse features by name.
            image: From `self.image.fusion.view`; needed exactly if the head has image guidance. For voxels of
                a transformed copy of the cloud pass `image.seen_from(...)`.
            history: Features of the earlier stages, oldest first.

        Raises:
            ValueError: `image` is missing or unexpected, or `history` is given to a head that ignores it.
        """
        self._check(image, history)
        flat = rois.detach().flatten(0, 1)
        grid, local = roi_grid(flat, grid_size=self.config.grid_size)
        pooled = self._pool(grid, voxels, batch=len(rois))
        points = point_logits = None
        features: list[Tensor] = []
        if self.transformer is not None and self.generator is not None:
            positions = positional_input(flat, local)
            mixed = self._guide(pooled, positions, grid, image, batch=len(rois))
            encoded = self._run(self.transformer, mixed, positions)
            points, semantic, point_logits = self._run(self.generator, encoded, grid)
            features.append(self._encode(self.generator, points, semantic, point_logits, flat))
        if self.shared is not None:
            features.append(self.shared(pooled.flatten(1)))
        feature = joint = torch.stack([part.to(rois.dtype) for part in features]).sum(0)
        if self.history is not None:
            joint = torch.cat([self.history(torch.stack([*history, feature], dim=1)), feature], dim=1)
        deltas = self.box_out(self.box(joint)).to(rois.dtype)
        with torch.no_grad():
            boxes = decode_rois(deltas, flat).view(rois.shape)
        return RoiOutputs(
            rois=rois.detach(),
            logits=self.score_out(self.score(joint)).to(rois.dtype),
            deltas=deltas,
            points=points,
            point_logits=point_logits,
            boxes=boxes,
            feature=feature,
        )

    def _pool(self, grid: Tensor, voxels: Mapping[str, SparseTensor], *, batch: int) -> Tensor:
        points = grid.reshape(batch, -1, 3)
        pooled = [
            self._run(pool, points, voxels[config.source])
            for config, pool in zip(self.config.pools, self.pools, strict=True)
        ]
        return torch.cat(pooled, dim=2).view(*grid.shape[:2], self.config.pooled)

    def _guide(
        self, pooled: Tensor, positions: Tensor, grid: Tensor, image: ImageView | None, *, batch: int
    ) -> Tensor:
        if self.image is None:
            return pooled
        guidance = self._run(self.image, positions.view(batch, -1, 27), grid.view(batch, -1, 3), image)
        return pooled + guidance.view(pooled.shape)

    def _encode(
        self, generator: PointGenerator, points: Tensor, semantic: Tensor, logits: Tensor, rois: Tensor
    ) -> Tensor:
        xyz, features = self._run(generator, points, semantic, logits, rois, function=generator.encode)
        for level in self.abstractions:
            xyz, features = self._run(level, xyz, features)
        return features[:, 0]

    def _run(self, module: nn.Module, *inputs: object, function: Callable[..., Any] | None = None) -> Any:
        """Call the module, or this function of it; its activations are kept unless `config.recompute`."""
        function = function or module
        return recompute(function, *inputs, module=module) if self.config.recompute else function(*inputs)

    def _check(self, image: ImageView | None, history: Sequence[Tensor]) -> None:
        if (image is None) != (self.image is None):
            raise ValueError(
                "RoiHead: image must be given exactly if the head has image guidance "
                f"(RoiHeadConfig.image_channels is {self.config.image_channels}); "
                "build it with RoiHead.image.fusion.view"
            )
        if history and self.history is None:
            raise ValueError(
                "RoiHead: history given, but RoiHeadConfig.attends_history is off; leave it empty"
            )
