"""MinkUNet, SPVCNN and SPVNAS: one U-Net on sparse voxels, with a branch on points or without.

Papers: MinkUNet (Choy et al., arXiv 1904.08755), SPVCNN and SPVNAS (Tang et al., arXiv 2007.16100), the
projection head of Cluster3DSeg (arXiv 2307.14605). Which of them it is, the configuration says alone.

Every voxel has one point, the first that fell into it, so at full resolution points and voxels have the same
rows, and going from one to the other changes nothing. At strides 16 and 4 the features of the points are
exchanged with those of the voxels (`point_voxel`). `SegmentationNet.forward` reads from top to bottom as the
data flows. Kernel maps are planned once for each stride and shared by all layers; the way up uses those of
the way down, transposed.
"""

import itertools
import math
from dataclasses import dataclass

import torch
from datasets3d.segmentation import IGNORED
from jaxtyping import Float, Int64
from sparseops import SparseTensor, TensorFields, sparse_cat
from sparseops.nn import InverseConv3d, SparseConv3d, SparseModule, SparseSequential, SubmanifoldConv3d
from torch import Tensor, nn

from fusion_models.layers.rows import RowBatchNorm
from fusion_models.segmentation.batch import SegmentationBatch
from fusion_models.segmentation.config import BlockWidths, SegmentationNetConfig, StageWidths
from fusion_models.segmentation.point_voxel import PointVoxelMaps


@dataclass(frozen=True, slots=True)
class SegmentationOutputs(TensorFields):
    """What a forward pass computes, for every voxel of the batch in its order."""

    logits: Float[Tensor, "v classes"]
    """Of the classes, in the order of `SegmentationNetConfig.class_names`."""
    embedding: Float[Tensor, "v d"] | None
    """Not negative, not normalised; in training alone, None without projection head."""


@dataclass(frozen=True, slots=True)
class PointClasses(TensorFields):
    """What a network says about the raw points of one scan."""

    classes: Int64[Tensor, " n"]
    """Index of the most probable class, the lower of two equal ones; 255 for points without a voxel."""
    probabilities: Float[Tensor, "n classes"]
    """Of every class, single precision; 0 for points without a voxel."""


class ResidualBlock(SparseModule):
    """Two convolutions with batch norm beside a shortcut, then ReLU."""

    def __init__(self, entering: int, widths: BlockWidths) -> None:
        super().__init__()
        middle, out = widths.middle, widths.out
        self.body = SparseSequential(
            SubmanifoldConv3d(entering, middle, 3, bias=False),
            RowBatchNorm(middle),
            nn.ReLU(inplace=True),
            SubmanifoldConv3d(middle, out, 3, bias=False),
            RowBatchNorm(out),
        )
        self.shortcut = None
        if widths.shortcut == "linear":
            self.shortcut = nn.Sequential(nn.Linear(entering, out, bias=False), RowBatchNorm(out))

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return features on the same voxels."""
        around = tensor.features if self.shortcut is None else self.shortcut(tensor.features)
        through = self.body(tensor)
        return through.replace((through.features + around).relu_())


class DownStage(SparseModule):
    """To voxels twice as wide, then residual blocks.

    Args:
        entering: Channels that come in.
        widths: All others.
        key: Under which the stage up finds the way back.
    """

    def __init__(self, entering: int, widths: StageWidths, *, key: str) -> None:
        super().__init__()
        self.transition = SparseSequential(
            SparseConv3d(entering, widths.transition, 2, stride=2, bias=False, key=key),
            RowBatchNorm(widths.transition),
            nn.ReLU(inplace=True),
        )
        self.blocks = _blocks(widths.transition, widths)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return features of the wider voxels."""
        return self.blocks(self.transition(tensor))


class UpStage(SparseModule):
    """Back to voxels half as wide, joined with the features they had on the way down, then residual blocks.

    Args:
        entering: Channels that come in.
        widths: All others.
        skip: Channels from the way down.
        of: Key of the stage down whose way to go back.
    """

    def __init__(self, entering: int, widths: StageWidths, *, skip: int, of: str) -> None:
        super().__init__()
        upwards = InverseConv3d(entering, widths.transition, 2, of=of, bias=False)
        bound = 1 / math.sqrt(widths.transition * math.prod(upwards.kernel_size))
        nn.init.uniform_(upwards.weight, -bound, bound)  # as released: by the channels out, not in
        self.transition = SparseSequential(upwards, RowBatchNorm(widths.transition), nn.ReLU(inplace=True))
        self.blocks = _blocks(widths.transition + skip, widths)

    def forward(self, tensor: SparseTensor, skip: SparseTensor) -> SparseTensor:
        """Return features of the finer voxels, which are those of `skip`."""
        return self.blocks(sparse_cat(self.transition(tensor), skip))


class SegmentationNet(nn.Module):
    """The network of a configuration.

    Training and evaluation mode differ in dropout, batch norm and the projection head, which evaluation does
    not compute. Autocast is safe. Batches may hold scans without points.

    Example:
        >>> from fusion_models.segmentation.config import minkunet
        >>> net = SegmentationNet(minkunet(0.5))
        >>> sum(parameter.numel() for parameter in net.parameters())
        5435235
    """

    def __init__(self, config: SegmentationNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = SparseSequential(
            SubmanifoldConv3d(config.in_features, config.stem, 3, bias=False),
            RowBatchNorm(config.stem),
            nn.ReLU(inplace=True),
            SubmanifoldConv3d(config.stem, config.stem, 3, bias=False),
            RowBatchNorm(config.stem),
            nn.ReLU(inplace=True),
        )
        entering, keys = config.stem, [f"down{i}" for i in range(len(config.downs))]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for widths, key in zip(config.downs, keys, strict=True):
            self.downs.append(DownStage(entering, widths, key=key))
            entering = widths.out
        for widths, skip, key in zip(config.ups, config.skips, reversed(keys), strict=True):
            self.ups.append(UpStage(entering, widths, skip=skip, of=key))
            entering = widths.out
        self.points = nn.ModuleList()
        if config.point_branch:
            self.points.extend(_point_layer(*widths) for widths in config.point_widths)
        self.projection = None
        if config.projection is not None:
            self.projection = _projection(config.bottleneck, config.projection)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(entering, config.num_classes)

    def forward(self, batch: SegmentationBatch) -> SegmentationOutputs:
        """Return the logits of every voxel, and in training mode its embedding.

        Raises:
            ValueError: The features have other columns than `SegmentationNetConfig.in_features`, or the
                coordinates are no cells: negative, twice the same, or of more scans than the batch has.
        """
        tensor = self.stem(self._voxels(batch))
        maps = PointVoxelMaps(batch.coords_bzyx)
        points = tensor.features
        skips = [tensor]
        for down in self.downs:
            skips.append(down(skips[-1]))
        tensor = skips.pop()
        tensor, points = self._exchange(0, tensor, points, maps)
        embedding = self._embedding(tensor, points, maps)
        tensor = self.ups[1](self.ups[0](self._dropped(tensor), skips.pop()), skips.pop())
        tensor, points = self._exchange(1, tensor, points, maps)
        tensor = self.ups[3](self.ups[2](self._dropped(tensor), skips.pop()), skips.pop())
        rows = tensor.features
        if self.config.point_branch:
            rows = rows + self.points[2](points)
        return SegmentationOutputs(self.classifier(rows), embedding)

    def _voxels(self, batch: SegmentationBatch) -> SparseTensor:
        """The voxels on a grid that halves without remainder as often as there are stages."""
        columns = batch.features.shape[1]
        if columns != self.config.in_features:
            raise ValueError(
                f"SegmentationNet: SegmentationBatch.features has {columns} columns, expected "
                f"{self.config.in_features} (SegmentationNetConfig.in_features); build the network for the "
                "columns of the data, or leave out those it does not read"
            )
        whole = 2 ** len(self.downs)
        cells = batch.coords_bzyx[:, 1:]
        highest = cells.amax(0).clamp(min=0).tolist() if len(cells) else [0, 0, 0]
        z, y, x = ((int(cell) // whole + 1) * whole for cell in highest)
        return SparseTensor(batch.features, batch.coords_bzyx, (z, y, x), len(batch))

    def _exchange(
        self, place: int, tensor: SparseTensor, points: Tensor, maps: PointVoxelMaps
    ) -> tuple[SparseTensor, Tensor]:
        """Add to the points what their voxels know, and give the voxels the means of their points."""
        if not self.config.point_branch:
            return tensor, points
        found = maps.at(tensor, stride=self._strides[place])
        points = found.to_points(tensor.features) + self.points[place](points)
        return tensor.replace(found.to_voxels(points)), points

    def _embedding(self, tensor: SparseTensor, points: Tensor, maps: PointVoxelMaps) -> Tensor | None:
        """What the clustering loss reads: features of the bottleneck at every point, projected."""
        if self.projection is None or not self.training:
            return None
        if not self.config.point_branch:
            points = maps.at(tensor, stride=self._strides[0]).to_points(tensor.features)
        return self.projection(points)

    def _dropped(self, tensor: SparseTensor) -> SparseTensor:
        return tensor.replace(self.dropout(tensor.features))

    @property
    def _strides(self) -> tuple[int, int]:
        """Fine cells along a voxel of the bottleneck, and of two stages above."""
        stages = len(self.downs)
        return 2**stages, 2 ** (stages - 2)

    @torch.no_grad()
    def predict(self, batch: SegmentationBatch) -> list[PointClasses]:
        """Return the class of every raw point of every scan: that of its voxel.

        Raises:
            ValueError: The network is in training mode; see also `forward`.
        """
        if self.training:
            raise ValueError("SegmentationNet.predict: the network is in training mode; call .eval() first")
        return point_classes(self(batch).logits, batch)


def point_classes(logits: Float[Tensor, "v classes"], batch: SegmentationBatch) -> list[PointClasses]:
    """Return what logits of the voxels say about the raw points of every scan."""
    voxels = logits.float().softmax(1)
    # An extra row stands for the points without a voxel.
    rows = torch.cat([voxels, voxels.new_zeros(1, voxels.shape[1])])
    best = torch.cat([voxels.argmax(1), batch.inverse.new_full((1,), IGNORED)])
    scans = batch.inverse.split(list(batch.point_counts))
    return [PointClasses(best[inverse], rows[inverse]) for inverse in scans]


def _blocks(entering: int, widths: StageWidths) -> SparseSequential:
    ins = (entering, *(block.out for block in widths.blocks))
    return SparseSequential(*(ResidualBlock(i, block) for i, block in zip(ins, widths.blocks, strict=False)))


def _point_layer(entering: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(entering, out), RowBatchNorm(out), nn.ReLU(inplace=True))


def _projection(entering: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers = (_point_layer(*pair) for pair in itertools.pairwise((entering, *widths)))
    return nn.Sequential(*itertools.chain.from_iterable(layers))
