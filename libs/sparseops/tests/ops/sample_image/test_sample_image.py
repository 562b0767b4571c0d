import pytest
import torch
from sparseops import sample_image
from sparseops.ops.sample_image import _ops
from torch import Tensor
from torch.nn.functional import grid_sample


def inputs(*, points: int = 60, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Two maps of 5 x 7 pixels in three channels; points in and around an image of 20 x 21."""
    image = torch.randn(2, 3, 5, 7, dtype=dtype, requires_grad=True)
    uv = (torch.rand(points, 2, dtype=dtype) * 1.6 - 0.3) * torch.tensor([21, 20])
    return image, uv.requires_grad_(), torch.randint(0, 2, (points,))


def by_grid_sample(image: Tensor, uv: Tensor, sample: Tensor, *, align_corners: bool) -> Tensor:
    size_xy = torch.tensor([21, 20])
    unit = 2 * uv / (size_xy - 1) - 1 if align_corners else (2 * uv + 1) / size_xy - 1
    out = grid_sample(image[sample], unit[:, None, None], align_corners=align_corners)
    return out[:, :, 0, 0]


@pytest.mark.parametrize("align_corners", [False, True], ids=["edges", "centres"])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("points", [15, 60])
def test_values_and_gradients_equal_grid_sample(
    backend: str, align_corners: bool, memory: torch.memory_format, points: int
) -> None:
    image, uv, sample = inputs(points=points, dtype=torch.float64)
    ours = sample_image(
        image.contiguous(memory_format=memory), uv, sample, uv_size=(20, 21), align_corners=align_corners
    )
    wanted = by_grid_sample(image, uv, sample, align_corners=align_corners)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)
    upstream = torch.randn_like(ours)
    grads = [torch.autograd.grad(out, (image, uv), upstream) for out in (ours, wanted)]
    torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-8)


def test_whole_numbers_are_the_centres_of_pixels(backend: str) -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    uv = torch.tensor([[float(x), float(y)] for y in range(3) for x in range(4)])
    sample = torch.zeros(12, dtype=torch.int64)
    for align_corners in (False, True):
        assert torch.equal(
            sample_image(image, uv, sample, align_corners=align_corners)[:, 0], torch.arange(12.0)
        )


@pytest.mark.parametrize(("align_corners", "uv"), [(False, [1.5, 3.5]), (True, [7 / 3, 7.0])])
def test_a_smaller_map_is_stretched_over_the_image(
    backend: str, align_corners: bool, uv: list[float]
) -> None:
    image = torch.arange(8.0).view(1, 1, 2, 4)
    wanted = 1 + 4 * 1.0 if align_corners else (1.5 + 0.5) / 2 - 0.5 + 4 * 0.5
    out = sample_image(
        image, torch.tensor([uv]), torch.zeros(1).long(), uv_size=(8, 8), align_corners=align_corners
    )
    torch.testing.assert_close(out, torch.tensor([[wanted]]))


@pytest.mark.parametrize("copies", [1, 30])
def test_pixels_outside_are_zero_and_never_read(backend: str, copies: int) -> None:
    image = torch.full((copies, 1, 2, 2), 8.0)
    image[:, 0, 0, 0] = torch.nan
    uv = torch.tensor([[1.5, 1.0], [2.0, 1.0], [-1.0, 1.0], [1.0, 1.75], [50.0, 1.0], [1.0, -1e30]])
    out = sample_image(image, uv, torch.zeros(6).long())
    assert out[:, 0].tolist() == [4.0, 0.0, 0.0, 2.0, 0.0, 0.0]


def test_points_that_are_not_finite_get_zero_and_no_gradient(backend: str) -> None:
    image, uv, sample = inputs(points=3)
    bad = uv.detach().clone()
    bad[:, 0] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    bad.requires_grad_()
    out = sample_image(image, bad, sample)
    assert (out == 0).all()
    out.sum().backward()
    assert bad.grad is not None and image.grad is not None
    assert (bad.grad == 0).all() and (image.grad == 0).all()


@pytest.mark.slow
def test_gradcheck(backend: str) -> None:
    image, uv, sample = inputs(points=9, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda i, p: sample_image(i, p, sample, uv_size=(20, 21)), (image, uv))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-2), (torch.bfloat16, 4e-2)])
def test_half_precision_is_computed_in_float32(backend: str, dtype: torch.dtype, tolerance: float) -> None:
    image, uv, sample = inputs()
    half = image.detach().to(dtype)
    out = sample_image(half, uv, sample)
    assert out.dtype == dtype
    exact = sample_image(half.float(), uv, sample)
    torch.testing.assert_close(out.float(), exact, rtol=tolerance, atol=tolerance)


def test_both_memory_layouts_agree_bit_for_bit(backend: str) -> None:
    image, uv, sample = inputs(points=17)
    upstream = torch.randn(17, 3)
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        out = sample_image(image.contiguous(memory_format=memory), uv, sample, uv_size=(20, 21))
        results.append([out, *torch.autograd.grad(out, image, upstream)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_no_points_and_no_images(backend: str) -> None:
    image = torch.zeros(2, 3, 4, 4, requires_grad=True)
    out = sample_image(image, torch.zeros(0, 2), torch.zeros(0).long())
    assert out.shape == (0, 3)
    out.sum().backward()
    assert image.grad is not None and (image.grad == 0).all()
    assert sample_image(image[:0], torch.zeros(0, 2), torch.zeros(0).long()).shape == (0, 3)


def test_order_of_the_points_does_not_matter(backend: str) -> None:
    image, uv, sample = inputs()
    order = torch.randperm(60)
    out = sample_image(image, uv, sample)
    assert torch.equal(sample_image(image, uv[order], sample[order]), out[order])


def test_a_batch_equals_its_images_one_by_one(backend: str) -> None:
    image, uv, sample = inputs()
    out = sample_image(image, uv, sample)
    for i in range(2):
        own = sample == i
        alone = sample_image(image[i : i + 1], uv[own], torch.zeros_like(sample[own]))
        assert torch.equal(out[own], alone)


def test_result_does_not_depend_on_the_threads(threads) -> None:
    _, uv, sample = inputs(points=2000)
    image = torch.randn(2, 3, 80, 84, requires_grad=True)  # so large that planes pay
    results = []
    for count in (1, 2):
        threads(count)
        out = sample_image(image, uv * 4, sample)
        results.append([out, *torch.autograd.grad(out.square().sum(), (image, uv))])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.slow
def test_the_operators_pass_opcheck() -> None:
    image, weights = torch.randn(2, 3, 6, requires_grad=True), torch.rand(5, 4, requires_grad=True)
    sample, idx = torch.randint(0, 2, (5,)), torch.randint(-1, 6, (5, 4))
    torch.library.opcheck(_ops.sample_planes, (image, sample, idx, weights))
    grad = torch.randn(5, 3)
    torch.library.opcheck(_ops.backward_image, (grad, sample, idx, weights.detach(), 2, 6))
    torch.library.opcheck(_ops.backward_weights, (grad, image.detach(), sample, idx))


@pytest.mark.triton
def test_triton_equals_the_reference(triton_device: torch.device, monkeypatch) -> None:
    image, uv, sample = (tensor.detach().to(triton_device) for tensor in inputs())
    leaves = image.requires_grad_(), uv.requires_grad_()
    results = []
    for name in (None, "reference"):
        if name:
            monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        out = sample_image(*leaves, sample, uv_size=(20, 21))
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    image, uv, sample = (tensor.detach() for tensor in inputs())
    with pytest.raises(ValueError, match=r"sample_image: image must have shape \[B, C, H, W\]"):
        sample_image(image[0], uv, sample)
    with pytest.raises(TypeError, match=r"sample_image: uv_px must be .*, got int64"):
        sample_image(image, uv.long(), sample)
    with pytest.raises(IndexError, match="sample_image: batch_index must lie in 0 to 0, got 0 to 1"):
        sample_image(image[:1], uv, sample)
    with pytest.raises(ValueError, match=r"sample_image: uv_size must be positive, got \(0, 3\)"):
        sample_image(image, uv, sample, uv_size=(0, 3))
    with pytest.raises(ValueError, match="sample_image: uv_size must be 2 or more to align corners"):
        sample_image(image, uv, sample, uv_size=(1, 3), align_corners=True)
