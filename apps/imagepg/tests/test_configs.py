from pathlib import Path

import lightning.pytorch as pl
import pytest
from appkit.cli import AppParser, plain_defaults
from fusion_models.imagepg import DetectorConfig
from imagepg.data import KittiData
from imagepg.demo import config_file
from imagepg.task import DetectionTask

CONFIGS = Path(__file__).parents[1] / "configs"
OPTIONS = Path(__file__).with_name("options.txt")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def parser() -> AppParser:
    parser = AppParser(prog="imagepg")
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.add_lightning_class_args(DetectionTask, "model")
    parser.add_lightning_class_args(KittiData, "data")
    parser.set_defaults(plain_defaults("model.detector", DetectorConfig()))
    return parser


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_is_understood(parser, path):
    assert parser.parse_path(path).data.root


def test_the_options_are_the_known_ones(parser):
    """An option that comes or goes is a change for users: tell it in the changelog and update options.txt."""
    own = [name for name in parser._known_options() if name.startswith(("model.", "data."))]
    assert "\n".join(own) + "\n" == OPTIONS.read_text()


def test_the_demo_finds_its_configuration():
    assert config_file().is_file()
