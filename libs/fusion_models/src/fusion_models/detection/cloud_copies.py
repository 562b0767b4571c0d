"""Transformed copies of the cloud, in whose frames ImagePG refines one after the other (MR).

Source: `points_translation` of the released kitti_dataset.yaml; the idea and the alignment of the maps come
from TED (Wu et al., arXiv 2211.11962). A copy is one of the scene *after* augmentation. The model makes the
copies itself: B frames with T copies are (T + 1) * B clouds, copy t of frame b at index `t * B + b`, the
untouched scene last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from geom3d import boxes as box_geometry
from geom3d import transforms
from jaxtyping import Float
from sparseops import SparseTensor
from torch import Tensor

BevAlignment = Literal["published", "exact"]

_EIGHTH_TURN = math.pi / 8
"""Source: 0.39269908 in the released configuration."""


@dataclass(frozen=True)
class CloudCopy:
    """One copy of the scene: mirrored, then turned about z, then enlarged about the sensor."""

    flip_y: bool = False
    """Mirror y (across the x axis). Source: flip_x."""
    flip_x: bool = False
    """Mirror x. Source: flip_y."""
    rotation_rad: float = 0.0
    """Counter-clockwise turn about z. Source: rot_angle."""
    scale: float = 1.0
    """Factor. Source: scale."""

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"CloudCopy.scale must be positive, got {self.scale}")

    @property
    def turn(self) -> Float[Tensor, "3 3"]:
        """Mirror and turn of the copy, without its scale, float64."""
        signs = [-1.0 if self.flip_x else 1.0, -1.0 if self.flip_y else 1.0, 1.0]
        rotation = torch.as_tensor(transforms.rotation_z(self.rotation_rad), dtype=torch.float64)
        return rotation * torch.tensor(signs, dtype=torch.float64)

    @property
    def scene_from_copy(self) -> Float[Tensor, "4 4"]:
        """Transform of points of the copy to the frame of the scene, float64."""
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = self.turn.T / self.scale
        return matrix

    def points(self, scene: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """Return points of the scene in the frame of the copy.

        They are turned first and then scaled, as published, down to the rounding that decides about points on
        the face of a voxel.
        """
        return self.scale * _turned(scene, self.turn)

    def cloud(self, scene: Float[Tensor, "n columns"]) -> Float[Tensor, "n columns"]:
        """Return rows b x y z (and more columns, which stay) of the scene in the frame of the copy."""
        return torch.cat([scene[:, :1], self.points(scene[:, 1:4]), scene[:, 4:]], dim=1)

    def restore_points(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """Return points of the copy in the frame of the scene."""
        return _turned(points / self.scale, self.turn.T)

    def boxes(self, scene: Float[Tensor, "*n 7"]) -> Float[Tensor, "*n 7"]:
        """Return boxes of the scene in the frame of the copy; headings are not wrapped.

        Example:
            >>> box = torch.tensor([1.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.5])
            >>> CloudCopy(flip_y=True, scale=2.0).boxes(box).tolist()
            [2.0, -4.0, 0.0, 8.0, 4.0, 3.0, -0.5]
        """
        boxes = box_geometry.flip_y(scene) if self.flip_y else scene
        boxes = box_geometry.flip_x(boxes) if self.flip_x else boxes
        return box_geometry.scale(box_geometry.rotate_z(boxes, self.rotation_rad), self.scale)

    def restore_boxes(self, boxes: Float[Tensor, "*n 7"]) -> Float[Tensor, "*n 7"]:
        """Return boxes of the copy in the frame of the scene: the inverse of `boxes`."""
        scene = box_geometry.rotate_z(box_geometry.scale(boxes, 1 / self.scale), -self.rotation_rad)
        scene = box_geometry.flip_x(scene) if self.flip_x else scene
        return box_geometry.flip_y(scene) if self.flip_y else scene


TRAIN_COPIES = (
    CloudCopy(rotation_rad=_EIGHTH_TURN, scale=0.98),
    CloudCopy(flip_y=True),
    CloudCopy(flip_y=True, rotation_rad=-_EIGHTH_TURN, scale=1.02),
)
"""Source: points_translation, train."""
TEST_COPIES = (
    CloudCopy(rotation_rad=_EIGHTH_TURN, scale=0.98),
    CloudCopy(flip_y=True, scale=1.02),
    CloudCopy(flip_y=True, rotation_rad=_EIGHTH_TURN),
    CloudCopy(rotation_rad=-_EIGHTH_TURN, scale=0.98),
    CloudCopy(flip_y=True, rotation_rad=-_EIGHTH_TURN, scale=1.02),
)
"""Source: points_translation, test."""


def copy_clouds(
    points: Float[Tensor, "n columns"], copies: Sequence[CloudCopy], *, batch_size: int
) -> Float[Tensor, "m columns"]:
    """Return the clouds of all copies and then the scene itself as one batch, in the order of this module.

    Args:
        points: b x y z and any further columns.
    """
    clouds = [copy.cloud(points) for copy in (*copies, CloudCopy())]
    for t, cloud in enumerate(clouds):
        cloud[:, 0] += t * batch_size
    return torch.cat(clouds)


def split_copies(tensor: SparseTensor, *, count: int) -> tuple[SparseTensor, ...]:
    """Return the `count` sparse tensors of a batch of `count` times as many grids, in order.

    Raises:
        ValueError: The batch size is no multiple of `count`.
    """
    if tensor.batch_size % count:
        raise ValueError(
            f"split_copies: a batch of {tensor.batch_size} grids does not consist of {count} copies"
        )
    frames = tensor.batch_size // count
    owner = torch.div(tensor.coords[:, 0], frames, rounding_mode="floor")
    parts = []
    for t in range(count):
        rows = (owner == t).nonzero()[:, 0]
        coords = tensor.coords[rows] - tensor.coords.new_tensor([t * frames, 0, 0, 0])
        parts.append(SparseTensor(tensor.features[rows], coords, tensor.spatial_shape, frames))
    return tuple(parts)


def merge_bev(
    scene: Float[Tensor, "b c y x"],
    others: Sequence[Float[Tensor, "b c y x"]],
    copies: Sequence[CloudCopy],
    *,
    bounds: Sequence[float],
    alignment: BevAlignment = "published",
) -> Float[Tensor, "b c y x"]:
    """Return the element-wise maximum of the scene's map and those of the copies, brought back to the scene.

    Args:
        others: Map of each copy.
        bounds: x0 y0 z0 x1 y1 z1 of the maps in metres.
        alignment: "published" reads a copy half a cell off and gives 0 wherever the place falls outside the
            lattice of cell centres; the released weights were trained with it. "exact" reads it where it is,
            with zeros around the map.

    Raises:
        ValueError: Not one map per copy.
    """
    if len(others) != len(copies):
        raise ValueError(f"merge_bev: expected one map per copy, got {len(others)} for {len(copies)} copies")
    for other, copy in zip(others, copies, strict=True):
        scene = torch.maximum(scene, align_bev(other, copy, bounds=bounds, alignment=alignment))
    return scene


def align_bev(
    bev: Float[Tensor, "b c y x"], copy: CloudCopy, *, bounds: Sequence[float], alignment: BevAlignment
) -> Float[Tensor, "b c y x"]:
    """Return the map of a copy read at the places of the scene's cells; arguments as in `merge_bev`."""
    rows, columns = bev.shape[2:]
    cell = torch.tensor([(bounds[3] - bounds[0]) / columns, (bounds[4] - bounds[1]) / rows])
    low = torch.tensor([bounds[0], bounds[1]])
    lattice = torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy"), dim=-1)
    centres = F.pad((lattice + 0.5) * cell + low, (0, 1))
    index = ((copy.points(centres)[..., :2] - low) / cell).to(bev.device)
    last = torch.tensor([columns - 1, rows - 1], device=bev.device)
    if alignment == "exact":
        index = index - 0.5
    unit = (2 * index / last - 1).expand(len(bev), -1, -1, -1)
    # half precision would move places by whole cells
    aligned = F.grid_sample(bev.float(), unit, align_corners=True).to(bev.dtype)
    if alignment == "exact":
        return aligned
    return aligned * ((index >= 0) & (index < last)).all(-1)


def vote(
    boxes: Float[Tensor, "t b r 7"], logits: Float[Tensor, "t b r"]
) -> tuple[Float[Tensor, "b r 7"], Float[Tensor, "b r"]]:
    """Return the arithmetic means over the stages, headings included: a stage turns boxes only a little.

    Args:
        boxes: What every stage says of the same objects, in the frame of the scene.

    Example:
        >>> vote(torch.zeros(2, 1, 1, 7), torch.tensor([[[1.0]], [[3.0]]]))[1].tolist()
        [[2.0]]
    """
    return boxes.mean(dim=0), logits.mean(dim=0)


def _turned(points: Tensor, turn: Tensor) -> Tensor:
    """A sum of products instead of a matrix product, which autocast would round to half precision."""
    return (points[..., None, :] * turn.to(points)).sum(-1)
