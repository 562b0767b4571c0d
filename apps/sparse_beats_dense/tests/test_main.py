import subprocess
import sys

import pytest
from sparse_beats_dense.__main__ import COMMANDS, main

# Lightning calls jsonargparse in ways that the newest jsonargparse deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("command", ["", "predict", "masks", "export", "demo"])
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys, sparse_beats_dense.__main__ as app\n"
        f"try: app.main({[*command.split(), '--help']})\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'lightning', 'timm', 'numba', 'transformers', 'torchvision')\n"
        "sys.exit(any(name in sys.modules for name in heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_unknown_command_names_the_nearest(capsys):
    assert main(["tain"]) == 2
    assert "Commands: fit, validate, test, predict, masks, export, demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("--data.batch_sise=3", "data.batch_size"),
        ("--model.network.base_widht=8", "model.network.base_width"),
        ("--data.augmentation.disruption.zom=[1,1]", "data.augmentation.disruption.zoom"),
    ],
)
def test_unknown_option_names_the_nearest(words, option, nearest, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", *words, option])
    assert stop.value.code == 2
    assert f"did you mean {nearest}" in capsys.readouterr().err


def test_the_examples_of_the_help_have_a_line_each(capsys):
    main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    commands = [line.split()[1] for line in lines if line.startswith("  sparse_beats_dense ")]
    assert commands == ["demo", "masks", "fit", "test", "predict", "export"]
