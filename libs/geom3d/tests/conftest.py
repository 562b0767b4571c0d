"""Shared fixtures: both array libraries, run-time shape checks off, the real frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest


@pytest.fixture(params=["numpy", "torch"])
def to_library(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """A function that makes arrays of one library."""
    if request.param == "numpy":
        return np.asarray
    torch = pytest.importorskip("torch", reason="torch is not installed; the numpy half of this test ran")
    return torch.asarray


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Switch the checker of annotations off, so that bad arguments reach the library's own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def real_data() -> Path:
    """The folder of real sensor frames."""
    root = os.environ.get("FUSION3D_REAL_DATA")
    if root is None:
        pytest.skip("FUSION3D_REAL_DATA is not set: the folder with the real sensor frames")
    return Path(root)
