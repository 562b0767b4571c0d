"""Which cells a strided or transposed convolution writes: the rules of spconv, MinkowskiEngine, torchsparse.

The last two keep coordinates in input units and let a tensor carry its stride t. Here a grid counts cells
of the tensor's own stride: cell p stands for their coordinate `origin + p * t`. The origin is a multiple of
the total stride of the network (on each axis) that makes all cells non-negative. Shifting a cloud by such a
multiple shifts every result and changes nothing else. Transposed layers with odd kernels reach below the
lowest cell, so there the origin has to leave one cell of the coarsest grid free.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from sparseops.ops.kernel_map import _ops
from sparseops.ops.kernel_map._window import Triple, Window
from sparseops.sites import MAX_CELLS, Sites

SiteRule = Literal["spconv", "minkowski", "torchsparse"]
"""The library whose output sites and kernel centring a layer follows."""

_MAX_EDGE = 2**31 - 1


def rule_window(op: str, window: Window, site_rule: SiteRule) -> Window:
    """Centre the window as the library of the rule does; spconv's has the padding that the caller gave.

    Raises:
        ValueError: an unknown rule, or one that has no padding or dilation with a window that has.
    """
    if site_rule not in get_args(SiteRule):
        raise ValueError(f"{op}: site_rule must be one of {get_args(SiteRule)}, got {site_rule!r}")
    if site_rule == "spconv":
        return window
    if any(window.padding):
        raise ValueError(
            f"{op}: padding must be 0 with site_rule {site_rule!r}, which centres kernels itself, "
            f"got {window.padding} (z, y, x)"
        )
    if site_rule == "minkowski":
        axes = zip(window.kernel_size, window.dilation, strict=True)
        z, y, x = (k // 2 * d if k % 2 else 0 for k, d in axes)
    else:
        if window.dilation != (1, 1, 1):
            raise ValueError(
                f"{op}: dilation must be 1 with site_rule 'torchsparse', as torchsparse 1.4 computes with 1 "
                f"whatever it is given; got {window.dilation} (z, y, x)"
            )
        z, y, x = ((k - 1) // 2 for k in window.kernel_size)
    return Window(window.kernel_size, window.stride, (z, y, x), window.dilation)


def strided_out(op: str, sites: Sites, window: Window, site_rule: SiteRule) -> Sites:
    """Sites that a convolution with this (centred) window writes."""
    if site_rule == "spconv":
        shape = reading_shape(op, sites, window)
        return sorted_sites(
            op, _ops.strided_sites(sites.sorted_bzyx, list(shape), window.numbers), shape, sites
        )
    if window.stride == (1, 1, 1):
        return sites
    whole = all(s in (1, k) for s, k in zip(window.stride, window.kernel_size, strict=True))
    if site_rule == "minkowski" or whole:
        z, y, x = (-(-n // s) for n, s in zip(sites.shape_zyx, window.stride, strict=True))
        coords = _ops.floor_sites(sites.sorted_bzyx, [z, y, x], list(window.stride))
        return sorted_sites(op, coords, (z, y, x), sites)
    return _divisible_sites(op, sites, window)


def transposed_out(op: str, sites: Sites, window: Window, more: Triple, site_rule: SiteRule) -> Sites:
    """Sites that a generative transposed convolution with this (centred) window writes."""
    if site_rule == "minkowski":
        z, y, x = (n * s for n, s in zip(sites.shape_zyx, window.stride, strict=True))
    else:
        z, y, x = (
            (n - 1) * stride - 2 * pad + dilation * (kernel - 1) + 1 + extra
            for n, kernel, stride, pad, dilation, extra in zip(
                sites.shape_zyx, window.kernel_size, window.stride, window.padding, window.dilation, more,
                strict=True,
            )
        )  # fmt: skip
    if min(z, y, x) < 1:
        raise ValueError(
            f"{op}: padding {window.padding[-sites.dims :]} leaves no cell of the output grid; reduce it"
        )
    check_grid(op, (z, y, x), sites.batch_size)
    coords = _ops.transposed_sites(sites.sorted_bzyx, [z, y, x], window.numbers)
    return sorted_sites(op, coords, (z, y, x), sites)


def sorted_sites(op: str, coords_bzyx: Tensor, shape_zyx: Triple, like: Sites) -> Sites:
    """Ascending coordinates as sites of as many axes as `like`."""
    check_grid(op, shape_zyx, like.batch_size)
    coords = coords_bzyx
    if like.dims == 2:
        coords = torch.cat([coords[:, :1], coords[:, 2:]], dim=1)
    order = torch.arange(coords.shape[0], device=coords.device)
    return Sites(coords, shape_zyx[-like.dims :], like.batch_size, order)


def check_grid(op: str, shape_zyx: Triple, batch_size: int) -> None:
    """Raise ValueError unless cells have 32-bit coordinates and 64-bit numbers."""
    if max(shape_zyx) > _MAX_EDGE or batch_size * math.prod(shape_zyx) > MAX_CELLS:
        raise ValueError(
            f"{op}: the grid must have at most 2**31 - 1 cells on an axis and 2**62 in all, got {shape_zyx} "
            f"(z, y, x) for batch_size {batch_size}; crop the cloud or take a smaller spatial_shape"
        )


def reading_shape(op: str, sites: Sites, window: Window) -> Triple:
    """The output grid of spconv's rule.

    Raises:
        ValueError: the window does not fit into the padded grid.
    """
    shape_out = window.shape_out(sites.shape_zyx)
    if min(shape_out) < 1:
        own = window.along(sites.dims)
        raise ValueError(
            f"{op}: kernel_size {own['kernel_size']} with dilation {own['dilation']} does not fit into "
            f"the grid {sites.spatial_shape} with padding {own['padding']}; enlarge the padding"
        )
    check_grid(op, shape_out, sites.batch_size)
    return shape_out


def _divisible_sites(op: str, sites: Sites, window: Window) -> Sites:
    """Torchsparse 1.4: all `p + offset` that the stride divides, from the batch's lowest coordinate up."""
    z, y, x = (k // 2 for k in window.kernel_size)
    # It adds the offsets where reading subtracts them; for even kernels that is one cell further up.
    search = Window(window.kernel_size, window.stride, (z, y, x), window.dilation)
    z, y, x = (
        (n - 1 + k // 2) // s + 1
        for n, k, s in zip(sites.shape_zyx, window.kernel_size, window.stride, strict=True)
    )
    coords = _ops.strided_sites(sites.sorted_bzyx, [z, y, x], search.numbers)
    if len(coords):
        stride = torch.tensor(window.stride, device=coords.device)
        lowest = sites.sorted_bzyx[:, 1:].amin(0)
        coords = coords[(coords[:, 1:] * stride >= lowest).all(1)]
    return sorted_sites(op, coords, (z, y, x), sites)
