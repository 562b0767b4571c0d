"""One training step of the whole ImagePG against the released code: maps, targets, losses and gradients.

Proposals and the random choice of RoIs are given. Every stage starts from the released RoIs, and the loss of
the generated points samples those that the released code sampled; the points that PointNet++ reads are the
released ones where all of them are on file (first and last stage). Otherwise discrete choices (furthest
points, balls) that flip at the last digit would add up from stage to stage.
"""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_models.detection.anchors import assign_anchors
from fusion_models.detection.batch import Batch
from fusion_models.detection.box_losses import direction_bins
from fusion_models.detection.cloud_copies import TRAIN_COPIES
from fusion_models.detection.proposals import Proposals
from fusion_models.detection.roi_targets import collect_targets, match_rois
from fusion_models.imagepg import Detector, DetectorConfig, roi_losses
from fusion_models.imagepg import model as imagepg
from fusion_models.imagepg.occupancy import occupancy_loss, occupancy_target, occupied_cells
from fusion_models.imagepg.roi_losses import point_labels, point_loss
from fusion_models.imagepg.weights import convert_released, load_released
from fusion_models.layers.recompute import recompute
from sparseops import furthest_point_sample
from timm.layers.drop import DropPath
from torch import nn

pytestmark = [pytest.mark.golden, pytest.mark.slow, pytest.mark.xdist_group("golden_imagepg_train")]

STAGES = range(len(TRAIN_COPIES) + 1)
TARGETS = {
    "rois": "rois",
    "gt_of_rois_src": "boxes",
    "gt_idx_of_rois": "box_index",
    "roi_labels": "labels",
    "reg_valid_mask": "learns_box",
}
"""Names of the released targets and ours."""


def _config():
    config = DetectorConfig()
    targets = replace(config.roi.targets, rois_per_frame=24)
    losses = replace(config.roi.losses, sample_points=512)
    return replace(
        config,
        roi=replace(config.roi, targets=targets, losses=losses, recompute=True),
        occupancy=replace(config.occupancy, splat="line", layout="wrapped"),
    )


def _projection(inputs, i, width):
    """Pixels from augmented points: the augmentation undone, then the camera, then the mirrored picture."""
    flip, turn, scale = (float(value) for value in inputs[f"f{i}_aug_flip_rot_scale"])
    augmented = np.eye(4)
    augmented[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    augmented[:3, :3] *= scale
    augmented[:, 1] *= -1 if flip else 1
    image_from_cam = inputs[f"f{i}_calib_P2"].astype(np.float64)
    image_from_cam[2, 3] = 0
    if flip:
        image_from_cam[0] = width * image_from_cam[2] - image_from_cam[0]
    cam_from_lidar = np.eye(4)
    cam_from_lidar[:3] = inputs[f"f{i}_calib_R0"].astype(np.float64) @ inputs[f"f{i}_calib_Tr_velo2cam"]
    return image_from_cam @ cam_from_lidar @ np.linalg.inv(augmented)


def _batch(inputs):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    raw = [torch.from_numpy(inputs[f"f{i}_image_uint8_augmented"]) for i in range(2)]
    images = [((image / 255 - mean) / std).permute(2, 0, 1) for image in raw]
    sizes = torch.tensor([image.shape[1:] for image in images])
    height, width = sizes.amax(0).tolist()
    padded = [F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images]
    projections = [_projection(inputs, i, images[i].shape[2]) for i in range(2)]
    points = [np.insert(inputs[f"f{i}_points_augmented"], 0, i, axis=1) for i in range(2)]
    boxes = torch.from_numpy(inputs["batch_gt_boxes"])
    # the released code pads its dense points with a row of zeros per frame: the sensor's cell counts as
    # occupied, which is not copied
    origin = torch.tensor([[0.0, 0, 0, 0], [1.0, 0, 0, 0]])
    dense = torch.cat([torch.from_numpy(inputs["batch_bm_points"]), origin])
    return Batch(
        frame_ids=("000008", "000000"),
        points=torch.from_numpy(np.concatenate(points)).float(),
        seeds=torch.tensor([0, 0]),
        images=torch.stack(padded),
        image_sizes=sizes,
        image_from_points=torch.from_numpy(np.stack(projections)).float(),
        boxes=boxes[..., :7].contiguous(),
        labels=boxes[..., 7].long(),
        dense_points=F.pad(dense, (0, 1)),
    )


def _proposals(inputs):
    """The given RoIs are in the frame of the first copy."""
    boxes, scores, labels = (
        torch.from_numpy(inputs[f"given_roi{name}"]) for name in ("s", "_scores", "_labels")
    )
    return Proposals(TRAIN_COPIES[0].restore_boxes(boxes), scores, labels.long())


def _model(state):
    model = Detector(_config())
    state["roi_head.reg_pred_layer.bias"] *= 0.05  # weight_override
    load_released(model, state)
    for module in model.train().modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, DropPath):
            module.drop_prob = 0.0
    # half of the memory, the same numbers
    for part in (model.occupancy.bev, model.guidance, *model.bev.blocks, *model.bev.ups):
        part.forward = partial(recompute, part.forward, module=part)
    return model


def _given_samples(golden, samples):
    """What takes the place of `sample_rois`; remembers what it finds on its own.

    Soft labels come from the released overlaps: its kernel counts corners up to 1 cm outside a box.
    """

    def sample(rois, labels, scores, boxes, box_labels, config, seeds):
        stage = len(samples)
        matches = [match_rois(*frame) for frame in zip(rois, labels, boxes, box_labels, strict=True)]
        index = [torch.from_numpy(golden[f"stage{stage}_sampled_index_f{b}"]).long() for b in range(2)]
        released = [torch.from_numpy(golden[f"stage{stage}_max_iou_all_rois_f{b}"]) for b in range(2)]
        targets = collect_targets(
            rois,
            labels,
            scores,
            boxes,
            index=torch.stack(index),
            ious=torch.stack(released),
            box_index=torch.stack([box for _, box in matches]),
            config=config,
        )
        samples.append(SimpleNamespace(targets=targets, ious=[iou for iou, _ in matches]))
        return replace(targets, rois=torch.from_numpy(golden[f"stage{stage}_target_rois"]))

    return sample


def _given_points(golden):
    """What takes the place of `furthest_point_sample` in the loss of the points, stage by stage."""
    released = (torch.from_numpy(golden[f"stage{stage}_fps_index"]) for stage in STAGES)
    return lambda xyz, count: next(released)


def _watch(model, kept):
    """Keep the outputs of modules by name."""

    def keep(name):
        return lambda module, inputs, output: kept.setdefault(name, []).append(output)

    names = ("image", "guidance", "bev", "anchors.classes", "anchors.boxes", "anchors.directions")
    modules = {name: model.get_submodule(name) for name in (*names, "roi.image", "roi.transformer")}
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    return [*hooks, *(pool.register_forward_hook(keep("pools")) for pool in model.roi.pools)]


def _replace_points(model, golden):
    """Put the released generated points in place of ours, also when they are computed again."""
    grids = []

    def hook(module, inputs, output):
        points, semantic, logits = output
        if not any(inputs[1] is grid for grid in grids):
            grids.append(inputs[1])
        stage = next(i for i, grid in enumerate(grids) if inputs[1] is grid)
        released = golden.get(f"stage{stage}_rebuilt_points")
        if released is None:
            return output
        moved = torch.from_numpy(released[..., 1:4]) - points.detach()
        return points + moved, semantic, logits

    model.roi.generator.register_forward_hook(hook)


def _gradients(model, loss, wanted, *, last):
    """Norms of the gradients, None without a path, and those gradients that are wanted whole."""
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(weights.values()), retain_graph=not last, allow_unused=True)
    gradients = dict(zip(weights, found, strict=True))
    norms = {name: None if g is None else g.norm().item() for name, g in gradients.items()}
    return norms, {name: gradients[name] for name in wanted}


def _all_gradients(model, losses, golden, names):
    """The gradients of every part of the loss; whole those of which the reference has every value."""
    parts = {
        "hm": losses.occupancy,
        "rcnn": sum(stage.total for stage in losses.stages),
        "rpn": losses.anchors.total,
    }
    whole = {
        part: [names[n.removeprefix(f"grad_{part}_")] for n in golden if n.startswith(f"grad_{part}_")]
        for part in parts
    }
    return {part: _gradients(model, loss, whole[part], last=part == "rpn") for part, loss in parts.items()}


@pytest.fixture(scope="module")
def step(imagepg_golden, seeded_imagepg_state):
    inputs, golden = imagepg_golden("train_inputs"), imagepg_golden("train")
    samples, kept = [], {}
    state = seeded_imagepg_state(golden["gain_json"])
    model, names, batch = _model(state), _own_names(state), _batch(inputs)
    del state
    hooks = _watch(model, kept)
    _replace_points(model, golden)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imagepg, "sample_rois", _given_samples(golden, samples))
        patch.setattr(roi_losses, "furthest_point_sample", _given_points(golden))
        encode, merge = model.encode_clouds, partial(recompute, model.merge_maps, module=model)
        patch.setattr(model, "encode_clouds", lambda *a, **k: kept.setdefault("voxels", encode(*a, **k)))
        patch.setattr(model, "merge_maps", lambda *a: kept.setdefault("merged", merge(*a)))
        outputs = model(batch, proposals=_proposals(inputs))
        losses = model.loss(outputs, batch)
    for hook in hooks:
        hook.remove()
    return SimpleNamespace(
        golden=golden,
        names=names,
        model=model,
        batch=batch,
        kept=kept,
        outputs=outputs,
        losses=losses,
        samples=samples,
        gradients=_all_gradients(model, losses, golden, names),
    )


def _difference(tensor, checksum):
    """Largest difference of the sampled values, relative to the largest value."""
    assert list(tensor.shape) == checksum["shape"]
    values = tensor.detach().numpy().ravel()[:: checksum["sample_stride"]][: len(checksum["sample"])]
    return np.abs(values - checksum["sample"]).max() / checksum["abs_max"]


def _sorted_features(tensor):
    order = np.lexsort(tensor.coords.numpy().T[::-1])
    return tensor.features[order]


def test_maps_are_the_released_ones(step):
    kept, scales = step.kept, step.kept["voxels"][-1].scales
    found = {
        "fwd_neck_conv_reduce": kept["image"][0],
        "fwd_x_conv2_feat": _sorted_features(scales["x_conv2"]),
        "fwd_x_conv4_feat": _sorted_features(scales["x_conv4"]),
        "fwd_bev_merged": kept["merged"],
        "iopn_logits_train": step.outputs.occupancy.logits,
        "fwd_guidance_map": step.outputs.occupancy.guidance,
        "fwd_backbone_2d_ADF_blocks": kept["guidance"][0],
        "fwd_bev_out_512": kept["bev"][0],
        "fwd_dense_head_conv_cls": kept["anchors.classes"][0],
        "fwd_dense_head_conv_box": kept["anchors.boxes"][0],
        "fwd_dense_head_conv_dir_cls": kept["anchors.directions"][0],
        "stage0_pooled_features_img": kept["roi.image"][0].view(48, 216, 192),
        "stage0_attention_output": kept["roi.transformer"][0],
        "stage0_pooled_features_vox": torch.cat(
            [part.view(48, 216, -1) for part in kept["pools"][:3]], dim=2
        ),
    }
    differences = {name: _difference(value, step.golden["checksums"][name]) for name, value in found.items()}
    assert max(differences.values()) < 1e-3, differences


def test_anchor_targets_are_the_released_ones(step):
    golden, batch, config = step.golden, step.batch, step.model.config.anchors
    targets = assign_anchors(step.outputs.anchors.anchors, batch.boxes, batch.labels, classes=config.classes)
    counts = [[int((labels == k).sum()) for k in range(-1, 4)] for labels in targets.labels]
    assert counts == golden["rpn_label_counts"].tolist()
    labels = targets.labels[targets.frame_index, targets.anchor_index]
    positives = torch.stack([targets.frame_index, targets.anchor_index, labels], dim=1)
    assert positives.tolist() == golden["rpn_positive_index_frame_anchor_label"].tolist()
    assert (targets.labels == -1).nonzero().tolist() == golden["rpn_ignored_index"].tolist()
    np.testing.assert_allclose(targets.codes, golden["rpn_positive_box_targets"], rtol=0, atol=1e-5)
    bins = direction_bins(targets.yaw_rad, offset_rad=config.direction_offset_rad)
    assert bins.tolist() == golden["rpn_positive_dir_bin"].tolist()


@pytest.mark.parametrize(
    ("name", "splat", "layout"),
    [
        ("correct", "square", "map"),
        ("legacy", "line", "wrapped"),
        ("legacy_splat_only", "line", "map"),
    ],
)
def test_occupancy_target_and_loss_are_the_released_ones(step, name, splat, layout):
    bounds = step.model.config.voxels.bounds
    occupied = occupied_cells(step.batch.dense_points, bounds=bounds, map_size_yx=(200, 176), batch_size=2)
    target = occupancy_target(occupied, splat=splat, layout=layout)
    expected = torch.zeros_like(target)
    index = torch.from_numpy(step.golden[f"iopn_target_{name}_index"]).long().unbind(1)
    expected[index] = torch.from_numpy(step.golden[f"iopn_target_{name}_value"])
    torch.testing.assert_close(target, expected, rtol=0, atol=1e-6)
    loss = occupancy_loss(step.outputs.occupancy.probability, target).item()
    assert loss == pytest.approx(step.golden[f"iopn_loss_{name}"].item(), rel=1e-3)


def test_losses_of_proposals_and_occupancy_are_the_released_ones(step):
    released = dict(zip(step.golden["tb_names"], step.golden["tb_values"], strict=True))
    found = {
        "rpn_loss_cls": step.losses.anchors.classification,
        "rpn_loss_loc": step.losses.anchors.box,
        "rpn_loss_dir": step.losses.anchors.direction,
        "rpn_loss": step.losses.anchors.total,
        "hm_bev_loss": step.losses.occupancy,
    }
    for name, loss in found.items():
        assert loss.item() == pytest.approx(released[name], rel=1e-3), name
    assert step.losses.total.item() == pytest.approx(step.golden["total_loss"].item(), rel=1e-3)


@pytest.mark.parametrize("stage", STAGES)
def test_targets_of_a_stage_are_the_released_ones(step, stage):
    golden, targets = step.golden, step.samples[stage].targets
    for name, own in TARGETS.items():
        found = getattr(targets, own).numpy()
        expected = golden[f"stage{stage}_target_{name}"][..., : found.shape[-1]]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3, err_msg=name)
    for found, b in zip(step.samples[stage].ious, range(2), strict=True):
        over = golden[f"stage{stage}_max_iou_all_rois_f{b}"] - found.numpy()
        # the released kernel counts corners up to 1 cm outside, which adds area to a few boxes
        assert np.median(np.abs(over)) < 1e-4 and over.min() > -1e-3 and over.max() < 0.025
    dense, copy = step.batch.dense_points[:-2], step.outputs.stages[stage].copy
    moved = torch.cat([dense[:, :1], copy.points(dense[:, 1:4])], dim=1)
    released = golden.get(f"stage{stage}_target_points")
    if released is not None:
        np.testing.assert_allclose(moved, released, rtol=0, atol=1e-5)
    assert _difference(moved, golden["checksums"][f"stage{stage}_target_points"]) < 1e-6


@pytest.mark.parametrize("stage", STAGES)
def test_losses_of_a_stage_are_the_released_ones(step, stage):
    losses, golden = step.losses.stages[stage], step.golden
    released = golden[f"stage{stage}_losses_cls_regtotal_corner1x_pointcls_chamfer_nfg_nchamfer"]
    smooth, overlap = golden[f"stage{stage}_loss_smoothl1_od"]
    found = {
        "score": (losses.score, released[0]),
        "box": (losses.box, smooth),
        "overlap": (losses.overlap, overlap),
        "corner": (losses.corner, released[2]),
        "point": (losses.point, released[3]),
        "chamfer": (losses.chamfer, released[4]),
        # the released total counts the corners within the boxes and once more
        "total": (losses.total, released[0] + released[1] + released[2] + released[3] + released[4]),
    }
    for name, (loss, expected) in found.items():
        assert loss.item() == pytest.approx(expected, rel=1e-3), name
    assert step.outputs.stages[stage].targets.learns_box.sum() == released[5]


@pytest.mark.parametrize("stage", [0, 3])
def test_point_labels_are_the_released_ones(step, stage):
    golden, config = step.golden, step.model.config.roi.losses
    boxes = step.outputs.stages[stage].copy.boxes(step.batch.boxes)
    points, logits = torch.from_numpy(golden[f"stage{stage}_rebuilt_points"])[..., 1:].split([3, 1], dim=2)
    flat, released = points.reshape(2, -1, 3), torch.from_numpy(golden[f"stage{stage}_fps_index"]).long()
    # RoIs drawn twice generate the same points: of two equal ones the released kernel takes another
    for b, sampled in enumerate(furthest_point_sample(flat, 512)):
        assert torch.equal(flat[b, sampled], flat[b, released[b]])
    inside, enlarged = torch.from_numpy(golden[f"stage{stage}_point_in_gt_and_in_enlarged"])
    for b in range(2):
        chosen = flat[b, released[b]]
        assert torch.equal(point_labels(chosen, boxes[b], config=config) == 1, enlarged[b])
        intended = point_labels(chosen, boxes[b], config=replace(config, ring_labels="ignored"))
        assert torch.equal(intended == 1, inside[b]) and torch.equal(intended == -1, enlarged[b] & ~inside[b])
    for labels, expected in (
        ("foreground", golden[f"stage{stage}_losses_cls_regtotal_corner1x_pointcls_chamfer_nfg_nchamfer"][3]),
        ("ignored", golden[f"stage{stage}_point_cls_loss_intended"]),
    ):
        loss = point_loss(points, logits[..., 0], boxes, config=replace(config, ring_labels=labels))
        assert loss.item() == pytest.approx(float(expected), rel=1e-4)


def test_logged_sums_of_the_stages_are_the_released_ones(step):
    released = dict(zip(step.golden["tb_names"], step.golden["tb_values"], strict=True))
    stages = step.losses.stages
    for name, own in {"rcnn_loss_cls": "score", "point_loss_cls": "point", "cd_loss": "chamfer"}.items():
        total = sum(getattr(stage, own).item() for stage in stages)
        assert total == pytest.approx(released[name], rel=1e-3), name
    corner = sum(stage.corner.item() for stage in stages)
    assert corner == pytest.approx(released["rcnn_loss_corner"], rel=1e-3)
    # the released sum of the box losses holds the corners once
    boxes = sum((stage.box + stage.overlap + stage.corner).item() for stage in stages)
    assert boxes == pytest.approx(released["rcnn_loss_reg"], rel=1e-3)


def test_boxes_and_scores_of_the_stages_are_the_released_ones(step):
    # the inner stages read generated points of their own, whose last digits decide about furthest points, and
    # the batch norm takes what changes for one RoI to all of them
    for stage, share in zip(STAGES, (1.0, 0.95, 0.4, 0.4), strict=True):
        predictions = step.outputs.stages[stage].predictions
        for name, value in (("cls", predictions.logits), ("reg", predictions.deltas)):
            expected = step.golden[f"stage{stage}_rcnn_{name}"]
            difference = np.abs(value.detach().numpy() - expected).max(1) / np.abs(expected).max()
            assert (difference < 2e-3).mean() >= share, (stage, name, difference)
            assert np.median(difference) < 5e-3, (stage, name, difference)


def test_running_statistics_are_the_released_ones(step):
    names = [name for name in step.golden if name.startswith("bn_running")]
    assert len(names) == 10
    own = step.model.state_dict()
    for name in names:
        kind, released = name.split("_after_")
        found = own[step.names[f"{released}.{kind.removeprefix('bn_')}"]].numpy()
        expected = step.golden[name]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max(), err_msg=name)


def _own_names(state):
    """Our name of every released entry: every value of an entry is its number, wherever it ends up."""
    numbered = {name: torch.full_like(value, float(i)) for i, (name, value) in enumerate(state.items())}
    released = list(state)
    return {released[int(v.flatten()[0])]: name for name, v in convert_released(numbered).items()}


@pytest.mark.parametrize(
    ("part", "near", "share", "worst", "middle", "turned"),
    [
        ("rpn", 1e-2, 0.98, 2e-2, 2e-3, 5e-2),
        ("hm", 1e-2, 1.0, 1e-2, 2e-3, 5e-2),
        ("rcnn", 2e-2, 0.95, 5e-2, 5e-3, 0.15),
    ],
)
def test_gradients_are_the_released_ones(step, part, near, share, worst, middle, turned):
    """Norms are as near as the reference says, but for two biases of the occupancy network and a few weights
    of the RoI head: points and balls of a RoI or two of the third stage flip at the last digit.
    """
    golden, names, (found, whole) = step.golden, step.names, step.gradients[part]
    norms = dict(zip(golden["grad_names"], golden[f"grad_norms_{part}"], strict=True))
    assert {names[n] for n, norm in norms.items() if np.isnan(norm)} == {
        name for name, norm in found.items() if norm is None
    }
    largest = np.nanmax(list(norms.values()))
    differences = {
        name: abs(found[names[name]] / norm - 1)
        for name, norm in norms.items()
        if norm > 1e-6 * largest  # a bias before batch norm has none but rounding
    }
    values = np.array(list(differences.values()))
    ordered = sorted(differences.items(), key=lambda item: -item[1])
    assert values.max() < worst and (values < near).mean() >= share, ordered[:12]
    assert np.median(values) < middle
    assert whole
    for name in (name for name in golden if name.startswith(f"grad_{part}_")):
        value = torch.from_numpy(golden[name])
        ((own, expected),) = convert_released({name.removeprefix(f"grad_{part}_"): value}).items()
        error = (whole[own] - expected).norm() / expected.norm()
        assert error < turned, (name, error)
