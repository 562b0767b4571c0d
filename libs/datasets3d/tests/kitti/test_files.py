from pathlib import Path

import numpy as np
import pytest
from datasets3d.kitti import KittiDataset, read_image, read_image_size, read_points, read_road_plane
from PIL import Image


def test_an_empty_scan_is_valid(tmp_path: Path) -> None:
    (tmp_path / "0.bin").touch()
    assert read_points(tmp_path / "0.bin").shape == (0, 4)


def test_a_truncated_scan_is_named(tmp_path: Path) -> None:
    (tmp_path / "0.bin").write_bytes(b"\0" * 33)
    with pytest.raises(ValueError, match=r"0\.bin has 33 bytes, not a multiple of 16"):
        read_points(tmp_path / "0.bin")


def test_a_missing_scan_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no point file .*0\.bin"):
        read_points(tmp_path / "0.bin")


def test_points_that_are_not_finite_are_counted_or_dropped(tmp_path: Path) -> None:
    scan = np.ones((5, 4), "<f4")
    scan[1, 2] = np.nan
    scan[3, 0] = np.inf
    (tmp_path / "0.bin").write_bytes(scan.tobytes())
    with pytest.raises(ValueError, match=r"0\.bin holds 2 of 5 points with NaN .*invalid_points='drop'"):
        read_points(tmp_path / "0.bin")
    assert len(read_points(tmp_path / "0.bin", invalid_points="drop")) == 3


@pytest.mark.parametrize("content", [b"no picture", b"", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.png").write_bytes(content)
    for read in (read_image, read_image_size):
        with pytest.raises(ValueError, match=r"0\.png is no readable picture"):
            read(tmp_path / "0.png")


def test_a_truncated_picture_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(tmp_path / "0.png")
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"0\.png is no readable picture"):
        read_image(tmp_path / "0.png")


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    for read in (read_image, read_image_size):
        with pytest.raises(FileNotFoundError, match=r"no picture .*0\.png"):
            read(tmp_path / "0.png")


def test_grey_pictures_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 3), 7, np.uint8)).save(tmp_path / "0.png")
    assert read_image(tmp_path / "0.png").tolist() == np.full((2, 3, 3), 7).tolist()
    assert read_image_size(tmp_path / "0.png") == (3, 2)


def test_of_sixteen_bits_the_upper_eight_are_kept(tmp_path: Path) -> None:
    grey = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "0.png")
    assert read_image(tmp_path / "0.png")[..., 1].tolist() == [[0, 0, 1], [0x12, 0x80, 0xFF]]


def test_numbers_that_are_no_brightness_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 3), np.float32)).save(tmp_path / "0.tiff")
    with pytest.raises(ValueError, match=r"0\.tiff is no readable picture \(its numbers are of mode F"):
        read_image(tmp_path / "0.tiff")


def test_no_damage_to_a_png_goes_unseen(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(tmp_path / "0.png")
    whole = (tmp_path / "0.png").read_bytes()
    end = len(whole) - 12  # of all but the mark of the end
    for at in range(0, end, 3):
        (tmp_path / "0.png").write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"0\.png is no readable picture"):
            read_image(tmp_path / "0.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "0.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    with pytest.raises(ValueError, match=r"0\.png is no readable picture .*exceeds limit"):
        read_image(tmp_path / "0.png")


def plane_file(folder: Path, line: str) -> Path:
    (folder / "0.txt").write_text(f"# Plane\nWidth 4\nHeight 1\n{line}\n")
    return folder / "0.txt"


def test_planes_are_normalised_and_point_up(tmp_path: Path) -> None:
    expected = [0.0, -1.0, 0.0, 1.65]
    for line in ("0 -2 0 3.3", "0 2 0 -3.3"):
        plane = read_road_plane(plane_file(tmp_path, line))
        assert plane is not None
        np.testing.assert_allclose(plane, expected, atol=1e-12)


def test_no_plane_file_is_no_plane(tmp_path: Path) -> None:
    assert read_road_plane(tmp_path / "0.txt") is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3", "no plane in line 4: expected four numbers a b c d, got '1 2 3'"),
        ("1 0 0 3", "is no road: b must not be 0"),
        ("nan -1 0 3", "is no road"),
        ("0 -1 0 nan", "is no road"),
    ],
)
def test_bad_planes_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_road_plane(plane_file(tmp_path, line))


def test_a_short_plane_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("# Plane\n")
    with pytest.raises(ValueError, match="has 1 lines; expected the plane a b c d in line 4"):
        read_road_plane(tmp_path / "0.txt")


SAVED = {"utf-8-sig": "\r\n", "utf-16": "\r\n", "utf-8": "\r"}


@pytest.mark.parametrize("encoding", SAVED)
def test_text_files_read_the_same_however_an_editor_saved_them(tiny_root: Path, encoding: str) -> None:
    before = KittiDataset(tiny_root, "train")[0]
    for path in tiny_root.rglob("*.txt"):
        path.write_bytes(path.read_text().replace("\n", SAVED[encoding]).encode(encoding))
    after = KittiDataset(tiny_root, "train")[0]
    assert before.objects is not None and after.objects is not None
    assert after.frame_id == before.frame_id
    assert after.objects.names == before.objects.names
    np.testing.assert_array_equal(after.objects.boxes_lidar, before.objects.boxes_lidar)
    assert after.kitti is not None and after.kitti.road_plane is not None


@pytest.mark.parametrize("kind", ["ImageSets/train", "training/calib/000000", "training/label_2/000000"])
@pytest.mark.parametrize("content", [b"Car \xe9", b"a\0b", b"\x93NUMPY"])
def test_what_is_no_text_is_named_with_its_line(tiny_root: Path, kind: str, content: bytes) -> None:
    (tiny_root / f"{kind}.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{kind.split('/')[-1]}\.txt, line 1: expected text, got the byte"):
        KittiDataset(tiny_root, "train")[0]


def test_a_split_file_with_more_than_ids_is_named(tiny_root: Path) -> None:
    (tiny_root / "ImageSets/train.txt").write_text("000000 1\n")
    with pytest.raises(ValueError, match=r"train\.txt has the line '000000 1'; expected one frame id"):
        KittiDataset(tiny_root, "train")
