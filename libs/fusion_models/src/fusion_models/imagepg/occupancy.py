"""I-OPN: where objects stand, seen from above, from pillars and the image (ImagePG, arXiv 2409.14985).

Pillars (PointPillars, Lang et al., arXiv 1812.05784) mixed with the image, a small 2D backbone, a heat map.
The part of the map that is sure enough guides the BEV features of the detector. Source of all numbers:
imagepg.yaml, BEV_HEATMAP_HEAD, and the released code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from sparseops import BatchVoxels, TensorFields, scatter_max, voxelize_batch
from torch import Tensor, nn

from fusion_models.detection.bev_backbone import BevBackbone, BevBackboneConfig
from fusion_models.imagepg.deform_fusion import DeformAttnFusion, ImageView, project_rows
from fusion_models.layers.losses import mean_over_ranks
from fusion_models.layers.norms import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM
from fusion_models.layers.rows import RowBatchNorm

_OFFSETS = 6
"""xyz from the pillar's mean and xyz from its centre, behind the features of a point."""
_CLAMP = 1e-4
"""Probabilities keep this far from 0 and 1. Source: released code."""
_SPLAT_REACH = 2
_SPLAT_SIGMA = 7 / 6
"""Cells around an occupied one that are raised; width of the bump. Source: released code (radius 3)."""


def _backbone() -> BevBackboneConfig:
    return BevBackboneConfig(
        layers=(2, 2, 2),
        strides=(2, 2, 2),
        channels=(64, 128, 256),
        up_strides=(1, 2, 4),
        up_channels=(128, 128, 128),
    )


@dataclass(frozen=True)
class OccupancyConfig:
    """The occupancy network and its loss."""

    channels: int = 64
    """Of the pillars; with an image also of its map. Source: NUM_FILTERS, IMG_FEATURES."""
    pillar_points: int = 32
    """Points kept per pillar. Source: kitti_dataset.yaml, pillar MAX_POINTS_PER_VOXEL."""
    max_pillars_train: int = 16000
    """Pillars kept per frame in training. Source: as above, MAX_NUMBER_OF_VOXELS."""
    max_pillars_test: int = 40000
    """Pillars kept per frame in evaluation. Source: as above."""
    backbone: BevBackboneConfig = field(default_factory=_backbone)
    """Its first stride sets the size of the pillars: 0.2 m for cells of 0.4 m. Source: BACKBONE_2D."""
    head_channels: int = 64
    """Width of the three convolutions before the last. Source: SHARED_CONV_CHANNEL, HEAD."""
    threshold: float = 0.5
    """Probability above which a cell guides. Source: BEV_SHAPE_THRESH."""
    loss_weight: float = 1.0
    """0: no loss of its own, and no dense points needed. Source: LOSS_WEIGHTS."""
    splat: Literal["square", "line"] = "square"
    """Shape of the bump around an occupied cell: 5 x 5 cells as meant, or the 1 x 5 that the released code
    draws because of a wrong bound."""
    layout: Literal["map", "wrapped"] = "map"
    """"wrapped" scrambles the target as the released code does on KITTI, which reads its rows with the length
    of its columns; for experiments only."""

    def __post_init__(self) -> None:
        sizes = (self.channels, self.pillar_points, self.max_pillars_train, self.max_pillars_test)
        if min(*sizes, self.head_channels) < 1 or self.channels % 2:
            raise ValueError(f"OccupancyConfig: sizes must be positive and channels even, got {self}")
        if not 0 <= self.threshold < 1 or self.loss_weight < 0:
            raise ValueError(
                "OccupancyConfig: threshold must lie in [0, 1) and loss_weight must not be negative, got "
                f"{self.threshold} and {self.loss_weight}"
            )


@dataclass(frozen=True, slots=True)
class OccupancyOutputs(TensorFields):
    """What the network says about every cell of the map."""

    logits: Float[Tensor, "b 1 y x"]
    probability: Float[Tensor, "b 1 y x"]
    """Their sigmoid, kept 1e-4 away from 0 and 1."""
    guidance: Float[Tensor, "b 1 y x"]
    """The probability where it is above the threshold, else 0; gradient passes."""


class PillarEncoder(nn.Module):
    """Two layers of linear map, batch norm, ReLU and maximum over the points of a pillar.

    As published, the unused slots of a pillar take part in batch statistics and maxima, as zeros. Equal
    slots are computed once and counted often here: the same numbers within rounding, for about a quarter of
    the rows on a KITTI frame.
    """

    def __init__(self, channels: int, *, point_features: int) -> None:
        super().__init__()
        widths = ((point_features + _OFFSETS, channels // 2), (channels, channels))
        self.layers = nn.ModuleList(nn.Linear(cin, cout, bias=False) for cin, cout in widths)
        self.norms = nn.ModuleList(
            RowBatchNorm(cout, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM) for _, cout in widths
        )

    def forward(
        self, pillars: BatchVoxels, means: Float[Tensor, "p 3"], centres: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "p c"]:
        """Return one feature per pillar, given the mean of its points and its geometric centre."""
        count, slots, _ = pillars.points.shape
        owner, slot = (torch.arange(slots, device=means.device) < pillars.counts[:, None]).nonzero().unbind(1)
        points = pillars.points[owner, slot]
        xyz = points[:, :3]
        rows = torch.cat([points, xyz - means[owner], xyz - centres[owner]], dim=1)
        # one more row per pillar stands for all its unused slots
        unused = slots - pillars.counts.long()
        weights = torch.cat([torch.ones_like(rows[:, 0]), unused.to(rows.dtype)])
        owner = torch.cat([owner, torch.arange(count, device=owner.device)])
        target = torch.where(weights > 0, owner, -1)
        rows = torch.cat([rows, rows.new_zeros(count, rows.shape[1])])
        pooled = rows.new_zeros(count, 0)
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            if i:
                rows = torch.cat([rows, pooled[owner]], dim=1)
            assert isinstance(norm, RowBatchNorm)
            rows = torch.relu(norm.weighted(layer(rows).float(), weights))
            pooled = scatter_max(rows, target, dim_size=count)[0]
        return pooled


class OccupancyNetwork(nn.Module):
    """Pillars, image fusion, 2D backbone and heat map."""

    def __init__(
        self,
        config: OccupancyConfig,
        *,
        bounds: tuple[float, float, float, float, float, float],
        map_size_yx: tuple[int, int],
        sees_image: bool,
        point_features: int,
    ) -> None:
        """Build the network.

        Args:
            bounds: x0 y0 z0 x1 y1 z1 in metres.
            map_size_yx: Cells of the map that is to be guided.
            sees_image: Whether pillars are mixed with the image.
            point_features: Columns of a point, x y z first.

        Raises:
            ValueError: The strides of the backbone do not divide the map.
        """
        super().__init__()
        self.config, self.bounds = config, bounds
        stride = config.backbone.strides[0]
        self.grid_yx = (map_size_yx[0] * stride, map_size_yx[1] * stride)
        config.backbone.check_map(self.grid_yx)
        self.pillar_size = (
            (bounds[3] - bounds[0]) / self.grid_yx[1],
            (bounds[4] - bounds[1]) / self.grid_yx[0],
            bounds[5] - bounds[2],
        )
        self.pillars = PillarEncoder(config.channels, point_features=point_features)
        self.fusion = DeformAttnFusion(config.channels) if sees_image else None
        self.bev = BevBackbone(config.channels, config.backbone)
        layers: list[nn.Module] = []
        width = config.backbone.out_channels
        for _ in range(3):
            layers += [
                nn.Conv2d(width, config.head_channels, 3, padding=1),
                nn.BatchNorm2d(config.head_channels),
                nn.ReLU(inplace=True),
            ]
            width = config.head_channels
        self.head = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))
        for layer in self.head:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(
        self, points: Float[Tensor, "n columns"], view: ImageView | None, *, batch_size: int
    ) -> OccupancyOutputs:
        """Return the occupancy of the scene; frames without points are fine.

        Args:
            points: b x y z and further features of the scene itself, not of its copies.
            view: What `self.fusion` sees of the images; needed exactly if the network sees images.

        Raises:
            ValueError: `view` is missing or unexpected.
        """
        if (view is None) != (self.fusion is None):
            raise ValueError("OccupancyNetwork: view must be given exactly if the network sees images")
        pillars = self.make_pillars(points, batch_size=batch_size)
        features = self.encode(pillars, view)
        grid = features.new_zeros(batch_size, *self.grid_yx, features.shape[1])
        frame, _, y, x = pillars.coords_bzyx.long().unbind(1)
        dense = grid.index_put((frame, y, x), features).permute(0, 3, 1, 2).contiguous()
        logits = self.head(self.bev(dense)).float()
        probability = logits.sigmoid().clamp(_CLAMP, 1 - _CLAMP)
        guidance = torch.where(probability > self.config.threshold, probability, 0.0)
        return OccupancyOutputs(logits, probability, guidance)

    def make_pillars(self, points: Float[Tensor, "n columns"], *, batch_size: int) -> BatchVoxels:
        """Return the pillars of a batch of clouds."""
        limit = self.config.max_pillars_train if self.training else self.config.max_pillars_test
        return voxelize_batch(
            points,
            voxel_size=self.pillar_size,
            bounds=self.bounds,
            max_points=self.config.pillar_points,
            max_voxels=limit,
            batch_size=batch_size,
        )

    def encode(self, pillars: BatchVoxels, view: ImageView | None) -> Float[Tensor, "p c"]:
        """Return the features of pillars; those in view are replaced by their mixture with the image.

        A pillar is projected at the mean of its points.
        """
        means = pillars.points[..., :3].sum(1) / pillars.counts[:, None]
        low, size = (means.new_tensor(values) for values in (self.bounds[:3], self.pillar_size))
        centres = (pillars.coords_bzyx[:, 1:].flip(1) + 0.5) * size + low
        features = self.pillars(pillars, means, centres)
        if self.fusion is None or view is None:
            return features
        frame = pillars.coords_bzyx[:, 0].long()
        pixels, inside = project_rows(means, frame, view)
        counts = torch.bincount(frame[inside], minlength=len(view.values)).tolist()
        mixed = self.fusion(features[inside], pixels[inside], counts, view)
        return features.index_put((inside.nonzero()[:, 0],), mixed.to(features.dtype))


def occupied_cells(
    dense_points: Float[Tensor, "m columns"],
    *,
    bounds: Sequence[float],
    map_size_yx: tuple[int, int],
    batch_size: int,
) -> Bool[Tensor, "b y x"]:
    """Return which cells hold at least one of the points (b x y z, more columns) that are in the bounds.

    The released code also marks the cell of the sensor in every frame, because it pads the cloud by one point
    of zeros; not copied.
    """
    low, high = (dense_points.new_tensor(values) for values in (bounds[:3], bounds[3:]))
    xyz = dense_points[:, 1:4]
    size = dense_points.new_tensor(
        [(bounds[3] - bounds[0]) / map_size_yx[1], (bounds[4] - bounds[1]) / map_size_yx[0]]
    )
    cells = torch.floor((xyz[:, :2] - low[:2]) / size).long()
    limit = cells.new_tensor([map_size_yx[1], map_size_yx[0]])
    inside = ((xyz >= low) & (xyz < high)).all(1) & (cells < limit).all(1)
    occupied = torch.zeros(batch_size, *map_size_yx, dtype=torch.bool, device=dense_points.device)
    x, y = cells[inside].unbind(1)
    occupied[dense_points[inside, 0].long(), y, x] = True
    return occupied


def occupancy_target(
    occupied: Bool[Tensor, "b y x"],
    *,
    splat: Literal["square", "line"] = "square",
    layout: Literal["map", "wrapped"] = "map",
) -> Float[Tensor, "b 1 y x"]:
    """Return the heat map: 1 at occupied cells, a bump around each, the maximum where bumps meet.

    A cell i rows and j columns off, at most two, gets `exp(-(i^2 + j^2) / (2 (7/6)^2))`. For
    `splat` and `layout` see `OccupancyConfig`.

    Example:
        >>> occupied = torch.zeros(1, 1, 4, dtype=torch.bool)
        >>> occupied[0, 0, 0] = True
        >>> occupancy_target(occupied)[0, 0, 0].tolist()  # doctest: +ELLIPSIS
        [1.0, 0.692..., 0.230..., 0.0]
    """
    batch, rows, columns = occupied.shape
    cells = occupied.reshape(batch, columns, rows) if layout == "wrapped" else occupied
    frame, y, x = cells.nonzero().unbind(1)
    target = torch.zeros(batch * rows * columns, device=occupied.device)
    reach = range(-_SPLAT_REACH, _SPLAT_REACH + 1)
    for i in reach if splat == "square" else (0,):
        for j in reach:
            value = math.exp(-(i * i + j * j) / (2 * _SPLAT_SIGMA**2))
            place = (frame * rows + (y + i).clamp(0, rows - 1)) * columns + (x + j).clamp(0, columns - 1)
            target.scatter_reduce_(0, place, target.new_full(place.shape, value), "amax")
    return target.view(batch, 1, rows, columns)


def occupancy_loss(
    probability: Float[Tensor, "b 1 y x"], target: Float[Tensor, "b 1 y x"]
) -> Float[Tensor, ""]:
    """Return the focal loss of CenterNet, divided by the number of cells whose target is 1 (at least 1).

    `-[sum_{y=1} (1 - p)^2 log p + sum_{y<1} (1 - y)^4 p^2 log(1 - p)] / N`, N counted over all ranks.
    """
    occupied = target == 1
    hit = (1 - probability).square() * probability.log()
    miss = (1 - target).pow(4) * probability.square() * (1 - probability).log()
    return -torch.where(occupied, hit, miss).sum() / mean_over_ranks(occupied.sum(), at_least=1.0)
