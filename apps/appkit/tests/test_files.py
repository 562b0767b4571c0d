import pytest
from fusion3d_appkit.files import read_yaml, require_file, write_text


def test_a_missing_file_names_those_alike(tmp_path):
    for name in ("last.ckpt", "epoch_0001.ckpt", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"--ckpt .*lst\.ckpt: no such file; beside it are last"):
        require_file(tmp_path / "lst.ckpt", "--ckpt")
    with pytest.raises(FileNotFoundError, match=r"no such file, and none like it in .*nowhere"):
        require_file(tmp_path / "nowhere" / "last.ckpt", "--ckpt")


def test_another_ending_is_refused_and_case_does_not_count(tmp_path):
    for name in ("scan.ply", "scan.BIN"):
        (tmp_path / name).touch()
    require_file(tmp_path / "scan.BIN", "--points", suffixes=(".bin",))
    with pytest.raises(ValueError, match=r"--points .*scan\.ply: expected \.bin"):
        require_file(tmp_path / "scan.ply", "--points", suffixes=(".bin",))


@pytest.mark.parametrize(("content", "message"), [("a: [", "no YAML"), ("- a", "expected options with")])
def test_a_file_that_holds_no_options_is_named(tmp_path, content, message):
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(ValueError, match=rf"configuration .*run\.yaml: {message}"):
        read_yaml(tmp_path / "run.yaml")


def test_an_empty_file_holds_no_options(tmp_path):
    (tmp_path / "run.yaml").touch()
    assert read_yaml(tmp_path / "run.yaml") == {}


def test_the_folder_of_a_written_file_is_made_and_nothing_else_left(tmp_path):
    write_text(tmp_path / "run" / "a.txt", "ü\n")
    assert (tmp_path / "run" / "a.txt").read_text(encoding="utf-8") == "ü\n"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["a.txt"]
