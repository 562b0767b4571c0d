from pathlib import Path

import numpy as np
import pytest
from datasets3d.depth import DepthReading, read_training_sample
from datasets3d.depth.pictures import read_depth_picture
from datasets3d.nuscenes import (
    LIDAR,
    RADAR_FIELDS,
    RADARS,
    b_from_a,
    build_records,
    read_lidar,
    read_radar,
)
from datasets3d.nuscenes.dataset import NuscenesDataset
from datasets3d.nuscenes.records.record import Pose
from datasets3d.nuscenes.tables import TABLES
from datasets3d.synth.layouts._nuscenes_frame import build_world, visibility_level
from datasets3d.synth.layouts.ade20k import ADE20K_OF_ACTOR, ADE20K_OF_SEMANTIC
from datasets3d.synth.layouts.nuscenes import VERSION
from datasets3d.synth.sensors.moving_caster import MovingCaster
from datasets3d.synth.sensors.rays import RayCaster
from geom3d import boxes, cameras, transforms
from geom3d.nuscenes import boxes_from_nuscenes
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nuscenes_tree")]
CHANNELS = (LIDAR, "CAM_FRONT", "CAM_BACK", *RADARS)


@pytest.fixture(scope="session")
def world(tiny_nuscenes):
    return build_world(tiny_nuscenes, seed=3, number=0)


def test_every_token_resolves(nuscenes_tables):
    tokens = {name: [record["token"] for record in table] for name, table in nuscenes_tables.items()}
    assert all(len(set(names)) == len(names) > 0 for names in tokens.values())
    owner = {f"{prefix}{name}_token": name for name in TABLES for prefix in ("", "first_", "last_")}
    owner |= dict.fromkeys(("first_annotation_token", "last_annotation_token"), "sample_annotation")
    checked = 0
    for name, table in nuscenes_tables.items():
        for record in table:
            for field, value in record.items():
                if field in owner:
                    assert value in tokens[owner[field]], (name, field)
                    checked += 1
            assert set(record.get("attribute_tokens", [])) <= set(tokens["attribute"])
            assert set(record.get("log_tokens", [])) <= set(tokens["log"])
    assert checked > 200


def test_the_official_constants_are_there(nuscenes_tables):
    assert len(nuscenes_tables["category"]) == 23
    assert len(nuscenes_tables["attribute"]) == 8
    assert [v["token"] for v in nuscenes_tables["visibility"]] == ["1", "2", "3", "4"]
    assert {s["channel"]: s["modality"] for s in nuscenes_tables["sensor"]}["RADAR_FRONT"] == "radar"


def chain(table: list[dict], first: dict) -> list[dict]:
    by_token = {record["token"]: record for record in table}
    found = [first]
    while found[-1]["next"]:
        found.append(by_token[found[-1]["next"]])
        assert found[-1]["prev"] == found[-2]["token"]
    return found


@pytest.mark.parametrize("name", ["sample", "sample_data", "sample_annotation"])
def test_chains_cover_every_record_once(nuscenes_tables, name):
    heads = [record for record in nuscenes_tables[name] if record["prev"] == ""]
    chains = [chain(nuscenes_tables[name], head) for head in heads]
    assert sum(map(len, chains)) == len(nuscenes_tables[name])
    if name == "sample_data":
        assert len(chains) == 2 * len(CHANNELS)
    if name != "sample_annotation":
        for records in chains:
            assert (np.diff([record["timestamp"] for record in records]) > 0).all()


def test_every_scene_has_its_files(nuscenes_tables):
    key_frames = [f for f in nuscenes_tables["sample_data"] if f["is_key_frame"]]
    assert len(nuscenes_tables["scene"]) == 2
    assert len(key_frames) == 2 * 2 * len(CHANNELS)
    assert len(nuscenes_tables["sample_data"]) - len(key_frames) == 2 * (1 + 5 * 1)
    assert all(f["ego_pose_token"] == f["token"] for f in nuscenes_tables["sample_data"])


def test_sweeps_belong_to_the_key_frame_that_follows(nuscenes_tables):
    times = {sample["token"]: sample["timestamp"] for sample in nuscenes_tables["sample"]}
    behind = [
        times[f["sample_token"]] - f["timestamp"]
        for f in nuscenes_tables["sample_data"]
        if not f["is_key_frame"]
    ]
    assert min(behind) > 0
    assert max(behind) < 500_000


def test_every_sensor_has_its_own_time_and_pose(nuscenes_tables):
    sample = nuscenes_tables["sample"][0]
    files = [
        f
        for f in nuscenes_tables["sample_data"]
        if f["is_key_frame"] and f["sample_token"] == sample["token"]
    ]
    times = [f["timestamp"] for f in files]
    assert len(set(times)) == len(CHANNELS)
    assert max(abs(t - sample["timestamp"]) for t in times) <= 50_000
    poses = {p["token"]: p for p in nuscenes_tables["ego_pose"]}
    assert all(poses[f["ego_pose_token"]]["timestamp"] == f["timestamp"] for f in files)


def test_every_file_has_the_cars_pose_at_its_own_time(nuscenes_tables, world):
    begin = nuscenes_tables["sample"][0]["timestamp"] - 100_000
    poses = {p["token"]: p for p in nuscenes_tables["ego_pose"]}
    in_scene = [f for f in nuscenes_tables["sample_data"] if f["timestamp"] < begin + 10_000_000]
    assert len(in_scene) == len(nuscenes_tables["sample_data"]) / 2
    for file in in_scene:
        pose = poses[file["ego_pose_token"]]
        x, y, z = pose["translation"]
        w, qx, qy, qz = pose["rotation"]
        told = Pose(translation=(x, y, z), rotation=(w, qx, qy, qz)).matrix
        true = world.global_from_world @ world.drive.world_from_ego((file["timestamp"] - begin) / 1e6)
        np.testing.assert_allclose(told, true, atol=1e-9)


def test_scenes_lie_apart_and_away_from_the_origin(nuscenes_tables):
    places = np.array([pose["translation"] for pose in nuscenes_tables["ego_pose"]])
    assert np.abs(places[:, :2]).min() > 100
    assert np.ptp(places[:, 0]) > 10


def test_boxes_hold_the_stated_points(nuscenes_tree, nuscenes_tables):
    records = build_records(nuscenes_tree, version=VERSION, channels=(LIDAR, *RADARS))
    annotated = {record.token: [] for record in records}
    for annotation in nuscenes_tables["sample_annotation"]:
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
                points = read(sensor.path(nuscenes_tree))[:, :3].astype(np.float64)
                inside += boxes.contains(transforms.apply(sensor.global_from_sensor, points), placed).sum(
                    axis=0
                )
            assert inside.tolist() == [a[column] for a in found]
    assert all(a["num_lidar_pts"] + a["num_radar_pts"] > 0 for a in nuscenes_tables["sample_annotation"])


def test_annotations_are_the_actors(nuscenes_tables, world):
    """Centre, size and heading of every annotation of scene 0 are those of one actor of the drive."""
    samples = [
        s for s in nuscenes_tables["sample"] if s["scene_token"] == nuscenes_tables["scene"][0]["token"]
    ]
    categories = {c["token"]: c["name"] for c in nuscenes_tables["category"]}
    instances = {i["token"]: categories[i["category_token"]] for i in nuscenes_tables["instance"]}
    for index, sample in enumerate(samples):
        scene = world.drive.scene_at(0.1 + 0.5 * index)
        actors = boxes.transform(world.global_from_world[None], scene.boxes_lidar)
        found = [a for a in nuscenes_tables["sample_annotation"] if a["sample_token"] == sample["token"]]
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


def test_attributes_fit_their_objects(nuscenes_tables):
    names = {a["token"]: a["name"] for a in nuscenes_tables["attribute"]}
    categories = {c["token"]: c["name"] for c in nuscenes_tables["category"]}
    kind = {i["token"]: categories[i["category_token"]].split(".")[0] for i in nuscenes_tables["instance"]}
    family = {"vehicle": ("vehicle", "cycle"), "human": ("pedestrian",)}
    for annotation in nuscenes_tables["sample_annotation"]:
        (token,) = annotation["attribute_tokens"]
        assert names[token].split(".")[0] in family[kind[annotation["instance_token"]]]


def test_what_stands_before_everything_is_visible(nuscenes_tables):
    """Levels spread over their range: something is hidden, something is not."""
    levels = {a["visibility_token"] for a in nuscenes_tables["sample_annotation"]}
    assert {"1", "4"} <= levels <= {"1", "2", "3", "4"}
    assert [visibility_level(share) for share in (0.0, 0.4, 0.41, 0.61, 0.81)] == [1, 1, 2, 3, 4]


def test_points_lie_on_what_the_pictures_show(nuscenes_tree):
    """LiDAR, camera, poses and dense depth agree: only edges differ."""
    for record in build_records(nuscenes_tree, version=VERSION, channels=("CAM_FRONT", LIDAR)):
        camera, lidar = record.key("CAM_FRONT"), record.key(LIDAR)
        points = read_lidar(lidar.path(nuscenes_tree))[:, :3].astype(np.float64)
        projection = np.column_stack([np.array(camera.intrinsic), np.zeros(3)])
        uv, depth = cameras.project(transforms.apply(b_from_a(camera, lidar), points), projection)
        seen = (depth > 1) & (uv >= 0).all(axis=1) & (uv < np.array(camera.size_wh) - 1).all(axis=1)
        name = Path(camera.filename).with_suffix(".png").name
        picture = read_depth_picture(nuscenes_tree / "depth" / "CAM_FRONT" / name)
        column, row = np.round(uv[seen]).astype(int).T
        error = np.abs(picture[row, column] / depth[seen] - 1)
        assert seen.sum() > 50
        assert np.median(error) < 0.03


def test_scans_have_rings_and_intensities_of_32_beams(nuscenes_tree):
    for path in sorted((nuscenes_tree / "samples" / LIDAR).iterdir()):
        points = read_lidar(path)
        elevation = np.rad2deg(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
        np.testing.assert_allclose(elevation, -30.66 + points[:, 4] * 41.33 / 31, atol=0.1)
        assert len(np.unique(points[:, 4])) > 25
        assert 0 <= points[:, 3].min() < points[:, 3].max() <= 255


def test_masks_hold_known_classes(nuscenes_tree, tiny_nuscenes):
    known = {*ADE20K_OF_SEMANTIC.values(), *ADE20K_OF_ACTOR.values()}
    masks = sorted((nuscenes_tree / "seg_mask").iterdir())
    pictures = {
        p.stem for channel in tiny_nuscenes.cameras for p in (nuscenes_tree / "samples" / channel).iterdir()
    }
    assert {mask.stem for mask in masks} == pictures
    for path in masks:
        with Image.open(path) as mask:
            assert (mask.mode, mask.size) == ("L", (128, 72))
            assert set(np.unique(np.array(mask)).tolist()) <= known


def test_it_is_read_as_depth_completion_samples(nuscenes_tree):
    records = build_records(nuscenes_tree, version=VERSION, split="val")
    assert len(records) == 2
    sample = read_training_sample(records[1], nuscenes_tree, DepthReading(true_depth_folder="depth"))
    assert sample.image.shape == (72, 128, 3)
    assert (sample.radar_map > 0).any()
    assert (sample.lidar_map > 0).sum() > 50
    assert sample.radar_classes.any()
    assert (sample.true_depth > 0).mean() > 0.3
    assert [len(s) for s in records[1].sensors.values()] == [1, 1, 3]


def test_our_data_set_reads_it(nuscenes_tree, world, tiny_nuscenes):
    dataset = NuscenesDataset(nuscenes_tree, VERSION, "train", cameras=tiny_nuscenes.cameras)
    assert len(dataset) == tiny_nuscenes.key_frames
    frame = dataset[1]
    assert {name: image.shape for name, image in frame.images.items()} == dict.fromkeys(
        tiny_nuscenes.cameras, (72, 128, 3)
    )
    assert len(frame.points) > 1000
    assert len(frame.radar) > 50
    assert len(frame.objects.names) > 3
    pose = world.rig[LIDAR].world_from_sensor(world.drive.world_from_ego(0.6))
    actors = transforms.apply(transforms.invert(pose), world.drive.scene_at(0.6).boxes_lidar[:, :3])
    apart = np.linalg.norm(frame.objects.boxes_lidar[:, None, :3] - actors, axis=2).min(axis=1)
    assert apart.max() < 1e-3


def test_standing_things_have_no_speed_in_the_files(nuscenes_tree, world):
    """Radial speeds over ground: what returns of the background stand, although the car drives."""
    after, before = (world.drive.world_from_ego(0.6 + step)[:3, 3] for step in (1e-3, -1e-3))
    speed = np.linalg.norm(after - before) / 2e-3
    (record,) = build_records(nuscenes_tree, version=VERSION, split="train", channels=("RADAR_FRONT",))[1:]
    returns = read_radar(record.key("RADAR_FRONT").path(nuscenes_tree))
    column = {name: returns[:, i] for i, name in enumerate(RADAR_FIELDS)}
    still = np.isin(column["dyn_prop"], (1, 3)) & (np.abs(column["y"]) < 0.3 * column["x"])
    assert still.sum() > 20
    assert np.hypot(column["vx_comp"], column["vy_comp"])[still].max() < 0.6
    np.testing.assert_allclose(np.median(column["vx"][still]), -speed, atol=0.3)


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
