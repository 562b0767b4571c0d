"""Cutting labelled objects out of a split, and reading them back.

One folder, usually `<root>/gt_database`, self-contained: `<frame>_<class>_<index>.bin` (float32 x y z
intensity about the box centre, not rotated), `<frame>_<class>_<index>.png` (the labelled 2D box and some
margin) and `index.json`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from geom3d import boxes
from geom3d.cameras import PinholeCamera
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from datasets3d import _atomic
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from datasets3d.kitti._files import read_image, read_points

FORMAT = "datasets3d.gt_database"
VERSION = 1
_CROP_MARGIN = 0.25
"""Share of the 2D box kept around it: room for a paste box that came out larger."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseEntry:
    """One object of the database."""

    frame_id: str
    index: int
    """Among the 3D-labelled objects of its frame."""
    name: str
    box_lidar: tuple[float, ...]
    """x y z dx dy dz yaw in its own frame's LiDAR frame."""
    box_image: tuple[float, float, float, float]
    """u0 v0 u1 v1, labelled, in its own picture."""
    truncation: float
    occlusion: int
    alpha: float
    difficulty: int
    num_points: int
    """Points of the whole scan inside the box."""
    crop_origin: tuple[int, int]
    """Pixel (u, v) of its own picture at which the stored crop starts."""

    @property
    def stem(self) -> str:
        """Name of its files, without ending."""
        return f"{self.frame_id}_{self.name}_{self.index}"

    @property
    def source_id(self) -> str:
        """Key of its dense target."""
        return f"{self.frame_id}_{self.index}"


@dataclass(frozen=True)
class ObjectDatabase:
    """The objects of a database folder; points and crops are read when asked for.

    Example:
        >>> database = ObjectDatabase(folder=Path("gt_database"), entries=(), cameras={})
        >>> database.class_counts()
        {}
    """

    folder: Path
    entries: tuple[DatabaseEntry, ...]
    cameras: Mapping[str, PinholeCamera]
    """Camera of each source frame, by frame id."""
    split: str = ""
    """Split that the objects were cut out of."""

    @classmethod
    def read(cls, folder: Path | str) -> "ObjectDatabase":
        """Read the index of a database folder.

        Raises:
            FileNotFoundError: No database there; names the command that writes it.
            ValueError: Unfinished, not ours, or of another version.
        """
        folder = Path(folder)
        _atomic.refuse_incomplete(folder)
        path = folder / "index.json"
        cure = f"write it with `python -m datasets3d prepare kitti --root {folder.parent}`"
        if not path.is_file():
            raise FileNotFoundError(f"datasets3d.database: no {path}; {cure}")
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"datasets3d.database: {path} is no JSON ({error}); {cure}") from None
        if content.get("format") != FORMAT or content.get("version") != VERSION:
            raise ValueError(
                f"datasets3d.database: {path} is {content.get('format')!r} version "
                f"{content.get('version')!r}, expected {FORMAT!r} version {VERSION}; {cure}"
            )
        entries = tuple(_entry_from_json(e) for e in content["objects"])
        cameras = {frame_id: _camera_from_json(c) for frame_id, c in content["cameras"].items()}
        return cls(folder=folder, entries=entries, cameras=cameras, split=content["split"])

    @cached_property
    def by_class(self) -> dict[str, np.ndarray]:
        """Indices into `entries`, int64, by class name."""
        names = [entry.name for entry in self.entries]
        return {n: np.array([i for i, other in enumerate(names) if other == n]) for n in sorted(set(names))}

    @cached_property
    def num_points(self) -> np.ndarray:
        """Points of each entry, int64."""
        return np.array([entry.num_points for entry in self.entries], np.int64)

    @cached_property
    def difficulty(self) -> np.ndarray:
        """Difficulty of each entry, int64."""
        return np.array([entry.difficulty for entry in self.entries], np.int64)

    def class_counts(self) -> dict[str, int]:
        """Count the objects by class."""
        return {name: len(indices) for name, indices in self.by_class.items()}

    def points(self, entry: DatabaseEntry) -> Float32[np.ndarray, "n 4"]:
        """Read an object's points: x y z about the box centre (axes of its LiDAR frame), intensity."""
        return read_points(self.folder / f"{entry.stem}.bin")

    def crop(self, entry: DatabaseEntry) -> UInt8[np.ndarray, "h w 3"]:
        """Read an object's piece of picture, RGB."""
        return read_image(self.folder / f"{entry.stem}.png")


def build_database(dataset: KittiDataset, out_dir: Path | str, *, progress: bool = True) -> ObjectDatabase:
    """Cut every labelled object with points out of the dataset; an older database is replaced at the end.

    Takes the whole scan, not its image crop, as the official database does. Some 50 ms a frame.

    Raises:
        ValueError: The dataset has no labels or not the labels' camera, or a class name that is no file name.
    """
    if dataset.camera != "image_2" or dataset.split.startswith("test"):
        raise ValueError("build_database: needs a labelled split and camera 'image_2'")
    entries: list[DatabaseEntry] = []
    cameras: dict[str, PinholeCamera] = {}
    with _atomic.atomic_folder(Path(out_dir)) as folder:
        for i in tqdm(
            range(len(dataset)), desc=f"objects {dataset.split}", unit="frame", disable=not progress
        ):
            frame = dataset[i]
            entries += _cut_frame(frame, dataset.points(frame.frame_id), folder)
            cameras[frame.frame_id] = frame.cameras["image_2"]
        used = {entry.frame_id for entry in entries}
        content = {
            "format": FORMAT,
            "version": VERSION,
            "split": dataset.split,
            "cameras": {frame_id: _camera_to_json(c) for frame_id, c in cameras.items() if frame_id in used},
            "objects": [asdict(entry) for entry in entries],
        }
        _atomic.write_json(folder / "index.json", content)
    return ObjectDatabase.read(out_dir)


def _cut_frame(frame: Frame, scan: np.ndarray, folder: Path) -> list[DatabaseEntry]:
    objects = frame.objects
    if objects is None or objects.boxes_image is None or len(objects) == 0:
        return []
    inside = np.asarray(
        boxes.contains(scan[:, :3].astype(np.float64), objects.boxes_lidar.astype(np.float64))
    )
    entries = []
    for i in range(len(objects)):
        if not inside[:, i].any():
            continue
        if not _SAFE_NAME.fullmatch(objects.names[i]):
            raise ValueError(
                f"build_database: class name {objects.names[i]!r} in frame {frame.frame_id} cannot be part "
                "of a file name; use letters, digits, _ and -"
            )
        points: np.ndarray = scan[np.flatnonzero(inside[:, i])]
        points[:, :3] -= objects.boxes_lidar[i, :3]
        crop, origin = _crop_with_margin(frame.images["image_2"], objects.boxes_image[i])
        entry = DatabaseEntry(
            frame_id=frame.frame_id,
            index=i,
            name=objects.names[i],
            box_lidar=tuple(objects.boxes_lidar[i].tolist()),
            box_image=tuple(objects.boxes_image[i].tolist()),
            truncation=float(objects.truncation[i]),
            occlusion=int(objects.occlusion[i]),
            alpha=float(objects.alpha[i]),
            difficulty=int(objects.difficulty[i]),
            num_points=len(points),
            crop_origin=origin,
        )
        (folder / f"{entry.stem}.bin").write_bytes(points.astype("<f4").tobytes())
        _write_png(folder / f"{entry.stem}.png", crop)
        entries.append(entry)
    return entries


def _crop_with_margin(image: np.ndarray, box_image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    height, width = image.shape[:2]
    u0, v0, u1, v1 = box_image.tolist()
    margin_u, margin_v = _CROP_MARGIN * (u1 - u0) + 2, _CROP_MARGIN * (v1 - v0) + 2
    left, top = int(np.clip(u0 - margin_u, 0, width - 1)), int(np.clip(v0 - margin_v, 0, height - 1))
    right = int(np.clip(np.ceil(u1 + margin_u), left + 1, width))
    bottom = int(np.clip(np.ceil(v1 + margin_v), top + 1, height))
    return image[top:bottom, left:right], (left, top)


def _write_png(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(image).save(path, format="PNG", compress_level=3)


def _camera_to_json(camera: PinholeCamera) -> dict:
    return {
        "image_from_cam": np.asarray(camera.image_from_cam).tolist(),
        "cam_from_lidar": np.asarray(camera.cam_from_lidar).tolist(),
        "width": camera.width,
        "height": camera.height,
    }


def _camera_from_json(content: dict) -> PinholeCamera:
    return PinholeCamera(
        image_from_cam=np.array(content["image_from_cam"], np.float64),
        cam_from_lidar=np.array(content["cam_from_lidar"], np.float64),
        width=content["width"],
        height=content["height"],
    )


def _entry_from_json(content: dict) -> DatabaseEntry:
    tuples = {key: tuple(content[key]) for key in ("box_lidar", "box_image", "crop_origin")}
    return DatabaseEntry(**{**content, **tuples})
