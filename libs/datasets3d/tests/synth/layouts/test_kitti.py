import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets3d.kitti import KittiDataset
from datasets3d.surfaces import ObjectShapes
from datasets3d.synth import CameraConfig, LidarConfig, SynthConfig, write_kitti

TINY = SynthConfig(
    lidar=LidarConfig(elevations_deg=tuple(np.linspace(2, -24, 16).tolist()), azimuth_step_deg=1.0),
    camera=CameraConfig(width=207, height=62),
)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    return write_kitti(
        tmp_path_factory.mktemp("synth") / "kitti", frames=4, seed=3, config=TINY, workers=1, progress=False
    )


@pytest.mark.slow
def test_any_number_of_workers_writes_the_beginning_of_a_longer_set(tree, tmp_path):
    short = write_kitti(tmp_path / "short", frames=2, seed=3, config=TINY, workers=2, progress=False)
    frames = {name: d for name, d in digest(short).items() if name.startswith("training")}
    assert len(frames) >= 2 * 5
    assert frames.items() <= digest(tree).items()


@pytest.mark.slow
def test_another_seed_writes_other_frames(tree, tmp_path):
    other = write_kitti(tmp_path / "other", frames=1, seed=4, config=TINY, workers=1, progress=False)
    name = "training/velodyne/000000.bin"
    assert digest(other)[name] != digest(tree)[name]


def test_the_tree_has_the_official_layout(tree):
    for folder, suffix in (
        ("calib", "txt"),
        ("image_2", "png"),
        ("label_2", "txt"),
        ("velodyne", "bin"),
        ("planes", "txt"),
    ):
        names = sorted(p.name for p in (tree / "training" / folder).iterdir())
        assert names == [f"{i:06d}.{suffix}" for i in range(4)]
    assert (tree / "testing" / "velodyne").is_dir()
    assert not (tree / ".incomplete").exists()


def test_splits_are_three_to_one(tree):
    splits = {
        name: (tree / "ImageSets" / f"{name}.txt").read_text().split()
        for name in ("train", "val", "trainval", "test")
    }
    assert splits["train"] == ["000000", "000001", "000002"]
    assert splits["val"] == ["000003"]
    assert splits["trainval"] == sorted(splits["train"] + splits["val"])
    assert splits["test"] == []


def test_the_official_reader_reads_it(tree):
    dataset = KittiDataset(tree, "trainval")
    assert len(dataset) == 4
    frame = dataset[0]
    assert frame.images["image_2"].shape == (62, 207, 3)
    assert frame.points.shape[1] == 4
    assert frame.kitti.road_plane is not None
    assert frame.objects is not None


def test_there_is_one_shape_per_labelled_object(tree):
    for i in range(4):
        labels = (tree / "training" / "label_2" / f"{i:06d}.txt").read_text().splitlines()
        objects = [line for line in labels if not line.startswith("DontCare")]
        shapes = sorted((tree / "training" / "object_shapes").glob(f"{i:06d}_*.npy"))
        assert len(shapes) == len(objects)
        assert all(np.load(p).dtype == np.float32 for p in shapes)


def test_the_road_plane_lies_under_the_points(tree):
    frame = KittiDataset(tree, "trainval", crop_to_image=True)[1]
    cam = frame.kitti.calibration.cam_from_lidar
    points = frame.points[:, :3] @ cam[:3, :3].T + cam[:3, 3]
    near = points[(points[:, 2] < 25) & (np.abs(points[:, 0]) < 3)]
    height = near @ frame.kitti.road_plane[:3] + frame.kitti.road_plane[3]
    assert np.mean(np.abs(height) < 0.25) > 0.5
    assert np.mean(height < -0.4) < 0.02


def test_an_existing_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=r"mine exists and is not an empty folder; choose another"):
        write_kitti(tmp_path / "mine", frames=1, seed=0, config=TINY)
    assert (tmp_path / "mine" / "file.txt").read_text() == "precious"


@pytest.mark.slow
def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    out = write_kitti(tmp_path / "empty", frames=1, seed=0, config=TINY, workers=1, progress=False)
    assert (out / "training" / "velodyne" / "000000.bin").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0, "seed": 0}, "frames must be at least 1, got 0"),
        ({"frames": 1, "seed": -1}, "seed must not be negative, got -1"),
        ({"frames": 1, "seed": 0, "workers": 0}, "workers must be at least 1 or None"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_kitti(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_finished_folder(tmp_path, monkeypatch):
    from datasets3d.synth.layouts import kitti

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(kitti, "write_png", fail)
    with pytest.raises(OSError, match="disk full"):
        write_kitti(tmp_path / "out", frames=1, seed=0, config=TINY, workers=1, progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_without_the_extra_the_import_names_it():
    code = "import sys; sys.modules['embreex'] = None; sys.modules['trimesh'] = None; import datasets3d.synth"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "pip install 'fusion3d-datasets3d[synth]'" in done.stderr


def test_surfaces_are_refused_once_labels_are_edited(tree, tmp_path):
    root = Path(shutil.copytree(tree, tmp_path / "kitti"))
    path = next(
        p for p in sorted((root / "training/label_2").iterdir()) if len(p.read_text().splitlines()) > 1
    )
    ObjectShapes.read(root)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(
        ValueError, match=rf"object_shapes was made from other data: .*{path.name} changed since"
    ):
        ObjectShapes.read(root)
