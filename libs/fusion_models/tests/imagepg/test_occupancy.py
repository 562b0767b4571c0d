import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_models.detection.bev_backbone import BevBackboneConfig
from fusion_models.imagepg.deform_fusion import ImageView
from fusion_models.imagepg.occupancy import (
    OccupancyConfig,
    OccupancyNetwork,
    PillarEncoder,
    occupancy_loss,
    occupancy_target,
    occupied_cells,
)
from sparseops import BatchVoxels, voxelize_batch
from torch import nn

BOUNDS = (0.0, -3.2, -2.0, 6.4, 3.2, 2.0)
KITTI = (0.0, -40.0, -3.0, 70.4, 40.0, 1.0)
SMALL = OccupancyConfig(
    channels=8,
    pillar_points=4,
    backbone=BevBackboneConfig((1, 1), (2, 2), (8, 8), (1, 2), (8, 8)),
    head_channels=8,
)


def _network(*, sees_image=False, config=SMALL):
    torch.manual_seed(0)
    return OccupancyNetwork(
        config, bounds=BOUNDS, map_size_yx=(16, 16), sees_image=sees_image, point_features=4
    )


def _cloud(count=200, frames=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.rand(count, 3, generator=generator) * torch.tensor([6.4, 6.4, 4.0])
    xyz += torch.tensor([0.0, -3.2, -2.0])
    frame = torch.arange(count)[:, None] * frames // count
    return torch.cat([frame, xyz, torch.rand(count, 1, generator=generator)], dim=1)


def _view(network, *, frames=2, height=16, width=16):
    """Images straight ahead: what has |y| and |z| below x is in view."""
    camera = torch.tensor([[8.0, -8, 0, 0], [8, 0, -8, 0], [1, 0, 0, 0]]).expand(frames, 3, 4)
    image = torch.randn(frames, 8, 4, 4, generator=torch.Generator().manual_seed(2))
    return network.fusion.view(image, camera, size=(height, width))


def _pillars(points=None, *, max_points=4):
    return voxelize_batch(
        _cloud() if points is None else points,
        voxel_size=(0.4, 0.4, 4.0),
        bounds=BOUNDS,
        max_points=max_points,
        max_voxels=10_000,
        batch_size=2,
    )


def _means_and_centres(pillars):
    means = pillars.points[..., :3].sum(1) / pillars.counts[:, None]
    centres = (pillars.coords_bzyx[:, 1:].flip(1) + 0.5) * torch.tensor([0.4, 0.4, 4.0])
    return means, centres + torch.tensor(BOUNDS[:3])


class PlainPillarEncoder(nn.Module):
    """The same layers over all slots, unused ones included."""

    def __init__(self, encoder):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(x.in_features, x.out_features, bias=False) for x in encoder.layers
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(x.num_features, eps=1e-3, momentum=0.01) for x in encoder.norms
        )
        self.load_state_dict(encoder.state_dict())

    def forward(self, pillars, means, centres):
        points = pillars.points
        xyz = points[..., :3]
        x = torch.cat([points, xyz - means[:, None], xyz - centres[:, None]], dim=2)
        used = torch.arange(points.shape[1]) < pillars.counts[:, None]
        x = x * used[..., None]
        for last, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = norm(layer(x).flatten(0, 1)).view(*x.shape[:2], -1).relu()
            top = x.amax(1, keepdim=True)
            x = top if last else torch.cat([x, top.expand_as(x)], dim=2)
        return x[:, 0]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("max_points", [4, 32], ids=["some pillars full", "none full"])
def test_collapsed_slots_equal_the_plain_encoder(training, max_points):
    torch.manual_seed(0)
    encoder = PillarEncoder(16, point_features=4).train(training)
    for norm in encoder.norms:
        nn.init.uniform_(norm.weight, -1, 1)  # negative scales raise unused slots above used ones
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
    plain = PlainPillarEncoder(encoder).train(training).double()
    pillars = _pillars(torch.cat([_cloud(), _cloud()[:9].repeat(5, 1)]), max_points=max_points)
    assert (pillars.counts == 4).any() and (pillars.counts < 4).any()
    means, centres = _means_and_centres(pillars)
    found = encoder(pillars, means, centres)
    exact = BatchVoxels(pillars.points.double(), pillars.coords_bzyx, pillars.counts)
    expected = plain(exact, means.double(), centres.double())
    # values reach 5; in single precision the plain encoder is off by as much
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    weight = torch.randn(found.shape)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for (name, own), other in zip(encoder.named_parameters(), plain.parameters(), strict=True):
        bound = 1e-4 * other.grad.abs().max().item()
        torch.testing.assert_close(own.grad.double(), other.grad, rtol=1e-3, atol=bound, msg=name)
    for (name, own), other in zip(encoder.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(own.to(other.dtype), other, rtol=1e-5, atol=1e-5, msg=name)


def test_a_pillar_does_not_depend_on_the_order_of_its_points():
    encoder = PillarEncoder(8, point_features=4).eval()
    pillars = _pillars()
    turned = BatchVoxels(
        torch.where(pillars.counts[:, None, None] == 4, pillars.points.flip(1), pillars.points),
        pillars.coords_bzyx,
        pillars.counts,
    )
    first, second = (encoder(part, *_means_and_centres(part)) for part in (pillars, turned))
    torch.testing.assert_close(first, second)


def test_the_map_has_one_value_per_cell_and_guides_where_it_is_sure():
    outputs = _network().eval()(_cloud(), None, batch_size=2)
    assert outputs.logits.shape == outputs.guidance.shape == (2, 1, 16, 16)
    torch.testing.assert_close(outputs.probability, outputs.logits.sigmoid())
    sure = outputs.probability > 0.5
    assert sure.any() and not sure.all()
    assert torch.equal(outputs.guidance, outputs.probability * sure)


@pytest.mark.parametrize("logit", [-40.0, 0.0, 40.0])
def test_a_cell_at_the_threshold_does_not_guide_and_probabilities_keep_off_the_ends(logit):
    network = _network().eval()
    nn.init.zeros_(network.head[-1].weight)
    nn.init.constant_(network.head[-1].bias, logit)
    outputs = network(_cloud(), None, batch_size=2)
    expected = {-40.0: 1e-4, 0.0: 0.5, 40.0: 1 - 1e-4}[logit]
    torch.testing.assert_close(outputs.probability, torch.full((2, 1, 16, 16), expected))
    assert (outputs.guidance > 0).all() == (logit > 0) and (outputs.guidance > 0).any() == (logit > 0)


def test_gradient_passes_through_the_guidance_where_it_is_sure_only():
    outputs = _network().train()(_cloud(), None, batch_size=2)
    outputs.logits.retain_grad()
    outputs.guidance.sum().backward()
    sure = outputs.guidance > 0
    torch.testing.assert_close(
        outputs.logits.grad, torch.where(sure, outputs.probability * (1 - outputs.probability), 0.0)
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sees_image", [False, True])
def test_frames_without_points_are_fine(training, sees_image):
    network = _network(sees_image=sees_image).train(training)
    view = _view(network) if sees_image else None
    empty = network(torch.zeros(0, 5), view, batch_size=2)
    assert empty.logits.shape == (2, 1, 16, 16) and empty.logits.isfinite().all()
    empty.logits.sum().backward()
    one_frame = network(_cloud(frames=1), view, batch_size=2)
    assert one_frame.logits.isfinite().all()
    assert all(buffer.isfinite().all() for buffer in network.buffers())


def test_frames_of_a_batch_do_not_see_each_other():
    network, cloud = _network(sees_image=True).eval(), _cloud()
    both = network(cloud, _view(network), batch_size=2).logits
    view = _view(network)
    second = cloud[cloud[:, 0] == 1].clone()
    second[:, 0] = 0
    alone = network(
        second, ImageView(view.values[1:], 16, 16, view.image_from_points[1:]), batch_size=1
    ).logits
    torch.testing.assert_close(alone[0], both[1], rtol=1e-4, atol=1e-5)


def test_only_pillars_in_view_change_with_the_image():
    network = _network(sees_image=True).eval()
    pillars = network.make_pillars(_cloud(), batch_size=2)
    view = _view(network)
    mixed = network.encode(pillars, view)
    plain = network.pillars(pillars, *_means_of(network, pillars))
    changed = (mixed != plain).any(1)
    means = _means_of(network, pillars)[0]
    u, v = (8 - 8 * means[:, axis] / means[:, 0] for axis in (1, 2))
    inside = (u >= 0) & (u < 16) & (v >= 0) & (v < 16)
    assert inside.any() and not inside.all()
    assert torch.equal(changed, inside)
    other = ImageView(view.values + 1, 16, 16, view.image_from_points)
    assert torch.equal((network.encode(pillars, other) != mixed).any(1), inside)


def _means_of(network, pillars):
    means = pillars.points[..., :3].sum(1) / pillars.counts[:, None]
    size = torch.tensor(network.pillar_size)
    return means, (pillars.coords_bzyx[:, 1:].flip(1) + 0.5) * size + torch.tensor(BOUNDS[:3])


def test_pillars_are_as_wide_as_the_first_stride_says_and_as_many_as_the_mode_allows():
    network = _network(config=replace(SMALL, max_pillars_train=3, max_pillars_test=5))
    assert network.grid_yx == (32, 32)
    np.testing.assert_allclose(network.pillar_size, (0.2, 0.2, 4.0))
    for training, limit in ((True, 3), (False, 5)):
        pillars = network.train(training).make_pillars(_cloud(), batch_size=2)
        assert torch.bincount(pillars.coords_bzyx[:, 0].long()).tolist() == [limit, limit]


@pytest.mark.parametrize("sees_image", [False, True])
def test_a_view_that_does_not_fit_the_network_is_refused(sees_image):
    network = _network(sees_image=sees_image)
    view = None if sees_image else _view(_network(sees_image=True))
    with pytest.raises(ValueError, match="view must be given exactly if the network sees images"):
        network(_cloud(), view, batch_size=2)


@pytest.mark.parametrize("training", [False, True])
def test_half_precision_is_close_and_what_it_returns_is_float32(training):
    single, half = (_network(sees_image=True).train(training) for _ in range(2))
    expected = single(_cloud(), _view(single), batch_size=2)
    with torch.autocast("cpu", torch.bfloat16):
        found = half(_cloud(), _view(half), batch_size=2)
        loss = occupancy_loss(found.probability, torch.zeros(2, 1, 16, 16))
    assert found.logits.dtype == found.guidance.dtype == loss.dtype == torch.float32
    # bfloat16 has 8 bits: a dozen layers lose a few hundredths of the spread
    assert (found.logits - expected.logits).abs().mean() < 0.05 * expected.logits.std()
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in half.pillars.parameters())


def test_the_head_starts_as_released():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = OccupancyNetwork(
            OccupancyConfig(),
            bounds=KITTI,
            map_size_yx=(200, 176),
            sees_image=False,
            point_features=4,
        ).head
    convolutions = [layer for layer in head if isinstance(layer, nn.Conv2d)]
    assert [layer.in_channels for layer in convolutions] == [384, 64, 64, 64]
    for layer in convolutions:
        assert not layer.bias.any()
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * layer.in_channels)), rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 63}, "sizes must be positive and channels even"),
        ({"pillar_points": 0}, "sizes must be positive and channels even"),
        ({"head_channels": 0}, "sizes must be positive and channels even"),
        ({"threshold": 1.0}, r"threshold must lie in \[0, 1\) .* got 1\.0 and 1\.0"),
        ({"loss_weight": -1.0}, r"loss_weight must not be negative, got 0\.5 and -1\.0"),
    ],
)
def test_wrong_configurations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OccupancyConfig(**options)


def _one_cell(y, x, *, rows=8, columns=9):
    occupied = torch.zeros(1, rows, columns, dtype=torch.bool)
    occupied[0, y, x] = True
    return occupied


def test_an_occupied_cell_raises_five_by_five_cells():
    target = occupancy_target(_one_cell(3, 4))[0, 0]
    e = [math.exp(-k / (2 * (7 / 6) ** 2)) for k in range(9)]
    quarter = torch.tensor([[1, e[1], e[4]], [e[1], e[2], e[5]], [e[4], e[5], e[8]]])
    np.testing.assert_allclose(
        quarter.flatten()[[0, 1, 4, 2, 5, 8]], [1, 0.693, 0.480, 0.230, 0.159, 0.053], atol=5e-4
    )
    torch.testing.assert_close(target[3:6, 4:7], quarter)
    assert torch.equal(target[1:6, 2:7], target[1:6, 2:7].flip(0)) and torch.equal(
        target[1:6, 2:7], target[1:6, 2:7].T
    )
    assert (target > 0).sum() == 25


def test_where_bumps_meet_the_higher_counts():
    both = occupancy_target(_one_cell(3, 3) | _one_cell(3, 5))
    torch.testing.assert_close(
        both, torch.maximum(occupancy_target(_one_cell(3, 3)), occupancy_target(_one_cell(3, 5)))
    )
    assert (both == 1).sum() == 2


def test_what_falls_off_the_map_is_pushed_onto_its_border():
    target = occupancy_target(_one_cell(0, 0))[0, 0]
    inner = occupancy_target(_one_cell(3, 4))[0, 0, 3:6, 4:7]
    torch.testing.assert_close(target[:3, :3], inner)
    assert (target > 0).sum() == 9


def test_no_occupied_cell_gives_an_empty_target():
    assert not occupancy_target(torch.zeros(2, 5, 4, dtype=torch.bool)).any()


def test_the_released_line_is_one_cell_high():
    target = occupancy_target(_one_cell(3, 4), splat="line")[0, 0]
    np.testing.assert_allclose(target[3, 2:7], [0.230, 0.693, 1, 0.693, 0.230], atol=5e-4)
    assert (target > 0).sum() == 5


def test_the_released_layout_wraps_rows():
    occupied = torch.zeros(1, 200, 176, dtype=torch.bool)
    occupied[0, 100, 50] = True
    target = occupancy_target(occupied, layout="wrapped")
    assert (target == 1).nonzero().tolist() == [[0, 0, 88, 50]]
    occupied[:] = False
    occupied[0, 1, 20] = (
        True  # cell 196 of the flat map: row 0, column 196 of 200, which the map does not have
    )
    assert (occupancy_target(occupied, layout="wrapped") == 1).nonzero().tolist() == [[0, 0, 0, 175]]


def test_occupied_cells_hold_a_point_inside_the_bounds():
    points = torch.tensor(
        [
            [0, 0.0, -3.2, -2.0, 0],  # on the lower bounds
            [0, 0.41, -3.2, 0.0, 0],
            [1, 6.39, 3.19, 1.9, 0],
            [1, 6.4, 0.0, 0.0, 0],  # on an upper bound
            [1, 1.0, 1.0, 2.0, 0],  # on the upper bound in z
            [1, -0.1, 0.0, 0.0, 0],
        ]
    )
    occupied = occupied_cells(points, bounds=BOUNDS, map_size_yx=(16, 16), batch_size=3)
    assert occupied.nonzero().tolist() == [[0, 0, 0], [0, 0, 1], [1, 15, 15]]
    assert not occupied_cells(points[:0], bounds=BOUNDS, map_size_yx=(16, 16), batch_size=3).any()


def test_loss_of_one_occupied_cell_by_hand():
    probability = torch.tensor([[[[0.8, 0.3, 0.1]]]])
    target = torch.tensor([[[[1.0, 0.5, 0.0]]]])
    expected = 0.2**2 * math.log(0.8) + 0.5**4 * 0.3**2 * math.log(0.7) + 0.1**2 * math.log(0.9)
    assert occupancy_loss(probability, target).item() == pytest.approx(-expected, rel=1e-5)
    assert occupancy_loss(probability, 0.5 * target).item() == pytest.approx(
        -(0.5**4 * 0.8**2 * math.log(0.2) + 0.75**4 * 0.3**2 * math.log(0.7) + 0.1**2 * math.log(0.9)),
        rel=1e-5,
    )


@pytest.mark.golden
def test_loss_equals_the_released_one(imagepg_golden):
    golden = imagepg_golden("mr_and_boxes")
    probability, target = (torch.from_numpy(golden[f"hmloss_{name}"]) for name in ("prob", "target"))
    assert occupancy_loss(probability, target).item() == pytest.approx(float(golden["hmloss"]), rel=1e-5)
    # the reference takes the same target times 0.9, so that no cell is 1
    without = occupancy_loss(probability, 0.9 * target).item()
    assert without == pytest.approx(float(golden["hmloss_no_positive"]), rel=1e-5)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("correct", {}),
        ("legacy_splat_only", {"splat": "line"}),
        ("legacy", {"splat": "line", "layout": "wrapped"}),
    ],
)
def test_target_equals_the_released_one(imagepg_golden, name, options):
    inputs, golden = imagepg_golden("train_inputs"), imagepg_golden("train")
    # the released code pads every cloud by one point of zeros, and so marks the cell of the sensor, too
    sensor = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 0]])
    points = torch.cat([torch.from_numpy(inputs["batch_bm_points"]), sensor])
    occupied = occupied_cells(points, bounds=KITTI, map_size_yx=(200, 176), batch_size=2)
    cells = inputs["batch_bm_voxel_coords"][:, [0, 2, 3]].astype(int)
    assert occupied.nonzero().tolist() == np.unique(cells, axis=0).tolist()
    expected = torch.zeros(2, 1, 200, 176)
    index = torch.from_numpy(golden[f"iopn_target_{name}_index"]).long()
    expected[tuple(index.T)] = torch.from_numpy(golden[f"iopn_target_{name}_value"])
    torch.testing.assert_close(occupancy_target(occupied, **options), expected)
