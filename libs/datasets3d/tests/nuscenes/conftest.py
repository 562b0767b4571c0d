import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_nuscenes() -> Path:
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real sensor frames here")
    return Path(root) / "nuscenes"
