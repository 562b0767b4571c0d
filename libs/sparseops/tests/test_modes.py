"""Every public operator and layer in every mode of PyTorch: one row each, one test a mode.

A mode changes how something runs, never what comes out: a cell is right if it equals the plain call, or if it
is the error that `EXCEPTIONS` names. What joins `sparseops` or `sparseops.nn` without a row fails.
"""

import copy
import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import pytest
import sparseops as so
import torch
from sparseops import KernelMap, Sites, SparseTensor
from sparseops import nn as layers
from torch import Tensor, nn, rand, randint, randn
from torch.utils.checkpoint import checkpoint

pytestmark = pytest.mark.usefixtures("no_shape_checks")

SHAPE, BATCH = (4, 5, 6), 2
GRID: dict[str, Any] = {"spatial_shape": SHAPE, "batch_size": BATCH}
VOXELS: dict[str, Any] = {"voxel_size": (0.5, 0.5, 0.5), "bounds": (0.0, 0.0, 0.0, 2.0, 2.0, 2.0)}


class Row(NamedTuple):
    """A call, and its tensors for `n` points, rows or boxes (weights and grids take no notice of `n`)."""

    call: Callable[..., Any]
    tensors: Callable[[int], list[Tensor]]
    module: nn.Module = nn.Identity()
    """The layer itself, if it is one."""


def points(n: int, *batch: int) -> Tensor:
    return rand(*batch, n, 3) * 2


def boxes(n: int, *batch: int) -> Tensor:
    return rand(*batch, n, 7) + torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0])


def rows_of(limit: int, *shape: int) -> Tensor:
    """Row numbers below a limit, which is at least 1."""
    return randint(max(limit, 1), shape)


def counts(n: int) -> Tensor:
    return torch.tensor([n // 3, n - n // 3])


def coords(n: int, dims: int = 3) -> Tensor:
    """Distinct cells of the grid in random order, b z y x or b y x."""
    cells = torch.cartesian_prod(*[torch.arange(size) for size in (BATCH, *SHAPE[-dims:])]).int()
    return cells[torch.randperm(len(cells))[:n]]


def samples(n: int) -> Tensor:
    return torch.arange(n) % BATCH


def batched(sample: Tensor, xyz: Tensor) -> Tensor:
    """The sample in column 0. It is no input of its own that could be moved by a little."""
    return torch.cat([sample[:, None].to(xyz.dtype), xyz], dim=1)


def sites(cells: Tensor) -> Sites:
    return so.sites_from_coords(cells, spatial_shape=SHAPE[1 - cells.shape[1] :], batch_size=BATCH)


def sparse(rows: Tensor, cells: Tensor) -> SparseTensor:
    return SparseTensor(rows, cells, SHAPE[1 - cells.shape[1] :], BATCH)


def of_sites(call: Callable[[Sites], Any]) -> Row:
    return Row(lambda cells: call(sites(cells)), lambda n: [coords(n)])


def of_tensor(call: Callable[[SparseTensor], Any], dims: int = 3) -> Row:
    return Row(lambda rows, cells: call(sparse(rows, cells)), lambda n: [randn(n, 3), coords(n, dims)])


def along(call: Callable[..., Tensor], *weights: tuple[int, ...]) -> Row:
    """A function of rows along a kernel map that is planned in the call."""

    def run(cells: Tensor, *rows: Tensor) -> Tensor:
        plan = so.strided_map(sites(cells), kernel_size=3, stride=2, padding=1)
        return call(*rows, kernel_map=plan)

    return Row(run, lambda n: [coords(n), randn(n, 3), *map(randn, weights)])


def layer(make: Callable[..., nn.Module], *arguments: Any, **settings: Any) -> Row:
    """A layer with weights of a seed of its own, on a sparse tensor that is made in the call."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = make(*arguments, **settings)
    return of_tensor(module, 2 if "2d" in str(module) else 3)._replace(module=module)


def suppress(call: Callable[..., Tensor]) -> Row:
    return Row(lambda b, s: call(b, s, iou_threshold=0.1), lambda n: [boxes(n), rand(n)])


def of_two(call: Callable[..., Any]) -> Row:
    return Row(call, lambda n: [boxes(n), boxes(n)])


def of_weight(call: Callable[[Tensor], Any], *shape: int) -> Row:
    return Row(call, lambda n: [randn(shape)])


def reduce(call: Callable[..., Any]) -> Row:
    return Row(lambda rows, i: call(rows, i, dim_size=5), lambda n: [randn(n, 3), rows_of(6, n) - 1])


CONVERTED = layers.SubmanifoldConv3d(2, 4, 3)
OPERATORS = {
    "ball_query": Row(
        lambda c, p: so.ball_query(c, p, radius=0.7, num_samples=3), lambda n: [points(n, 2), points(n, 2)]
    ),
    "ball_query_stacked": Row(
        lambda p, k: so.ball_query_stacked(p, k, p, k, radius=0.7, num_samples=3),
        lambda n: [points(n), counts(n)],
    ),
    "chamfer_distance": Row(so.chamfer_distance, lambda n: [points(n, 2), points(n, 2)]),
    "convert_state_dict": Row(
        lambda w: so.convert_state_dict(CONVERTED, {"kernel": w}, source="minkowski"),
        lambda n: [randn(27, 2, 4)],
    ),
    "downsample_sparse_map": Row(lambda x: so.downsample_sparse_map(x, 2), lambda n: [rand(n, 1, 4, 4)]),
    "dynamic_voxelize_batch": Row(
        lambda i, p: so.dynamic_voxelize_batch(batched(i, p), **VOXELS, batch_size=BATCH),
        lambda n: [samples(n), points(n)],
    ),
    "furthest_point_sample": Row(lambda p: so.furthest_point_sample(p, 3), lambda n: [points(n, 2)]),
    "giou_3d": of_two(so.giou_3d),
    "global_avg_pool": of_tensor(so.global_avg_pool),
    "global_max_pool": of_tensor(so.global_max_pool),
    "group": Row(
        so.group,
        lambda n: [randn(2, 3, n), rows_of(n, 2, n, 2)],
    ),
    "inverse_distance_weights": Row(so.inverse_distance_weights, lambda n: [points(n) + 0.1]),
    "iou_3d": of_two(so.iou_3d),
    "iou_aligned_3d": of_two(so.iou_aligned_3d),
    "iou_aligned_bev": of_two(so.iou_aligned_bev),
    "iou_bev": of_two(so.iou_bev),
    "knn": Row(lambda q, p: so.knn(q, p, k=3), lambda n: [points(n, 2), points(n, 2)]),
    "knn_stacked": Row(
        lambda q, p, k: so.knn_stacked(q, k, p, k, k=3), lambda n: [points(n), points(n), counts(n)]
    ),
    "lookup": of_sites(lambda made: so.lookup(made, made.coords + 1)),
    "merge_duplicates": Row(
        lambda rows, cells: so.merge_duplicates(rows, cells // 2, **GRID), lambda n: [randn(n, 3), coords(n)]
    ),
    "ms_deform_attn": Row(
        lambda v, x, w: so.ms_deform_attn(v, [(2, 5)], x, w),
        lambda n: [
            randn(1, 10, 2, 4),
            rand(1, n, 2, 1, 2, 2),
            rand(1, n, 2, 1, 2),
        ],
    ),
    "nms_3d": suppress(so.nms_3d),
    "nms_aligned_3d": suppress(so.nms_aligned_3d),
    "nms_aligned_bev": suppress(so.nms_aligned_bev),
    "nms_bev": suppress(so.nms_bev),
    "paired_giou_3d": of_two(so.paired_giou_3d),
    "paired_iou_3d": of_two(so.paired_iou_3d),
    "paired_iou_aligned_3d": of_two(so.paired_iou_aligned_3d),
    "paired_iou_bev": of_two(so.paired_iou_bev),
    "points_in_boxes": Row(so.points_in_boxes, lambda n: [points(n), boxes(n)]),
    "points_in_boxes_batch": Row(
        lambda i, p, b: so.points_in_boxes_batch(batched(i, p), b),
        lambda n: [samples(n), points(n), boxes(n, BATCH)],
    ),
    "prune": of_tensor(lambda tensor: so.prune(tensor, tensor.features[:, 0] > 0)),
    "roi_aware_pool": Row(
        lambda p, f, r: so.roi_aware_pool(p, f, r, output_size=2),
        lambda n: [points(n), randn(n, 3), boxes(n)],
    ),
    "roi_grid": Row(lambda r: so.roi_grid(r, grid_size=2), lambda n: [boxes(n)]),
    "roi_point_pool": Row(
        lambda p, f, r: so.roi_point_pool(p, f, r, num_sampled_points=3),
        lambda n: [points(n, 2), randn(2, n, 3), boxes(n, 2)],
    ),
    "sample_image": Row(
        so.sample_image,
        lambda n: [
            randn(2, 3, 4, 5),
            rand(n, 2) * 3,
            rows_of(BATCH, n),
        ],
    ),
    "scatter_max": reduce(so.scatter_max),
    "scatter_mean": reduce(so.scatter_mean),
    "scatter_sum": reduce(so.scatter_sum),
    "sites_from_coords": of_sites(lambda made: made),
    "sparse_avg_pool": along(so.sparse_avg_pool),
    "sparse_cat": of_tensor(lambda tensor: so.sparse_cat(tensor, tensor)),
    "sparse_collate": Row(
        lambda rows, cells: so.sparse_collate([(cells, rows)] * 2, spatial_shape=SHAPE),
        lambda n: [randn(n, 3), torch.cartesian_prod(*[torch.arange(3)] * 3)[:n].int()],
    ),
    "sparse_conv": along(so.sparse_conv, (3, 3, 3, 3, 4)),
    "sparse_from_dense": Row(
        lambda x, on: so.sparse_from_dense(x * on),
        lambda n: [randn(n, 2, 3, 4), randint(0, 2, (n, 1, 3, 4))],
    ),
    "sparse_max_pool": along(so.sparse_max_pool),
    "strided_map": of_sites(lambda made: so.strided_map(made, kernel_size=3, stride=2, padding=1)),
    "submanifold_map": of_sites(lambda made: so.submanifold_map(made, kernel_size=3)),
    "three_interpolate": Row(
        so.three_interpolate,
        lambda n: [
            randn(2, 3, n),
            rows_of(n, 2, n, 3),
            points(n, 2),
        ],
    ),
    "three_interpolate_stacked": Row(
        so.three_interpolate_stacked,
        lambda n: [randn(n, 3), rows_of(n, n, 3), points(n)],
    ),
    "three_nn": Row(so.three_nn, lambda n: [points(n, 2), points(n, 2)]),
    "three_nn_stacked": Row(
        lambda u, k, c: so.three_nn_stacked(u, c, k, c), lambda n: [points(n), points(n), counts(n)]
    ),
    "transposed_map": of_sites(lambda made: so.transposed_map(made, kernel_size=2, stride=2)),
    "trilinear_devoxelize": Row(
        so.trilinear_devoxelize,
        lambda n: [randn(n, 3), rows_of(n + 1, n, 8) - 1, rand(n, 8)],
    ),
    "trilinear_weights": Row(
        lambda i, p, cells: so.trilinear_weights(batched(i, p), sites(cells)),
        lambda n: [samples(n), points(n), coords(5 * n)],
    ),
    "union_add": Row(
        lambda a, b, cells: so.union_add(sparse(a, cells[::2]), sparse(b, cells[: len(a)])),
        lambda n: [randn(n, 3), randn(n, 3), coords(2 * n)],
    ),
    "voxel_first": Row(lambda v: so.voxel_first(v, num_voxels=5), lambda n: [rows_of(6, n) - 1]),
    "voxel_grid_size": Row(lambda: torch.tensor(so.voxel_grid_size(**VOXELS)), lambda n: []),
    "voxel_mean": Row(so.voxel_mean, lambda n: [randn(n, 3, 2), rows_of(3, n) + 1]),
    "voxel_query": Row(
        lambda a, p, b, q: so.voxel_query(a, p, b, q, max_range=(1, 1, 1), radius=1.0, num_samples=3),
        lambda n: [coords(n), points(n), coords(n), points(n)],
    ),
    "voxelize": Row(lambda p: so.voxelize(p, **VOXELS, max_points=2, max_voxels=9), lambda n: [points(n)]),
    "voxelize_batch": Row(
        lambda i, p: so.voxelize_batch(batched(i, p), **VOXELS, max_points=2, max_voxels=9, batch_size=BATCH),
        lambda n: [samples(n), points(n)],
    ),
    "weight_from_dense": of_weight(so.weight_from_dense, 4, 2, 3, 3, 3),
    "weight_from_minkowski": of_weight(partial(so.weight_from_minkowski, kernel_size=(3, 3, 3)), 27, 2, 4),
    "weight_from_spconv": of_weight(so.weight_from_spconv, 4, 3, 3, 3, 2),
    "weight_from_torchsparse": of_weight(
        partial(so.weight_from_torchsparse, kernel_size=(3, 3, 3)), 27, 2, 4
    ),
    "weight_to_dense": of_weight(so.weight_to_dense, 3, 3, 3, 2, 4),
    "weight_to_minkowski": of_weight(so.weight_to_minkowski, 3, 3, 3, 2, 4),
    "weight_to_spconv": of_weight(so.weight_to_spconv, 3, 3, 3, 2, 4),
    "weight_to_torchsparse": of_weight(so.weight_to_torchsparse, 3, 3, 3, 2, 4),
    "weight_xyz_to_zyx": of_weight(so.weight_xyz_to_zyx, 3, 3, 3, 2, 4),
    "weighted_sum": Row(so.weighted_sum, lambda n: [randn(n, 3), rows_of(n + 1, n, 2) - 1, rand(n, 2)]),
}
"""Functions of `sparseops`, under their names."""


def there_and_back(down: type[nn.Module], up: type[nn.Module]) -> nn.Module:
    return layers.SparseSequential(down(3, 4, 3, stride=2, padding=1, key="a"), up(4, 3, 3, of="a"))


def of_rows_and_sites() -> nn.Module:
    return layers.SparseSequential(nn.ReLU(), layers.SubmanifoldConv3d(3, 4, 1))


LAYERS = {
    "InverseConv2d": layer(there_and_back, layers.SparseConv2d, layers.InverseConv2d),
    "InverseConv3d": layer(there_and_back, layers.SparseConv3d, layers.InverseConv3d),
    "SparseAvgPool2d": layer(layers.SparseAvgPool2d, 2),
    "SparseAvgPool3d": layer(layers.SparseAvgPool3d, 2),
    "SparseConv2d": layer(layers.SparseConv2d, 3, 4, 3, stride=2, padding=1),
    "SparseConv3d": layer(layers.SparseConv3d, 3, 4, 3, stride=2, padding=1),
    "SparseMaxPool2d": layer(layers.SparseMaxPool2d, 2),
    "SparseMaxPool3d": layer(layers.SparseMaxPool3d, 2),
    "SparseSequential": layer(of_rows_and_sites),
    "SubmanifoldConv2d": layer(layers.SubmanifoldConv2d, 3, 4, 3),
    "SubmanifoldConv3d": layer(layers.SubmanifoldConv3d, 3, 4, 3),
    "TransposedConv2d": layer(layers.TransposedConv2d, 3, 4, 2, stride=2),
    "TransposedConv3d": layer(layers.TransposedConv3d, 3, 4, 2, stride=2),
}
"""Layers of `sparseops.nn`, under their names."""
ROWS = OPERATORS | LAYERS
every_row = pytest.mark.parametrize("name", ROWS)
EXCEPTIONS: dict[tuple[str, str], tuple[type[Exception], str]] = {
    ("empty", "furthest_point_sample"): (ValueError, "points must hold at least one point per cloud"),
    # It fills a module before there is a graph.
    ("check_exported", "convert_state_dict"): (StopIteration, ""),
    # Raw points are no output of a layer.
    ("half", "dynamic_voxelize_batch"): (TypeError, "points must be float32, got b?float16"),
    ("half", "voxelize"): (TypeError, "points must be float32, got b?float16"),
    ("half", "voxelize_batch"): (TypeError, "points must be float32, got b?float16"),
    # As torch's own layers: weights have the type of the features, outside of autocast.
    **{
        ("half", name): (TypeError, "sparse_conv: weight must be b?float16, got float32")
        for name in LAYERS
        if "Pool" not in name
    },
}
"""(mode, row): the error, and words of it, that stands in a cell in place of the plain result."""


def tensors(out: Any) -> list[Tensor]:
    """The tensors of a result."""
    if isinstance(out, SparseTensor):
        return [out.features, out.coords]
    if isinstance(out, KernelMap):
        return [out.neighbours(), out.sites_out.coords]
    if isinstance(out, Sites):
        return [out.coords, out.order]
    if isinstance(out, dict):
        return tensors(tuple(out.values()))
    if isinstance(out, tuple | list):
        return [tensor for part in out for tensor in tensors(part)]
    return [out] if isinstance(out, Tensor) else []


def flat(name: str) -> Callable[..., list[Tensor]]:
    call = ROWS[name].call
    return lambda *arguments: tensors(call(*arguments))


def inputs_of(name: str, n: int = 9) -> list[Tensor]:
    torch.manual_seed(0)
    return ROWS[name].tensors(n)


def leaves(arguments: list[Tensor]) -> list[Tensor]:
    return [a.detach().clone().requires_grad_() if a.is_floating_point() else a for a in arguments]


def same(got: list[Tensor], wanted: list[Tensor], *, tolerance: float = 0) -> None:
    assert [t.dtype for t in got] == [t.dtype for t in wanted]
    for ours, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(
            ours.detach(), plain.detach(), rtol=tolerance, atol=tolerance, equal_nan=True
        )


def weighed(outputs: list[Tensor]) -> Tensor:
    """One number of all finite values of the outputs, in float64, always with the same weights."""
    draw = torch.Generator().manual_seed(2)
    total = torch.zeros((), dtype=torch.float64)
    for part in (t.double() for t in outputs if t.is_floating_point()):
        weight = rand(part.shape, generator=draw, dtype=torch.float64)
        total = total + (weight * torch.where(part.isfinite(), part, 0.0)).sum()
    return total


def gradients(outputs: list[Tensor], arguments: list[Tensor]) -> list[Tensor]:
    """Gradients by the leaves among the arguments; zeros where there is none."""
    wanted = [a for a in arguments if a.requires_grad]
    for leaf in wanted:
        leaf.grad = None
    total = weighed(outputs)
    if total.requires_grad:
        total.backward()
    return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in wanted]


def cell(mode: str, name: str, check: Callable[[], None]) -> None:
    """Run the check of one cell, or see that it ends in the error of the table."""
    if (mode, name) not in EXCEPTIONS:
        check()
        return
    error, words = EXCEPTIONS[mode, name]
    with pytest.raises(error, match=words):
        check()


def test_every_public_operator_and_layer_has_a_row() -> None:
    assert {name for name in so.__all__ if inspect.isfunction(getattr(so, name))} == set(OPERATORS)
    assert {name for name in layers.__all__ if name != "SparseModule"} == set(LAYERS)


@pytest.mark.slow
@every_row
def test_inference_mode_and_no_grad_change_nothing(name: str) -> None:
    arguments, run = leaves(inputs_of(name)), flat(name)
    wanted = run(*arguments)
    for mode in (torch.inference_mode(), torch.no_grad()):
        with mode:
            same(run(*arguments), wanted)


@every_row
def test_autocast_changes_neither_values_nor_types_on_the_cpu(name: str, monkeypatch) -> None:
    arguments, run = leaves(inputs_of(name)), flat(name)
    for backend in ("", "reference"):
        monkeypatch.setenv("SPARSEOPS_BACKEND", backend)
        wanted = run(*arguments)
        slopes = gradients(wanted, arguments)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = run(*arguments)
        same(got, wanted)
        same(gradients(got, arguments), slopes)


@every_row
def test_the_default_type_changes_nothing(name: str) -> None:
    arguments, run = inputs_of(name), flat(name)
    wanted = run(*arguments)
    torch.set_default_dtype(torch.float64)
    try:
        same(run(*arguments), wanted)
    finally:
        torch.set_default_dtype(torch.float32)


@every_row
def test_strides_of_the_inputs_change_nothing(name: str) -> None:
    arguments, run = inputs_of(name), flat(name)
    spread = [torch.stack([a, a], dim=-1)[..., 0] for a in arguments]
    assert not any(a.is_contiguous() for a in spread)
    same(run(*spread), run(*arguments))


@every_row
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_wide(name: str, dtype: torch.dtype) -> None:
    halves = [a.to(dtype) if a.is_floating_point() else a for a in inputs_of(name)]

    def check() -> None:
        got = flat(name)(*halves)
        wanted = flat(name)(*(a.float() if a.is_floating_point() else a for a in halves))
        for ours, wide in zip(got, wanted, strict=True):
            assert ours.dtype in (wide.dtype, dtype)
            torch.testing.assert_close(ours, wide.to(ours.dtype), rtol=0, atol=0)

    cell("half", name, check)


@every_row
def test_every_gradient_is_the_slope_of_the_result(name: str) -> None:
    """Along a random direction, against differences of results: what is detached does not pass."""
    arguments, run = leaves(inputs_of(name)), flat(name)
    slopes = iter(gradients(run(*arguments), arguments))
    draw, step = torch.Generator().manual_seed(3), 2e-4
    for place in (i for i, a in enumerate(arguments) if a.requires_grad):
        direction = randn(arguments[place].shape, generator=draw)
        ends = []
        for sign in (1, -1):
            moved = [a.detach() for a in arguments]
            moved[place] = moved[place] + sign * step * direction
            ends.append(weighed(run(*moved)))
        wanted, got = (ends[0] - ends[1]) / (2 * step), (next(slopes) * direction).sum().double()
        torch.testing.assert_close(got, wanted, rtol=2e-2, atol=2e-2)


@pytest.mark.slow
@every_row
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_changes_no_gradient(name: str, reentrant: bool) -> None:
    arguments, run = leaves(inputs_of(name)), flat(name)
    wanted = run(*arguments)
    if any(t.requires_grad for t in wanted):
        got = list(checkpoint(lambda *a: tuple(run(*a)), *arguments, use_reentrant=reentrant))
        same(got, wanted)
        same(gradients(got, arguments), gradients(wanted, arguments))


@every_row
def test_no_rows_are_no_error(name: str) -> None:
    def check() -> None:
        arguments = leaves(inputs_of(name, 0))
        assert all(slope.isfinite().all() for slope in gradients(flat(name)(*arguments), arguments))

    cell("empty", name, check)


@every_row
def test_two_threads_of_python_compute_what_one_does(name: str) -> None:
    arguments, run = inputs_of(name), flat(name)
    wanted = run(*arguments)
    with ThreadPoolExecutor(2) as pool:
        for got in pool.map(lambda _: run(*arguments), range(4)):
            same(got, wanted)


@every_row
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_vmap_gives_the_result_for_every_element(name: str) -> None:
    """PyTorch runs the operators one element after the other."""
    arguments, run = inputs_of(name), flat(name)
    floats = [i for i, a in enumerate(arguments) if a.is_floating_point()]
    if not floats:
        return

    def run_floats(*moved: Tensor) -> list[Tensor]:
        given = dict(zip(floats, moved, strict=True))
        return run(*(given.get(i, a) for i, a in enumerate(arguments)))

    got = torch.func.vmap(run_floats)(*(torch.stack([arguments[i]] * 2) for i in floats))
    # PyTorch may join its own matrix products.
    same([t[1] for t in got], run(*arguments), tolerance=1e-6)


@every_row
def test_a_gradient_of_func_is_right_or_refused_by_pytorch(name: str) -> None:
    """`torch.func` differentiates no operator of `torch.library`, and says so."""
    arguments, run = leaves(inputs_of(name)), flat(name)
    wanted = gradients(run(*arguments), arguments)
    places = tuple(i for i, a in enumerate(arguments) if a.requires_grad)
    if not places:
        return
    plain = [a.detach() for a in arguments]
    try:
        got = torch.func.grad(lambda *a: weighed(run(*a)), argnums=places)(*plain)
    except RuntimeError as error:
        assert "functorch transforms" in str(error)
    else:
        same(list(got), wanted)


@pytest.mark.parametrize("name", LAYERS)
def test_copies_of_a_layer_compute_the_same(name: str) -> None:
    module, (rows, cells) = LAYERS[name].module, inputs_of(name)
    wanted = module(sparse(rows, cells)).features
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again(sparse(rows, cells)).features, wanted)


@pytest.mark.parametrize("name", LAYERS)
def test_maps_that_inference_planned_serve_a_training(name: str) -> None:
    rows, cells = leaves(inputs_of(name))
    wanted = gradients(tensors(LAYERS[name].module(sparse(rows, cells))), [rows])
    tensor = sparse(rows, cells)
    with torch.inference_mode():
        LAYERS[name].module(tensor.replace(rows.detach()))
    same(gradients(tensors(LAYERS[name].module(tensor)), [rows]), wanted)


def check_compiled(name: str) -> None:
    torch._dynamo.reset()
    arguments, run = leaves(inputs_of(name)), flat(name)
    wanted = run(*arguments)
    got = list(torch.compile(run, fullgraph=True, backend="aot_eager")(*arguments))
    same(got, wanted)
    same(gradients(got, arguments), gradients(wanted, arguments))


def check_exported(name: str) -> None:
    class Module(nn.Module):
        def forward(self, *arguments: Tensor) -> list[Tensor]:
            return flat(name)(*arguments)

    arguments = tuple(inputs_of(name))
    program = torch.export.export(Module(), arguments)
    same(list(program.module()(*arguments)), flat(name)(*arguments))


def failures(check: str) -> dict[str, str]:
    """Rows that fail a check, and how: for the process below."""
    found = {}
    for name in ROWS:
        try:
            cell(check, name, partial(globals()[check], name))
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"[:2000]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("check", ["check_compiled", "check_exported"])
def test_graphs_have_no_breaks_and_change_nothing(check: str) -> None:
    # In a process of its own: the run-time checks of annotations in this one are no code that can be traced.
    script = f"import json, runpy; print(json.dumps(runpy.run_path({__file__!r})['failures']({check!r})))"
    done = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {}
