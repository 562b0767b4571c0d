"""TR3D and FCAF3D, whole and small, against the same layers on dense grids with a mask of present cells.

The oracle knows neither kernel maps nor sites: `conv3d`, `conv_transpose3d` and `max_pool3d` of torch, after
each of which absent cells are zeroed. Its rules about which cells are present are those of MinkowskiEngine.
"""

import pytest
import torch
import torch.nn.functional as F
from fusion_models.dspdet3d import RoomBatch
from fusion_models.dspdet3d.baseline_config import BaselineConfig, higher
from fusion_models.dspdet3d.fcaf3d import FCAF3D, FCAF3DConfig
from fusion_models.dspdet3d.tr3d import TR3D, TR3DConfig
from fusion_models.dspdet3d.voxels import voxels_of_points
from torch import Tensor, nn

pytestmark = pytest.mark.slow

SIZES = {"stem_channels": 8, "stage_blocks": (1, 2, 1, 1), "out_channels": 8}
TR3D_SMALL = TR3DConfig(
    class_names=("cup", "table"), label_levels=(0, 1), stage_channels=(8, 12, 16, 16), **SIZES
)
FCAF3D_SMALL = FCAF3DConfig(class_names=("cup", "table"), stage_channels=(8, 12, 16, 24), **SIZES)
Grid = tuple[Tensor, Tensor]
"""Features [b, c, z, y, x], zero where absent, and the mask [b, 1, z, y, x] of present cells."""


def stirred(model: nn.Module) -> nn.Module:
    """In evaluation, with heads and norms that are no constants."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
    for parameter in model.backbone.stem[1].parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    if isinstance(model, FCAF3D):
        for level, scale in enumerate(model.scales):
            nn.init.constant_(scale, 0.6 + 0.2 * level)
    return model.eval()


def rooms() -> RoomBatch:
    points = torch.rand(700, 3) * torch.tensor([1.0, 0.8, 0.5]) - 0.4
    points[:300, 2] = points[:300, 2].round(decimals=1)  # Some surfaces, so that cells have neighbours.
    return RoomBatch(names=("a", "b"), points=points, point_counts=(450, 250))


def dense_input(batch: RoomBatch, config: BaselineConfig, colors: Tensor) -> tuple[Grid, torch.Tensor]:
    """Voxels on a grid whose first cell is at a multiple of the coarsest stride; and where that is, x y z."""
    voxels, frame = voxels_of_points(
        batch, voxel_size_m=config.voxel_size_m, coarsest=config.stage_strides[-1], point_features=colors
    )
    b, z, y, x = voxels.coords.long().T
    dense = torch.zeros(len(batch), 3, *frame.spatial_shape)
    mask = torch.zeros(len(batch), 1, *frame.spatial_shape)
    dense[b, :, z, y, x], mask[b, 0, z, y, x] = voxels.features, 1
    return (dense, mask), torch.tensor(frame.origin[::-1])


def norm(grid: Grid, layer: nn.BatchNorm1d) -> Tensor:
    shape = (1, -1, 1, 1, 1)
    mean, var, weight, bias = (
        value.view(shape) for value in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return ((grid[0] - mean) / (var + layer.eps).sqrt() * weight + bias) * grid[1]


def room_norm(grid: Grid, weight: Tensor, bias: Tensor) -> Tensor:
    out = torch.zeros_like(grid[0])
    for room, (features, mask) in enumerate(zip(*grid, strict=True)):
        there = mask[0] > 0
        rows = features[:, there]
        rows = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, correction=0, keepdim=True) + 1e-8).sqrt()
        out[room][:, there] = rows * weight[:, None] + bias[:, None]
    return out


def same(grid: Grid, layer: nn.Module) -> Grid:
    dense = F.conv3d(grid[0], layer.weight.permute(4, 3, 0, 1, 2), padding=1)
    return dense * grid[1], grid[1]


def halved(grid: Grid, layer: nn.Module) -> Grid:
    mask = F.max_pool3d(grid[1], 2)
    return F.conv3d(grid[0], layer.weight.permute(4, 3, 0, 1, 2), stride=2, padding=1) * mask, mask


def pooled(grid: Grid) -> Grid:
    mask = F.max_pool3d(grid[1], 2)
    least = grid[0].masked_fill(grid[1] == 0, -torch.inf)
    return F.max_pool3d(least, 2).where(mask > 0, 0), mask


def raised(grid: Grid, layer: nn.Module) -> Grid:
    edge = layer.weight.shape[0]
    window = {"stride": 2} if edge == 2 else {"stride": 2, "padding": 1, "output_padding": 1}
    reach = F.conv_transpose3d(grid[1], torch.ones(1, 1, edge, edge, edge), **window)
    return F.conv_transpose3d(grid[0], layer.weight.permute(3, 4, 0, 1, 2), **window), (reach > 0).float()


def block(grid: Grid, layer: nn.Module) -> Grid:
    body = layer.body
    wide = body[0].weight.shape[0] == 3 and hasattr(layer, "shortcut")
    through = halved(grid, body[0]) if wide else same(grid, body[0])
    through = (norm(through, body[1]).relu(), through[1])
    through = same(through, body[3])
    beside = grid[0]
    if wide:
        corner = F.conv3d(grid[0], layer.shortcut.conv.weight.permute(4, 3, 0, 1, 2), stride=2) * through[1]
        beside = norm((corner, through[1]), layer.shortcut.norm)
    return (norm(through, body[4]) + beside).relu() * through[1], through[1]


def chain(grid: Grid, layers: nn.Sequential, activation) -> Grid:
    """Convolutions that stay on their cells or make finer ones, each with norm and activation."""
    for conv, batch_norm in zip(layers[0::3], layers[1::3], strict=True):
        grid = raised(grid, conv) if hasattr(conv, "output_padding") else same(grid, conv)
        grid = (activation(norm(grid, batch_norm)), grid[1])
    return grid


def backbone(model: nn.Module, grid: Grid) -> list[Grid]:
    stem = model.backbone.stem
    grid = halved(grid, stem[0])
    is_batch = isinstance(stem[1], nn.BatchNorm1d)
    grid = (
        (norm(grid, stem[1]) if is_batch else room_norm(grid, stem[1].weight, stem[1].bias)).relu(),
        grid[1],
    )
    if len(stem) == 4:
        grid = pooled(grid)
    found = []
    for stage in model.backbone.stages:
        for layer in stage:
            grid = block(grid, layer)
        found.append(grid)
    return found


def union(first: Grid, second: Grid) -> Grid:
    return first[0] + second[0], torch.maximum(first[1], second[1])


def head(grid: Grid, layer: nn.Linear) -> Tensor:
    return torch.einsum("bczyx,oc->bozyx", grid[0], layer.weight) + (
        0 if layer.bias is None else layer.bias.view(1, -1, 1, 1, 1)
    )


def check_level(level, mask: Tensor, origin: Tensor, stride: int, **expected: Tensor) -> None:
    """Our rows lie on the cells of the mask, and hold its features."""
    b, x, y, z = level.cells.long().T
    x, y, z = ((axis - start) // stride for axis, start in zip((x, y, z), origin, strict=True))
    ours = torch.zeros_like(mask[:, 0])
    ours[b, z, y, x] = 1
    assert torch.equal(ours, mask[:, 0])
    for name, dense in expected.items():
        rows = getattr(level, name)
        torch.testing.assert_close(
            rows, dense[b, :, z, y, x], rtol=1e-4, atol=1e-4, msg=lambda t, n=name: n + t
        )


@torch.no_grad()
def check_tr3d(config: TR3DConfig) -> None:
    model, batch = stirred(TR3D(config)), rooms()
    colors = torch.rand_like(batch.points)
    outputs = model(batch, point_features=colors)
    grid, origin = dense_input(batch, config, colors)
    features = backbone(model, grid)[1:]
    grid = features[-1]
    for level in (1, 0):
        grid = union(chain(grid, model.ups[level], F.relu), features[level])
        grid = chain(grid, model.laterals[level], F.relu)
        out = chain(grid, model.outs[level], F.relu)
        check_level(
            outputs.levels[level],
            out[1],
            origin,
            config.strides[level],
            class_logits=head(out, model.class_head),
            boxes_raw=head(out, model.box_head),
        )
    assert all(len(level.points) for level in outputs.levels)


def test_tr3d_is_that_of_dense_layers():
    check_tr3d(TR3D_SMALL)


def test_tr3d_without_pooling_is_that_of_dense_layers():
    check_tr3d(higher(TR3D_SMALL))


def interpolated(scores: Tensor) -> Tensor:
    """Of coarse cells at the lower corners of finer ones: at an odd place half of both neighbours."""
    line = torch.tensor([0.5, 1.0, 0.5])
    kernel = (line[:, None, None] * line[:, None] * line).view(1, 1, 3, 3, 3)
    return F.conv_transpose3d(scores, kernel, stride=2, padding=1, output_padding=1)


def best_cells(mask: Tensor, scores: Tensor, limit: int) -> Tensor:
    kept = torch.zeros_like(mask)
    for room in range(len(mask)):
        present = mask[room].flatten().nonzero()[:, 0]
        order = scores[room].flatten()[present].argsort(descending=True, stable=True)
        kept[room].view(-1)[present[order[:limit]]] = 1
    return kept


def test_fcaf3d_is_that_of_dense_layers_and_keeps_the_best_voxels():
    model, batch = stirred(FCAF3D(FCAF3D_SMALL)), rooms()
    for limit in (10**6, 300):
        config = FCAF3DConfig(**(vars(FCAF3D_SMALL) | {"max_voxels": limit}))
        model.config = config
        with torch.no_grad():
            outputs = model(batch)
            grid, origin = dense_input(batch, config, batch.points)
            features = backbone(model, grid)
            grid, scores = features[-1], None
            for level in (3, 2, 1, 0):
                if scores is not None:
                    grid = union(chain(grid, model.ups[level], F.elu), features[level])
                    kept = best_cells(grid[1], interpolated(scores), limit)
                    assert (kept.flatten(1).sum(1) <= limit).all()
                    grid = (grid[0] * kept, kept)
                out = chain(grid, model.outs[level], F.elu)
                distances = (head(out, model.box_head) * model.scales[level]).exp()
                low, high = distances[:, 0::2], distances[:, 1::2]
                logits = head(out, model.class_head)
                scores = logits.amax(1, keepdim=True) * out[1]
                check_level(
                    outputs.levels[level],
                    out[1],
                    origin,
                    config.strides[level],
                    class_logits=logits,
                    boxes_raw=torch.cat([(high - low) / 2, (high + low).log()], dim=1),
                )
                b, x, y, z = outputs.levels[level].cells.long().T
                x, y, z = ((a - o) // config.strides[level] for a, o in zip((x, y, z), origin, strict=True))
                torch.testing.assert_close(
                    outputs.center_logits[level],
                    head(out, model.center_head)[b, 0, z, y, x],
                    rtol=1e-4,
                    atol=1e-4,
                )
    assert len(outputs.levels[0].points) == 600  # Both rooms are cut at the finest level.
