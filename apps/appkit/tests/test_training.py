import pytest
from fusion3d_appkit.training import option, without_option


@pytest.mark.parametrize("given", [["--ckpt_path", "none"], ["--ckpt_path=none"]])
def test_only_the_named_option_is_taken_out(given):
    words = ["--config", "none", *given, "--data.root", "none"]
    assert without_option(words, "ckpt_path") == ["--config", "none", "--data.root", "none"]


def test_the_last_value_of_an_option_counts():
    assert option(["--config", "a", "--config=b"], "config") == "b"
    assert option(["--config"], "config") is None
