import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d.__main__ import main
from datasets3d._atomic import refuse_incomplete
from datasets3d.semantickitti import RAW_IDS
from datasets3d.synth import (
    LidarConfig,
    SemanticKittiSynthConfig,
    StreetConfig,
    measure_labels,
    write_semantickitti,
)
from datasets3d.synth.layouts import semantickitti as writer
from datasets3d.synth.layouts._semantickitti_classes import MOVING, RAW_OF_ACTOR, RawLabel, label_background
from datasets3d.synth.layouts.semantickitti_statistics import CLASSES, PUBLISHED_SHARE
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.props import PropKind
from geom3d import boxes, transforms
from scipy.spatial import cKDTree

pytestmark = pytest.mark.slow
SEED, SCANS = 1, 4
STANDING_OF = {moving: standing for standing, moving in MOVING.items()}
# Of the 19 classes; the others need more sequences.
EXPECTED = {
    *(
        "car",
        "motorcycle",
        "truck",
        "other-vehicle",
        "person",
        "bicyclist",
        "motorcyclist",
        "road",
        "parking",
    ),
    *("sidewalk", "other-ground", "building", "fence", "vegetation", "trunk", "terrain", "pole"),
    *("traffic-sign", "ignored"),
}


@pytest.fixture(scope="module")
def config() -> SemanticKittiSynthConfig:
    """Busy streets of one layout, every other beam, few shots."""
    return SemanticKittiSynthConfig(
        street=StreetConfig(
            cars_per_frame=6.0,
            pedestrians_per_frame=3.0,
            cyclists_per_frame=1.5,
            trucks_per_frame=0.8,
            intersection_weight=0.0,
            highway_weight=0.0,
            crowding=50.0,
        ),
        lidar=LidarConfig(elevations_deg=LidarConfig().elevations_deg[::2], azimuth_step_deg=0.6),
    )


@pytest.fixture(scope="module")
def write(config):
    def run(folder: Path, **arguments) -> Path:
        settings = {"sequences": 1, "scans_per_sequence": SCANS, "seed": SEED, "config": config, "workers": 1}
        return write_semantickitti(folder, **(settings | arguments), progress=False)

    return run


@pytest.fixture(scope="module")
def tree(tmp_path_factory, write) -> Path:
    """Sequences 00, 08 and 11."""
    return write(tmp_path_factory.mktemp("synth") / "semantickitti", sequences=2, test_sequences=1)


@pytest.fixture(scope="module")
def sequence(config):
    """What sequence 00 of the tree was recorded from."""
    return writer._build(config, seed=SEED, name="00", scans=SCANS)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def read_scan(tree: Path, name: str, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, raw classes, instances."""
    folder = tree / "sequences" / name
    points = np.fromfile(folder / "velodyne" / f"{index:06d}.bin", dtype="<f4").reshape(-1, 4)
    labels = np.fromfile(folder / "labels" / f"{index:06d}.label", dtype="<u4")
    assert len(labels) == len(points)
    return points, labels & 0xFFFF, labels >> 16


def read_poses(tree: Path, name: str) -> np.ndarray:
    """Poses of the LiDAR against the first scan, by the rule of the official tools."""
    folder = tree / "sequences" / name
    rows = dict(line.split(": ") for line in (folder / "calib.txt").read_text().splitlines())
    assert list(rows) == ["P0", "P1", "P2", "P3", "Tr"]
    bottom = np.array([[0.0, 0, 0, 1]])
    tr = np.concatenate([np.array(rows["Tr"].split(), dtype=np.float64).reshape(3, 4), bottom])
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 3, 4)
    return np.stack([np.linalg.inv(tr) @ np.concatenate([pose, bottom]) @ tr for pose in poses])


def test_the_tree_has_the_official_layout(tree):
    assert sorted(p.name for p in (tree / "sequences").iterdir()) == ["00", "08", "11"]
    scans = [f"{i:06d}" for i in range(SCANS)]
    for name in ("00", "08", "11"):
        folder = tree / "sequences" / name
        assert sorted(p.name for p in (folder / "velodyne").iterdir()) == [f"{s}.bin" for s in scans]
        labels = tree / "test_truth/sequences/11/labels" if name == "11" else folder / "labels"
        assert sorted(p.name for p in labels.iterdir()) == [f"{s}.label" for s in scans]
        for scan in scans:
            count = (folder / "velodyne" / f"{scan}.bin").stat().st_size / 16
            assert count == (labels / f"{scan}.label").stat().st_size / 4 > 5000
        np.testing.assert_allclose(np.loadtxt(folder / "times.txt"), np.arange(SCANS) * 0.1)
        assert np.loadtxt(folder / "poses.txt").shape == (SCANS, 12)
    assert not (tree / "sequences/11/labels").exists()
    assert {p.name for p in tree.iterdir()} == {"sequences", "test_truth"}


def test_the_classes_are_official_ones_and_nearly_all_occur(tree):
    counts = measure_labels(tree).counts.sum(axis=1)
    assert {name for name, count in zip(CLASSES, counts, strict=True) if count} >= EXPECTED


def test_instances_lie_in_their_actors_boxes_and_have_their_classes(tree, sequence):
    for index in (0, SCANS - 1):
        points, raw, instances = read_scan(tree, "00", index)
        time_s = index * 0.1
        world = transforms.apply(sequence.world_from_lidar(time_s), points[:, :3].astype(np.float64))
        scene = sequence.drive.scene_at(time_s)
        speeds = np.linalg.norm(sequence.drive.actor_velocities(time_s), axis=1)
        grown = scene.boxes_lidar + np.array([0, 0, 0, 0.2, 0.2, 0.2, 0])
        inside = boxes.contains(world, grown)
        seen = np.setdiff1d(np.unique(instances), [0])
        assert len(seen) > 15
        for number in seen[seen <= len(scene.actors)]:
            own = instances == number
            assert inside[own, number - 1].all()
            standing = RAW_OF_ACTOR[scene.actors[number - 1].name]
            wanted = MOVING.get(standing, standing) if speeds[number - 1] > 0.2 else standing
            assert (raw[own] == wanted).all()


def test_whoever_moves_faster_than_the_limit_has_the_moving_class(tree, sequence):
    moved = stood = 0
    for index in range(SCANS):
        _, raw, instances = read_scan(tree, "00", index)
        speeds = np.linalg.norm(sequence.drive.actor_velocities(index * 0.1), axis=1)
        actor = (instances > 0) & (instances <= len(speeds))
        moves = speeds[instances[actor].astype(int) - 1] > 0.2
        assert np.array_equal(moves, raw[actor] >= RawLabel.MOVING_CAR)
        moved, stood = moved + moves.sum(), stood + (~moves).sum()
    assert min(moved, stood) > 1000
    slow = writer.label_actors(sequence.drive, time_s=0.0, moving_m_s=1e6)
    assert (slow < RawLabel.MOVING_CAR).all()


def test_an_instance_is_the_same_thing_in_all_scans(tree):
    """It keeps its class, and its points of the next scan are nearer to its own than to any other's."""
    followed = 0
    for name in ("00", "08"):
        poses, before, kinds = read_poses(tree, name), {}, {}
        for index in range(SCANS):
            points, raw, instances = read_scan(tree, name, index)
            world = transforms.apply(poses[index], points[:, :3].astype(np.float64))
            now = {}
            for number in np.setdiff1d(np.unique(instances), [0]).tolist():
                own = instances == number
                (label,) = np.unique(raw[own]).tolist()
                kind = STANDING_OF.get(label, label)
                assert kinds.setdefault(number, kind) == kind
                if own.sum() >= 10:
                    now[number] = world[own]
            for number in now.keys() & before.keys():
                apart = {
                    other: np.median(cKDTree(cloud).query(now[number])[0]) for other, cloud in before.items()
                }
                assert min(apart, key=apart.__getitem__) == number
                followed += 1
            before = now
    assert followed > 50


def test_things_have_instances_and_surfaces_have_none(tree):
    for name in ("00", "08"):
        _, raw, instances = read_scan(tree, name, 1)
        thing = (raw <= RawLabel.MOTORCYCLIST) | (raw >= RawLabel.MOVING_CAR)
        assert np.array_equal(thing, instances > 0)


def test_what_stands_coincides_after_the_poses(tree):
    for name in ("00", "08"):
        poses = read_poses(tree, name)
        np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-9)
        driven = np.linalg.norm(poses[-1][:3, 3])
        assert driven > 2.0
        clouds = []
        for index in (0, SCANS - 1):
            points, raw, _ = read_scan(tree, name, index)
            upright = np.isin(raw, [RawLabel.CAR, RawLabel.POLE, RawLabel.TRUNK, RawLabel.OTHER_OBJECT])
            near = np.linalg.norm(points[:, :3], axis=1) < 15
            clouds.append((points[upright & near, :3].astype(np.float64), poses[index]))
        (first, _), (last, pose) = clouds
        apart = np.median(cKDTree(first).query(transforms.apply(pose, last))[0])
        unmoved = np.median(cKDTree(first).query(last)[0])
        assert apart < 0.12
        assert unmoved > 2 * apart


def test_the_ground_of_all_scans_is_one_surface(tree, sequence):
    """Poses follow the slope: a road point lies on the terrain of the world, whatever scan it is of."""
    world_from_first, poses = sequence.world_from_lidar(0.0), read_poses(tree, "00")
    for index in range(SCANS):
        points, raw, _ = read_scan(tree, "00", index)
        near = (np.linalg.norm(points[:, :3], axis=1) < 25) & (raw == RawLabel.ROAD)
        x, y, z = transforms.apply(world_from_first @ poses[index], points[near, :3].astype(np.float64)).T
        assert np.abs(z - sequence.drive.plan.terrain.height(x, y)).max() < 0.1


def test_surfaces_have_the_class_of_their_place(tree, sequence):
    points, raw, _ = read_scan(tree, "00", 0)
    world = transforms.apply(sequence.world_from_lidar(0.0), points[:, :3].astype(np.float64))
    plan = sequence.drive.plan
    s, t = plan.to_road(*world[:, :2].T)
    edge = plan.lanes * plan.lane_width_m
    lift = world[:, 2] - plan.terrain.height(*world[:, :2].T)
    parking, road, walk, yard = (
        raw == label for label in (RawLabel.PARKING, RawLabel.ROAD, RawLabel.SIDEWALK, RawLabel.OTHER_GROUND)
    )
    assert min(parking.sum(), road.sum(), walk.sum()) > 300
    assert (np.abs(t[parking]) > edge).all()
    assert (t[parking] < plan.kerb(1) + 0.1).all()
    assert (t[parking] > -plan.kerb(-1) - 0.1).all()
    assert np.abs(t[road]).max() < edge + 0.1
    outside = np.minimum(t[walk] + plan.kerb(-1), plan.kerb(1) - t[walk])
    assert outside.max() < 0.1
    assert np.median(lift[walk]) == pytest.approx(0.12, abs=0.03)
    assert yard.sum() > 20
    assert np.median(lift[yard]) == pytest.approx(0.15, abs=0.03)
    assert np.abs(s[yard]).max() < 120
    assert lift[raw == RawLabel.TRUNK].min() > -0.1
    assert np.percentile(lift[raw == RawLabel.BUILDING], 90) > 1.5


def test_every_parked_bicycle_is_an_instance(config):
    drive = writer._build(config, seed=4, name="00", scans=SCANS).drive
    labels = label_background(drive)
    bicycles = labels.raw == RawLabel.BICYCLE
    kinds = np.array(drive.prop_kinds)[drive.background_props]
    assert np.array_equal(bicycles, kinds == PropKind.BICYCLES)
    assert np.array_equal(bicycles, labels.instance > 0)
    numbers = np.unique(labels.instance[bicycles])
    assert numbers.tolist() == list(range(len(drive.actors) + 1, len(drive.actors) + 1 + len(numbers)))
    assert len(numbers) >= 2
    for number in numbers:
        faces = drive.background.faces[labels.instance == number]
        size = np.ptp(drive.background.vertices[np.unique(faces)], axis=0)
        assert 0.9 < size[2] < 1.2
        assert 1.0 < np.hypot(*size[:2]) < 2.1


def test_gables_are_buildings_and_garden_walls_fences(sequence):
    drive, labels = sequence.drive, label_background(sequence.drive)
    kinds = np.array(drive.prop_kinds)[drive.background_props]
    brick = drive.background.material == Material.BRICK
    for kind, raw in ((PropKind.HOUSE, RawLabel.BUILDING), (PropKind.WALL, RawLabel.FENCE)):
        assert (brick & (kinds == kind)).any()
        assert set(labels.raw[brick & (kinds == kind)]) == {raw}


def test_kerbs_are_sidewalk_and_trees_have_trunks_and_crowns(sequence):
    material, raw = sequence.drive.background.material, label_background(sequence.drive).raw
    assert set(raw[material == Material.CURB]) == {RawLabel.SIDEWALK}
    assert set(raw[material == Material.BARK]) == {RawLabel.TRUNK}
    assert set(raw[material == Material.LEAVES]) == {RawLabel.VEGETATION}
    assert set(raw[material == Material.SIGN]) == {RawLabel.TRAFFIC_SIGN}


@pytest.mark.parametrize("layout", ["intersection", "highway"])
def test_every_surface_of_every_layout_has_a_class(config, layout):
    weights = {f"{name}_weight": float(name == layout) for name in ("street", "intersection", "highway")}
    street = StreetConfig(cars_per_frame=1.0, **weights)
    drive = writer._build(replace(config, street=street), seed=0, name="00", scans=1).drive
    raw = label_background(drive).raw
    assert raw.min() > 0
    assert (RawLabel.OTHER_STRUCTURE in raw) == (layout == "highway")
    assert (RawLabel.BUILDING in raw) == (layout == "intersection")
    assert len(writer.label_actors(drive, time_s=0.0, moving_m_s=0.2)) == len(drive.actors)


def test_any_number_of_workers_writes_the_beginning_of_a_larger_set(write, tree, tmp_path):
    """Two workers share the one sequence, scan by scan."""
    short = digest(write(tmp_path / "short", workers=2))
    assert len(short) == 2 * SCANS + 3
    assert short.items() <= digest(tree).items()


def test_another_seed_is_another_world(write, tree, tmp_path):
    other = digest(write(tmp_path / "other", seed=2, scans_per_sequence=1))
    name = "sequences/00/velodyne/000000.bin"
    assert other[name] != digest(tree)[name]


def test_an_existing_folder_is_refused_and_left_alone(write, tree):
    before = digest(tree)
    with pytest.raises(FileExistsError, match=r"semantickitti exists and is not an empty folder"):
        write(tree)
    assert digest(tree) == before


def test_an_interrupted_run_leaves_a_folder_that_readers_refuse(write, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(writer, "_write_texts", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "out", scans_per_sequence=1)
    assert not (tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError, match=r"only the unfinished .*out\.partial"):
        refuse_incomplete(tmp_path / "out")
    with pytest.raises(ValueError, match="is incomplete"):
        refuse_incomplete(tmp_path / "out.partial")
    monkeypatch.undo()
    write(tmp_path / "out", scans_per_sequence=1)
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequences": 0}, r"sequences must lie in 1..11, got 0"),
        ({"sequences": 12}, r"sequences must lie in 1..11, got 12"),
        ({"test_sequences": 12}, r"test_sequences must lie in 0..11, got 12"),
        ({"scans_per_sequence": 0}, r"scans_per_sequence must lie in 1..600 \(60 s\), got 0"),
        ({"scans_per_sequence": 601}, r"scans_per_sequence must lie in 1..600 \(60 s\), got 601"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"workers": 0}, "workers must be at least 1 or None"),
    ],
)
def test_bad_arguments_are_refused(write, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_bad_settings_are_refused(config):
    with pytest.raises(ValueError, match=r"scan_interval_s must be positive, got 0.0"):
        replace(config, scan_interval_s=0.0)
    with pytest.raises(ValueError, match=r"buses_per_100m must lie in 0..20, got -1.0"):
        replace(config.rare, buses_per_100m=-1.0)


def test_the_command_writes_a_tree(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--sequences", "1", "--scans", "1", "--azimuth-step", "3", "--workers", "1"]
    assert main(["synth", "semantickitti", "--out", str(out), *arguments]) == 0
    assert "wrote 1 sequence of 1 scans" in capsys.readouterr().out
    assert len(read_scan(out, "00", 0)[0]) > 3000


def test_statistics_count_every_point_once(tree, tmp_path):
    statistics = measure_labels(tree)
    sizes = [(tree / "sequences" / name / "labels").glob("*") for name in ("00", "08")]
    assert statistics.scans == 2 * SCANS
    assert statistics.counts.sum() == sum(p.stat().st_size // 4 for paths in sizes for p in paths)
    assert len(statistics.table().splitlines()) == 2 + len(CLASSES)
    assert sum(PUBLISHED_SHARE.values()) == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(FileNotFoundError, match=r"no sequences/\*/labels"):
        measure_labels(tmp_path)


def test_statistics_refuse_what_is_no_label(tree, tmp_path):
    for folder in ("velodyne", "labels"):
        (tmp_path / "sequences/00" / folder).mkdir(parents=True)
    scan, label = (
        tmp_path / "sequences/00" / name for name in ("velodyne/000000.bin", "labels/000000.label")
    )
    np.zeros((2, 4), np.float32).tofile(scan)
    np.zeros(3, np.uint32).tofile(label)
    with pytest.raises(ValueError, match=r"000000.label has 3 labels for 2 points"):
        measure_labels(tmp_path)
    np.array([40, 41], np.uint32).tofile(label)
    with pytest.raises(ValueError, match=r"has labels \[41\], which the official list lacks"):
        measure_labels(tmp_path)


def test_labels_written_are_the_official_ids():
    assert {label.name.lower().replace("_", "-"): label.value for label in RawLabel} == {
        found.name: found.raw for found in RAW_IDS
    }
