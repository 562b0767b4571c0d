import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d.__main__ import main
from datasets3d.depth import DepthReading, read_training_sample
from datasets3d.depth.pictures import read_depth_picture
from datasets3d.nuscenes import CAMERAS, LIDAR, RADARS, b_from_a, build_records, read_lidar, read_radar
from datasets3d.nuscenes.tables import TABLES
from datasets3d.synth import CameraConfig, LidarConfig, StreetConfig
from datasets3d.synth._moving_caster import MovingCaster
from datasets3d.synth._nuscenes_frame import build_world, visibility_level
from datasets3d.synth._rays import RayCaster
from datasets3d.synth.ade20k import ADE20K_OF_ACTOR, ADE20K_OF_SEMANTIC
from datasets3d.synth.nuscenes_config import NuscenesSynthConfig
from datasets3d.synth.nuscenes_writer import VERSION, scene_names, write_nuscenes
from datasets3d.synth.radar import RadarConfig
from geom3d import boxes, cameras, transforms
from geom3d.nuscenes import boxes_from_nuscenes
from PIL import Image

TINY = NuscenesSynthConfig(
    street=StreetConfig(
        cars_per_frame=6.0, pedestrians_per_frame=2.0, intersection_weight=0.0, highway_weight=0.0
    ),
    lidar=replace(LidarConfig.hdl32(), azimuth_step_deg=1.0),
    camera=CameraConfig(width=128, height=72, shadows=False),
    cameras=("CAM_FRONT", "CAM_BACK"),
    radar=RadarConfig(
        near=replace(RadarConfig().near, rays=(120, 8)), far=replace(RadarConfig().far, rays=(60, 8))
    ),
    key_frames=2,
    lidar_sweeps=1,
    radar_sweeps=1,
)
SEED = 3
CHANNELS = (LIDAR, *TINY.cameras, *RADARS)


def write(folder: Path, **arguments) -> Path:
    settings = {"scenes": 1, "seed": SEED, "config": TINY, "workers": 1, "progress": False}
    return write_nuscenes(folder, **(settings | arguments))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def load(tree: Path) -> dict[str, list[dict]]:
    return {name: json.loads((tree / VERSION / f"{name}.json").read_text()) for name in TABLES}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("synth") / "nuscenes", scenes=2)


@pytest.fixture(scope="module")
def tables(tree) -> dict[str, list[dict]]:
    return load(tree)


@pytest.fixture(scope="module")
def world():
    return build_world(TINY, seed=SEED, number=0)


def test_any_number_of_workers_writes_the_same_bytes(tree, tmp_path):
    assert digest(write(tmp_path / "other", scenes=2, workers=2)) == digest(tree)


@pytest.mark.slow
def test_a_shorter_set_by_more_workers_than_scenes_is_the_beginning_of_a_longer_one(tree, tmp_path):
    short, long = digest(write(tmp_path / "short", workers=2)), digest(tree)
    sensor_files = {name: d for name, d in short.items() if not name.startswith(VERSION)}
    assert len(sensor_files) > 30
    assert sensor_files.items() <= long.items()


def test_another_seed_is_another_world(tree, tmp_path):
    one_frame = replace(TINY, key_frames=1, cameras=())
    other = digest(write(tmp_path / "other", seed=SEED + 1, config=one_frame))
    scan = next(name for name in digest(tree) if name.startswith(f"samples/{LIDAR}"))
    assert digest(tree)[scan] != other[scan]


def test_every_token_resolves(tables):
    tokens = {name: [record["token"] for record in table] for name, table in tables.items()}
    assert all(len(set(names)) == len(names) > 0 for names in tokens.values())
    owner = {f"{prefix}{name}_token": name for name in TABLES for prefix in ("", "first_", "last_")}
    owner |= dict.fromkeys(("first_annotation_token", "last_annotation_token"), "sample_annotation")
    checked = 0
    for name, table in tables.items():
        for record in table:
            for field, value in record.items():
                if field in owner:
                    assert value in tokens[owner[field]], (name, field)
                    checked += 1
            assert set(record.get("attribute_tokens", [])) <= set(tokens["attribute"])
            assert set(record.get("log_tokens", [])) <= set(tokens["log"])
    assert checked > 200


def test_the_official_constants_are_there(tables):
    assert len(tables["category"]) == 23
    assert len(tables["attribute"]) == 8
    assert [v["token"] for v in tables["visibility"]] == ["1", "2", "3", "4"]
    assert {s["channel"]: s["modality"] for s in tables["sensor"]}["RADAR_FRONT"] == "radar"


def chain(table: list[dict], first: dict) -> list[dict]:
    by_token = {record["token"]: record for record in table}
    found = [first]
    while found[-1]["next"]:
        found.append(by_token[found[-1]["next"]])
        assert found[-1]["prev"] == found[-2]["token"]
    return found


@pytest.mark.parametrize("name", ["sample", "sample_data", "sample_annotation"])
def test_chains_cover_every_record_once(tables, name):
    heads = [record for record in tables[name] if record["prev"] == ""]
    chains = [chain(tables[name], head) for head in heads]
    assert sum(map(len, chains)) == len(tables[name])
    if name == "sample_data":
        assert len(chains) == 2 * len(CHANNELS)
    if name != "sample_annotation":
        for records in chains:
            assert (np.diff([record["timestamp"] for record in records]) > 0).all()


def test_every_scene_has_its_files(tables):
    key_frames = [f for f in tables["sample_data"] if f["is_key_frame"]]
    assert len(tables["scene"]) == 2
    assert len(key_frames) == 2 * 2 * len(CHANNELS)
    assert len(tables["sample_data"]) - len(key_frames) == 2 * (1 + 5 * 1)
    assert all(f["ego_pose_token"] == f["token"] for f in tables["sample_data"])


def test_sweeps_belong_to_the_key_frame_that_follows(tables):
    times = {sample["token"]: sample["timestamp"] for sample in tables["sample"]}
    behind = [
        times[f["sample_token"]] - f["timestamp"] for f in tables["sample_data"] if not f["is_key_frame"]
    ]
    assert min(behind) > 0
    assert max(behind) < 500_000


def test_every_sensor_has_its_own_time_and_pose(tables):
    sample = tables["sample"][0]
    files = [f for f in tables["sample_data"] if f["is_key_frame"] and f["sample_token"] == sample["token"]]
    times = [f["timestamp"] for f in files]
    assert len(set(times)) == len(CHANNELS)
    assert max(abs(t - sample["timestamp"]) for t in times) <= 50_000
    poses = {p["token"]: p for p in tables["ego_pose"]}
    assert all(poses[f["ego_pose_token"]]["timestamp"] == f["timestamp"] for f in files)


def test_scenes_lie_apart_and_away_from_the_origin(tables):
    places = np.array([pose["translation"] for pose in tables["ego_pose"]])
    assert np.abs(places[:, :2]).min() > 100
    assert np.ptp(places[:, 0]) > 10


def test_files_are_those_of_the_tables_with_official_names(tree, tables):
    on_disk = {name for name in digest(tree) if name.startswith(("samples/", "sweeps/"))}
    assert on_disk == {f["filename"] for f in tables["sample_data"]}
    for file in tables["sample_data"]:
        pattern = r"(samples|sweeps)/(\w+)/n000-[0-9-]+\+0000__\2__(\d{16})\.(jpg|pcd|pcd\.bin)"
        found = re.fullmatch(pattern, file["filename"])
        assert found
        assert int(found[3]) == file["timestamp"]
        assert (found[1] == "samples") == file["is_key_frame"]
    logs = {log["logfile"] for log in tables["log"]}
    assert {Path(name).name.split("__")[0] for name in on_disk} == logs
    assert (tree / tables["map"][0]["filename"]).is_file()


def test_a_quarter_of_the_scenes_is_for_validation(tree, tables):
    splits = json.loads((tree / VERSION / "splits.json").read_text())
    assert splits["train"] + splits["val"] == [scene["name"] for scene in tables["scene"]]
    names = scene_names(40)
    assert len(set(names)) == 40
    assert scene_names(17) == names[:17]
    assert len(set(names[1::4])) == 10


def test_boxes_hold_the_stated_points(tree, tables):
    records = build_records(tree, version=VERSION, channels=(LIDAR, *RADARS))
    annotated = {record.token: [] for record in records}
    for annotation in tables["sample_annotation"]:
        annotated[annotation["sample_token"]].append(annotation)
    assert sum(map(len, annotated.values())) > 10
    for record in records:
        found = annotated[record.token]
        placed = boxes_from_nuscenes(
            *(np.array([a[c] for a in found]) for c in ("translation", "size", "rotation"))
        )
        for column, channels, read in (
            ("num_lidar_pts", (LIDAR,), read_lidar),
            ("num_radar_pts", RADARS, read_radar),
        ):
            inside = np.zeros(len(found), int)
            for channel in channels:
                sensor = record.key(channel)
                points = read(sensor.path(tree))[:, :3].astype(np.float64)
                inside += boxes.contains(transforms.apply(sensor.global_from_sensor, points), placed).sum(
                    axis=0
                )
            assert inside.tolist() == [a[column] for a in found]
    assert all(a["num_lidar_pts"] + a["num_radar_pts"] > 0 for a in tables["sample_annotation"])


def test_annotations_are_the_actors(tables, world):
    """Centre, size and heading of every annotation of scene 0 are those of one actor of the drive."""
    samples = [s for s in tables["sample"] if s["scene_token"] == tables["scene"][0]["token"]]
    categories = {c["token"]: c["name"] for c in tables["category"]}
    instances = {i["token"]: categories[i["category_token"]] for i in tables["instance"]}
    for index, sample in enumerate(samples):
        scene = world.drive.scene_at(0.1 + 0.5 * index)
        actors = boxes.transform(world.global_from_world[None], scene.boxes_lidar)
        found = [a for a in tables["sample_annotation"] if a["sample_token"] == sample["token"]]
        placed = boxes_from_nuscenes(
            *(np.array([a[c] for a in found]) for c in ("translation", "size", "rotation"))
        )
        distance = np.linalg.norm(placed[:, None, :3] - actors[None, :, :3], axis=2)
        which = distance.argmin(axis=1)
        np.testing.assert_allclose(placed[:, :6], actors[which, :6], atol=1e-9)
        turn = placed[:, 6] - actors[which, 6]
        np.testing.assert_allclose(np.abs(np.exp(1j * turn) - 1), 0, atol=1e-9)
        kinds = {"Car": "vehicle.car", "Van": "vehicle.car", "Truck": "vehicle.truck"}
        kinds |= {"Pedestrian": "human.pedestrian.adult", "Cyclist": "vehicle.bicycle"}
        names = [kinds[scene.actors[i].name] for i in which]
        assert names == [instances[a["instance_token"]] for a in found]


def test_attributes_fit_their_objects(tables):
    names = {a["token"]: a["name"] for a in tables["attribute"]}
    categories = {c["token"]: c["name"] for c in tables["category"]}
    kind = {i["token"]: categories[i["category_token"]].split(".")[0] for i in tables["instance"]}
    family = {"vehicle": ("vehicle", "cycle"), "human": ("pedestrian",)}
    for annotation in tables["sample_annotation"]:
        (token,) = annotation["attribute_tokens"]
        assert names[token].split(".")[0] in family[kind[annotation["instance_token"]]]


def test_what_stands_before_everything_is_visible(tables):
    """Levels spread over their range: something is hidden, something is not."""
    levels = {a["visibility_token"] for a in tables["sample_annotation"]}
    assert {"1", "4"} <= levels <= {"1", "2", "3", "4"}
    assert [visibility_level(share) for share in (0.0, 0.4, 0.41, 0.61, 0.81)] == [1, 1, 2, 3, 4]


def test_points_lie_on_what_the_pictures_show(tree):
    """LiDAR, camera, poses and dense depth agree: only edges differ."""
    for record in build_records(tree, version=VERSION, channels=("CAM_FRONT", LIDAR)):
        camera, lidar = record.key("CAM_FRONT"), record.key(LIDAR)
        points = read_lidar(lidar.path(tree))[:, :3].astype(np.float64)
        projection = np.column_stack([np.array(camera.intrinsic), np.zeros(3)])
        uv, depth = cameras.project(transforms.apply(b_from_a(camera, lidar), points), projection)
        seen = (depth > 1) & (uv >= 0).all(axis=1) & (uv < np.array(camera.size_wh) - 1).all(axis=1)
        name = Path(camera.filename).with_suffix(".png").name
        picture = read_depth_picture(tree / "depth" / "CAM_FRONT" / name)
        column, row = np.round(uv[seen]).astype(int).T
        error = np.abs(picture[row, column] / depth[seen] - 1)
        assert seen.sum() > 50
        assert np.median(error) < 0.03


def test_masks_hold_known_classes(tree):
    known = {*ADE20K_OF_SEMANTIC.values(), *ADE20K_OF_ACTOR.values()}
    masks = sorted((tree / "seg_mask").iterdir())
    pictures = {p.stem for channel in TINY.cameras for p in (tree / "samples" / channel).iterdir()}
    assert {mask.stem for mask in masks} == pictures
    for path in masks:
        with Image.open(path) as mask:
            assert (mask.mode, mask.size) == ("L", (128, 72))
            assert set(np.unique(np.array(mask)).tolist()) <= known


def test_it_is_read_as_depth_completion_samples(tree):
    names = json.loads((tree / VERSION / "splits.json").read_text())["val"]
    records = build_records(tree, version=VERSION, split=names)
    assert len(records) == 2
    sample = read_training_sample(records[1], tree, DepthReading(true_depth_folder="depth"))
    assert sample.image.shape == (72, 128, 3)
    assert (sample.radar_map > 0).any()
    assert (sample.lidar_map > 0).sum() > 50
    assert sample.radar_classes.any()
    assert (sample.true_depth > 0).mean() > 0.3
    assert [len(s) for s in records[1].sensors.values()] == [1, 1, 3]


def test_the_split_casters_see_what_one_sees(world):
    scene, caster = world.moment(0.3)
    assert isinstance(caster, MovingCaster)
    whole = RayCaster(scene.mesh.vertices, scene.mesh.faces)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3000, 3)) * [1, 1, 0.1]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = np.broadcast_to(world.drive.world_from_ego(0.3)[:3, 3] + [0, 0, 1.5], directions.shape)
    ours, theirs = caster.first_hits(origins, directions), whole.first_hits(origins, directions)
    assert np.array_equal(ours.range_m, theirs.range_m)
    assert np.array_equal(scene.face_instance[ours.face], scene.face_instance[theirs.face])
    assert (scene.face_instance[ours.face[ours.face >= 0]] > 0).any()
    assert np.array_equal(caster.is_blocked(origins, directions), whole.is_blocked(origins, directions))


def test_an_existing_folder_is_refused_and_left_alone(tree):
    before = digest(tree)
    with pytest.raises(FileExistsError, match=r"nuscenes exists and is not an empty folder; choose another"):
        write(tree)
    assert digest(tree) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenes": 0}, r"scenes must lie in 1..800, got 0"),
        ({"scenes": 801}, r"scenes must lie in 1..800, got 801"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"workers": 0}, "workers must be at least 1 or None"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_leaves_no_finished_folder(tmp_path, monkeypatch):
    from datasets3d.synth import _nuscenes_frame

    def fail(*_):
        raise OSError("disk full")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(_nuscenes_frame, "write_lidar", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "out", config=replace(TINY, key_frames=1, cameras=()))
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    write(tmp_path / "out", config=replace(TINY, key_frames=1, cameras=()))
    assert not (tmp_path / "out.partial").exists()


def test_the_command_writes_a_tree(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--scenes", "1", "--key-frames", "1", "--width", "64", "--cameras", "CAM_FRONT"]
    assert main(["synth", "nuscenes", "--out", str(out), *arguments, "--workers", "1", "--sweeps", "0"]) == 0
    assert "wrote 1 scene " in capsys.readouterr().out
    (picture,) = (out / "samples" / "CAM_FRONT").iterdir()
    with Image.open(picture) as image:
        assert image.size == (64, 36)


def test_the_command_refuses_unknown_cameras(tmp_path, capsys):
    assert main(["synth", "nuscenes", "--out", str(tmp_path / "out"), "--cameras", "CAM_TOP"]) == 2
    assert "must be different ones of" in capsys.readouterr().err
    assert set(TINY.cameras) <= set(CAMERAS)
