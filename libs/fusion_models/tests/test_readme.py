import re
from pathlib import Path

import torch
from fusion_models import Detector, DetectorConfig

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_examples_run():
    torch.manual_seed(0)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})


def test_stated_size_of_the_default_is_true():
    count = sum(p.numel() for p in Detector(DetectorConfig()).parameters())
    assert f"one refinement stage | {count / 1e6:.2f} M" in README
