import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fusion_models.imagepg import RELEASED_ENTRY, Detector, DetectorConfig, load_released
from fusion_models.weights import read_checkpoint, save_weights
from imagepg.__main__ import main
from imagepg.weights import WEIGHTS, without_pretrained

pytestmark = pytest.mark.filterwarnings("ignore")

MANIFEST = Path(__file__).parents[3] / "libs/fusion_models/tests/golden/imagepg_state_dict.json"
# Few cells, proposals and stages, of which no box is left out: what the claim needs, in seconds.
QUICK = """
trainer: {accelerator: cpu}
data: {workers: 0, batch_size: 1}
model:
  detector:
    voxels: {bounds: [0.0, -12.8, -3.0, 25.6, 12.8, 1.0]}
    copies_test: [{flip_y: true}]
    test_proposals: {post_max: 48}
    post: {score_threshold: 0.0, class_thresholds: [0.0, 0.0, 0.0]}
"""


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """A checkpoint as the authors release them: their 753 names and shapes, seeded values."""
    generator = torch.Generator().manual_seed(5)
    state = {}
    for name, shape in json.loads(MANIFEST.read_text()).items():
        if name.endswith(("relative_position_index", "num_batches_tracked", "global_step")):
            state[name] = torch.zeros(shape, dtype=torch.int64)
        elif name.endswith("running_var"):
            state[name] = torch.ones(shape)
        else:
            fan_in = math.prod(shape[1:]) if len(shape) > 1 else 100
            state[name] = torch.randn(shape, generator=generator) * fan_in**-0.5
    path = tmp_path_factory.mktemp("released") / "imagepg.pth"
    content = {"epoch": 80, "it": 18560, "model_state": state, "optimizer_state": None, "version": "0.5.2"}
    torch.save(content, path)
    return path


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.slow
def test_the_authors_checkpoint_is_evaluated_and_applied_by_one_command(released, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "kitti")
    (frame,) = (root / "ImageSets" / "val.txt").read_text().split()[:1]
    (root / "ImageSets" / "val.txt").write_text(f"{frame}\n")
    config = tmp_path / "quick.yaml"
    config.write_text(QUICK)
    run = tmp_path / "run"
    words = [f"--config={config}", f"--data.root={root}", f"--trainer.default_root_dir={run}"]
    assert main(["validate", *words, f"--ckpt_path={released}"]) == 0

    folder = root / "training"
    files = {"points": ("velodyne", "bin"), "image": ("image_2", "png"), "calib": ("calib", "txt")}
    paths = [word for o, (at, end) in files.items() for word in (f"--{o}", f"{folder}/{at}/{frame}.{end}")]
    applied = [f"--ckpt={released}", f"--config={config}", "--min_score=0", f"--out={tmp_path / 'o'}"]
    assert main(["predict", *applied, *paths]) == 0
    found = lines(tmp_path / "o" / f"{frame}.txt")
    assert len(found) > 5
    assert lines(run / "detections" / f"{frame}.txt") == found


@pytest.mark.slow
def test_the_authors_checkpoint_stands_for_the_published_model(released):
    loaded = WEIGHTS.load_model(released).model
    direct = Detector(DetectorConfig())
    load_released(direct, read_checkpoint(released, entries=(RELEASED_ENTRY,))[RELEASED_ENTRY])
    assert loaded.config == direct.config
    pairs = zip(loaded.state_dict().values(), direct.state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


def test_the_kind_of_file_is_told_by_its_content(tmp_path):
    torch.save({"model_state": {}}, tmp_path / "a.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "b.pth")
    torch.save({"weights": {}}, tmp_path / "c.pth")
    assert not WEIGHTS.is_trainer_checkpoint(tmp_path / "a.ckpt")
    assert WEIGHTS.is_trainer_checkpoint(tmp_path / "b.pth")
    assert not WEIGHTS.is_trainer_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="'state_dict' or 'model_state', found none"):
        WEIGHTS.is_trainer_checkpoint(tmp_path / "c.pth")


def test_safetensors_need_a_configuration(tmp_path):
    save_weights(torch.nn.Linear(1, 1), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors: safetensors hold no configuration"):
        WEIGHTS.load_model(tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match=r"none\.yaml: no such file"):
        WEIGHTS.load_model(tmp_path / "w.safetensors", config=tmp_path / "none.yaml")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such file"):
        WEIGHTS.load(torch.nn.Linear(1, 1), DetectorConfig(), tmp_path / "none.safetensors")


def test_nothing_is_fetched_when_all_weights_come_from_a_file():
    config = DetectorConfig()
    named = replace(
        config, image=replace(config.image, swin=replace(config.image.swin, pretrained="some_model"))
    )
    assert without_pretrained(named) == config
    lidar = replace(config, image=None, roi=replace(config.roi, image_channels=None))
    assert without_pretrained(lidar) == lidar
