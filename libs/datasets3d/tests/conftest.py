"""A tiny KITTI tree made on the spot: two training frames, one validation frame, one test frame."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
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
    import shutil

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
