import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d import Frame, Objects
from datasets3d.database import ObjectDatabase, build_database
from datasets3d.kitti import KittiDataset, read_image
from datasets3d.nuscenes import NuscenesDataset
from datasets3d.prepare import cut_objects
from geom3d import boxes


@pytest.fixture
def database(tiny_root: Path) -> ObjectDatabase:
    return cut_objects(tiny_root, "train", progress=False)


def test_every_object_with_points_is_there_under_a_telling_name(database: ObjectDatabase) -> None:
    assert database.class_counts() == {"Car": 3, "Cyclist": 1, "Pedestrian": 1}
    names = {p.name for p in database.folder.iterdir()}
    assert {"000000_Car_0.bin", "000000_Car_0.png", "000000_Pedestrian_1.bin", "index.json"} <= names
    assert len(names) == 11


def test_points_are_relative_to_the_box_centre_and_not_rotated(
    database: ObjectDatabase, tiny_root: Path
) -> None:
    entry = database.entries[0]
    box = np.array(entry.box_lidar)
    scan = KittiDataset(tiny_root, "train").points("000000")
    inside = boxes.contains(scan[:, :3].astype(np.float64), box[None])[:, 0]
    np.testing.assert_allclose(database.points(entry)[:, :3] + box[:3], scan[inside, :3], atol=1e-6)
    np.testing.assert_array_equal(database.points(entry)[:, 3], scan[inside, 3])
    assert entry.num_points == inside.sum() == 200


def test_the_crop_is_a_piece_of_the_picture_around_the_box(database: ObjectDatabase, tiny_root: Path) -> None:
    picture = read_image(tiny_root / "training/image_2/000000.png")
    entry = database.entries[0]
    (u, v), crop = entry.labelled_image().crop_origin, database.crop(entry)
    np.testing.assert_array_equal(crop, picture[v : v + crop.shape[0], u : u + crop.shape[1]])
    u0, v0, u1, v1 = entry.labelled_image().box_image
    assert u <= u0 and v <= v0 and u + crop.shape[1] >= u1 and v + crop.shape[0] >= min(v1, 96)


def test_reading_gives_what_was_built(database: ObjectDatabase) -> None:
    again = ObjectDatabase.read(database.folder)
    assert again.entries == database.entries
    np.testing.assert_array_equal(
        again.cameras["000000"].image_from_lidar, database.cameras["000000"].image_from_lidar
    )


def test_objects_without_points_are_left_out(tiny_root: Path) -> None:
    (tiny_root / "training/velodyne/000000.bin").write_bytes(b"")
    database = cut_objects(tiny_root, "train", progress=False)
    assert database.class_counts() == {"Car": 2, "Cyclist": 1}


def test_building_again_replaces_the_old_database(database: ObjectDatabase, tiny_root: Path) -> None:
    (database.folder / "stray.bin").touch()
    cut_objects(tiny_root, "train", progress=False)
    assert not (database.folder / "stray.bin").exists()


def test_a_missing_database_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no .*index\.json; write it with `python -m datasets3d prepare"
    ):
        ObjectDatabase.read(tmp_path / "gt_database")


def test_an_unfinished_database_is_refused(database: ObjectDatabase) -> None:
    (database.folder / ".incomplete").touch()
    with pytest.raises(ValueError, match="is incomplete"):
        ObjectDatabase.read(database.folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is no JSON"), (json.dumps({"format": "other"}), "is 'other' version None")],
)
def test_a_foreign_index_is_refused(database: ObjectDatabase, content: str, message: str) -> None:
    (database.folder / "index.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        ObjectDatabase.read(database.folder)


def test_frames_without_labels_are_refused(tiny_root: Path) -> None:
    with pytest.raises(ValueError, match="frame 000000 has no labels; the frames of a labelled split"):
        cut_objects(tiny_root, "test", progress=False)
    assert not (tiny_root / "gt_database").exists()


def test_a_class_name_that_is_no_file_name_is_refused(tiny_root: Path) -> None:
    path = tiny_root / "training/label_2/000000.txt"
    path.write_text(path.read_text().replace("Car 0.00", "../Car 0.00"))
    with pytest.raises(
        ValueError, match=r"class name '../Car' in frame 000000 cannot be part of a file name"
    ):
        cut_objects(tiny_root, "train", progress=False)
    assert not (tiny_root / "gt_database").exists()


def test_a_full_disk_keeps_the_old_database(
    database: ObjectDatabase, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space left on device"):
        cut_objects(tiny_root, "val", progress=False)
    assert ObjectDatabase.read(database.folder).entries == database.entries
    with pytest.raises(ValueError, match="is incomplete"):
        ObjectDatabase.read(tiny_root / "gt_database.partial")


def test_entries_can_be_selected(database: ObjectDatabase) -> None:
    cars = replace(database, entries=tuple(e for e in database.entries if e.name == "Car"))
    assert cars.class_counts() == {"Car": 3}


def test_any_frames_fill_a_database(tiny_nuscenes: Path, tmp_path: Path) -> None:
    frames = NuscenesDataset(tiny_nuscenes, "v1.0-mini", cameras=(), radars=())
    assert [len(frame.objects or ()) for frame in frames] == [1] * 5
    with pytest.raises(ValueError, match="frame id scene-0103/0 cannot be part of a file name"):
        build_database(frames, tmp_path / "objects", split="mini", progress=False)
    numbered = (replace(frame, frame_id=str(number)) for number, frame in enumerate(frames))
    database = build_database(numbered, tmp_path / "objects", split="mini", progress=False)
    again = ObjectDatabase.read(database.folder)
    assert again.class_counts() == {"vehicle.car": 5} and again.split == "mini" and again.cameras == {}
    assert {path.suffix for path in database.folder.iterdir()} == {".bin", ".json"}
    entry = again.entries[0]
    assert entry.image is None and len(again.points(entry)) == entry.num_points == 1
    with pytest.raises(ValueError, match="has no labelled 2D box, which pasting into a picture needs"):
        _ = again.difficulty


def coloured(frame_id: str, *columns: str) -> Frame:
    points = np.arange(2 * (3 + len(columns)), dtype=np.float32).reshape(2, -1)
    objects = Objects(
        names=("chair", "table"),
        boxes_lidar=np.array([[0, 1, 2, 1, 1, 1, 0], [0, 1, 2, 0.5, 1, 1, 0]], np.float32),
    )
    return Frame(frame_id=frame_id, points=points, point_columns=("x", "y", "z", *columns), objects=objects)


def test_points_keep_their_columns(tmp_path: Path) -> None:
    frames = [coloured("a", "red", "green"), coloured("b", "red", "green")]
    database = build_database(frames, tmp_path / "objects", split="", classes=["chair"], progress=False)
    again = ObjectDatabase.read(database.folder)
    assert again.class_counts() == {"chair": 2}
    assert again.point_columns == ("x", "y", "z", "red", "green")
    assert again.points(again.entries[0]).tolist() == [[0.0, 0.0, 0.0, 3.0, 4.0]]


def test_frames_of_other_columns_are_not_mixed(tmp_path: Path) -> None:
    frames = [coloured("a", "red"), coloured("b", "lag")]
    with pytest.raises(
        ValueError, match="the first frame have the columns x y z red, those of frame b have x y z lag"
    ):
        build_database(frames, tmp_path / "objects", split="", progress=False)
