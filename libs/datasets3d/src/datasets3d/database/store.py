"""Cutting labelled objects out of frames, and reading them back.

One folder, usually `<root>/gt_database`, self-contained: `<frame>_<class>_<index>.bin` (float32, the columns
of the frames' points, x y z about the box centre, not rotated), `<frame>_<class>_<index>.png` where there are
labelled 2D boxes (the box and some margin), and `index.json`.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from geom3d import boxes
from geom3d.cameras import PinholeCamera
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from datasets3d import _atomic, _sources
from datasets3d._files import read_image
from datasets3d._point_files import read_points
from datasets3d.frame import POINT_COLUMNS, Frame, Objects, check_same_columns

DATABASE_FOLDER = "gt_database"
"""Its usual place under the root of a data set."""
FORMAT = "datasets3d.gt_database"
VERSION = 1
_CROP_MARGIN = 0.25
"""Share of the 2D box kept around it: room for a paste box that came out larger."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectImage:
    """How its own picture shows an object; the labels are KITTI's, see `KittiColumns`."""

    box_image: tuple[float, float, float, float]
    """u0 v0 u1 v1, labelled."""
    truncation: float
    occlusion: int
    alpha: float
    difficulty: int
    crop_origin: tuple[int, int]
    """Pixel (u, v) at which the stored crop starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseEntry:
    """One object of the database."""

    frame_id: str
    index: int
    """Among the 3D-labelled objects of its frame."""
    name: str
    box_lidar: tuple[float, ...]
    """x y z dx dy dz yaw in its own frame's LiDAR frame."""
    num_points: int
    """Points of its frame inside the box."""
    image: ObjectImage | None = None
    """None for data sets without labelled 2D boxes."""

    @property
    def stem(self) -> str:
        """Name of its files, without ending."""
        return f"{self.frame_id}_{self.name}_{self.index}"

    @property
    def source_id(self) -> str:
        """Key of its dense target."""
        return f"{self.frame_id}_{self.index}"

    def labelled_image(self) -> ObjectImage:
        """Return how its picture shows it.

        Raises:
            ValueError: It has no labelled 2D box.
        """
        if self.image is None:
            raise ValueError(
                f"ObjectDatabase: object {self.source_id} has no labelled 2D box, which pasting into a "
                "picture needs; cut the database out of frames that have them"
            )
        return self.image


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
    """Camera of the labelled picture, by id of the source frame."""
    split: str = ""
    """Split that the objects were cut out of."""
    point_columns: tuple[str, ...] = POINT_COLUMNS
    """Columns of the objects' points."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the label, calibration and split files that it was cut out with, by path; may be empty."""

    @classmethod
    def read(cls, folder: Path | str) -> "ObjectDatabase":
        """Read the index of a database folder.

        Raises:
            FileNotFoundError: No database there; names the command that writes it.
            ValueError: Unfinished, not ours, of another version, damaged, or cut out with label, calibration
                or split files that have changed since. Scans and pictures are not compared: that would take
                minutes.
        """
        folder = Path(folder)
        _atomic.refuse_incomplete(folder)
        path = folder / "index.json"
        cure = f"write it with `python -m datasets3d prepare kitti --root {folder.parent}`"
        if not path.is_file():
            raise FileNotFoundError(f"datasets3d.database: no {path}; {cure}")
        content = _atomic.read_json(path, cure=cure)
        _atomic.check_format(content, path, format=FORMAT, version=VERSION, cure=cure)
        try:
            found = cls(
                folder=folder,
                entries=tuple(_entry_from_json(e) for e in content["objects"]),
                cameras={frame_id: _camera_from_json(c) for frame_id, c in content["cameras"].items()},
                split=content["split"],
                point_columns=tuple(content.get("point_columns", POINT_COLUMNS)),
                sources=dict(content.get("sources", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"datasets3d.database: {path} is damaged ({error!r}); {cure}") from None
        _sources.refuse_changed(folder, folder.parent, found.sources, cure=cure)
        return found

    @cached_property
    def by_class(self) -> dict[str, np.ndarray]:
        """Indices into `entries`, int64, by class name."""
        names = [entry.name for entry in self.entries]
        return {n: np.array([i for i, other in enumerate(names) if other == n]) for n in sorted(set(names))}

    def of_class(self, name: str) -> list[DatabaseEntry]:
        """Return the entries of a class, in order; none for a class that is not there."""
        return [entry for entry in self.entries if entry.name == name]

    @cached_property
    def num_points(self) -> np.ndarray:
        """Points of each entry, int64."""
        return np.array([entry.num_points for entry in self.entries], np.int64)

    @cached_property
    def difficulty(self) -> np.ndarray:
        """Difficulty of each entry, int64; raises as `DatabaseEntry.labelled_image` does."""
        return np.array([entry.labelled_image().difficulty for entry in self.entries], np.int64)

    def class_counts(self) -> dict[str, int]:
        """Count the objects by class."""
        return {name: len(indices) for name, indices in self.by_class.items()}

    def points(self, entry: DatabaseEntry) -> Float32[np.ndarray, "n c"]:
        """Read an object's points: x y z about the box centre (axes of its LiDAR frame), further columns.

        Raises:
            FileNotFoundError: No such file.
            ValueError: The file is damaged or of another object.
        """
        path = self.folder / f"{entry.stem}.bin"
        points = read_points(path, self.point_columns)
        if len(points) != entry.num_points:
            raise ValueError(
                f"datasets3d.database: {path} holds {len(points)} points, the index says {entry.num_points}; "
                "write the database anew"
            )
        return points

    def crop(self, entry: DatabaseEntry) -> UInt8[np.ndarray, "h w 3"]:
        """Read an object's piece of picture, RGB.

        Raises:
            FileNotFoundError: It has none.
        """
        return read_image(self.folder / f"{entry.stem}.png")


def build_database(
    frames: Iterable[Frame],
    out_dir: Path | str,
    *,
    split: str,
    classes: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
    progress: bool = True,
) -> ObjectDatabase:
    """Cut every labelled object with points out of the frames; an older database is replaced at the end.

    Where the frame has labelled 2D boxes, the piece of its first picture is kept as well. Some 50 ms a frame.

    Args:
        frames: A data set, or any frames with labels and points in the same columns. They should hold whole
            scans: what was cropped from a frame is missing in its objects.
        out_dir: The folder.
        split: Name of what the frames are, such as `train`; who uses the database can tell a leak by it.
        classes: Names to cut; None cuts all.
        sources: Hashes of the files that the frames come from, by path below the parent of the folder; a
            database is refused once one of them has changed.
        progress: Show a bar.

    Raises:
        ValueError: A frame without labels, frames whose points have different columns, or a frame id or
            class name that is no file name.
    """
    entries: list[DatabaseEntry] = []
    cameras: dict[str, PinholeCamera] = {}
    columns: tuple[str, ...] | None = None
    points = hashlib.blake2b(digest_size=16)
    with _atomic.atomic_folder(Path(out_dir)) as folder:
        for frame in tqdm(frames, desc=f"objects {split}", unit="frame", disable=not progress):
            columns = frame.point_columns if columns is None else columns
            check_same_columns(
                "build_database", {"the first frame": columns, f"frame {frame.frame_id}": frame.point_columns}
            )
            cut = _cut_frame(frame, classes, folder)
            entries += cut
            for entry in cut:
                points.update((folder / f"{entry.stem}.bin").read_bytes())
            if any(entry.image is not None for entry in cut):
                cameras[frame.frame_id] = next(iter(frame.cameras.values()))
        content = {
            "format": FORMAT,
            "version": VERSION,
            "split": split,
            "sources": dict(sources or {}),
            "points_blake2b": points.hexdigest(),
            "cameras": {frame_id: _camera_to_json(camera) for frame_id, camera in cameras.items()},
            "objects": [_entry_to_json(entry) for entry in entries],
        }
        if columns not in (None, POINT_COLUMNS):
            content["point_columns"] = columns
        _atomic.write_json(folder / "index.json", content)
    return ObjectDatabase.read(out_dir)


def _cut_frame(frame: Frame, classes: Sequence[str] | None, folder: Path) -> list[DatabaseEntry]:
    objects = frame.objects
    if objects is None:
        raise ValueError(
            f"build_database: frame {frame.frame_id} has no labels; the frames of a labelled split are needed"
        )
    inside = boxes.contains(frame.points[:, :3].astype(np.float64), objects.boxes_lidar.astype(np.float64))
    entries = []
    for i, name in enumerate(objects.names):
        if not inside[:, i].any() or (classes is not None and name not in classes):
            continue
        _check_names(name, frame.frame_id)
        points: np.ndarray = frame.points[np.flatnonzero(inside[:, i])]
        points[:, :3] -= objects.boxes_lidar[i, :3]
        image, crop = _cut_image(frame, objects, i)
        entry = DatabaseEntry(
            frame_id=frame.frame_id,
            index=i,
            name=name,
            box_lidar=tuple(objects.boxes_lidar[i].tolist()),
            num_points=len(points),
            image=image,
        )
        (folder / f"{entry.stem}.bin").write_bytes(points.astype("<f4").tobytes())
        if crop is not None:
            _write_png(folder / f"{entry.stem}.png", crop)
        entries.append(entry)
    return entries


def _check_names(class_name: str, frame_id: str) -> None:
    for text, what in ((class_name, f"class name {class_name!r} in frame"), (frame_id, "frame id")):
        if not _SAFE_NAME.fullmatch(text):
            raise ValueError(
                f"build_database: {what} {frame_id} cannot be part of a file name; use letters, digits "
                "and _ . -"
            )


def _cut_image(frame: Frame, objects: Objects, i: int) -> tuple[ObjectImage | None, np.ndarray | None]:
    """Return what the first picture shows of an object, and that piece of it; None without 2D boxes."""
    labels = objects.kitti
    if labels is None or labels.boxes_image is None or not frame.images:
        return None, None
    u0, v0, u1, v1 = labels.boxes_image[i].tolist()
    crop, origin = _crop_with_margin(next(iter(frame.images.values())), labels.boxes_image[i])
    image = ObjectImage(
        box_image=(u0, v0, u1, v1),
        truncation=float(labels.truncation[i]),
        occlusion=int(labels.occlusion[i]),
        alpha=float(labels.alpha[i]),
        difficulty=int(labels.difficulty[i]),
        crop_origin=origin,
    )
    return image, crop


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


def _entry_to_json(entry: DatabaseEntry) -> dict[str, Any]:
    content = asdict(entry)
    image, num_points = content.pop("image"), content.pop("num_points")
    if image is None:
        return {**content, "num_points": num_points}
    crop_origin = image.pop("crop_origin")
    return {**content, **image, "num_points": num_points, "crop_origin": crop_origin}


def _entry_from_json(content: dict[str, Any]) -> DatabaseEntry:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    image = {field.name: values.pop(field.name) for field in fields(ObjectImage) if field.name in values}
    return DatabaseEntry(**values, image=ObjectImage(**image) if image else None)
