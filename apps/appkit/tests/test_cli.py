from dataclasses import dataclass, field

import pytest
from fusion3d_appkit.cli import AppParser, nearest_options, plain_defaults


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


@dataclass(frozen=True)
class Inner:
    width: int = 3
    name: str | None = None


@dataclass(frozen=True)
class Part:
    inner: Inner = field(default_factory=Inner)
    layers: tuple[Inner, ...] = (Inner(1), Inner(2))


@dataclass(frozen=True)
class Whole:
    part: Part | None = field(default_factory=Part)
    inner: Inner = field(default_factory=Inner)
    layers: tuple[Inner, ...] = ()


@pytest.fixture
def nested() -> AppParser:
    parser = AppParser(prog="tool")
    parser.add_argument("--config", action="config")
    parser.add_argument("--model", type=Whole)
    parser.set_defaults(plain_defaults("model", Whole()))
    return parser


def test_defaults_that_yaml_cannot_hold_become_plain_values():
    layers = [{"width": 1, "name": None}, {"width": 2, "name": None}]
    assert plain_defaults("model", Whole()) == {
        "model.part": {"inner": {"width": 3, "name": None}, "layers": layers}
    }


def test_a_written_configuration_is_read_back(nested, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(nested.dump(nested.parse_args(["--model.part.inner.width=7"])))
    read = nested.instantiate(nested.parse_args(["--config", str(file)])).model
    assert read == Whole(part=Part(inner=Inner(7)))


def test_a_file_and_the_command_line_change_single_fields_of_an_optional_part(nested, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("model: {part: {inner: {name: x}, layers: [{width: 5}]}}\n")
    words = ["--config", str(file), "--model.part.inner.width=4"]
    read = nested.instantiate(nested.parse_args(words)).model
    assert read == Whole(part=Part(inner=Inner(4, "x"), layers=(Inner(5),)))


@pytest.mark.parametrize("words", [["--model.part.inner.name", "null"], ["--model.part.inner.name=null"]])
def test_null_below_an_optional_part_is_none_and_no_word(nested, words):
    read = nested.instantiate(nested.parse_args(["--model.part.inner.width=4", *words])).model
    assert read.part.inner == Inner(4, None)


def test_an_unknown_option_of_an_optional_part_is_no_silent_loss(nested, capsys):
    with pytest.raises(SystemExit):
        nested.parse_args(["--model.part.inner.widht=4"])
    assert "did you mean model.part.inner.width" in capsys.readouterr().err


def test_an_unknown_key_of_an_optional_part_is_told_in_three_lines(nested, tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text("model: {part: {inner: {widht: 4}}}\n")
    with pytest.raises(SystemExit):
        nested.parse_args(["--config", str(file)])
    message = capsys.readouterr().err
    assert "did you mean model.inner.width or model.part.inner.width?" in message
    assert "Union" not in message
