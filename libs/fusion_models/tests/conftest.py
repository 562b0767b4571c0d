import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

NpzReader = Callable[[str], dict[str, np.ndarray]]


def _golden_root() -> Path:
    root = os.environ.get("FUSION3D_GOLDEN")
    if not root:
        pytest.skip("needs the golden vectors: set FUSION3D_GOLDEN to their folder")
    return Path(root)


@pytest.fixture(scope="session")
def imagepg_golden() -> NpzReader:
    """Arrays of one file of the ImagePG golden vectors, checksummed tensors as JSON under `checksums`."""
    folder = _golden_root() / "imagepg"

    def read(name: str) -> dict[str, np.ndarray]:
        arrays = dict(np.load(folder / f"{name}.npz"))
        arrays["checksums"] = json.loads((folder / f"{name}_checksums.json").read_text())
        return arrays

    return read


@pytest.fixture(scope="session")
def seeded_weights():
    """The module with the rule that fills weights from their official names."""
    spec = importlib.util.spec_from_file_location("seeded_weights", _golden_root() / "seeded_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def seeded_imagepg_state(seeded_weights) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
    """The official ImagePG state dict, filled by rule; called with the `gain_json` of a golden file."""
    manifest = json.loads((Path(__file__).parent / "golden" / "imagepg_state_dict.json").read_text())

    def fill(gain_json: np.ndarray) -> dict[str, torch.Tensor]:
        arrays = seeded_weights.seeded_arrays(manifest, salt=2, gain=json.loads(str(gain_json)))
        return {name: torch.from_numpy(value) for name, value in arrays.items()}

    return fill
