import dataclasses
import json

import pytest
import torch
from fusion_models.detection.roi_targets import sample_rois
from fusion_models.detection.voxel_backbone import VoxelGrid
from fusion_models.detection.voxel_pool import VoxelPoolConfig
from fusion_models.imagepg.image_backbone import ImageBackbone
from fusion_models.imagepg.image_config import ImageBackboneConfig, SwinConfig
from fusion_models.imagepg.point_generator import GeneratorConfig
from fusion_models.imagepg.pointnet2 import SetAbstractionConfig
from fusion_models.imagepg.roi_head import RoiHead, RoiHeadConfig
from fusion_models.imagepg.roi_losses import RoiLossConfig, roi_loss
from fusion_models.imagepg.weights import convert_released
from sparseops import SparseTensor, roi_grid

CHANNELS = {"x_conv2": 64, "x_conv3": 64, "x_conv4": 64}
GRID = VoxelGrid()


def _head(config, channels=CHANNELS):
    torch.manual_seed(0)
    return RoiHead(config, voxel_channels=channels, voxel_size=GRID.size, bounds=GRID.bounds)


def _small(**changes):
    config = RoiHeadConfig(
        grid_size=3,
        pools=(VoxelPoolConfig(source="x", stride=2, hidden=8, channels=8, radius_m=0.8),),
        generator=GeneratorConfig(heads=2, hidden=16, generator_fc=(8,), feature=6, embedding=(8, 8)),
        image_channels=None,
        abstractions=(
            SetAbstractionConfig(points=9, channels=(8, 8), samples=4),
            SetAbstractionConfig(points=None, channels=(8, 12)),
        ),
        shared_fc=(10, 12),
        score_fc=(8,),
        box_fc=(8,),
        losses=RoiLossConfig(sample_points=40),
    )
    return dataclasses.replace(config, **changes)


def _scene(rois_per_frame=4, voxels=60):
    """Two frames: one with an object and voxels around it, one empty of both."""
    torch.manual_seed(1)
    box = torch.tensor([10.0, 2.0, -1.0, 4.0, 2.0, 1.6, 0.3])
    rois = torch.zeros(2, rois_per_frame, 7)
    rois[:, :, :] = box
    rois[:, :, :2] += 0.3 * torch.randn(2, rois_per_frame, 2)
    centre = ((box[:3] - torch.tensor(GRID.bounds[:3])) / 0.1).int().flip(0)
    coords = centre + torch.randint(-8, 8, (voxels, 3))
    coords = torch.unique(torch.cat([torch.zeros(voxels, 1), coords], dim=1).int(), dim=0)
    tensor = SparseTensor(torch.randn(len(coords), 5), coords, (41, 800, 704), 2)
    boxes = torch.zeros(2, 2, 7)
    boxes[0, 0] = box
    return rois, {"x": tensor}, boxes, torch.tensor([[1, 0], [0, 0]])


def _view(head, channels=8, frames=2):
    forward = torch.tensor([[[16.0, -40.0, 0.0, 0.0], [8.0, 0.0, -40.0, 0.0], [1.0, 0.0, 0.0, 0.0]]])
    return head.image.fusion.view(
        torch.randn(frames, channels, 4, 6), forward.expand(frames, 3, 4), size=(16, 32)
    )


@pytest.mark.slow
def test_released_names_and_shapes_match_the_configuration(request):
    path = request.path.parents[1] / "golden" / "imagepg_state_dict.json"
    manifest = {k: v for k, v in json.loads(path.read_text()).items() if k.startswith("roi_head.")}
    converted = convert_released({name: torch.zeros(shape) for name, shape in manifest.items()})
    own = _head(RoiHeadConfig()).state_dict()
    assert {k: v.shape for k, v in converted.items()} == {f"roi.{k}": v.shape for k, v in own.items()}


def test_parameter_count():
    count = sum(p.numel() for p in _head(RoiHeadConfig()).parameters())
    assert count == 12_222_620  # imagepg.yaml: 12.22 M


def _train_step(head, *, rois=4, seed=0, voxels=60):
    proposals, scales, boxes, labels = _scene(rois, voxels)
    targets = sample_rois(
        proposals, torch.ones(2, rois, dtype=torch.int64), torch.zeros(2, rois), boxes, labels,
        dataclasses.replace(head.config.targets, rois_per_frame=6), torch.tensor([seed, seed + 1]),
    )  # fmt: skip
    surface = boxes[0, :1, :3] + torch.rand(30, 3) - 0.5
    dense = torch.cat([torch.zeros(30, 1), surface], dim=1)
    view = None if head.image is None else _view(head, head.config.image_channels)
    return roi_loss(head(targets.rois, scales, view), targets, dense, boxes, head.config.losses)


@pytest.mark.slow
@pytest.mark.parametrize("image_channels", [None, 8])
@pytest.mark.parametrize("attends_history", [False, True])
def test_every_parameter_gets_a_gradient_and_a_step_lowers_the_loss(image_channels, attends_history):
    head = _head(
        _small(image_channels=image_channels, attends_history=attends_history, dropout=0.0), {"x": 5}
    )
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    torch.manual_seed(2)
    first = _train_step(head).total
    first.backward()
    # with one stage only, a softmax over one entry: query and key have a gradient of zero, but they have one
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    optimizer.step()
    for _ in range(2):
        optimizer.zero_grad()
        torch.manual_seed(2)
        loss = _train_step(head).total
        loss.backward()
        optimizer.step()
    assert loss < first


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("image_channels", [None, 8])
def test_recomputing_activations_changes_no_number_and_no_statistic(training, image_channels):
    config = _small(image_channels=image_channels, dropout=0.5)
    heads = [
        _head(dataclasses.replace(config, recompute=lean), {"x": 5}).train(training) for lean in (False, True)
    ]
    results = []
    for head in heads:
        torch.manual_seed(4)
        losses = [_train_step(head, seed=seed) for seed in (0, 5)]
        sum(loss.total for loss in losses).backward()
        gradients = {name: p.grad for name, p in head.named_parameters()}
        results.append((losses, gradients, dict(head.named_buffers()), torch.rand(1)))
    for loss, other in zip(*(result[0] for result in results), strict=True):
        assert loss == other
    torch.testing.assert_close(results[0][1:], results[1][1:], rtol=0, atol=0)
    assert all(grad is not None for grad in results[1][1].values())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("recompute", [False, True])
def test_losses_under_autocast_are_near_those_of_single_precision(dtype, recompute):
    losses = []
    for mixed in (False, True):
        head = _head(_small(image_channels=8, dropout=0.0, recompute=recompute), {"x": 5})
        torch.manual_seed(2)
        with torch.autocast("cpu", dtype=dtype, enabled=mixed):
            losses.append(_train_step(head))
        losses[-1].total.backward()
        assert all(p.grad.isfinite().all() for p in head.parameters())
    for field in dataclasses.fields(losses[0]):
        single, half = (getattr(loss, field.name) for loss in losses)
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, single, rtol=0.02, atol=2e-3)


def test_positions_far_away_keep_their_digits_under_autocast():
    head = _head(_small(image_channels=8), {"x": 5}).eval()
    torch.nn.init.zeros_(head.generator.generate.weight)
    rois, scales, *_ = _scene()
    rois[..., 0] += 50.3
    view = _view(head)
    with torch.no_grad():
        single = head(rois, scales, view)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = head(rois, scales, view)
    grid, _ = roi_grid(rois.flatten(0, 1), grid_size=3)
    assert mixed.points.equal(grid)  # bfloat16 knows no number between 60.25 and 60.5
    torch.testing.assert_close(mixed.boxes, single.boxes, rtol=0, atol=1e-3)
    assert mixed.logits.dtype == mixed.deltas.dtype == mixed.feature.dtype == torch.float32


def test_recomputing_keeps_little_until_the_backward_pass():
    sizes = []
    for lean in (False, True):
        head, kept = _head(_small(recompute=lean, shared_fc=()), {"x": 5}), {}
        rois, scales, *_ = _scene()
        parameters = {p.untyped_storage().data_ptr() for p in head.parameters()}

        def pack(tensor, kept=kept, parameters=parameters):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in parameters:
                kept[storage.data_ptr()] = (storage.nbytes(), tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            head(rois, scales)
        sizes.append(sum(size for size, _ in kept.values()))
    assert sizes[1] < 0.3 * sizes[0]


def test_a_batch_of_two_equals_two_batches_of_one_in_eval_mode():
    head = _head(_small(image_channels=8), {"x": 5}).eval()
    rois, scales, *_ = _scene()
    torch.manual_seed(3)
    view = _view(head)
    both = head(rois, scales, view)
    for i in range(2):
        rows = scales["x"].coords[:, 0] == i
        coords = scales["x"].coords[rows].clone()
        coords[:, 0] = 0
        one = SparseTensor(scales["x"].features[rows], coords, scales["x"].spatial_shape, 1)
        alone_view = dataclasses.replace(
            view, values=view.values[i : i + 1], image_from_points=view.image_from_points[i : i + 1]
        )
        alone = head(rois[i : i + 1], {"x": one}, alone_view)
        torch.testing.assert_close(alone.boxes[0], both.boxes[i], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.logits, both.logits[4 * i : 4 * i + 4], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("rois", "voxels"), [(0, 60), (1, 60), (4, 0), (1, 0)])
def test_few_rois_and_voxels_stay_finite(training, rois, voxels):
    head = _head(_small(image_channels=8), {"x": 5}).train(training)
    proposals, scales, *_ = _scene(rois, voxels)
    out = head(proposals, scales, _view(head))
    (out.logits.sum() + out.deltas.sum() + out.point_logits.sum()).backward()
    assert out.boxes.shape == (2, rois, 7) and out.boxes.isfinite().all()
    assert all(buffer.isfinite().all() for buffer in head.buffers())


def test_padding_rois_and_rois_out_of_view_stay_finite():
    head = _head(_small(image_channels=8), {"x": 5})
    rois, scales, *_ = _scene()
    rois[0, 0] = 0.0
    rois[1, :, 0] = -10.0
    assert head(rois, scales, _view(head)).boxes.isfinite().all()


def _without_points(**changes):
    """The head of Voxel R-CNN at the size of `_small`."""
    losses = RoiLossConfig(point_weight=0.0, chamfer_weight=0.0, overlap_weight=0.0, corner_weight=1.0)
    plain = {"generator": None, "abstractions": (), "attends_history": False, "losses": losses}
    return _small(**plain | changes)


@pytest.mark.parametrize("attends_history", [False, True])
def test_without_a_generator_the_pooled_grid_alone_describes_a_roi(attends_history):
    head = _head(_without_points(attends_history=attends_history, dropout=0.0), {"x": 5})
    assert not [
        name for name, _ in head.named_parameters() if name.startswith(("gener", "trans", "abstr", "im"))
    ]
    rois, scales, *_ = _scene()
    head.eval()
    out = head(rois, scales)
    assert out.points is None and out.point_logits is None
    grid, _ = roi_grid(rois.flatten(0, 1), grid_size=3)
    feature = head.shared(head._pool(grid, scales, batch=2).flatten(1))
    torch.testing.assert_close(out.feature, feature)
    if not attends_history:
        torch.testing.assert_close(out.logits, head.score_out(head.score(feature)))
    head.train()
    loss = _train_step(head)
    loss.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert loss.point == 0 and loss.chamfer == 0 and loss.total == loss.score + loss.box + loss.corner


def test_voxel_rcnn_weights_of_openpcdet_fit():
    """Names and shapes of `VoxelRCNNHead` for widths 8 and 10-12, one source, class-agnostic."""
    norm = {
        "weight": (0,),
        "bias": (0,),
        "running_mean": (0,),
        "running_var": (0,),
        "num_batches_tracked": (),
    }
    layers = {
        "roi_grid_pool_layers.0.mlps_in.0.0": (8, 5, 1),
        "roi_grid_pool_layers.0.mlps_pos.0.0": (8, 3, 1, 1),
        "roi_grid_pool_layers.0.mlps_out.0.0": (8, 8, 1),
        "shared_fc_layer.0": (10, 216),
        "shared_fc_layer.4": (12, 10),
        "cls_fc_layers.0": (8, 12),
        "reg_fc_layers.0": (8, 12),
    }
    state = {"cls_pred_layer.weight": (1, 8), "cls_pred_layer.bias": (1,)}
    state |= {"reg_pred_layer.weight": (7, 8), "reg_pred_layer.bias": (7,)}
    for name, shape in layers.items():
        folder, index = name.rsplit(".", 1)
        state[f"{name}.weight"] = shape
        for entry, size in norm.items():
            state[f"{folder}.{int(index) + 1}.{entry}"] = shape[:1] if size else ()
    converted = convert_released({f"roi_head.{k}": torch.zeros(shape) for k, shape in state.items()})
    own = _head(_without_points(), {"x": 5}).state_dict()
    assert {k: v.shape for k, v in converted.items()} == {f"roi.{k}": v.shape for k, v in own.items()}


def test_history_is_averaged_attention_without_scaling():
    history = _head(_small(), {"x": 5}).history
    stages = torch.randn(3, 2, 12)
    q, k, v = (layer(stages) for layer in (history.query, history.key, history.value))
    expected = torch.stack([(torch.softmax(q[i] @ k[i].T, 1) @ v[i]).mean(0) for i in range(3)])
    torch.testing.assert_close(history(stages), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = history(stages)
    assert mixed.equal(history(stages))


def test_stages_share_weights_and_pass_boxes_and_features_on():
    head = _head(_small(), {"x": 5}).eval()
    rois, scales, *_ = _scene()
    first = head(rois, scales)
    second = head(first.boxes, scales, history=[first.feature])
    alone = head(first.boxes, scales)
    assert not first.boxes.requires_grad
    torch.testing.assert_close(second.feature, alone.feature)
    assert not torch.allclose(second.deltas, alone.deltas)


def test_published_configurations_build_the_demo_image_branch_too():
    swin = SwinConfig(embed_dim=8, depths=(1, 2, 2), heads=(1, 2, 4), window=4, frozen_stages=-1)
    image = ImageBackbone(ImageBackboneConfig(swin=swin, neck_channels=16, channels=8))
    head = _head(_small(image_channels=8), {"x": 5})
    rois, scales, *_ = _scene()
    matrices = torch.tensor([[16.0, -40, 0, 0], [8, 0, -40, 0], [1, 0, 0, 0]]).expand(2, 3, 4)
    view = head.image.fusion.view(image(torch.randn(2, 3, 30, 50)), matrices, size=(30, 50))
    out = head(rois, scales, view)
    out.deltas.sum().backward()
    assert image.swin.patch_embed.proj.weight.grad.abs().sum() > 0


def test_errors_name_the_cure():
    head = _head(_small(image_channels=8), {"x": 5})
    rois, scales, *_ = _scene()
    with pytest.raises(ValueError, match=r"build it with RoiHead\.image\.fusion\.view"):
        head(rois, scales)
    plain = _head(_small(attends_history=False), {"x": 5})
    with pytest.raises(ValueError, match="history given, but"):
        plain(rois, scales, history=[torch.zeros(8, 12)])
    with pytest.raises(ValueError, match="no channels given for source 'x'"):
        _head(_small())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid_size": 0}, "grid_size must be positive"),
        ({"pools": ()}, "each need at least one entry"),
        (
            {"abstractions": (SetAbstractionConfig(points=4, channels=(12,)),)},
            "last level must take all points",
        ),
        ({"grid_size": 2}, "asks for 9 of 8 points"),
        ({"shared_fc": (10,)}, "must end with 12 channels"),
        ({"generator": None}, r"abstractions must be \(\), image_channels None and shared_fc not empty"),
        (
            {"generator": None, "abstractions": (), "image_channels": 8},
            r"image_channels None and .*, got \(\), 8 and \(10, 12\)",
        ),
        ({"generator": None, "abstractions": (), "shared_fc": ()}, "shared_fc not empty"),
        (
            {"generator": None, "abstractions": ()},
            "point_weight and chamfer_weight must be 0, got 1.0 and 1.0",
        ),
    ],
)
def test_config_rejects_what_cannot_work(changes, message):
    with pytest.raises(ValueError, match=message):
        _small(**changes)
