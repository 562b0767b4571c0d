"""A street in small: a road and a wall, seen by one camera, a LiDAR of 24 beams and a radar, by hand."""

from pathlib import Path

import numpy as np
import pytest
from datasets3d.depth.pictures import write_depth_picture
from datasets3d.nuscenes import Pose, SampleRecord, SensorRecord, write_lidar, write_radar, write_records
from datasets3d.nuscenes.radar import RADAR_FIELDS
from fusion3d_appkit.testing import AppUnderTest, tested, trained  # noqa: F401  (fixtures)
from PIL import Image
from sparse_beats_dense.__main__ import PROGRAM
from sparse_beats_dense.demo import DEMO
from sparse_beats_dense.train import APP

FILES = "--image a.jpg --radar a.pcd --calib a.json"
WIDTH, HEIGHT = 96, 54
INTRINSIC = ((76.0, 0.0, 48.0), (0.0, 76.0, 27.0), (0.0, 0.0, 1.0))
STILL = Pose(translation=(0.0, 0.0, 0.0), rotation=(1.0, 0.0, 0.0, 0.0))
CAMERA = Pose(translation=(0.0, 0.0, 1.5), rotation=(0.5, -0.5, 0.5, -0.5))
ROAD, WALL, SKY = 6, 0, 2
"""ADE20K classes; the wall is one that radar can hit."""


def depth_along_z(u: np.ndarray, v: np.ndarray, wall_m: float) -> np.ndarray:
    """Depth of pixels: a road 1.5 m below the camera, then a wall that is 4 m high; 0 for the sky."""
    down = (v - 27.0) / 76.0
    road = np.divide(1.5, down, out=np.full(down.shape, np.inf), where=down > 0)
    wall = np.where(down * wall_m > -2.5, wall_m, 0.0)
    return np.where(road < wall_m, road, wall)


def sensor(channel: str, filename: str, calibration: Pose, **more) -> SensorRecord:
    return SensorRecord(
        channel=channel,
        filename=filename,
        token=filename,
        timestamp_us=0,
        calibration=calibration,
        ego_pose=STILL,
        **more,
    )


def write_frame(root: Path, name: str, wall_m: float, rng: np.random.Generator) -> SampleRecord:
    for folder in ("samples/CAM_FRONT", "samples/LIDAR_TOP", "samples/RADAR_FRONT", "seg_mask"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    depth = depth_along_z(u, v, wall_m)
    road = (depth > 0) & (depth < wall_m)
    classes = np.where(depth == 0, SKY, np.where(road, ROAD, WALL)).astype(np.uint8)
    colour = np.array(
        [[90, 60, 50], [0, 0, 0], [150, 180, 230], [0, 0, 0], [0, 0, 0], [0, 0, 0], [70, 70, 75]]
    )
    # The wall is the paler, the farther: what the model can learn from the picture.
    image = colour[classes] + (classes == WALL)[..., None] * (2 * wall_m)
    image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    Image.fromarray(image).save(root / f"samples/CAM_FRONT/{name}.jpg", quality=95)
    Image.fromarray(classes).save(root / f"seg_mask/{name}.png")
    write_depth_picture(root / f"depth/CAM_FRONT/{name}.png", depth.astype(np.float32))

    beam_v, beam_u = np.meshgrid(np.linspace(8, 53, 24), np.arange(0.5, WIDTH, 2.0), indexing="ij")
    hit = depth_along_z(beam_u, beam_v, wall_m).ravel()
    right, down = (beam_u.ravel() - 48) / 76 * hit, (beam_v.ravel() - 27) / 76 * hit
    points = np.stack([hit, -right, 1.5 - down, np.full(hit.size, 9.0), np.zeros(hit.size)], axis=1)
    write_lidar(root / f"samples/LIDAR_TOP/{name}.pcd.bin", points[hit > 0].astype(np.float32))

    returns = np.zeros((4, len(RADAR_FIELDS)), np.float32)
    returns[:, RADAR_FIELDS.index("x")] = wall_m
    returns[:, RADAR_FIELDS.index("y")] = np.array([-0.4, -0.1, 0.1, 0.4]) * wall_m
    returns[:, RADAR_FIELDS.index("ambig_state")] = 3
    write_radar(root / f"samples/RADAR_FRONT/{name}.pcd", returns)
    radar = Pose(translation=(0.0, 0.0, 0.5), rotation=(1.0, 0.0, 0.0, 0.0))
    camera = sensor(
        "CAM_FRONT",
        f"samples/CAM_FRONT/{name}.jpg",
        CAMERA,
        intrinsic=INTRINSIC,
        size_wh=(WIDTH, HEIGHT),
    )
    return SampleRecord(
        token=name,
        scene_token="s",
        scene_name="scene-0001",
        timestamp_us=0,
        sensors={
            "CAM_FRONT": (camera,),
            "LIDAR_TOP": (sensor("LIDAR_TOP", f"samples/LIDAR_TOP/{name}.pcd.bin", STILL),),
            "RADAR_FRONT": (sensor("RADAR_FRONT", f"samples/RADAR_FRONT/{name}.pcd", radar),),
        },
    )


@pytest.fixture(scope="session")
def street(tmp_path_factory) -> Path:
    """Four frames to train on, two to evaluate: `train.json`, `val.json`, and all that they name."""
    root = tmp_path_factory.mktemp("street") / "nuscenes"
    rng = np.random.default_rng(0)
    records = [write_frame(root, f"frame{i}", wall, rng) for i, wall in enumerate([12, 20, 28, 36, 16, 32])]
    write_records(root / "train.json", records[:4])
    write_records(root / "val.json", records[4:])
    return root


@pytest.fixture(scope="session")
def under_test(street) -> AppUnderTest:
    return AppUnderTest(
        program=PROGRAM,
        app=APP,
        demo=DEMO,
        tests=Path(__file__).parent,
        root=street,
        sensors=("samples/CAM_FRONT", "samples/RADAR_FRONT", "samples/LIDAR_TOP", "seg_mask"),
        early={
            f"predict --ckpt v.ckpt {FILES}": "weights v.ckpt: no such file; beside it are w.ckpt",
            f"predict --ckpt w.safetensors {FILES}": "safetensors hold no configuration",
            f"predict --ckpt w.ckpt {FILES}": "--image a.jpg: no such file",
            "predict --ckpt w.ckpt --image a.jpg": "give either --image, --radar and --calib, or --root",
            "predict --ckpt w.ckpt --image w.ckpt --radar a --calib a": "w.ckpt: expected .jpg or .jpeg",
            "export --ckpt u.ckpt": "weights u.ckpt: no such file",
            "export --ckpt w.ckpt --size 0 9": "--size must be a width and a height in pixels, got 0 9",
            "masks --root nowhere --model x": "no pictures in nowhere/samples/CAM_FRONT",
        },
        misspelt={
            "--data.batch_sise=3": "data.batch_size",
            "--model.network.base_widht=8": "model.network.base_width",
            "--data.augmentation.disruption.zom=[1,1]": "data.augmentation.disruption.zoom",
        },
        wider="--model.network.base_width=8",
        chapters=("Pictures",),
        frames_evaluated=lambda results: results["lidar"]["counts"]["n_frames"],
    )


@pytest.fixture
def words(under_test, tmp_path) -> list[str]:
    """The arguments of a tiny run in `tmp_path / "run"`."""
    return under_test.words(tmp_path / "run")
