import pytest
from fusion3d_appkit.training import take_option


@pytest.mark.parametrize("given", [["--ckpt_path", "none"], ["--ckpt_path=none"]])
def test_only_the_named_option_is_taken_out(given):
    words = ["--config", "none", *given, "--data.root", "none", "--flag", "--model.x=[-1, 2]", "--y", "-0.5"]
    value, others = take_option(words, "ckpt_path")
    assert value == "none"
    assert others == ["--config", "none", *words[2 + len(given) :]]


def test_the_last_value_of_an_option_counts():
    assert take_option(["--config", "a", "--config=b"], "config") == ("b", [])
    assert take_option(["--config"], "config") == (None, [])
    assert take_option(["--configs", "a"], "config") == (None, ["--configs", "a"])
