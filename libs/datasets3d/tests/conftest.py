"""Tiny trees made on the spot: of KITTI (two frames to train on, two others) and of nuScenes."""

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
from datasets3d.nuscenes import CAMERAS, LIDAR, RADARS, write_lidar, write_radar
from datasets3d.nuscenes.tables import TABLES
from geom3d import boxes
from geom3d import kitti as geom_kitti
from geom3d.kitti import KittiCalibration
from PIL import Image

WIDTH, HEIGHT = 320, 96


@dataclass(frozen=True)
class Thing:
    """One object of the tiny world."""

    name: str
    box: tuple[float, ...]
    points: int = 200


FRAMES: dict[str, list[Thing]] = {
    "000000": [
        Thing("Car", (12.0, 2.0, -0.9, 3.9, 1.6, 1.5, 0.1)),
        Thing("Pedestrian", (9.0, -2.0, -0.8, 0.8, 0.6, 1.7, 1.0), 60),
    ],
    "000001": [
        Thing("Car", (15.0, -4.0, -0.9, 4.1, 1.7, 1.6, -0.3)),
        Thing("Car", (20.0, 5.0, -0.9, 4.0, 1.6, 1.5, 1.5), 80),
        Thing("Cyclist", (10.0, 0.5, -0.8, 1.8, 0.6, 1.7, 0.0), 90),
    ],
    "000002": [Thing("Van", (14.0, 0.0, -0.7, 5.0, 1.9, 2.0, 0.0))],
}


@pytest.fixture(scope="session")
def calibration() -> KittiCalibration:
    turn = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(0.01), -np.sin(0.01)], [0.0, np.sin(0.01), np.cos(0.01)]])
    intrinsics = np.array([[180.0, 0.0, 160.5, 0.0], [0.0, 180.0, 44.25, 0.0], [0.0, 0.0, 1.0, 0.0]])
    shifted = intrinsics.copy()
    shifted[:, 3] = [10.5, 0.2, 0.003]
    return KittiCalibration(
        p0=intrinsics,
        p1=intrinsics,
        p2=shifted,
        p3=intrinsics,
        r0_rect=tilt,
        velo_to_cam=np.column_stack([turn, [0.01, -0.07, -0.3]]),
        imu_to_velo=None,
    )


def surface(thing: Thing, rng: np.random.Generator) -> np.ndarray:
    local = rng.uniform(-0.5, 0.5, (thing.points, 3))
    axis = rng.integers(0, 3, thing.points)
    local[np.arange(thing.points), axis] = 0.48 * np.sign(local[np.arange(thing.points), axis])
    box = np.array(thing.box)
    return boxes.from_canonical(local * box[3:6], box)


def write_frame(root: Path, frame_id: str, things: list[Thing], calibration: KittiCalibration) -> None:
    rng = np.random.default_rng(int(frame_id))
    for kind in ("calib", "velodyne", "image_2", "label_2", "planes"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    geom_kitti.write_calibration(root / "calib" / f"{frame_id}.txt", calibration)
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(image).save(root / "image_2" / f"{frame_id}.png")
    ground = np.column_stack([rng.uniform(-40, 40, 2000), rng.uniform(-30, 30, 2000), np.full(2000, -1.7)])
    scan = np.concatenate([ground, *(surface(t, rng) for t in things)])
    scan = np.column_stack([scan, rng.uniform(0, 1, len(scan))]).astype("<f4")
    (root / "velodyne" / f"{frame_id}.bin").write_bytes(scan.tobytes())
    (root / "label_2" / f"{frame_id}.txt").write_text("".join(label_lines(things, calibration)))
    (root / "planes" / f"{frame_id}.txt").write_text("# Plane\nWidth 4\nHeight 1\n0.0 -2.0 0.0 3.3\n")


def label_lines(things: list[Thing], calibration: KittiCalibration) -> list[str]:
    if not things:
        return []
    found = np.array([t.box for t in things])
    location, size_lhw, rotation_y = geom_kitti.boxes_camera_from_lidar(found, calibration)
    image = geom_kitti.boxes_image_from_lidar(found, calibration.camera(WIDTH, HEIGHT))
    alpha = geom_kitti.alpha_from_boxes(found, calibration)
    lines = []
    for i, thing in enumerate(things):
        numbers = [*image[i], *size_lhw[i, [1, 2, 0]], *location[i], rotation_y[i]]
        lines.append(f"{thing.name} 0.00 0 {alpha[i]:.4f} " + " ".join(f"{n:.4f}" for n in numbers) + "\n")
    return [*lines, "DontCare -1 -1 -10 5.00 6.00 25.00 16.00 -1 -1 -1 -1000 -1000 -1000 -10\n"]


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory, calibration: KittiCalibration) -> Path:
    root = tmp_path_factory.mktemp("template") / "kitti"
    for frame_id, things in FRAMES.items():
        write_frame(root / "training", frame_id, things, calibration)
    write_frame(root / "testing", "000000", FRAMES["000000"], calibration)
    (root / "ImageSets").mkdir()
    for split, ids in (("train", "000000\n000001\n"), ("val", "000002\n"), ("test", "000000\n")):
        (root / "ImageSets" / f"{split}.txt").write_text(ids)
    return root


@pytest.fixture
def tiny_root(_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_template, tmp_path / "kitti"))


@pytest.fixture(scope="session")
def real_kitti() -> Path:
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real sensor frames here")
    return Path(root) / "kitti"


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Let wrong arrays through the annotations, down to the library's own checks, as in production."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


PICTURE_WIDTH, PICTURE_HEIGHT = 64, 36
FORWARD = {"CAM": (0.5, -0.5, 0.5, -0.5), "LIDAR": (0.7071068, 0.0, 0.0, -0.7071068), "RADAR": (1.0, 0, 0, 0)}
KEY_FRAMES = {"scene-0103": 3, "scene-0061": 2}
SWEEPS_A_FRAME = 2
"""Of LiDAR and radar between two key frames, and as many before the first."""


@dataclass(repr=False)
class Tree:
    """Tables and files, to be broken before or after they are written."""

    root: Path
    version: str = "v1.0-mini"
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def write(self) -> Path:
        (self.root / self.version).mkdir(parents=True, exist_ok=True)
        for name, rows in self.tables.items():
            (self.root / self.version / f"{name}.json").write_text(json.dumps(rows, indent=0))
        return self.root

    def row(self, table: str, token: str) -> dict[str, Any]:
        return next(row for row in self.tables[table] if row["token"] == token)


def build(root: Path) -> Tree:
    tree = Tree(root)
    rows = tree.tables
    rows["log"].append({"token": "log", "location": "nowhere"})
    rows["map"].append({"token": "map", "log_tokens": ["log"]})
    rows["visibility"].append({"token": "4", "level": "v80-100"})
    rows["attribute"].append({"token": "parked", "name": "vehicle.parked"})
    rows["category"].append({"token": "car", "name": "vehicle.car"})
    for channel in (*CAMERAS, LIDAR, *RADARS):
        kind = channel.partition("_")[0]
        modality = {"CAM": "camera", "LIDAR": "lidar", "RADAR": "radar"}[kind]
        rows["sensor"].append({"token": f"sensor-{channel}", "channel": channel, "modality": modality})
        intrinsic = [[40.0, 0.0, 32.0], [0.0, 40.0, 18.0], [0.0, 0.0, 1.0]] if kind == "CAM" else []
        rows["calibrated_sensor"].append(
            {
                "token": f"mount-{channel}",
                "sensor_token": f"sensor-{channel}",
                "translation": [1.5, 0.0, 1.6],
                "rotation": list(FORWARD[kind]),
                "camera_intrinsic": intrinsic,
            }
        )
    for number, (name, count) in enumerate(KEY_FRAMES.items()):
        add_scene(tree, name, count, start_us=1_500_000_000_000_000 + number * 10**9)
    return tree


def add_scene(tree: Tree, name: str, count: int, *, start_us: int) -> None:
    rows, tokens = tree.tables, [f"{name}/{i}" for i in range(count)]
    rows["scene"].append(
        {
            "token": name,
            "name": name,
            "log_token": "log",
            "nbr_samples": count,
            "first_sample_token": tokens[0],
            "last_sample_token": tokens[-1],
        }
    )
    for i, token in enumerate(tokens):
        time_us = start_us + i * 500_000
        rows["sample"].append({"token": token, "scene_token": name, "timestamp": time_us, **links(tokens, i)})
        rows["instance"].append(
            {
                "token": f"{token}/car",
                "category_token": "car",
                "first_annotation_token": f"{token}/box",
                "last_annotation_token": f"{token}/box",
            }
        )
        rows["sample_annotation"].append(
            {
                "token": f"{token}/box",
                "sample_token": token,
                "instance_token": f"{token}/car",
                "visibility_token": "4",
                "attribute_tokens": ["parked"],
                "translation": [i * 5.0 + 12.0, 0.0, 1.0],
                "size": [2.0, 4.0, 2.0],
                "rotation": [1.0, 0.0, 0.0, 0.0],
                "num_lidar_pts": 3,
                "num_radar_pts": 1,
                **links([], 0),
            }
        )
    for channel in (*CAMERAS, LIDAR, *RADARS):
        add_files(tree, channel, tokens, start_us)


def add_files(tree: Tree, channel: str, samples: list[str], start_us: int) -> None:
    steps = 1 if channel.startswith("CAM") else SWEEPS_A_FRAME + 1
    tokens = [f"{sample}/{channel}/{j}" for sample in samples for j in range(steps)]
    for at, token in enumerate(tokens):
        index, j = divmod(at, steps)
        is_key, time_us = j == steps - 1, start_us + index * 500_000 - (steps - 1 - j) * 80_000
        suffix = {"CAM": "jpg", "LIDA": "pcd.bin", "RADA": "pcd"}[channel[:4].rstrip("_")]
        folder = "samples" if is_key else "sweeps"
        filename = f"{folder}/{channel}/{samples[0].partition('/')[0]}__{channel}__{time_us}.{suffix}"
        tree.tables["sample_data"].append(
            {
                "token": token,
                "sample_token": samples[index],
                "ego_pose_token": token,
                "calibrated_sensor_token": f"mount-{channel}",
                "timestamp": time_us,
                "is_key_frame": is_key,
                "filename": filename,
                "width": PICTURE_WIDTH if suffix == "jpg" else 0,
                "height": PICTURE_HEIGHT if suffix == "jpg" else 0,
                **links(tokens, at),
            }
        )
        tree.tables["ego_pose"].append(
            {
                "token": token,
                "timestamp": time_us,
                "translation": [(time_us - start_us) * 1e-5, 0.0, 0.0],
                "rotation": [1.0, 0.0, 0.0, 0.0],
            }
        )
        write_file(tree.root / filename, suffix)


def links(tokens: list[str], at: int) -> dict[str, str]:
    return {
        "prev": tokens[at - 1] if 0 < at < len(tokens) else "",
        "next": tokens[at + 1] if at + 1 < len(tokens) else "",
    }


def write_file(path: Path, suffix: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == "jpg":
        Image.new("RGB", (PICTURE_WIDTH, PICTURE_HEIGHT), (200, 10, 10)).save(path)
    elif suffix == "pcd":
        returns = np.zeros((3, 18), np.float32)
        returns[:, 0], returns[:, 6], returns[:, 11] = [5.0, 10.0, 15.0], 2.0, [3, 3, 0]
        write_radar(path, returns)
    else:
        # Two metres ahead of the sensor's car, twelve metres ahead, high up.
        points = np.array([[0, 0.5, 0, 9, 0], [0, 10.5, -0.6, 9, 1], [0, 10.5, 5, 9, 2]], np.float32)
        write_lidar(path, points)


@pytest.fixture(scope="session")
def _nuscenes_template(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return build(tmp_path_factory.mktemp("template") / "nuscenes")


@pytest.fixture
def tree(_nuscenes_template: Tree, tmp_path: Path) -> Tree:
    root = shutil.copytree(_nuscenes_template.root, tmp_path / "nuscenes")
    return Tree(Path(root), tables=copy.deepcopy(_nuscenes_template.tables))


@pytest.fixture
def tiny_nuscenes(tree: Tree) -> Path:
    return tree.write()


@pytest.fixture(scope="session")
def write_sensor_file() -> Callable[[Path, str], None]:
    return write_file


@pytest.fixture(scope="session")
def real_nuscenes() -> Path:
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real sensor frames here")
    return Path(root) / "nuscenes"


DRIVES = {"00": 4, "08": 2, "11": 1}
"""Scans of the sequences of a tiny SemanticKITTI; those of 11 have no labels."""
LIDAR_TO_CAM = np.array([[0.0, -1.0, 0.0, 0.1], [0.0, 0.0, -1.0, -0.2], [1.0, 0.0, 0.0, 0.3], [0, 0, 0, 1.0]])
STEP_M = 0.5
"""The car drives so far from scan to scan, ahead."""


def drive_scan(sequence: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and labels of a road with a bicycle (instance 2), a walking person (7) and a wall."""
    rng = np.random.default_rng(int(sequence))
    road = np.column_stack([rng.uniform(-30, 30, (600, 2)), rng.normal(-1.7, 0.02, 600)])
    wall = np.column_stack([rng.uniform(-30, 30, 300), np.full(300, 15.0), rng.uniform(-1.7, 3.0, 300)])
    bicycle = np.array([8.0, 3.0, -1.7]) + rng.uniform(0, 1, (40, 3)) * [1.7, 0.5, 1.1]
    person = np.array([12.0, -4.0, -1.7]) + rng.uniform(0, 1, (30, 3)) * [0.5, 0.5, 1.8]
    parts = [(road, 40), (wall, 50), (bicycle, 11 + (2 << 16)), (person, 254 + (7 << 16)), (road[:50], 0)]
    points = np.concatenate([part for part, _ in parts]) - [number * STEP_M, 0.0, 0.0]
    labels = np.concatenate([np.full(len(part), label, np.uint32) for part, label in parts])
    return np.column_stack([points, rng.uniform(0, 1, len(points))]).astype("<f4"), labels


def write_drive(root: Path, sequence: str, count: int) -> None:
    folder = root / "sequences" / sequence
    (folder / "velodyne").mkdir(parents=True)
    is_labelled = sequence != "11"
    poses = []
    for number in range(count):
        points, labels = drive_scan(sequence, number)
        (folder / f"velodyne/{number:06d}.bin").write_bytes(points.tobytes())
        if is_labelled:
            (folder / "labels").mkdir(exist_ok=True)
            (folder / f"labels/{number:06d}.label").write_bytes(labels.tobytes())
        world_from_lidar = np.eye(4)
        world_from_lidar[0, 3] = number * STEP_M
        poses.append(LIDAR_TO_CAM @ world_from_lidar @ np.linalg.inv(LIDAR_TO_CAM))
    write_motion(folder, np.array(poses))


def write_motion(folder: Path, world_from_cam: np.ndarray) -> None:
    def line(matrix: np.ndarray) -> str:
        return " ".join(f"{value:.9e}" for value in matrix[:3].ravel())

    (folder / "poses.txt").write_text("".join(line(pose) + "\n" for pose in world_from_cam))
    (folder / "calib.txt").write_text(f"P0: {line(np.eye(4))}\nTr: {line(LIDAR_TO_CAM)}\n")
    (folder / "times.txt").write_text("".join(f"{0.1 * i:e}\n" for i in range(len(world_from_cam))))


@pytest.fixture(scope="session")
def _drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "semantickitti"
    for sequence, count in DRIVES.items():
        write_drive(root, sequence, count)
    return root


@pytest.fixture
def tiny_drives(_drives: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_drives, tmp_path / "semantickitti"))


@pytest.fixture(scope="session")
def real_semantickitti() -> Path:
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real sensor frames here")
    return Path(root) / "semantickitti"


@pytest.fixture(scope="session")
def real_scannet() -> Path:
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real sensor frames here")
    return Path(root) / "scannet"
