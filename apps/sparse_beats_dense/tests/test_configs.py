from pathlib import Path

import lightning.pytorch as pl
import pytest
from datasets3d.depth import DepthAugmentation, DepthReading
from fusion3d_appkit.cli import AppParser
from fusion3d_appkit.commands import config_file
from fusion_models.sparse_beats_dense.model import SparseBeatsDenseConfig
from jsonargparse import ArgumentParser
from sparse_beats_dense import train
from sparse_beats_dense.data import DepthData
from sparse_beats_dense.task import PUBLISHED_OPTIMISER, DepthTask

CONFIGS = Path(__file__).parents[1] / "configs"
OPTIONS = Path(__file__).with_name("options.txt")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def parser() -> AppParser:
    parser = AppParser(prog="sparse_beats_dense")
    parser.add_argument("--seed_everything", type=int, default=0)
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.add_lightning_class_args(DepthTask, "model")
    parser.add_lightning_class_args(DepthData, "data")
    parser.set_defaults(dict(train.APP.defaults))
    return parser


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
def test_every_configuration_is_understood(parser, path):
    assert parser.parse_path(path).data.root
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


def test_the_options_are_the_known_ones(parser):
    """An option that comes or goes is a change for users: tell it in the changelog and update options.txt."""
    own = [name for name in parser._known_options() if name.startswith(("model.", "data."))]
    assert "\n".join(own) + "\n" == OPTIONS.read_text()


def test_the_demo_finds_its_configuration():
    assert config_file(train.__file__, "demo").is_file()
