import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from fusion_models.imagepg import RELEASED_ENTRY, Detector, DetectorConfig, load_released
from fusion_models.weights import read_checkpoint, save_weights
from imagepg.__main__ import main
from imagepg.inference import load_detector
from imagepg.weights import WEIGHTS, without_pretrained

pytestmark = pytest.mark.filterwarnings("ignore")

MANIFEST = Path(__file__).parents[3] / "libs/fusion_models/tests/golden/imagepg_state_dict.json"
CALM = "post: {score_threshold: 0.0, class_thresholds: [0.0, 0.0, 0.0]}"


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


@pytest.fixture
def tiny_checkpoint(words, tmp_path) -> Path:
    assert main(["fit", *words, "--trainer.max_epochs=1", "--trainer.limit_val_batches=0"]) == 0
    return tmp_path / "run" / "checkpoints" / "last.ckpt"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.slow
def test_the_authors_checkpoint_is_evaluated_and_applied_by_one_command(released, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "kitti")
    (frame,) = (root / "ImageSets" / "val.txt").read_text().split()[:1]
    (root / "ImageSets" / "val.txt").write_text(f"{frame}\n")
    config = tmp_path / "calm.yaml"
    config.write_text("model: {detector: {" + CALM + "}}\n")
    run = tmp_path / "run"
    words = [f"--config={config}", f"--data.root={root}", f"--trainer.default_root_dir={run}"]
    words += ["--trainer.accelerator=cpu", "--data.workers=0", "--data.batch_size=1"]
    assert main(["test", *words, f"--ckpt_path={released}"]) == 0
    assert "Average precision" in (run / "report.html").read_text()

    folder = root / "training"
    files = {"points": ("velodyne", "bin"), "image": ("image_2", "png"), "calib": ("calib", "txt")}
    paths = [word for o, (at, end) in files.items() for word in (f"--{o}", f"{folder}/{at}/{frame}.{end}")]
    applied = [
        "--ckpt",
        str(released),
        "--config",
        str(config),
        "--min_score",
        "0",
        "--out",
        str(tmp_path / "o"),
    ]
    assert main(["predict", *applied, *paths]) == 0
    found = lines(tmp_path / "o" / f"{frame}.txt")
    assert len(found) > 5
    assert lines(run / "detections" / f"{frame}.txt") == found

    loaded = load_detector(released).detector
    direct = Detector(DetectorConfig())
    load_released(direct, read_checkpoint(released, entries=(RELEASED_ENTRY,))[RELEASED_ENTRY])
    assert loaded.config == direct.config
    pairs = zip(loaded.state_dict().values(), direct.state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


def test_a_training_is_not_resumed_from_weights_alone(words, tmp_path, capsys):
    torch.save({"model_state": {}}, tmp_path / "imagepg.pth")
    assert main(["fit", *words, f"--ckpt_path={tmp_path / 'imagepg.pth'}"]) == 2
    assert f"by --model.weights {tmp_path / 'imagepg.pth'}" in capsys.readouterr().err


def test_a_released_checkpoint_of_another_model_is_named(words, tmp_path, capsys):
    torch.save({"model_state": {}}, tmp_path / "other.pth")
    assert main(["test", *words, f"--ckpt_path={tmp_path / 'other.pth'}"]) == 2
    message = capsys.readouterr().err
    assert "other.pth" in message
    assert "build the model with the configuration the weights were made with" in message


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "model.safetensors"])
def test_a_training_starts_from_weights(tiny_checkpoint, words, tmp_path, name):
    before = torch.load(tiny_checkpoint, weights_only=True)["state_dict"]
    second = [*words, f"--trainer.default_root_dir={tmp_path / 'second'}", "--model.optim.lr=1.0e-12"]
    start = [f"--model.weights={tmp_path / 'run' / name}", "--trainer.max_steps=1"]
    assert main(["fit", *second, *start, "--trainer.limit_val_batches=0"]) == 0
    after = torch.load(tmp_path / "second" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for key in (name for name in before if name.endswith("weight")):
        torch.testing.assert_close(after[key], before[key], atol=1e-6, rtol=1e-5)


def test_weights_of_another_configuration_are_refused(tiny_checkpoint, words, tmp_path, capsys):
    other = [*words, f"--trainer.default_root_dir={tmp_path / 'second'}"]
    wider = [f"--model.weights={tiny_checkpoint}", "--model.detector.bev.channels=[16, 24]"]
    assert main(["fit", *other, *wider]) == 2
    message = capsys.readouterr().err
    assert str(tiny_checkpoint) in message
    assert "made with another configuration, first difference: size mismatch for bev." in message


def test_evaluation_takes_weights_alone_and_leaves_the_configuration_of_the_run(
    tiny_checkpoint, words, tmp_path
):
    run = tmp_path / "run"
    config = (run / "config.yaml").read_text()
    for path in (tiny_checkpoint, run / "model.safetensors"):
        assert main(["validate", *words, f"--ckpt_path={path}"]) == 0
        written = {file.name: lines(file) for file in (run / "detections").iterdir()}
        if path == tiny_checkpoint:
            first = written
    assert written == first
    assert (run / "config.yaml").read_text() == config


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
        load_detector(tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match=r"none\.yaml: no such file"):
        load_detector(tmp_path / "w.safetensors", config=tmp_path / "none.yaml")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such file"):
        WEIGHTS.load(torch.nn.Linear(1, 1), tmp_path / "none.safetensors")


def test_nothing_is_fetched_when_all_weights_come_from_a_file():
    import dataclasses

    config = DetectorConfig()
    swin = dataclasses.replace(config.image.swin, pretrained="some_model")
    named = dataclasses.replace(config, image=dataclasses.replace(config.image, swin=swin))
    assert without_pretrained(named) == config
    lidar = dataclasses.replace(config, image=None, roi=dataclasses.replace(config.roi, image_channels=None))
    assert without_pretrained(lidar) == lidar
