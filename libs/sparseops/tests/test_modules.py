"""What the package looks like from outside and inside: names, modules, and the folders of operators."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sparseops
import torch
from sparseops import ops

FOLDERS = [name for _, name, _ in pkgutil.iter_modules(ops.__path__)]
# Registered names: compiled and exported graphs hold them.
OPERATORS = (
    "ball_query batch_column cell_keys checked_rows distinct dynamic_voxelize first_rows "
    "floor_sites furthest_point_sample group group_backward hard_voxelize hard_voxelize_backward "
    "iou iou_backward knn ms_deform_attn ms_deform_attn_backward neighbour_table nms pair_list "
    "paired_iou paired_iou_backward points_in_boxes pool_sum pool_sum_table roi_aware_rows "
    "roi_point_rows sample_planes sample_planes_backward_image sample_planes_backward_weights "
    "scatter_argmax scatter_sum site_order sparse_conv sparse_conv_table "
    "sparse_conv_table_weight_grad sparse_conv_weight_grad sparse_max_pool "
    "sparse_max_pool_grad_all sparse_max_pool_grad_first sparse_max_pool_table "
    "sparse_max_pool_table_grad_all sparse_max_pool_table_grad_first strided_plan strided_sites "
    "take_rows tile_schedule transpose_pairs transposed_sites trilinear_corners true_rows "
    "voxel_query weighted_sum weighted_sum_backward_features weighted_sum_backward_weights"
)
# What a back end has beside the functions of the reference: for operators of its own, and for other folders.
BESIDE = {
    "kernel_map._triton": {"keys_of_rows", "offsets_of_tiles"},
    "ms_deform_attn._cpu": {"ms_deform_attn_backward"},
    "ms_deform_attn._triton": {"ms_deform_attn_backward"},
    "points_in_boxes._cpu": {"sorted_by_x"},
    "rotated_iou._triton": {"box_table"},
    "sample_image._cpu": {
        "sample_planes",
        "sample_planes_backward_image",
        "sample_planes_backward_weights",
    },
    "sparse_avg_pool._triton": {"pool_sum_table"},
    "sparse_conv._triton": {"sparse_conv_table", "table_weight_grad"},
    "sparse_max_pool._triton": {"sparse_max_pool_table", "grad_to_first_table", "grad_to_all_table"},
}


@functools.cache
def modules() -> dict[str, ModuleType]:
    """Every module of the package; a function, for they bring numba and Triton along."""
    found = pkgutil.walk_packages(sparseops.__path__, "sparseops.")
    return {name: importlib.import_module(name) for _, name, _ in found}


def functions(module: str) -> dict[str, Callable[..., Any]]:
    """Public functions that a module of an operator folder defines; none if it is absent."""
    found = vars(modules()[module]) if module in modules() else {}
    return {
        name: value
        for name, value in found.items()
        if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_")
    }


def test_no_name_hides_a_module() -> None:
    assert "sparseops.ops.knn._triton" in modules()
    for name, module in modules().items():
        assert functools.reduce(getattr, name.split(".")[1:], sparseops) is module, name


def test_functions_of_the_package_are_those_of_the_folders() -> None:
    for folder in FOLDERS:
        module = modules()[f"sparseops.ops.{folder}"]
        for name in set(module.__all__) & set(sparseops.__all__):
            assert getattr(sparseops, name) is getattr(module, name)


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_operator_is_registered_in_one_place(folder: str) -> None:
    sources = {path.stem: path.read_text() for path in (Path(ops.__path__[0]) / folder).glob("*.py")}
    assert {"__init__", "_api"} <= sources.keys()
    registering = {name for name, text in sources.items() if "operator(" in text or "torch.library." in text}
    kernels = sources.keys() & {"_cpu", "_triton"}
    assert registering == ({"_ops"} if kernels else set())
    assert sources.keys() <= {"__init__", "_api"} or "_ops" in sources


@pytest.mark.parametrize("folder", FOLDERS)
def test_back_ends_have_the_functions_of_the_reference(folder: str) -> None:
    reference = functions(f"sparseops.ops.{folder}._reference")
    for back_end in ("_cpu", "_triton"):
        found = functions(f"sparseops.ops.{folder}.{back_end}")
        assert found.keys() - reference.keys() == BESIDE.get(f"{folder}.{back_end}", set())
        for name in found.keys() & reference.keys():
            assert list(inspect.signature(found[name]).parameters) == list(
                inspect.signature(reference[name]).parameters
            )


def test_every_operator_keeps_its_name_and_has_shapes_for_tracing() -> None:
    values = [value for module in modules().values() for value in vars(module).values()]
    registered = {value.name() for value in values if isinstance(value, torch._ops.OpOverload)}
    assert " ".join(sorted(name.removeprefix("sparseops::") for name in registered)) == OPERATORS
    for name in registered:
        assert torch._library.simple_registry.singleton.find(name).fake_impl.kernel is not None, name
