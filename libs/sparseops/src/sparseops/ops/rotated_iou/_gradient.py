"""Derivative of the exact overlap of rotated boxes, in plain PyTorch, any device.

The common area of two rectangles changes as its outline moves (Reynolds' transport theorem): the derivative
by a parameter of b is the integral, over that part of b's outline which lies in a, of the outline's outward
speed. That part is found by cutting each of b's four edges to a, so there is no list of vertices here
either.
"""

import torch
from torch import Tensor

from sparseops.ops.rotated_iou._reference import intersection_bev_reference, rotated

_OUTWARD = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
"""Normals of the edges in the box's own frame, counter-clockwise from the front."""


def iou_gradient(grad: Tensor, boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients by both boxes of `(grad * iou).sum()`, float64 boxes [..., 7] of equal shape.

    Boxes that have nothing in common get 0. Where edges coincide, the overlap has a kink: of the slopes on
    both sides the mean is returned, so that identical boxes are pulled nowhere.
    """
    grad = grad.double()
    edges_a, edges_b = boxes_a[..., 3:6].clamp(min=0), boxes_b[..., 3:6].clamp(min=0)
    volume_a, volume_b = edges_a.prod(-1), edges_b.prod(-1)
    area = intersection_bev_reference(boxes_a, boxes_b)
    height, height_a, height_b = _common_height(boxes_a, boxes_b)
    common = area * height
    union = torch.where(common > 0, volume_a + volume_b - common, 1.0)
    by_common = torch.where(common > 0, grad * (volume_a + volume_b) / union.square(), 0.0)
    by_volume = torch.where(common > 0, -grad * common / union.square(), 0.0)
    gradients = []
    sides = (boxes_a, boxes_b, edges_a, height_a), (boxes_b, boxes_a, edges_b, height_b)
    for box, other, edges, by_z in sides:
        x, y, dx, dy, yaw = (_area_gradient(box, other) * (by_common * height)[..., None]).unbind(-1)
        z, dz = (by_z * (by_common * area)[..., None]).unbind(-1)
        long, wide, tall = edges.unbind(-1)
        dx, dy, dz = dx + by_volume * wide * tall, dy + by_volume * long * tall, dz + by_volume * long * wide
        gradients.append(torch.stack([x, y, z, dx, dy, dz, yaw], dim=-1))
    return gradients[0], gradients[1]


def table_gradient(grad: Tensor, boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients by float64 boxes [n, 7] and [m, 7] of `(grad * iou).sum()` for a table [n, m].

    Only the pairs that have a gradient are looked at, so a loss of few pairs costs little.
    """
    rows, columns = (grad != 0).nonzero(as_tuple=True)
    parts = iou_gradient(grad[rows, columns], boxes_a[rows], boxes_b[columns])
    zeros = torch.zeros_like(boxes_a), torch.zeros_like(boxes_b)
    return zeros[0].index_add(0, rows, parts[0]), zeros[1].index_add(0, columns, parts[1])


def _area_gradient(box: Tensor, other: Tensor) -> Tensor:
    """Return the derivatives of the common area by x y dx dy yaw of `box`, [..., 5]."""
    length, along = _edges_inside(box, other)
    front, left, back, right = length.unbind(-1)
    cos, sin = torch.cos(box[..., 6]), torch.sin(box[..., 6])
    forward, sideward = front - back, left - right
    return torch.stack(
        [
            forward * cos - sideward * sin,
            forward * sin + sideward * cos,
            (front + back) / 2,
            (left + right) / 2,
            # A point at distance s along its edge moves outward by -s per radian.
            -(length * along).sum(-1),
        ],
        dim=-1,
    )


def _edges_inside(box: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much of each edge of `box` lies in `other`, and the middle of that part, [..., 4] each.

    Edges come in the order of `_OUTWARD`. The middle is counted along the edge, counter-clockwise, from the
    edge's own middle.
    """
    normal = box.new_tensor(_OUTWARD)
    direction = torch.stack([-normal[:, 1], normal[:, 0]], dim=-1)
    half = box[..., 3:5].clamp(min=0) / 2
    reach = half[..., [1, 0, 1, 0]]
    turn = (box[..., 6] - other[..., 6])[..., None]
    centre = rotated(box[..., :2] - other[..., :2], -other[..., 6])
    start = centre[..., None, :] + rotated(normal * half[..., None, :], turn)
    step, outward = (rotated(axes.expand(start.shape), turn) for axes in (direction, normal))
    low, high, share = -reach, reach, torch.ones_like(reach)
    for axis in (0, 1):
        limit = other[..., 3 + axis, None].clamp(min=0) / 2
        at, slope = start[..., axis], step[..., axis]
        parallel = slope == 0
        safe = torch.where(parallel, 1.0, slope)
        first, last = (-limit - at) / safe, (limit - at) / safe
        low = torch.where(parallel, low, torch.maximum(low, torch.minimum(first, last)))
        high = torch.where(parallel, high, torch.minimum(high, torch.maximum(first, last)))
        # An edge on the other's edge: half of it counts if both boxes lie on the same side, none of it
        # otherwise.
        on_edge = torch.where(at * outward[..., axis] > 0, 0.5, 0.0)
        inside = torch.where(at.abs() < limit, 1.0, torch.where(at.abs() == limit, on_edge, 0.0))
        share = torch.where(parallel, share * inside, share)
    return (high - low).clamp(min=0) * share, (high + low) / 2


def _common_height(boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the common length along z and its derivatives by z, dz of a and of b, [..., 2] each."""
    half_a, half_b = boxes_a[..., 5] / 2, boxes_b[..., 5] / 2
    offset = boxes_b[..., 2] - boxes_a[..., 2]
    height = (torch.minimum(half_a, offset + half_b) - torch.maximum(-half_a, offset - half_b)).clamp(min=0)
    # Shares of the upper and of the lower end that belong to a: 1, 0, or 1/2 where the ends coincide.
    upper = 0.5 + 0.5 * torch.sign(offset + half_b - half_a)
    lower = 0.5 + 0.5 * torch.sign(-half_a - (offset - half_b))
    met = (height > 0).to(height)
    by_a = torch.stack([(upper - lower) * met, (upper + lower) / 2 * met], dim=-1)
    by_b = torch.stack([(lower - upper) * met, (2 - upper - lower) / 2 * met], dim=-1)
    return height, by_a, by_b
