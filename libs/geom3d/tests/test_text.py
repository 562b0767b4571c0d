import re

import pytest
from geom3d.text import read_text

LINES = "P2: 1 2\nmöbel\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_is_the_same_however_an_editor_saved_it(tmp_path, encoding, end):
    (tmp_path / "a.txt").write_bytes(LINES.replace("\n", end).encode(encoding))
    assert read_text(tmp_path / "a.txt") == LINES


@pytest.mark.parametrize("mark", ["<", ">"])
def test_both_orders_of_bytes_are_read(tmp_path, mark):
    (tmp_path / "a.txt").write_bytes(("\ufeff" + LINES).encode("utf-16-le" if mark == "<" else "utf-16-be"))
    assert read_text(tmp_path / "a.txt") == LINES


@pytest.mark.parametrize(
    ("content", "line", "byte"),
    [
        (b"one\ntwo\nthr\xe9e", 3, "0xe9"),
        (b"one\n\0\xff", 2, "0x00"),
        ("one\n".encode("utf-16-le"), 1, "0x00"),
        (b"\x93NUMPY\x01\0", 1, "0x93"),
        (b"\xff\xfeo\0n", 1, "0x6e"),
    ],
)
def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path, content, line, byte):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(
        ValueError, match=re.escape(f"a.txt, line {line}: expected text, got the byte {byte}")
    ):
        read_text(tmp_path / "a.txt")


def test_an_empty_file_is_empty_text(tmp_path):
    (tmp_path / "a.txt").touch()
    assert read_text(tmp_path / "a.txt") == ""
