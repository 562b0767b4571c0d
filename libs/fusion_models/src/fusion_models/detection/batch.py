"""What a model gets and gives: `Batch`, made from frames by `collate`, and `Detections`."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from datasets3d import Frame
from datasets3d.frame import check_same_columns
from geom3d.cameras import PinholeCamera
from jaxtyping import Float, Int
from sparseops import TensorFields
from torch import Tensor


@dataclass(frozen=True)
class ImageInput:
    """Which image a batch carries and how it is normalised."""

    camera: str = "image_2"
    """Key of the frame's image and camera."""
    scale: float = 1.0
    """Resize factor; 1 keeps the pixels. Source: kitti_dataset.yaml of ImagePG, img scale 1.0."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """RGB mean of values in 0..1. Source: kitti_dataset.yaml (ImageNet)."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """RGB standard deviation of values in 0..1. Source: as above."""

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"ImageInput.scale must be positive, got {self.scale}")


class Detections(NamedTuple):
    """Objects found in one frame, best first."""

    boxes: Float[Tensor, "n 7"]
    """x y z dx dy dz yaw: metres and radians, LiDAR frame, geometric centre."""
    scores: Float[Tensor, " n"]
    """0..1."""
    labels: Int[Tensor, " n"]
    """1..K, index into the class names plus one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(TensorFields):
    """Frames joined into tensors. All coordinates are metres in each frame's LiDAR frame."""

    frame_ids: tuple[str, ...]
    points: Float[Tensor, "n columns"]
    """b x y z and what else the data set measures, such as intensity or time; a model says how many columns
    it reads."""
    seeds: Int[Tensor, " b"]
    """Per frame: seed of every random choice inside the model, so that runs repeat and do not depend on the
    number of processes."""
    images: Float[Tensor, "b 3 h w"] | None = None
    """RGB, normalised, then zero padded on the right and at the bottom."""
    image_sizes: Int[Tensor, "b 2"] | None = None
    """Height and width before padding."""
    image_from_points: Float[Tensor, "b 3 4"] | None = None
    """Projects points to pixels (u, v, 1) * z, with z the depth in the rectified camera frame: the offset of
    the third row is 0, as in the released code. Augmentation and image scale are included."""
    boxes: Float[Tensor, "b g 7"] | None = None
    """x y z dx dy dz yaw, zero padded; None without labels."""
    labels: Int[Tensor, "b g"] | None = None
    """1..K per box, 0 = padding row."""
    dense_points: Float[Tensor, "m 5"] | None = None
    """b x y z and the row in `boxes` of the object on whose surface the point lies."""

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if (self.boxes is None) != (self.labels is None):
            raise ValueError("Batch: boxes and labels must both be given or both be None")
        camera_parts = (self.images, self.image_sizes, self.image_from_points)
        if len({part is None for part in camera_parts}) != 1:
            raise ValueError(
                "Batch: images, image_sizes and image_from_points must all be given or all be None"
            )

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.frame_ids)


def collate(
    frames: Sequence[Frame],
    class_names: Sequence[str],
    *,
    image: ImageInput | None = None,
    seed: int = 0,
) -> Batch:
    """Join frames into a batch on the CPU.

    Objects of other classes than `class_names` are left out, with their dense points. The seed of a frame
    depends on its id, its points (so on its augmentation) and `seed`, not on its place in the batch.

    Args:
        image: Which image to take along; None for none.

    Raises:
        ValueError: No frames; some have labels or dense points and others not, or other columns of points; an
            image is missing.
    """
    if not frames:
        raise ValueError("collate: expected at least one frame, got none")
    check_same_columns("collate", {f"frame {frame.frame_id}": frame.point_columns for frame in frames})
    boxes, labels, rows_of_objects = _collate_objects(frames, class_names)
    camera_parts = {} if image is None else _collate_images(frames, image)
    return Batch(
        frame_ids=tuple(frame.frame_id for frame in frames),
        points=torch.from_numpy(_with_batch_column([frame.points for frame in frames])),
        seeds=torch.tensor([_frame_seed(frame, seed) for frame in frames], dtype=torch.int64),
        boxes=boxes,
        labels=labels,
        dense_points=_collate_dense_points(frames, rows_of_objects),
        **camera_parts,
    )


def _frame_seed(frame: Frame, seed: int) -> int:
    digest = zlib.crc32(np.ascontiguousarray(frame.points).tobytes(), zlib.crc32(frame.frame_id.encode()))
    return (digest + seed) % 2**31


def _with_batch_column(parts: Sequence[np.ndarray]) -> np.ndarray:
    indexed = [np.insert(part.astype(np.float32), 0, index, axis=1) for index, part in enumerate(parts)]
    return np.concatenate(indexed)


def _all_or_none(name: str, frames: Sequence[Frame], missing: Sequence[bool]) -> bool:
    """Return whether every frame has the part; raise if they disagree."""
    if any(missing) and not all(missing):
        without = [frame.frame_id for frame, lacks in zip(frames, missing, strict=True) if lacks]
        raise ValueError(
            f"collate: frames {without} have no {name}, the others do; do not mix them in a batch"
        )
    return not any(missing)


def _collate_objects(
    frames: Sequence[Frame], class_names: Sequence[str]
) -> tuple[Tensor | None, Tensor | None, list[dict[int, int]]]:
    """Return boxes, labels, and per frame which object became which row."""
    if not _all_or_none("labels", frames, [frame.objects is None for frame in frames]):
        return None, None, [{} for _ in frames]
    number = {name: index + 1 for index, name in enumerate(class_names)}
    chosen = [
        [index for index, name in enumerate(frame.objects.names) if name in number] if frame.objects else []
        for frame in frames
    ]
    most = max(len(indices) for indices in chosen)
    boxes = np.zeros((len(frames), most, 7), np.float32)
    labels = np.zeros((len(frames), most), np.int64)
    for row, (frame, indices) in enumerate(zip(frames, chosen, strict=True)):
        if frame.objects is not None and indices:
            boxes[row, : len(indices)] = frame.objects.boxes_lidar[indices]
            labels[row, : len(indices)] = [number[frame.objects.names[index]] for index in indices]
    rows = [{old: new for new, old in enumerate(indices)} for indices in chosen]
    return torch.from_numpy(boxes), torch.from_numpy(labels), rows


def _collate_dense_points(frames: Sequence[Frame], rows: Sequence[dict[int, int]]) -> Tensor | None:
    if not _all_or_none("dense_points", frames, [frame.dense_points is None for frame in frames]):
        return None
    parts = []
    for frame, new_row in zip(frames, rows, strict=True):
        points = frame.dense_points if frame.dense_points is not None else np.zeros((0, 4), np.float32)
        mapped = np.array([new_row.get(int(old), -1) for old in points[:, 3]], np.float32)
        parts.append(np.column_stack([points[:, :3], mapped])[mapped >= 0])
    return torch.from_numpy(_with_batch_column(parts))


def _collate_images(frames: Sequence[Frame], config: ImageInput) -> dict[str, Tensor]:
    images, matrices = [], []
    for frame in frames:
        if config.camera not in frame.images:
            raise ValueError(
                f"collate: frame {frame.frame_id} has no image {config.camera!r}, it has "
                f"{sorted(frame.images)}; read the data set with images or pass image=None"
            )
        pixels, camera = _resized(frame.images[config.camera], frame.cameras[config.camera], config.scale)
        images.append(
            (pixels - torch.tensor(config.mean)[:, None, None]) / torch.tensor(config.std)[:, None, None]
        )
        matrices.append(_projection(camera))
    sizes = torch.tensor([list(image.shape[1:]) for image in images], dtype=torch.int64)
    height, width = sizes.amax(dim=0).tolist()
    padded = [F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images]
    return {
        "images": torch.stack(padded),
        "image_sizes": sizes,
        "image_from_points": torch.from_numpy(np.stack(matrices)),
    }


def _resized(image: np.ndarray, camera: PinholeCamera, scale: float) -> tuple[Tensor, PinholeCamera]:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).to(torch.float32) / 255
    if scale == 1:
        return pixels, camera
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    pixels = F.interpolate(pixels[None], size=(height, width), mode="bilinear", antialias=True)[0]
    return pixels, camera.resized(width, height)


def _projection(camera: PinholeCamera) -> np.ndarray:
    image_from_cam = np.array(camera.image_from_cam, dtype=np.float64)
    image_from_cam[2, 3] = 0.0
    return (image_from_cam @ camera.cam_from_lidar).astype(np.float32)
