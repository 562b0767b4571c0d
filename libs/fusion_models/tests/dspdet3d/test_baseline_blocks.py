from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fusion_models.dspdet3d.baseline_blocks import PooledBackbone, RoomInstanceNorm
from fusion_models.dspdet3d.baseline_config import BaselineConfig, higher
from fusion_models.dspdet3d.fcaf3d import FCAF3D, FCAF3DConfig, fcaf3d
from fusion_models.dspdet3d.tr3d import TR3D, TR3DConfig, tr3d
from fusion_models.layers.rows import RowBatchNorm
from sparseops import GridFrame, SparseTensor
from torch import nn

GOLDEN = Path(__file__).parents[1] / "golden" / "minkowski_instance_norm.npz"


def test_instance_norm_is_that_of_minkowski_engine():
    """Two rooms of 432 voxels; recorded rows are sorted by room, x, y, z. Tolerance of the recording."""
    golden = np.load(GOLDEN)
    coords = torch.from_numpy(golden["coords_bxyz"])
    coords_bzyx = coords[:, [0, 3, 2, 1]].long()
    frame = GridFrame.around(coords_bzyx, batch_size=2, coarsest=4)
    rows = torch.from_numpy(golden["rows"])
    tensor = SparseTensor(rows, frame.cells(coords_bzyx), frame.spatial_shape, 2)
    layer = RoomInstanceNorm(5)
    layer.load_state_dict({name: torch.from_numpy(golden[name]) for name in ("weight", "bias")})
    order = np.lexsort(golden["coords_bxyz"].T[::-1])
    torch.testing.assert_close(
        layer(tensor).features[order].detach(), torch.from_numpy(golden["normed"]), rtol=1e-5, atol=1e-5
    )


def test_instance_norm_has_the_gradient_of_its_formula():
    coords = torch.tensor([[0, 0, 0, x] for x in range(5)] + [[2, 0, 0, x] for x in range(3)])
    rows = torch.randn(8, 3, dtype=torch.double, requires_grad=True)
    weight = torch.randn(8, 3)
    layer = RoomInstanceNorm(3)
    ours = layer(SparseTensor(rows.float(), coords.int(), (1, 1, 5), 3)).features
    (ours * weight).sum().backward()
    got, rows.grad = rows.grad, None
    parts = [
        (part - part.mean(0)) / (part.var(0, correction=0) + 1e-8).sqrt() for part in (rows[:5], rows[5:])
    ]
    (torch.cat(parts) * weight).sum().backward()
    torch.testing.assert_close(got, rows.grad, rtol=1e-4, atol=1e-5)


def test_a_room_of_one_voxel_becomes_the_bias_and_one_of_none_is_fine():
    layer = RoomInstanceNorm(2)
    nn.init.constant_(layer.bias, 0.5)
    one = SparseTensor(torch.randn(1, 2), torch.tensor([[1, 0, 0, 0]], dtype=torch.int32), (1, 1, 1), 3)
    assert layer(one).features.tolist() == [[0.5, 0.5]]
    none = SparseTensor(torch.zeros(0, 2), torch.zeros(0, 4, dtype=torch.int32), (1, 1, 1), 3)
    assert layer(none).features.shape == (0, 2)


@pytest.mark.parametrize("config", [tr3d(), fcaf3d()], ids=lambda config: type(config).__name__)
def test_higher_is_the_same_network_on_twice_as_fine_levels(config):
    finer = higher(config)
    assert type(finer) is type(config)
    assert [2 * cell for cell in finer.cells_m] == list(config.cells_m)
    assert replace(finer, stem_stride=4) == config
    with torch.device("meta"):
        nets = [PooledBackbone(c, norm=RowBatchNorm(c.stem_channels)) for c in (config, finer)]
    assert nets[0].state_dict().keys() == nets[1].state_dict().keys()


def test_published_numbers():
    assert tr3d().cells_m == (0.16, 0.32)
    assert fcaf3d().cells_m == (0.08, 0.16, 0.32, 0.64)
    assert tr3d().num_classes == fcaf3d().num_classes == 18
    assert tr3d().label_levels.count(1) == 9


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (TR3DConfig, {"class_names": ("cup",)}, "label_levels must be one number from 0 to 1 for each of 1"),
        (TR3DConfig, {"label_levels": (2,) * 18}, "label_levels must be one number from 0 to 1"),
        (TR3DConfig, {"assign_top": 0}, "TR3DConfig.assign_top"),
        (TR3DConfig, {"volume_threshold": 0.0}, "TR3DConfig.volume_threshold"),
        (FCAF3DConfig, {"max_voxels": 0}, "FCAF3DConfig.max_voxels"),
        (FCAF3DConfig, {"center_weight": -1.0}, "FCAF3DConfig.center_weight"),
        (FCAF3DConfig, {"class_names": ("cup", "cup")}, "FCAF3DConfig.class_names must be distinct"),
        (BaselineConfig, {"stem_stride": 3}, "stem_stride must be one of"),
        (BaselineConfig, {"nms_overlap": "iou"}, "nms_overlap must be one of"),
        (BaselineConfig, {"stage_blocks": (1, 1), "stage_channels": (4, 4)}, "for three or more levels"),
    ],
)
def test_what_does_not_fit_is_refused(make, change, message, unchecked_shapes):
    with pytest.raises(ValueError, match=message):
        make(**change)


@pytest.mark.parametrize(("make", "config"), [(TR3D, tr3d()), (FCAF3D, fcaf3d())], ids=["tr3d", "fcaf3d"])
def test_weights_start_as_released(make, config):
    """Kaiming by what leaves, up to FCAF3D's neck, which is uniform by what enters; classes at 1 percent."""
    torch.manual_seed(0)
    small = replace(config, stage_channels=(16, 16, 16, 16), out_channels=16)
    model = make(small)
    assert torch.allclose(model.class_head.bias.sigmoid(), torch.tensor(0.01))
    assert model.box_head.weight.std().item() == pytest.approx(0.01, rel=0.3)
    body = model.backbone.stages[2][1].body[0].weight
    assert body.std().item() == pytest.approx((2 / (27 * 16)) ** 0.5, rel=0.05)
    stem = model.backbone.stem[0].weight
    assert stem.std().item() == pytest.approx((2 / (27 * 64)) ** 0.5, rel=0.05)
    up, out = model.ups[0][0].weight, model.outs[0][0].weight
    bound = 1 / (16 * up.shape[0] ** 3) ** 0.5
    assert 0.95 * bound < up.abs().max().item() <= bound
    if make is FCAF3D:
        assert 0.95 * (27 * 16) ** -0.5 < out.abs().max().item() <= (27 * 16) ** -0.5
        assert [scale.item() for scale in model.scales] == [1.0] * 4
    else:
        assert out.std().item() == pytest.approx((2 / (27 * 16)) ** 0.5, rel=0.05)
