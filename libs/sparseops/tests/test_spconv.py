"""The layers against spconv itself, in a process of its own with an interpreter that has it.

FUSION3D_SPCONV_PYTHON names that interpreter. spconv's CPU code races with more than one thread, and asserts
on biases in evaluation, so it runs on one thread and without biases.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sparseops import SparseTensor, convert_state_dict
from sparseops.nn import (
    InverseConv3d,
    SparseConv2d,
    SparseConv3d,
    SparseSequential,
    SubmanifoldConv2d,
    SubmanifoldConv3d,
    TransposedConv3d,
)

PROGRAM = """
import sys, numpy as np, torch, spconv.pytorch as spconv
torch.set_num_threads(1)
data = np.load(sys.argv[1])
network = spconv.SparseSequential(*eval(sys.argv[3])).eval()
state = {name: torch.randn(value.shape, generator=torch.Generator().manual_seed(i))
         for i, (name, value) in enumerate(network.state_dict().items())}
network.load_state_dict(state)
tensor = spconv.SparseConvTensor(torch.from_numpy(data["features"]), torch.from_numpy(data["coords"]),
                                 data["shape"].tolist(), int(data["batch_size"]))
with torch.no_grad():
    out = network(tensor)
np.savez(sys.argv[2], features=out.features.numpy(), coords=out.indices.numpy(), shape=out.spatial_shape,
         **{"state." + name: value.numpy() for name, value in state.items()})
"""

CASES: dict[str, tuple[Any, str]] = {
    "subm": (
        lambda: [SubmanifoldConv3d(4, 6, 3, bias=False), SubmanifoldConv3d(6, 5, (3, 1, 5), bias=False)],
        "[spconv.SubMConv3d(4, 6, 3, bias=False), spconv.SubMConv3d(6, 5, (3, 1, 5), bias=False)]",
    ),
    "single_cell": (
        lambda: [SubmanifoldConv3d(4, 4, 1, bias=False), SubmanifoldConv3d(4, 6, 1, bias=False)],
        "[spconv.SubMConv3d(4, 4, 1, bias=False), spconv.SubMConv3d(4, 6, 1, bias=False)]",
    ),
    "single_cell_strided": (
        lambda: [SparseConv3d(4, 4, 1, stride=2, bias=False)],
        "[spconv.SparseConv3d(4, 4, 1, stride=2, bias=False)]",
    ),
    "strided": (
        lambda: [SparseConv3d(4, 6, 3, stride=(2, 1, 2), padding=(0, 1, 1), bias=False)],
        "[spconv.SparseConv3d(4, 6, 3, stride=(2, 1, 2), padding=(0, 1, 1), bias=False)]",
    ),
    "inverse": (
        lambda: [
            SparseConv3d(4, 6, 3, stride=2, padding=1, bias=False, key="down"),
            InverseConv3d(6, 5, 3, of="down", bias=False),
        ],
        "[spconv.SparseConv3d(4, 6, 3, stride=2, padding=1, bias=False, indice_key='down'),"
        " spconv.SparseInverseConv3d(6, 5, 3, indice_key='down', bias=False)]",
    ),
    "transposed": (
        lambda: [TransposedConv3d(4, 6, (3, 2, 3), stride=2, padding=(1, 0, 1), bias=False)],
        "[spconv.SparseConvTranspose3d(4, 6, (3, 2, 3), stride=2, padding=(1, 0, 1), bias=False)]",
    ),
    "flat": (
        lambda: [
            SubmanifoldConv2d(4, 6, 3, bias=False),
            SparseConv2d(6, 4, 3, stride=2, padding=1, bias=False),
        ],
        "[spconv.SubMConv2d(4, 6, 3, bias=False),"
        " spconv.SparseConv2d(6, 4, 3, stride=2, padding=1, bias=False)]",
    ),
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_converted_weights_give_the_numbers_of_spconv(name: str, random_coords, tmp_path: Path) -> None:
    python = os.environ.get("FUSION3D_SPCONV_PYTHON")
    if python is None:
        pytest.skip("FUSION3D_SPCONV_PYTHON is not set")
    layers, program = CASES[name]
    shape = (9, 10) if name == "flat" else (7, 8, 9)
    coords = random_coords(120, shape, 2)
    features = torch.randn(len(coords), 4)
    given, made = tmp_path / "given.npz", tmp_path / "made.npz"
    np.savez(given, features=features.numpy(), coords=coords.numpy(), shape=shape, batch_size=2)
    subprocess.run(
        [python, "-c", PROGRAM, given, made, program], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    with np.load(made) as file:
        theirs = {key: torch.from_numpy(value) for key, value in file.items()}
    network = SparseSequential(*layers())
    foreign = {key.removeprefix("state."): v for key, v in theirs.items() if key.startswith("state.")}
    converted = convert_state_dict(network, foreign, source="spconv")
    assert converted.missing_keys == converted.unexpected_keys == ()
    network.load_state_dict(converted.state_dict)
    ours = network(SparseTensor(features, coords, shape, 2))
    expected = SparseTensor(theirs["features"], theirs["coords"], tuple(theirs["shape"].tolist()), 2)
    assert ours.spatial_shape == expected.spatial_shape
    order, other = ours.sites.order, expected.sites.order
    assert torch.equal(ours.coords[order], expected.coords[other])
    torch.testing.assert_close(ours.features[order], expected.features[other], atol=1e-4, rtol=1e-5)
