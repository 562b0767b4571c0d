import io
import tarfile

import numpy as np
import pytest
from datasets3d.depth.masks import RADAR_CLASSES, radar_classes, read_class_ids, unpack_masks
from PIL import Image


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (3, 2), value).save(buffer, "PNG")
    return buffer.getvalue()


def make_tar(path, members: dict[str, bytes], mode: str = "w"):
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_the_published_classes():
    marked = radar_classes(np.arange(256, dtype=np.uint8)[None])[0]
    assert np.flatnonzero(marked).tolist() == [0, 1, 4, 12, 20, 32, 80, 83, 93, 102, 116, 127]
    assert sorted(RADAR_CLASSES) == np.flatnonzero(marked).tolist()


@pytest.mark.parametrize("mode", ["L", "P"])
def test_grey_and_palette_pictures_hold_ids(tmp_path, mode):
    image = Image.new(mode, (3, 2), 20)
    if mode == "P":
        image.putpalette([255, 0, 0] * 256)
    image.save(tmp_path / "a.png")
    assert read_class_ids(tmp_path / "a.png").tolist() == [[20] * 3] * 2


def test_wrong_masks_are_named(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(FileNotFoundError, match=r"no mask .*a\.png; unpack the authors' seg_mask\.tar"):
        read_class_ids(path)
    Image.new("RGB", (3, 2)).save(path)
    with pytest.raises(ValueError, match="has mode RGB; a mask is a PNG of 8 bits and one channel"):
        read_class_ids(path)
    path.write_bytes(png(150))
    with pytest.raises(ValueError, match=r"holds class 150; ADE20K's ids are 0"):
        read_class_ids(path)
    path.write_bytes(png(20)[:30])
    with pytest.raises(ValueError, match=r"a\.png is no readable picture"):
        read_class_ids(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_unpacks_flat_and_passes_over_the_rest(tmp_path, mode):
    members = {
        "seg_mask/a.png": png(1),
        "./b__CAM_FRONT__1532402927612460.png": png(2),
        "seg_mask/._a.png": b"fork",
        "seg_mask/readme.txt": b"text",
    }
    tar = make_tar(tmp_path / "seg_mask.tar", members, mode)
    assert unpack_masks(tar, tmp_path / "out", progress=False) == 2
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.png", "b__CAM_FRONT__1532402927612460.png"]
    assert read_class_ids(tmp_path / "out" / "a.png").max() == 1


def test_no_member_leaves_the_folder(tmp_path):
    tar = make_tar(tmp_path / "a.tar", {"../../up.png": png(1), "/abs/olute.png": png(2)})
    with tarfile.open(tar, "a") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    out = tmp_path / "deep" / "out"
    assert unpack_masks(tar, out, progress=False) == 2
    assert sorted(path.name for path in out.iterdir()) == ["olute.png", "up.png"]
    assert not (tmp_path / "up.png").exists()


def test_a_stopped_run_goes_on(tmp_path):
    tar = make_tar(tmp_path / "a.tar", {"a.png": png(1), "b.png": png(2)})
    out = tmp_path / "out"
    unpack_masks(tar, out, progress=False)
    kept = (out / "a.png").stat().st_mtime_ns
    (out / "b.png").write_bytes(b"half")
    assert unpack_masks(tar, out, progress=False) == 2
    assert (out / "a.png").stat().st_mtime_ns == kept
    assert (out / "b.png").read_bytes() == png(2)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.txt": b""}, r"a\.tar holds no \.png file"),
        ({"x/a.png": png(1), "y/a.png": png(2)}, r"holds two masks named a\.png"),
        ({"a\nb.png": png(1)}, "odd name in the tar"),
    ],
)
def test_odd_tars_are_refused(tmp_path, members, message):
    with pytest.raises(ValueError, match=message):
        unpack_masks(make_tar(tmp_path / "a.tar", members), tmp_path / "out", progress=False)


def test_damaged_tars_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    with pytest.raises(FileNotFoundError, match=r"a\.tar"):
        unpack_masks(path, tmp_path / "out", progress=False)
    path.write_bytes(b"nothing" * 200)
    with pytest.raises(ValueError, match=r"a\.tar is no readable tar"):
        unpack_masks(path, tmp_path / "out", progress=False)
    rng = np.random.default_rng(0)
    make_tar(path, {"a.png": png(1), "b.png": rng.bytes(5000)})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"a\.tar is no readable tar"):
        unpack_masks(path, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "b.png").exists()
