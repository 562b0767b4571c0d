import re
from pathlib import Path

import pytest
import torch
from fusion_models.dspdet3d import DSPDet3D, DSPDet3DConfig
from fusion_models.dspdet3d.baseline_config import higher
from fusion_models.dspdet3d.fcaf3d import FCAF3D, fcaf3d
from fusion_models.dspdet3d.tr3d import TR3D, tr3d
from fusion_models.imagepg import Detector, DetectorConfig
from fusion_models.imagepg.image_config import ImageBackboneConfig
from fusion_models.imagepg.variants import pg_rcnn, second, voxel_rcnn, with_image
from fusion_models.segmentation import SegmentationNet, SegmentationNetConfig, minkunet, spvcnn

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_examples_run():
    torch.manual_seed(0)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})


@pytest.mark.parametrize(
    ("call", "config"),
    [
        ("DetectorConfig()", DetectorConfig()),
        ("with_image(DetectorConfig(), None)", with_image(DetectorConfig(), None)),
        ("pg_rcnn()", pg_rcnn()),
        ("with_image(pg_rcnn(), ImageBackboneConfig())", with_image(pg_rcnn(), ImageBackboneConfig())),
        ("voxel_rcnn()", voxel_rcnn()),
        ("second()", second()),
    ],
)
def test_stated_sizes_are_true(call, config):
    with torch.device("meta"):
        assert _stated(call) == _millions(Detector(config))


@pytest.mark.parametrize(
    ("call", "config"),
    [
        ("SegmentationNetConfig()", SegmentationNetConfig()),
        ("spvcnn(0.5)", spvcnn(0.5)),
        ("spvcnn(0.64)", spvcnn(0.64)),
        ("spvcnn()", spvcnn()),
        ("minkunet(0.5)", minkunet(0.5)),
        ("minkunet(0.64)", minkunet(0.64)),
        ("minkunet()", minkunet()),
    ],
)
def test_stated_sizes_of_segmentation_networks_are_true(call, config):
    with torch.device("meta"):
        assert _stated(call) == _millions(SegmentationNet(config))


def test_the_stated_size_of_dspdet3d_is_true():
    with torch.device("meta"):
        assert f"`DSPDet3DConfig()` has {_millions(DSPDet3D(DSPDet3DConfig()))} parameters" in README


@pytest.mark.slow
def test_stated_sizes_of_the_detectors_to_compare_with_are_true():
    for make, config in ((TR3D, tr3d()), (FCAF3D, fcaf3d())):
        name = f"{make.__name__}({make.__name__.lower()}())"
        with torch.device("meta"):
            assert _stated(name) == _millions(make(config))
            assert _stated(name.replace("(", "(higher(", 1) + ")") == _millions(make(higher(config)))


def _stated(call):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{call}`"))
    return re.findall(r"\| (\d+\.\d+ M)", row)[-1]


def _millions(model):
    return f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M"
