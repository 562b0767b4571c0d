import numpy as np
import pytest
from cluster3dseg.__main__ import main
from datasets3d.segmentation import find_mistakes
from datasets3d.semantickitti import SINGLE_SCAN
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def checkpoint(trained):
    return str(trained / "checkpoints/last.ckpt")


@pytest.fixture
def scan(streets):
    return streets / "sequences/08/velodyne/000000.bin"


def test_a_scan_gets_labels_a_cloud_and_a_picture(checkpoint, scan, tmp_path, capsys):
    assert main(["predict", "--ckpt", checkpoint, "--scans", str(scan), "--out", str(tmp_path)]) == 0
    labels = np.fromfile(tmp_path / "000000.label", "<u4")
    assert len(labels) == scan.stat().st_size // 16
    assert set(labels.tolist()) <= set(SINGLE_SCAN.class_to_raw)
    assert (tmp_path / "000000.ply").read_bytes().startswith(b"ply\nformat binary_little_endian 1.0\n")
    assert Image.open(tmp_path / "000000.png").width > 500
    printed = capsys.readouterr()
    assert "1 scans labelled, 0 were there" in printed.out
    assert "000000: " in printed.out
    assert not printed.err


def test_a_folder_goes_on_where_it_stopped_and_ends_with_the_same_bytes(
    checkpoint, streets, tmp_path, capsys
):
    words = ["predict", "--ckpt", checkpoint, "--scans", str(streets / "sequences/08/velodyne")]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    assert main([*words, "--out", str(tmp_path / "again")]) == 0
    (tmp_path / "again/000001.label").unlink()
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "again")]) == 0
    assert "1 scans labelled, 1 were there" in capsys.readouterr().out
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_votes_change_the_probabilities_not_the_files(checkpoint, scan, tmp_path):
    for votes in ("1", "4"):
        out = str(tmp_path / votes)
        assert (
            main(["predict", "--ckpt", checkpoint, "--scans", str(scan), "--out", out, "--votes", votes]) == 0
        )
    one, four = (np.fromfile(tmp_path / votes / "000000.label", "<u4") for votes in ("1", "4"))
    assert len(one) == len(four)


def test_millimetres_y_up_and_bright_intensities_are_told_and_repaired(checkpoint, scan, tmp_path, capsys):
    points = np.fromfile(scan, np.float32).reshape(-1, 4)
    strange = np.column_stack([points[:, 1], points[:, 2], points[:, 0], 255 * points[:, 3]]) * [
        1e3,
        1e3,
        1e3,
        1,
    ]
    np.save(tmp_path / "strange.npy", strange.astype(np.float32))
    words = ["predict", "--ckpt", checkpoint, "--scans", str(tmp_path / "strange.npy")]
    assert main([*words, "--out", str(tmp_path / "as_is")]) == 0
    told = capsys.readouterr().err
    assert "millimetres?; --fix repairs it" in told
    assert "z must be up" in told
    assert "divide by 255" in told
    assert main([*words, "--out", str(tmp_path / "fixed"), "--fix"]) == 0
    assert capsys.readouterr().err.count("; repaired") == 3
    header, _, body = (tmp_path / "fixed/strange.ply").read_bytes().partition(b"end_header\n")
    kinds = {b"float": "<f4", b"uchar": "u1", b"uint": "<u4"}
    rows = [line.split() for line in header.splitlines() if line.startswith(b"property")]
    cloud = np.frombuffer(body, [(name.decode(), kinds[kind]) for _, kind, name in rows])
    fixed = np.column_stack([cloud[name] for name in ("x", "y", "z", "intensity")])
    assert not find_mistakes(fixed)
    np.testing.assert_allclose(fixed[:, 2], points[:, 2], atol=1e-3)
    np.testing.assert_allclose(np.hypot(fixed[:, 0], fixed[:, 1]), np.hypot(*points[:, :2].T), atol=1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((0, 4), np.float32), "has no points"),
        (np.full((3, 4), np.nan, np.float32), "NaN or infinite"),
        (np.zeros((3, 3), np.float32), r"x y z intensity"),
    ],
)
def test_a_scan_that_will_not_do_is_named_in_a_line(checkpoint, tmp_path, capsys, content, message):
    np.save(tmp_path / "odd.npy", content)
    words = ["predict", "--ckpt", checkpoint, "--scans", str(tmp_path / "odd.npy"), "--out", str(tmp_path)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and "odd" in error and "Traceback" not in error


def test_a_scan_of_one_point_gets_a_class(checkpoint, tmp_path):
    np.save(tmp_path / "one.npy", np.array([[5, 0, -1.7, 0.3]], np.float32))
    words = ["predict", "--ckpt", checkpoint, "--scans", str(tmp_path / "one.npy"), "--out", str(tmp_path)]
    assert main(words) == 0
    assert (tmp_path / "one.label").stat().st_size == 4


def test_an_output_folder_that_cannot_be_written_is_named(checkpoint, scan, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    out = str(tmp_path / "file/out")
    assert main(["predict", "--ckpt", checkpoint, "--scans", str(scan), "--out", out]) == 2
    assert "file" in capsys.readouterr().err
