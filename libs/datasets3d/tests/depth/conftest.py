"""Depth samples with known answers: the golden tree of the released code, and a small one made here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from datasets3d.nuscenes import Pose, SampleRecord, SensorRecord, read_published_infos
from datasets3d.nuscenes.lidar import write_lidar
from datasets3d.nuscenes.radar import RADAR_FIELDS, write_radar
from PIL import Image

GOLDEN = Path(__file__).parent.parent / "golden" / "sparse_beats_dense"
HERE = Pose(translation=(0.0, 0.0, 0.0), rotation=(1.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True)
class Golden:
    """What the released code makes of the files under `root`."""

    root: Path
    records: tuple[SampleRecord, ...]
    arrays: Mapping[str, np.ndarray]


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    root = tmp_path_factory.mktemp("golden")
    arrays = dict(np.load(GOLDEN / "data.npz"))
    records = read_published_infos(GOLDEN / "data_infos.json")
    for i, record in enumerate(records):
        mask = f"seg_mask/{Path(record.key('CAM_FRONT').filename).stem}.png"
        for kind, path in (
            ("image", record.key("CAM_FRONT").filename),
            ("radar", record.key("RADAR_FRONT").filename),
            ("lidar", record.key("LIDAR_TOP").filename),
            ("seg", mask),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(arrays[f"{i}_{kind}_file"].tobytes())
    return Golden(root, tuple(records), arrays)


@dataclass(frozen=True)
class Small:
    """A tree of one key frame, 6 wide and 4 high, whose sensors all sit at the camera and look as it does."""

    root: Path
    record: SampleRecord

    def radar(self, *points: tuple[float, float, float], sweep: int = 0) -> None:
        """Replace the radar file by valid returns at these places, camera frame."""
        returns = np.zeros((len(points), len(RADAR_FIELDS)), np.float32)
        returns[:, RADAR_FIELDS.index("ambig_state")] = 3
        returns[:, :3] = np.array(points).reshape(-1, 3)
        write_radar(self.record.sensors["RADAR_FRONT"][sweep].path(self.root), returns)

    def lidar(self, *points: tuple[float, float, float]) -> None:
        """Replace the LiDAR file by these points, camera frame."""
        columns = np.zeros((len(points), 5), np.float32)
        columns[:, :3] = np.array(points).reshape(-1, 3)
        write_lidar(self.record.key("LIDAR_TOP").path(self.root), columns)

    def mask(self, ids: np.ndarray) -> Path:
        """Replace the mask by this picture."""
        path = self.root / "seg_mask" / "a.png"
        Image.fromarray(ids).save(path)
        return path


def sensor(channel: str, filename: str, *, x_m: float = 0.0, camera: bool = False) -> SensorRecord:
    """A sensor at the origin of a car that stands at x_m."""
    return SensorRecord(
        channel=channel,
        filename=filename,
        token=filename,
        timestamp_us=0,
        calibration=HERE,
        ego_pose=Pose(translation=(x_m, 0.0, 0.0), rotation=(1.0, 0.0, 0.0, 0.0)),
        intrinsic=((1.0, 0.0, 3.0), (0.0, 1.0, 2.0), (0.0, 0.0, 1.0)) if camera else None,
        size_wh=(6, 4) if camera else None,
    )


@pytest.fixture
def small(tmp_path: Path) -> Small:
    record = SampleRecord(
        token="t",
        scene_token="s",
        scene_name="s",
        timestamp_us=0,
        sensors={
            "CAM_FRONT": (sensor("CAM_FRONT", "samples/CAM_FRONT/a.jpg", camera=True),),
            "LIDAR_TOP": (sensor("LIDAR_TOP", "samples/LIDAR_TOP/a.pcd.bin"),),
            "RADAR_FRONT": (
                sensor("RADAR_FRONT", "samples/RADAR_FRONT/a.pcd"),
                sensor("RADAR_FRONT", "sweeps/RADAR_FRONT/b.pcd", x_m=-1.0),
            ),
        },
    )
    for folder in ("samples/CAM_FRONT", "seg_mask"):
        (tmp_path / folder).mkdir(parents=True)
    tree = Small(tmp_path, record)
    Image.new("RGB", (6, 4), (10, 20, 30)).save(record.key("CAM_FRONT").path(tmp_path))
    tree.radar((0.0, 0.0, 5.0))
    tree.radar((0.0, 0.0, 7.0), sweep=1)
    tree.lidar((0.0, 0.0, 5.0))
    tree.mask(np.full((4, 6), 2, np.uint8))
    return tree


@pytest.fixture(scope="session")
def real_nuscenes() -> Path:
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real sensor frames here")
    return Path(root) / "nuscenes"
