import numpy as np
import pytest
from datasets3d.depth.pictures import MAX_DEPTH_M, read_depth_picture, write_depth_picture
from PIL import Image


def test_round_trip_within_half_a_step(tmp_path):
    depth = np.random.default_rng(0).uniform(0.01, 250, (7, 5)).astype(np.float32)
    depth[0, 0] = 0
    write_depth_picture(tmp_path / "new" / "a.png", depth)
    found = read_depth_picture(tmp_path / "new" / "a.png")
    assert found.dtype == np.float32
    assert found[0, 0] == 0
    np.testing.assert_allclose(found, depth, rtol=0, atol=0.5001 / 256)


def test_the_file_holds_metres_times_256(tmp_path):
    write_depth_picture(tmp_path / "a.png", np.array([[1.0, 80.5]], np.float32))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode.startswith("I")
        assert np.array(image).tolist() == [[256, 80 * 256 + 128]]


def test_tiny_depths_stay_known_and_too_great_ones_become_unknown(tmp_path):
    depth = np.array([[1e-6, MAX_DEPTH_M, 256.0]], np.float32)
    write_depth_picture(tmp_path / "a.png", depth)
    assert read_depth_picture(tmp_path / "a.png").tolist() == [[1 / 256, MAX_DEPTH_M, 0]]


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_only_finite_depths_are_written(tmp_path, bad):
    with pytest.raises(ValueError, match="depths must be finite and not negative"):
        write_depth_picture(tmp_path / "a.png", np.array([[bad]], np.float32))
    assert not list(tmp_path.iterdir())


def test_wrong_files(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(FileNotFoundError, match=r"no depth picture .*a\.png"):
        read_depth_picture(path)
    Image.new("L", (2, 2)).save(path)
    with pytest.raises(ValueError, match="has mode L; a depth picture is a PNG of 16 bits"):
        read_depth_picture(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.png is no readable picture"):
        read_depth_picture(path)
