"""Public function of the bilinear sampling of images: rules, checks and the choice of the back end."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import (
    FLOATS,
    HALF_AND_FLOATS,
    INTEGERS,
    check_device,
    check_dtype,
    check_positive,
    check_shape,
)
from sparseops._values import checked_rows
from sparseops.ops.sample_image import _ops
from sparseops.ops.weighted_sum import weighted_sum


def sample_image(
    image: Float[Tensor, "b c h w"],
    uv_px: Float[Tensor, "n 2"],
    batch_index: Int[Tensor, " n"],
    *,
    uv_size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> Float[Tensor, "n c"]:
    """Sample feature maps of images at points projected into them, bilinear; [n, c].

    `uv_px` is (u to the right, v down) in pixels of an image of `uv_size`, whole numbers at the centres of
    pixels: (0, 0) is the centre of the first one, (-0.5, -0.5) its outer corner. If the map is smaller than
    that image, `align_corners` says what of the two coincides:

    * False: the outer edges, x = (u + 0.5) * w / width - 0.5, which is `grid_sample` with align_corners=False
      at (2 u + 1) / width - 1;
    * True: the centres of the corner pixels, x = u * (w - 1) / (width - 1), which is `grid_sample` with
      align_corners=True at 2 u / (width - 1) - 1.

    Both are x = u for a map of that size. A model that took 2 u / width - 1 with align_corners=False counts
    from the outer corner: give it u - 0.5. Pixels outside the map count as zero, so the samples fade out over
    one pixel; a point that is not finite gets zero.

    Gradients go to image and uv_px, the same in every run and for any number of threads. At whole pixels,
    where the bilinear sample has a kink, the gradient to u or v is the one towards larger coordinates. Half
    precision is computed in float32 and returned in the type of `image`; uv_px is taken in float32, beside
    float64 images in float64. Maps in channels-last memory are read as they are; others are copied to
    channels-last first, or read plane by plane on the CPU if the points are few. The result is the same.

    Args:
        uv_size: (height, width) of the image that uv_px refers to; that of the map by default.

    Raises:
        TypeError: Image or uv_px that are not floating point, a batch_index that is not integer. ValueError:
            Wrong shape, different devices, or sizes that are not positive (`align_corners` needs 2 pixels or
            more on a side unless the map has 1 there too).
        IndexError: A sample outside the batch (checked on the CPU; elsewhere such a point gets zero).

    Example:
        >>> image = torch.tensor([[[[0.0, 10.0], [20.0, 30.0]]]])
        >>> uv_px, sample = torch.tensor([[0.5, 0.0], [1.0, 1.0]]), torch.zeros(2, dtype=torch.int64)
        >>> sample_image(image, uv_px, sample).tolist()
        [[5.0], [30.0]]
        >>> sample_image(image, torch.tensor([[0.5, 0.5]]), sample[:1], uv_size=(4, 4)).tolist()
        [[0.0]]
    """
    op = "sample_image"
    check_shape(op, "image", image, ("B", "C", "H", "W"))
    check_shape(op, "uv_px", uv_px, ("N", 2))
    check_shape(op, "batch_index", batch_index, (len(uv_px),))
    check_dtype(op, "image", image, HALF_AND_FLOATS)
    check_dtype(op, "uv_px", uv_px, HALF_AND_FLOATS)
    check_dtype(op, "batch_index", batch_index, INTEGERS)
    check_device(op, ("image", image), ("uv_px", uv_px), ("batch_index", batch_index))
    b, channels, h, w = image.shape
    words = f"{op}: batch_index must lie in 0 to {{last}}, got {{low}} to {{high}}"
    sample = checked_rows(batch_index, 0, b, words)
    working = torch.float64 if image.dtype == torch.float64 else torch.float32
    scale, offset = _map_from_image(op, (h, w), uv_size or (h, w), align_corners)
    xy_map = uv_px.to(working) * uv_px.new_tensor(scale, dtype=working) + uv_px.new_tensor(
        offset, dtype=working
    )
    idx, weights = _corners(xy_map, h, w)

    if backend_for(op, image) == "cpu" and _planes_pay(image, points=len(sample)):
        return _ops.sample_planes(image.flatten(2), sample, idx, weights)
    known = ((sample >= 0) & (sample < b))[:, None]
    rows = torch.where(known & (idx >= 0), idx + sample[:, None] * (h * w), -1)
    return weighted_sum(image.permute(0, 2, 3, 1).reshape(b * h * w, channels), rows, weights)


def _planes_pay(image: Tensor, *, points: int) -> bool:
    """Whether copying the maps would cost more than it saves: points touch few of their pixels."""
    b, _, h, w = image.shape
    channels_first = image.stride(1) != 1
    return channels_first and image.dtype in FLOATS and 4 * points < b * h * w


def _map_from_image(
    op: str, map_hw: tuple[int, int], uv_size: tuple[int, int], align_corners: bool
) -> tuple[list[float], list[float]]:
    """Return scale and offset along x, y that take pixels of the image to pixels of the map."""
    check_positive(op, "uv_size", uv_size)
    scale, offset = [], []
    for size, full in zip(map_hw[::-1], uv_size[::-1], strict=True):
        if align_corners and full == 1 and size != 1:
            raise ValueError(f"{op}: uv_size must be 2 or more to align corners with a map of {size}, got 1")
        ratio = (size - 1) / (full - 1) if align_corners and full != 1 else size / full
        scale.append(ratio)
        offset.append(0.0 if align_corners else 0.5 * ratio - 0.5)
    return scale, offset


def _corners(xy_map: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Return cells [N, 4] of a map (row by row, -1: outside) and weights [N, 4], differentiable."""
    finite = torch.isfinite(xy_map).all(1, keepdim=True)
    # Far outside is as good as just outside, and safe to make whole numbers of.
    limits = xy_map.new_tensor([w + 1, h + 1])
    xy_map = torch.where(finite, xy_map, -3).clamp(min=-3).minimum(limits)
    low = xy_map.detach().floor()
    to_low = xy_map - low
    idx, weights = [], []
    for corner in range(4):
        right, down = corner % 2, corner // 2
        x, y = (low + low.new_tensor([right, down])).long().unbind(1)
        inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
        idx.append(torch.where(inside, y * w + x, -1))
        weight_x = to_low[:, 0] if right else 1 - to_low[:, 0]
        weights.append(weight_x * (to_low[:, 1] if down else 1 - to_low[:, 1]))
    return torch.stack(idx, dim=1), torch.stack(weights, dim=1)
