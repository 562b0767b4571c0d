from pathlib import Path

import numpy as np
import pytest
import torch
from sparseops import downsample_sparse_map

GOLDEN = Path(__file__).parents[2] / "golden" / "downsample_sparse_map.npz"


def written_in_order(x, factor):
    """Write every non-zero pixel to its cell, one after the other."""
    batch, channels, height, width = x.shape
    out = torch.zeros(batch, channels, height // factor, width // factor, dtype=x.dtype)
    for b, c, v, u in np.ndindex(*x.shape):
        if x[b, c, v, u] != 0:
            out[b, c, v // factor, u // factor] = x[b, c, v, u]
    return out


def sparse(*shape, share=0.3):
    return torch.randn(shape) * (torch.rand(shape) < share)


@pytest.mark.parametrize(("name", "factor"), [("half", 2), ("quarter", 4), ("depth", 1)])
def test_equals_the_official_code(name, factor):
    golden = dict(np.load(GOLDEN))
    out = downsample_sparse_map(torch.from_numpy(golden["depth"]), factor)
    np.testing.assert_array_equal(out.numpy(), golden[name])


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.7, 1.0])
def test_equals_a_plain_loop(factor, share):
    x = sparse(2, 3, 2 * factor, 3 * factor, share=share)
    assert torch.equal(downsample_sparse_map(x, factor), written_in_order(x, factor))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float64])
def test_every_type_is_kept(dtype):
    x = (sparse(1, 2, 8, 12) * 100).abs().to(dtype)
    out = downsample_sparse_map(x, 4)
    assert out.dtype == dtype and torch.equal(out, written_in_order(x, 4))


def test_negative_values_and_nan_are_not_zero():
    x = torch.tensor([[[[5.0, -2.0], [0.0, -0.0]], [[5.0, 0.0], [0.0, torch.nan]]]])
    out = downsample_sparse_map(x, 2).flatten()
    assert out[0] == -2 and out[1].isnan()


def test_the_odd_column_wins_in_maps_that_are_constant_down_their_columns():
    columns = torch.tensor([4.0, 7.0, 4.0, 0.0, 0.0, 7.0, 0.0, 0.0])
    out = downsample_sparse_map(columns.expand(1, 1, 6, 8), 2)
    assert torch.equal(out, torch.tensor([7.0, 4.0, 7.0, 0.0]).expand(1, 1, 3, 4))


def test_the_gradient_goes_to_the_pixel_that_was_taken():
    x = torch.tensor([[[[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]]]], requires_grad=True)
    downsample_sparse_map(x, 2).backward(torch.tensor([[[[10.0, 20.0]]]]))
    assert x.grad.tolist() == [[[[0.0, 0.0, 20.0, 0.0], [10.0, 0.0, 0.0, 0.0]]]]


def test_empty_batches_and_maps():
    assert downsample_sparse_map(torch.zeros(0, 1, 4, 6), 2).shape == (0, 1, 2, 3)
    assert downsample_sparse_map(torch.zeros(1, 1, 0, 6), 2).shape == (1, 1, 0, 3)


def test_the_result_shares_no_memory_with_a_map_that_is_reduced():
    x = torch.ones(1, 1, 4, 4)
    downsample_sparse_map(x, 2).zero_()
    assert x.min() == 1


@pytest.mark.slow
def test_compiles_without_a_graph_break(no_shape_checks):
    torch._dynamo.reset()
    compiled = torch.compile(downsample_sparse_map, backend="aot_eager", fullgraph=True)
    x = sparse(2, 1, 8, 12)
    assert torch.equal(compiled(x, 4), downsample_sparse_map(x, 4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu():
    x = sparse(2, 1, 64, 96)
    assert torch.equal(downsample_sparse_map(x.cuda(), 4).cpu(), downsample_sparse_map(x, 4))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named():
    with pytest.raises(
        ValueError, match=r"downsample_sparse_map: x must have shape \[B, C, H, W\], got \[4, 4\]"
    ):
        downsample_sparse_map(torch.zeros(4, 4), 2)
    with pytest.raises(ValueError, match="downsample_sparse_map: downscale_factor must be positive, got 0"):
        downsample_sparse_map(torch.zeros(1, 1, 4, 4), 0)
    with pytest.raises(
        ValueError, match="divisible by downscale_factor 4, got 8 x 6; pad the map with zeros"
    ):
        downsample_sparse_map(torch.zeros(1, 1, 8, 6), 4)
