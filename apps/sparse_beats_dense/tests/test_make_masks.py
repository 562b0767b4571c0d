import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets3d.depth.masks import RADAR_CLASSES, read_class_ids
from sparse_beats_dense.__main__ import main
from sparse_beats_dense.segmenters import check_classes, load_segmenter
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")
MODEL = "python:tiny_segmenter:make"


def tiny(classes: int = 150) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, classes, 1))


@pytest.fixture(autouse=True)
def module(monkeypatch):
    module = SimpleNamespace(make=tiny, make_small=lambda: tiny(21), make_nothing=lambda: 3)
    monkeypatch.setitem(sys.modules, "tiny_segmenter", module)


@pytest.fixture
def root(street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    shutil.rmtree(root / "seg_mask")
    return root


@pytest.mark.slow
def test_every_picture_gets_a_mask_that_training_reads(root, words, tmp_path, capsys):
    assert main(["masks", "--root", str(root), "--model", MODEL, "--side", "40"]) == 0
    assert "6 masks written, 0 were there" in capsys.readouterr().out
    assert sorted(path.name for path in (root / "seg_mask").iterdir()) == [f"frame{i}.png" for i in range(6)]
    assert read_class_ids(root / "seg_mask/frame0.png").shape == (54, 96)
    one = ["--trainer.max_epochs=1", "--trainer.limit_val_batches=0", "--trainer.limit_train_batches=1"]
    assert main(["fit", *words, f"--data.root={root}", *one]) == 0


@pytest.mark.slow
def test_masks_that_are_there_are_kept(root, capsys):
    main(["masks", "--root", str(root), "--model", MODEL])
    before = (root / "seg_mask/frame3.png").read_bytes()
    (root / "seg_mask/frame2.png").unlink()
    (root / "seg_mask/frame3.png").write_bytes(b"kept")
    assert main(["masks", "--root", str(root), "--model", MODEL]) == 0
    assert "1 masks written, 5 were there" in capsys.readouterr().out
    assert (root / "seg_mask/frame3.png").read_bytes() == b"kept" != before


@pytest.mark.slow
def test_a_torchvision_model_with_its_weights_segments(root, tmp_path):
    import torchvision

    torch.manual_seed(0)
    name = "lraspp_mobilenet_v3_large"
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=150)
    torch.save(model.state_dict(), tmp_path / "ade.pt")
    segment = load_segmenter(f"torchvision:{name}", weights=tmp_path / "ade.pt", side_px=32, device="cpu")
    ids = segment(torch.randint(0, 255, (54, 96, 3), dtype=torch.uint8))
    assert ids.shape == (54, 96) and ids.dtype == torch.uint8


def test_the_ids_are_those_of_the_largest_logit():
    class Fixed(nn.Module):
        def forward(self, x):
            logits = torch.zeros(1, 150, 2, 4)
            logits[:, 20, :, :2] = 1
            logits[:, 149, :, 2:] = 1
            return {"out": logits}

    sys.modules["tiny_segmenter"].make = Fixed
    ids = load_segmenter(MODEL, weights=None, side_px=8, device="cpu")(
        torch.zeros(8, 16, 3, dtype=torch.uint8)
    )
    assert np.unique(ids[:, :8]).tolist() == [20] and np.unique(ids[:, 8:]).tolist() == [149]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nothing", "expected SOURCE:NAME with SOURCE one of transformers, torchvision, timm, python"),
        ("keras:x", "expected SOURCE:NAME"),
        ("python:tiny_segmenter:make_small", r"expected logits \[1, 150, h, w\] for a picture, got \[1, 21"),
        ("python:tiny_segmenter:make_nothing", "expected a torch.nn.Module, got int"),
        ("python:tiny_segmenter:none", "expected MODULE:FUNCTION, importable from here"),
        ("torchvision:lraspp_mobilenet_v3_large", "has no weights for ADE20K's 150 classes; name those you"),
        ("timm:resnet10t", "timm has no weights for ADE20K's 150 classes"),
    ],
)
def test_a_model_that_will_not_do_is_refused_with_the_reason(root, model, message, capsys):
    import re

    assert main(["masks", "--root", str(root), "--model", model]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list((root / "seg_mask").glob("*.png"))


def test_a_library_that_is_not_installed_is_named_with_the_cure(root, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert main(["masks", "--root", str(root), "--model", "transformers:x"]) == 2
    assert "which is not installed: pip install transformers" in capsys.readouterr().err


def test_a_tree_without_pictures_is_named(tmp_path, capsys):
    assert main(["masks", "--root", str(tmp_path), "--model", MODEL]) == 2
    assert "no pictures in" in capsys.readouterr().err


def ade20k() -> dict[int, str]:
    return {i: RADAR_CLASSES.get(i, f"class {i}") for i in range(150)}


def test_the_classes_of_ade20k_are_accepted_with_their_longer_names():
    check_classes(ade20k() | {12: "person, individual", 1: "building;edifice"}, "model")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (dict.fromkeys(range(19), "x"), "knows 19 classes, expected the 150 of ADE20K"),
        ({i: ade20k().get(i - 1, "other") for i in range(150)}, "class 0 is 'other', ADE20K's is 'wall'"),
    ],
)
def test_other_classes_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        check_classes(names, "model")
