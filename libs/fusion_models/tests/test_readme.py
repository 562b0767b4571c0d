import re
from pathlib import Path

import pytest
import torch
from fusion_models.imagepg import Detector, DetectorConfig
from fusion_models.imagepg.image_config import ImageBackboneConfig
from fusion_models.imagepg.variants import pg_rcnn, second, voxel_rcnn, with_image

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
        count = sum(p.numel() for p in Detector(config).parameters())
    row = next(line for line in README.splitlines() if line.startswith(f"| `{call}`"))
    assert f"| {count / 1e6:.2f} M" in row
