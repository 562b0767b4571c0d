"""Weight layouts: round trips, errors, and convolutions written out in the offset order of each library.

The numbers of spconv itself are tested in test_golden.py and test_spconv.py.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from sparseops import (
    SparseTensor,
    sparse_conv,
    strided_map,
    weight_from_dense,
    weight_from_minkowski,
    weight_from_spconv,
    weight_from_torchsparse,
    weight_to_dense,
    weight_to_minkowski,
    weight_to_spconv,
    weight_to_torchsparse,
    weight_xyz_to_zyx,
)
from torch import Tensor

KERNELS = [(3, 3, 3), (5, 3, 1), (3, 1, 3), (2, 2, 2), (3, 2, 4), (1, 2, 1), (1, 1, 1)]


@pytest.mark.parametrize("kernel", [(3, 1, 2), (1, 1, 1), (3, 3), (1, 1)])
@pytest.mark.parametrize("layout", ["KRSC", "RSKC", "RSCK"])
@pytest.mark.parametrize("stride", [1, 2, (1, 2)])
def test_conversion_to_spconv_and_back_is_exact(kernel: tuple[int, ...], layout: Any, stride: Any) -> None:
    weight = torch.randn(*kernel, 5, 7)
    stored = weight_to_spconv(weight, layout=layout, stride=stride)
    shapes = {"KRSC": (7, *kernel, 5), "RSKC": (*kernel, 7, 5), "RSCK": (*kernel, 5, 7)}
    assert stored.shape == shapes[layout]
    assert torch.equal(weight_from_spconv(stored, layout=layout, stride=stride), weight)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (weight_to_minkowski, weight_from_minkowski),
        (weight_to_torchsparse, weight_from_torchsparse),
    ],
)
@pytest.mark.parametrize("kernel", [*KERNELS, (3, 5), (2, 3), (1, 1)])
def test_conversion_to_flat_kernels_and_back_is_exact(kernel: tuple[int, ...], there: Any, back: Any) -> None:
    weight = torch.randn(*kernel, 5, 7)
    volume = torch.Size(kernel).numel()
    assert there(weight).shape == ((volume, 5, 7) if volume > 1 else (5, 7))
    assert torch.equal(back(there(weight), kernel_size=kernel), weight)
    assert torch.equal(back(there(weight).reshape(volume, 5, 7), kernel_size=kernel), weight)


def test_axes_keep_their_order() -> None:
    stored = torch.randn(7, 3, 1, 2, 5)
    assert weight_from_spconv(stored)[2, 0, 1, 4, 6] == stored[6, 2, 0, 1, 4]
    assert weight_from_spconv(stored.movedim(0, -2), layout="RSKC")[2, 0, 1, 4, 6] == stored[6, 2, 0, 1, 4]


def test_single_cells_are_reinterpreted_without_a_stride_only() -> None:
    stored = torch.randn(4, 1, 1, 1, 4)
    read = stored.reshape(4, 4)
    for layout, weight in (("KRSC", stored), ("RSKC", stored.reshape(1, 1, 1, 4, 4))):
        assert torch.equal(weight_from_spconv(weight, layout=layout)[0, 0, 0], read)
        assert torch.equal(weight_from_spconv(weight, layout=layout, stride=(1, 2, 2))[0, 0, 0], read.T)


def test_dense_weights_are_those_of_torch() -> None:
    for dense in (torch.nn.Conv3d(5, 7, (3, 1, 2)), torch.nn.Conv2d(5, 7, (3, 1))):
        converted = weight_from_dense(dense.weight)
        assert torch.equal(weight_to_dense(converted), dense.weight)
        assert torch.equal(converted[2, 0][..., 4, 6].flatten(), dense.weight[6, 4, 2, 0].flatten())


def minkowski_offsets(kernel: tuple[int, ...]) -> list[tuple[int, ...]]:
    """First axis fastest; odd kernels centred, even ones from zero."""
    axes = [range(-(k // 2), k // 2 + 1) if k % 2 else range(k) for k in kernel]
    return [(x, y, z) for z in axes[2] for y in axes[1] for x in axes[0]]


def torchsparse_offsets(kernel: tuple[int, ...]) -> list[tuple[int, ...]]:
    """First axis fastest for odd volumes, last axis fastest for even ones."""
    axes = [range(-k // 2 + 1, k // 2 + 1) for k in kernel]
    if torch.Size(kernel).numel() % 2:
        return [(x, y, z) for z in axes[2] for y in axes[1] for x in axes[0]]
    return list(product(*axes))


def written_out(
    tensor: SparseTensor, cells: Tensor, offsets: list[tuple[int, ...]], kernel: Tensor, stride: int
) -> Tensor:
    """The definition in x y z: output q adds `in[q * stride + offset i] @ kernel[i]`."""
    row_of = {(b, x, y, z): row for row, (b, z, y, x) in enumerate(tensor.coords.tolist())}
    out = torch.zeros(len(cells), kernel.shape[-1])
    for row, (b, z, y, x) in enumerate(cells.tolist()):
        for (dx, dy, dz), weight in zip(offsets, kernel, strict=True):
            cell = (b, stride * x + dx, stride * y + dy, stride * z + dz)
            if cell in row_of:
                out[row] += tensor.features[row_of[cell]] @ weight
    return out


@pytest.mark.parametrize("kernel_xyz", KERNELS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("rule", "offsets", "convert"),
    [
        ("minkowski", minkowski_offsets, weight_from_minkowski),
        ("torchsparse", torchsparse_offsets, weight_from_torchsparse),
    ],
)
def test_an_xyz_checkpoint_gives_the_same_numbers_on_zyx_tensors(
    random_coords, kernel_xyz: Any, stride: int, rule: Any, offsets: Callable[..., Any], convert: Any
) -> None:
    coords = random_coords(60, (5, 6, 7), 2)
    tensor = SparseTensor(torch.randn(len(coords), 3), coords, (5, 6, 7), 2)
    stored = torch.randn(torch.Size(kernel_xyz).numel(), 3, 4)
    weight = weight_xyz_to_zyx(convert(stored, kernel_size=kernel_xyz))
    plan = strided_map(tensor.sites, kernel_size=kernel_xyz[::-1], stride=stride, site_rule=rule)
    out = sparse_conv(tensor.features, weight, kernel_map=plan)
    expected = written_out(tensor, plan.sites_out.coords, offsets(kernel_xyz), stored, stride)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_reversing_axes_twice_changes_nothing() -> None:
    for shape in ((5, 3, 1, 2, 4), (5, 3, 2, 4)):
        weight = torch.randn(shape)
        assert weight_xyz_to_zyx(weight).shape == (*shape[:-2][::-1], *shape[-2:])
        assert torch.equal(weight_xyz_to_zyx(weight_xyz_to_zyx(weight)), weight)


def test_flat_weights_are_refused() -> None:
    flat = torch.zeros(27, 4, 4)
    with pytest.raises(ValueError, match=r"weight_from_spconv: weight must be \[cout, kz, ky, kx, cin\]"):
        weight_from_spconv(flat)
    with pytest.raises(ValueError, match=r"weight_from_spconv: weight must be \[kz, ky, kx, cout, cin\]"):
        weight_from_spconv(flat, layout="RSKC")
    for convert in (weight_to_spconv, weight_to_minkowski, weight_to_torchsparse, weight_to_dense):
        with pytest.raises(
            ValueError, match=rf"{convert.__name__}: weight must be \[kz, ky, kx, cin, cout\]"
        ):
            convert(flat)
    with pytest.raises(ValueError, match=r"weight_from_dense: weight must be \[cout, cin, kz, ky, kx\]"):
        weight_from_dense(flat)


def test_weights_of_another_kernel_are_refused() -> None:
    for convert in (weight_from_minkowski, weight_from_torchsparse):
        with pytest.raises(
            ValueError, match=r"must be \[8, cin, cout\] for a kernel of \(2, 2, 2\).*\[27, 4, 4\]"
        ):
            convert(torch.zeros(27, 4, 4), kernel_size=(2, 2, 2))
        with pytest.raises(ValueError, match=r"must be \[27, cin, cout\].*got \[4, 4\]"):
            convert(torch.zeros(4, 4), kernel_size=(3, 3, 3))


def test_unknown_layouts_are_refused(no_shape_checks: None) -> None:
    for convert in (weight_from_spconv, weight_to_spconv):
        with pytest.raises(ValueError, match="layout must be 'KRSC', 'RSKC' or 'RSCK', got 'CRSK'"):
            convert(torch.zeros(3, 3, 3, 4, 4), layout="CRSK")  # pyright: ignore[reportArgumentType]
