import argparse

import pytest
from fusion3d_appkit.demo import Demo


class Toy(Demo):
    """Writes a file, and stops where it is told to."""

    app, folder, result = "toy", "toy", "only"
    fails = False

    def make_data(self, root, chosen):
        root.mkdir()
        (root / "a").write_text("made")
        if self.fails:
            raise KeyboardInterrupt
        (root / "b").write_text("made")


def provide(demo: Demo, root) -> None:
    demo._provide_data(argparse.Namespace(data=root))


def test_data_that_is_there_is_used(tmp_path, capsys):
    provide(Toy(), tmp_path)
    assert not list(tmp_path.iterdir())
    assert f"using the data in {tmp_path}" in capsys.readouterr().out


def test_data_whose_making_was_interrupted_is_made_anew(tmp_path):
    demo = Toy()
    demo.fails = True
    with pytest.raises(KeyboardInterrupt):
        provide(demo, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    demo.fails = False
    provide(demo, tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"a", "b"}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_options_have_the_folders_of_the_demo():
    chosen = Toy().parser().parse_args([])
    assert (str(chosen.out), str(chosen.data)) == ("runs/toy", "data/toy")
