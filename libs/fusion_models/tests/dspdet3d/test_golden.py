"""DSPDet3D, level by level, against the released code with the same weights.

Tolerances are those of the README of the golden vectors. Two rooms of 3155 voxels in all. Recorded rows are
sorted by room, x, y, z; their coordinates are `LevelOutputs.cells`.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_models.dspdet3d import (
    DSPDet3D,
    DSPDet3DConfig,
    DSPDet3DOutputs,
    LevelOutputs,
    RoomBatch,
    detect,
    load_released,
)
from fusion_models.dspdet3d.voxels import voxels_of_points
from torch import nn

pytestmark = [pytest.mark.golden, pytest.mark.slow]

CONFIG = DSPDet3DConfig()
CLOSE = {"rtol": 1e-3, "atol": 1e-4}
THRESHOLDS = (0.0, 0.3, 0.5)


def room_batch(*points: np.ndarray) -> RoomBatch:
    return RoomBatch(
        names=tuple(map(str, range(len(points)))),
        points=torch.from_numpy(np.concatenate(points)),
        point_counts=tuple(map(len, points)),
    )


@pytest.fixture(scope="module")
def model(seeded_dspdet3d_state) -> DSPDet3D:
    model = DSPDet3D(CONFIG).eval()
    assert load_released(model, seeded_dspdet3d_state) == ()
    return model


@pytest.fixture(scope="module")
def batch(dspdet3d_golden) -> RoomBatch:
    return room_batch(dspdet3d_golden["points_0"], dspdet3d_golden["points_1"])


@pytest.fixture(scope="module", params=THRESHOLDS)
def run(request, model, batch) -> tuple[float, DSPDet3DOutputs, dict[str, torch.Tensor]]:
    """A threshold, what the network finds with it, and the features behind every lateral and out block."""
    features, hooks = {}, []
    for name in ("laterals", "outs"):
        for level, module in enumerate(getattr(model, name)):
            hook = lambda _, __, out, key=f"{name}.{level}": features.update({key: out.features})  # noqa: E731
            hooks.append(module.register_forward_hook(hook))
    with torch.no_grad():
        outputs = model(batch, prune_threshold=request.param)
    for hook in hooks:
        hook.remove()
    return request.param, outputs, features


def recorded_order(cells: torch.Tensor) -> torch.Tensor:
    room, x, y, z = cells.numpy().T
    return torch.from_numpy(np.lexsort((z, y, x, room)))


def check(name: str, golden: dict, rows: torch.Tensor, cells: torch.Tensor, *, columns: int = 4) -> None:
    """The same cells, and on those that are recorded the same features."""
    order = recorded_order(cells)
    assert np.array_equal(cells[order].numpy()[:, -columns:], golden[f"{name}.coords"]), name
    whole = golden.get(f"{name}.feats")
    sampled = order if whole is not None else order[golden[f"{name}.rows"]]
    expected = torch.from_numpy(golden[f"{name}.feats_rows"] if whole is None else whole)
    torch.testing.assert_close(rows[sampled], expected, **CLOSE, msg=lambda text: f"{name}: {text}")


def test_points_fall_into_the_voxels_of_the_released_code(batch, dspdet3d_golden):
    voxels, frame = voxels_of_points(batch, voxel_size_m=0.01, coarsest=32)
    b, z, y, x = frame.coords(voxels.coords).unbind(1)
    cells = torch.stack([b, x, y, z], 1)
    order = recorded_order(cells)
    assert np.array_equal(cells[order].numpy(), dspdet3d_golden["voxels.coords"])
    assert np.array_equal(voxels.features[order].numpy(), dspdet3d_golden["voxels.feats"])


def test_every_recorded_layer_of_the_backbone_is_that_of_the_released_code(model, batch, dspdet3d_golden):
    voxels, frame = voxels_of_points(batch, voxel_size_m=0.01, coarsest=32)
    found = {}
    stages = list(model.backbone.stages)
    recorded = {"conv1": model.backbone.stem[0]} | {f"layer{i + 1}.0": s[0] for i, s in enumerate(stages)}
    recorded |= {f"level{i}": stage for i, stage in enumerate(stages)}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: found.update({name: out}))
        for name, module in recorded.items()
    ]
    with torch.no_grad():
        model.backbone(voxels)
    for hook in hooks:
        hook.remove()
    assert len(found) == 9
    for name, out in found.items():
        stride = frame.spatial_shape[0] // out.spatial_shape[0]
        b, z, y, x = frame.coords(out.coords, stride=stride).unbind(1)
        check(f"backbone.{name}", dspdet3d_golden, out.features, torch.stack([b, x, y, z], 1))


def test_what_the_heads_say_is_what_the_released_code_says(run, dspdet3d_golden):
    threshold, outputs, _ = run
    for number, level in enumerate(outputs.levels):
        name = f"test_tau{threshold}.{{}}.level{number}"
        check(name.format("cls"), dspdet3d_golden, level.class_logits, level.cells)
        check(name.format("bbox_raw"), dspdet3d_golden, level.boxes_raw, level.cells)
        if number:
            check(name.format("keep_logit"), dspdet3d_golden, level.prune_logits[:, None], level.cells)
        assert torch.equal(level.points, level.cells[:, 1:].float() * 0.01)
        assert torch.equal(level.batch_indices, level.cells[:, 0].long())


def test_exactly_the_voxels_that_the_released_code_keeps_are_kept(run, dspdet3d_golden):
    threshold, outputs, _ = run
    for number in (1, 2, 3):
        level = outputs.levels[number]
        kept = level.cells[1 - level.prune_logits.sigmoid() > threshold]
        expected = dspdet3d_golden[f"test_tau{threshold}.kept.level{number}.coords"]
        assert np.array_equal(kept[recorded_order(kept)].numpy(), expected)


def test_features_of_the_decoder_are_those_of_the_released_code(run, dspdet3d_golden):
    threshold, outputs, features = run
    if threshold == 0.3:
        for number, level in enumerate(outputs.levels):
            for ours, theirs in (("laterals", "lateral_block"), ("outs", "out_block")):
                name = f"test_tau0.3.{theirs}.level{number}"
                check(name, dspdet3d_golden, features[f"{ours}.{number}"], level.cells)


def test_stored_outputs_are_decoded_and_suppressed_exactly(dspdet3d_golden):
    levels = []
    for number in range(4):
        cells = torch.from_numpy(dspdet3d_golden[f"test_tau0.3.cls.level{number}.coords"]).int()
        levels.append(
            LevelOutputs(
                points=cells[:, 1:].float() * 0.01,
                batch_indices=cells[:, 0].long(),
                cells=cells,
                boxes_raw=torch.from_numpy(dspdet3d_golden[f"test_tau0.3.bbox_raw.level{number}.feats"]),
                class_logits=torch.from_numpy(dspdet3d_golden[f"test_tau0.3.cls.level{number}.feats"]),
                prune_logits=None,
                stride=4 * 2**number,
            )
        )
    for room, found in enumerate(detect(DSPDet3DOutputs(tuple(levels)), CONFIG, 2)):
        assert bool((found.scores[1:] <= found.scores[:-1]).all())
        order = np.lexsort((-found.scores.numpy(), found.labels.numpy()))
        expected = {
            name: dspdet3d_golden[f"test_tau0.3.det{room}.{name}"] for name in ("boxes", "scores", "labels")
        }
        assert np.array_equal(found.labels.numpy()[order], expected["labels"])
        np.testing.assert_allclose(found.scores.numpy()[order], expected["scores"], rtol=1e-6)
        np.testing.assert_allclose(found.boxes.numpy()[order], expected["boxes"], rtol=1e-6, atol=1e-6)


def test_detections_are_those_of_the_released_code(run, dspdet3d_golden):
    threshold, outputs, _ = run
    for room, found in enumerate(detect(outputs, CONFIG, 2)):
        expected = np.sort(dspdet3d_golden[f"test_tau{threshold}.det{room}.scores"])[::-1]
        assert abs(len(found) - len(expected)) <= 0.01 * len(expected)
        shared = min(len(found), len(expected))
        torch.testing.assert_close(found.scores[:shared], torch.from_numpy(expected[:shared].copy()), **CLOSE)


@pytest.mark.parametrize("room", [0, 1])
@pytest.mark.parametrize("case", ["train", "train_weak"])
def test_training_keeps_the_voxels_that_the_released_code_keeps(
    case, room, dspdet3d_golden, seeded_dspdet3d_state
):
    name = f"{case}.scene{room}"
    limit = int(dspdet3d_golden[f"{name}.pts_prune_threshold"])
    model = DSPDet3D(replace(CONFIG, max_train_voxels=limit)).train()
    load_released(model, seeded_dspdet3d_state)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    with torch.no_grad():
        outputs = model(room_batch(dspdet3d_golden[f"points_{room}"]))
    gaps = dspdet3d_golden[f"{name}.topk_tie_gap"]
    for level in range(3):
        cells = outputs.levels[level].cells
        expected = dspdet3d_golden[f"{name}.kept_after_up.level{level}.coords"]
        assert len(cells) == len(expected) == min(limit, len(expected))
        if case == "train" or gaps.min() > 1e-4:
            assert np.array_equal(cells[recorded_order(cells)].numpy(), expected)
