import subprocess
import sys

import pytest
from fusion3d_appkit.commands import Command, dispatch


def run(words: list[str], result: int = 0) -> int:
    def fails(arguments):
        raise ValueError("points.bin: 17 bytes is not a multiple of 16")

    commands = {"fit": Command("train", lambda arguments: result), "check": Command("look", fails)}
    return dispatch("tool", commands, about="About.", epilog="More.", arguments=words)


def test_help_lists_the_commands(capsys):
    assert run(["--help"]) == 0
    assert "fit    train" in capsys.readouterr().out


def test_unknown_command_names_the_nearest(capsys):
    assert run(["fitt"]) == 2
    assert "did you mean 'fit'?" in capsys.readouterr().err


def test_exit_status_of_the_command_is_returned():
    assert run(["fit"], result=3) == 3


def test_an_error_the_user_can_mend_is_one_line(capsys):
    assert run(["check"]) == 2
    assert capsys.readouterr().err == "tool: points.bin: 17 bytes is not a multiple of 16\n"


def test_an_error_in_a_reading_process_comes_without_its_traceback(capsys):
    def fails(arguments):
        raise FileNotFoundError(
            "Caught FileNotFoundError in DataLoader worker process 0.\nOriginal Traceback (most recent call "
            "last):\n  File x\nFileNotFoundError: no image_2/000001.png; expected\n  image_2/\n"
        )

    assert dispatch("tool", {"fit": Command("", fails)}, about="", epilog="", arguments=["fit"]) == 2
    assert capsys.readouterr().err == "tool: no image_2/000001.png; expected\n  image_2/\n"


@pytest.mark.parametrize("module", ["fusion3d_appkit", "fusion3d_appkit.commands"])
def test_import_brings_neither_torch_nor_lightning(module):
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('torch', 'lightning')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
