import pytest
from fusion3d_appkit.commands import Command, Program


def run(words: list[str], result: int = 0, error: Exception | None = None) -> int:
    def check(arguments):
        raise error or ValueError("points.bin: 17 bytes is not a multiple of 16")

    own = {"look": Command("see", lambda arguments: result), "check": Command("see again", check)}
    return Program(name="tool", about="About.", epilog="More.", own=own).main(words)


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_lists_the_commands_the_apps_own_before_the_demo(capsys, words):
    assert run(words) == 0
    text = capsys.readouterr().out
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert listed == ["fit", "validate", "test", "look", "check", "demo"]
    assert "About." in text and "More." in text


def test_unknown_command_names_the_nearest(capsys):
    assert run(["fitt"]) == 2
    assert "did you mean 'fit'?" in capsys.readouterr().err


def test_exit_status_of_the_command_is_returned():
    assert run(["look"], result=3) == 3


def test_an_error_the_user_can_mend_is_one_line(capsys):
    assert run(["check"]) == 2
    assert capsys.readouterr().err == "tool: points.bin: 17 bytes is not a multiple of 16\n"


def test_an_error_in_a_reading_process_comes_without_its_traceback(capsys):
    error = FileNotFoundError(
        "Caught FileNotFoundError in DataLoader worker process 0.\nOriginal Traceback (most recent call "
        "last):\n  File x\nFileNotFoundError: no image_2/000001.png; expected\n  image_2/\n"
    )
    assert run(["check"], error=error) == 2
    assert capsys.readouterr().err == "tool: no image_2/000001.png; expected\n  image_2/\n"
