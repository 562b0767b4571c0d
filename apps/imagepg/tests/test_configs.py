from pathlib import Path

import pytest
import torch
from fusion3d_appkit.files import config_file
from fusion_models.imagepg import Detector, DetectorConfig, variants
from imagepg.weights import without_pretrained
from jsonargparse import ArgumentParser

CONFIGS = Path(__file__).parents[1] / "configs"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def parser(under_test):
    return under_test.parser()


def detector_of(parser, name: str) -> DetectorConfig:
    chosen = parser.parse_path(CONFIGS / f"{name}.yaml").model.detector
    part = ArgumentParser(exit_on_error=False)
    part.add_argument("--detector", type=DetectorConfig)
    return part.instantiate(part.parse_object({"detector": chosen})).detector


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pg_rcnn", "voxel_rcnn", "second"])
def test_a_baseline_is_the_variant_of_its_name(parser, name):
    assert detector_of(parser, name) == getattr(variants, name)()


@pytest.mark.slow
def test_the_published_training_differs_from_the_defaults_in_its_image_weights_alone(parser):
    config = detector_of(parser, "kitti")
    assert config.image.swin.pretrained == "swin_tiny_patch4_window7_224.ms_in1k"
    assert without_pretrained(config) == variants.imagepg()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "overfit"])
def test_a_small_configuration_has_every_part_of_the_full_model(parser, name):
    config = detector_of(parser, name)
    assert config.copies_train and config.copies_test
    assert config.image is not None and config.occupancy is not None and config.roi.generator is not None
    assert config.needs_dense_points
    assert parser.parse_path(CONFIGS / f"{name}.yaml").data.training.dense_points


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_detector_of_every_configuration_can_be_built(parser, path):
    with torch.device("meta"):
        assert len(list(Detector(without_pretrained(detector_of(parser, path.stem))).parameters())) > 20


def test_the_demo_finds_its_configuration():
    assert config_file("imagepg", "demo") == CONFIGS / "demo.yaml"
