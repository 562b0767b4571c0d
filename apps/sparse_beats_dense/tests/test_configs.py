from pathlib import Path

import pytest
from datasets3d.depth import DepthAugmentation, DepthReading
from fusion3d_appkit.files import config_file
from fusion_models.sparse_beats_dense.model import SparseBeatsDenseConfig
from jsonargparse import ArgumentParser
from sparse_beats_dense.task import PUBLISHED_OPTIMISER

CONFIGS = Path(__file__).parents[1] / "configs"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def parser(under_test):
    return under_test.parser()


def part_of(parser, name: str, option: str, kind: type):
    chosen = parser.parse_path(CONFIGS / f"{name}.yaml")
    part = ArgumentParser(exit_on_error=False)
    part.add_argument("--part", type=kind)
    return part.instantiate(part.parse_object({"part": chosen[option]})).part


def test_the_published_training_is_the_default(parser):
    assert part_of(parser, "nuscenes", "model.network", SparseBeatsDenseConfig) == SparseBeatsDenseConfig()
    assert part_of(parser, "nuscenes", "data.augmentation", DepthAugmentation) == DepthAugmentation()
    assert part_of(parser, "nuscenes", "data.reading", DepthReading) == DepthReading()
    assert part_of(parser, "nuscenes", "model.optim", type(PUBLISHED_OPTIMISER)) == PUBLISHED_OPTIMISER


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_has_the_mask_decoder(parser, path):
    assert part_of(parser, path.stem, "model.network", SparseBeatsDenseConfig).mask_decoder


@pytest.mark.parametrize(
    "words",
    [
        ["--data.augmentation.disruption=null"],
        ["--data.reading.radar_drawing=points"],
        ["--data.reading.supervision_folder=dense"],
        ["--model.network.mask_decoder=false"],
        ["--model.network.position_injection=false"],
        ["--model.network.levels=1"],
    ],
)
def test_the_ablations_of_the_readme_are_options(parser, words):
    root = ["--data.root=data"]
    assert parser.parse_args([*root, *words]) != parser.parse_args(root)


def test_the_demo_finds_its_configuration():
    assert config_file("sparse_beats_dense", "demo") == CONFIGS / "demo.yaml"
