from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from fusion3d_appkit.cli import AppParser, plain_defaults
from fusion3d_appkit.commands import config_file
from fusion_models.imagepg import Detector, DetectorConfig, variants
from imagepg import demo
from imagepg.data import KittiData
from imagepg.task import DetectionTask
from imagepg.weights import without_pretrained
from jsonargparse import ArgumentParser

CONFIGS = Path(__file__).parents[1] / "configs"
OPTIONS = Path(__file__).with_name("options.txt")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def parser() -> AppParser:
    parser = AppParser(prog="imagepg")
    parser.add_argument("--seed_everything", type=int, default=0)
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.add_lightning_class_args(DetectionTask, "model")
    parser.add_lightning_class_args(KittiData, "data")
    parser.set_defaults(plain_defaults("model.detector", DetectorConfig()))
    return parser


def detector_of(parser, name: str) -> DetectorConfig:
    chosen = parser.parse_path(CONFIGS / f"{name}.yaml").model.detector
    part = ArgumentParser(exit_on_error=False)
    part.add_argument("--detector", type=DetectorConfig)
    return part.instantiate(part.parse_object({"detector": chosen})).detector


@pytest.mark.parametrize("name", ["pg_rcnn", "voxel_rcnn", "second"])
def test_a_baseline_is_the_variant_of_its_name(parser, name):
    assert detector_of(parser, name) == getattr(variants, name)()


def test_the_published_training_differs_from_the_defaults_in_its_image_weights_alone(parser):
    config = detector_of(parser, "kitti")
    assert config.image.swin.pretrained == "swin_tiny_patch4_window7_224.ms_in1k"
    assert without_pretrained(config) == variants.imagepg()


@pytest.mark.parametrize("name", ["demo", "overfit"])
def test_a_small_configuration_has_every_part_of_the_full_model(parser, name):
    config = detector_of(parser, name)
    assert config.copies_train and config.copies_test
    assert config.image is not None and config.occupancy is not None and config.roi.generator is not None
    assert config.needs_dense_points
    assert parser.parse_path(CONFIGS / f"{name}.yaml").data.training.dense_points


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_detector_of_every_configuration_can_be_built(parser, path):
    with torch.device("meta"):
        assert len(list(Detector(without_pretrained(detector_of(parser, path.stem))).parameters())) > 20


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_is_understood(parser, path):
    assert parser.parse_path(path).data.root


def test_the_options_are_the_known_ones(parser):
    """An option that comes or goes is a change for users: tell it in the changelog and update options.txt."""
    own = [name for name in parser._known_options() if name.startswith(("model.", "data."))]
    assert "\n".join(own) + "\n" == OPTIONS.read_text()


def test_the_demo_finds_its_configuration():
    assert config_file(demo.__file__, "demo").is_file()
