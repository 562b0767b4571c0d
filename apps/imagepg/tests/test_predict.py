import numpy as np
import pytest
import torch
from fusion3d_appkit.testing import NO_EVALUATION
from imagepg.__main__ import main
from PIL import Image

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def checkpoint(trained):
    return trained / "checkpoints" / "last.ckpt"


def files(street, frame="000001") -> dict[str, str]:
    folder = street / "training"
    return {
        "points": str(folder / "velodyne" / f"{frame}.bin"),
        "image": str(folder / "image_2" / f"{frame}.png"),
        "calib": str(folder / "calib" / f"{frame}.txt"),
    }


def call(checkpoint, paths, out) -> int:
    options = [word for name, path in paths.items() for word in (f"--{name}", path)]
    return main(["predict", "--ckpt", str(checkpoint), *options, "--out", str(out), "--min_score", "0"])


def test_three_files_give_boxes_and_pictures(checkpoint, street, tmp_path, capsys):
    assert call(checkpoint, files(street), tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"000001.txt", "bev.png", "image.png"}
    assert "objects; results and pictures in" in capsys.readouterr().out
    lines = (tmp_path / "out" / "000001.txt").read_text().splitlines()
    assert all(len(line.split()) == 16 for line in lines)


def test_what_the_model_saw_is_drawn(checkpoint, street, tmp_path):
    options = [word for name, path in files(street).items() for word in (f"--{name}", path)]
    out = ["--out", str(tmp_path / "out"), "--min_score", "0", "--inside"]
    assert main(["predict", "--ckpt", str(checkpoint), *options, *out]) == 0
    names = {path.stem.split("_")[0] for path in (tmp_path / "out").glob("*.png")}
    assert {"generated", "object", "occupancy", "stages"} <= names


def test_a_truncated_scan_is_named(checkpoint, street, tmp_path, capsys):
    broken = tmp_path / "short.bin"
    broken.write_bytes(b"12345")
    assert call(checkpoint, {**files(street), "points": str(broken)}, tmp_path / "out") == 2
    assert "short.bin" in capsys.readouterr().err


def test_an_empty_scan_is_named(checkpoint, street, tmp_path, capsys):
    empty = tmp_path / "empty.bin"
    empty.write_bytes(b"")
    assert call(checkpoint, {**files(street), "points": str(empty)}, tmp_path / "out") == 2
    assert "empty.bin: no point of the scan is in the camera's view" in capsys.readouterr().err


def test_a_shrunk_picture_is_found_out(checkpoint, street, tmp_path, capsys):
    small = tmp_path / "small.png"
    picture = Image.open(files(street)["image"])
    picture.resize((picture.width // 2, picture.height // 2)).save(small)
    assert call(checkpoint, {**files(street), "image": str(small)}, tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "small.png: 207 x 62 pixels, but " in message
    assert "give the picture in the size it was calibrated in" in message


def test_a_missing_picture_is_named_with_those_alike(checkpoint, street, tmp_path, capsys):
    missing = files(street)["image"].replace("000001", "000091")
    assert call(checkpoint, {**files(street), "image": missing}, tmp_path / "out") == 2
    assert "000091.png: no such file; beside it are 000001.png" in capsys.readouterr().err


def test_a_model_with_image_branch_asks_for_the_picture(checkpoint, street, tmp_path, capsys):
    paths = {name: path for name, path in files(street).items() if name != "image"}
    assert call(checkpoint, paths, tmp_path / "out") == 2
    assert "the model looks at the image, too; pass it as --image" in capsys.readouterr().err


@pytest.mark.slow
def test_a_lidar_only_model_does_without_picture(under_test, street, tmp_path):
    lidar = ["--model.detector.image=null", "--model.detector.roi.image_channels=null"]
    assert under_test.call("fit", tmp_path / "run", *lidar, "--trainer.max_steps=1", NO_EVALUATION) == 0
    paths = {name: path for name, path in files(street).items() if name != "image"}
    assert call(tmp_path / "run/checkpoints/last.ckpt", paths, tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"000001.txt", "bev.png"}


def test_a_foreign_checkpoint_is_refused(street, tmp_path, capsys):
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}}, foreign)
    assert call(foreign, files(street), tmp_path / "out") == 2
    assert "not written by `imagepg fit`" in capsys.readouterr().err


def test_a_scan_with_a_ring_gives_the_same_boxes_once_its_columns_are_named(checkpoint, street, tmp_path):
    scan = np.fromfile(files(street)["points"], "<f4").reshape(-1, 4)
    np.column_stack([scan, np.arange(len(scan)) % 32]).astype("<f4").tofile(tmp_path / "000001.bin")
    paths = {**files(street), "points": str(tmp_path / "000001.bin")}
    assert call(checkpoint, paths, tmp_path / "refused") == 2
    assert call(checkpoint, files(street), tmp_path / "four") == 0
    options = [word for name, path in paths.items() for word in (f"--{name}", path)]
    columns = ["--columns", "x", "y", "z", "intensity", "ring", "--out", str(tmp_path / "five")]
    assert main(["predict", "--ckpt", str(checkpoint), *options, *columns, "--min_score", "0"]) == 0
    assert (tmp_path / "five/000001.txt").read_text() == (tmp_path / "four/000001.txt").read_text()
