"""`kitti_infos_<split>.json`: what a split holds, in one JSON file.

Optional: `KittiDataset` reads the official files and does not need it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from datasets3d import _atomic
from datasets3d.kitti.dataset import KittiDataset

FORMAT = "datasets3d.kitti_infos"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KittiFrameInfo:
    """One frame in figures."""

    frame_id: str
    image_size: tuple[int, int]
    """Width, height in pixels."""
    num_points: int
    """Points the dataset gives for the frame (cropped to the image if the dataset does so)."""
    names: tuple[str, ...]
    """Class of each 3D-labelled object; empty without labels."""
    boxes_lidar: tuple[tuple[float, ...], ...]
    """x y z dx dy dz yaw of each."""
    difficulty: tuple[int, ...]
    """Difficulty of each."""
    num_points_in_box: tuple[int, ...]
    """Points inside each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KittiInfos:
    """A split in figures."""

    split: str
    frames: tuple[KittiFrameInfo, ...]

    def class_counts(self) -> dict[str, int]:
        """Count objects by class, most frequent first."""
        names = [name for frame in self.frames for name in frame.names]
        return {name: names.count(name) for name in sorted(set(names), key=lambda n: (-names.count(n), n))}


def write_infos(dataset: KittiDataset, *, progress: bool = True) -> Path:
    """Read every frame of the dataset once and write `<root>/kitti_infos_<split>.json` atomically."""
    frames = tqdm(range(len(dataset)), desc=f"infos {dataset.split}", unit="frame", disable=not progress)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "split": dataset.split,
        "frames": [asdict(_info(dataset, i)) for i in frames],
    }
    path = dataset.root / f"kitti_infos_{dataset.split}.json"
    _atomic.write_json(path, content)
    return path


def read_infos(root: Path | str, split: str) -> KittiInfos:
    """Read `<root>/kitti_infos_<split>.json`.

    Raises:
        FileNotFoundError: No such file; names the command that writes it.
        ValueError: Not our format, or another version of it.
    """
    path = Path(root) / f"kitti_infos_{split}.json"
    cure = f"write it with `python -m datasets3d prepare kitti --root {root} --split {split}`"
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d.kitti: no {path}; {cure}")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"datasets3d.kitti: {path} is no JSON ({error}); {cure}") from None
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        raise ValueError(
            f"datasets3d.kitti: {path} is {content.get('format')!r} version {content.get('version')!r}, "
            f"expected {FORMAT!r} version {VERSION}; {cure}"
        )
    return KittiInfos(split=content["split"], frames=tuple(_frame_info(f) for f in content["frames"]))


def _info(dataset: KittiDataset, index: int) -> KittiFrameInfo:
    frame = dataset[index]
    camera = frame.cameras[dataset.camera]
    objects = frame.objects
    return KittiFrameInfo(
        frame_id=frame.frame_id,
        image_size=(camera.width, camera.height),
        num_points=len(frame.points),
        names=objects.names if objects else (),
        boxes_lidar=tuple(map(tuple, objects.boxes_lidar.tolist())) if objects else (),
        difficulty=tuple(objects.difficulty.tolist()) if objects else (),
        num_points_in_box=tuple(objects.num_points.tolist())
        if objects and objects.num_points is not None
        else (),
    )


def _frame_info(content: dict) -> KittiFrameInfo:
    return KittiFrameInfo(
        frame_id=content["frame_id"],
        image_size=(content["image_size"][0], content["image_size"][1]),
        num_points=content["num_points"],
        names=tuple(content["names"]),
        boxes_lidar=tuple(tuple(box) for box in content["boxes_lidar"]),
        difficulty=tuple(content["difficulty"]),
        num_points_in_box=tuple(content["num_points_in_box"]),
    )
