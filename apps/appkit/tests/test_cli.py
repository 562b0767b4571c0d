import pytest
from appkit.cli import AppParser, nearest_options


@pytest.fixture
def parser() -> AppParser:
    parser = AppParser(prog="tool")
    parser.add_argument("--data.batch_size", type=int, default=2)
    parser.add_argument("--data.root", type=str, default="")
    return parser


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.detector.voxle.size", "model.detector.voxel.size"),
        ("trainer.max_epoch", "trainer.max_epochs"),
        ("lr", "lr"),
    ],
)
def test_nearest_option_is_found(name, expected):
    known = ["model.detector.voxel.size", "trainer.max_epochs", "trainer.max_steps", "data.root", "lr"]
    assert nearest_options(name, known)[0] == expected


def test_nothing_near_gives_no_suggestion():
    assert nearest_options("zzz", ["data.root", "trainer.max_epochs"]) == []


def test_unknown_argument_names_the_nearest_option(parser, capsys):
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--data.batch_sise", "3"])
    assert stop.value.code == 2
    assert "did you mean data.batch_size?" in capsys.readouterr().err


def test_unknown_key_in_a_file_names_the_nearest_option(parser, tmp_path, capsys):
    parser.add_argument("--config", action="config")
    file = tmp_path / "run.yaml"
    file.write_text("data:\n  batch_sise: 3\n")
    with pytest.raises(SystemExit):
        parser.parse_args(["--config", str(file)])
    message = capsys.readouterr().err
    assert "batch_sise" in message
    assert "did you mean data.batch_size?" in message
