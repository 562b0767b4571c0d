"""Every system offers the same faces; a new one is tested by being there. See `fusion_models/__init__.py`."""

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import fusion_models
import pytest
import torch
from fusion_models.weights import read_checkpoint

GOLDEN = Path(__file__).parent / "golden"
SHARED = {"detection", "layers"}
SYSTEMS = [m.name for m in pkgutil.iter_modules(fusion_models.__path__) if m.ispkg and m.name not in SHARED]


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request):
    return importlib.import_module(f"fusion_models.{request.param}")


def _the_one(system, suffix):
    """The one name of `__all__` with this ending, and what it names."""
    (name,) = [name for name in system.__all__ if name.endswith(suffix)]
    return name, getattr(system, name)


def _undocumented(config, seen):
    """Fields without a string after them, of a dataclass and of those that its default values hold."""
    if isinstance(config, tuple):
        return [field for value in config for field in _undocumented(value, seen)]
    if not dataclasses.is_dataclass(config) or type(config) in seen:
        return []
    seen.add(type(config))
    body = ast.parse(inspect.cleandoc(inspect.getsource(type(config)))).body[0].body
    documented = {
        first.target.id
        for first, second in pairwise(body)
        if isinstance(first, ast.AnnAssign) and isinstance(second, ast.Expr)
    }
    fields = [field.name for field in dataclasses.fields(config)]
    bare = [f"{type(config).__name__}.{name}" for name in fields if name not in documented]
    return bare + [found for name in fields for found in _undocumented(getattr(config, name), seen)]


def test_the_systems_are_found():
    assert {"imagepg", "sparse_beats_dense"} <= set(SYSTEMS)


@pytest.mark.slow
def test_importing_costs_no_more_than_it_must():
    code = (
        "import importlib, sys, fusion_models\nassert 'torch' not in sys.modules\n"
        f"for name in {SYSTEMS}: importlib.import_module(f'fusion_models.{{name}}')\n"
        "assert 'timm' not in sys.modules and 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_configuration_is_frozen_and_every_field_documented(system):
    _, config = _the_one(system, "Config")
    assert config.__dataclass_params__.frozen
    assert _undocumented(config(), set()) == []


def test_the_losses_have_a_total(system):
    _, losses = _the_one(system, "Losses")
    assert losses.__dataclass_params__.frozen and isinstance(losses.total, property)


@pytest.mark.slow
def test_the_released_weights_fill_the_default_model(system, tmp_path):
    name, config = _the_one(system, "Config")
    manifest = json.loads((GOLDEN / f"{system.__name__.rpartition('.')[2]}_state_dict.json").read_text())
    released = {name: torch.zeros(shape) for name, shape in manifest.items()}
    torch.save({system.RELEASED_ENTRY: released, "epoch": 80, "optimizer": None}, tmp_path / "model.ckpt")
    model = getattr(system, name.removesuffix("Config"))(config())
    content = read_checkpoint(tmp_path / "model.ckpt", entries=(system.RELEASED_ENTRY,))
    left_out = system.load_released(model, content[system.RELEASED_ENTRY])
    assert isinstance(left_out, tuple) and set(left_out) <= {"global_step"}
    assert all((value == 0).all() for value in model.parameters())
