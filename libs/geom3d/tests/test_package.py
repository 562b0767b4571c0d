import subprocess
import sys

import geom3d
import pytest


def run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return finished.stdout.strip()


def test_every_public_name_exists():
    assert sorted(geom3d.__all__) == geom3d.__all__
    assert all(hasattr(geom3d, name) for name in geom3d.__all__)


@pytest.mark.slow
def test_importing_loads_neither_numba_nor_torch():
    code = "import sys, geom3d; print([name for name in ('numba', 'torch') if name in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.slow
def test_numpy_work_never_loads_torch_and_only_rotated_overlap_loads_numba():
    code = """
import sys, numpy as np
from geom3d import boxes, overlap, transforms
table = np.ones((2, 7))
boxes.contains(np.zeros((3, 3)), table), transforms.invert(np.eye(4)), overlap.iou_aligned_3d(table, table)
before = 'numba' in sys.modules
overlap.iou_3d(table, table)
print(before, 'numba' in sys.modules, 'torch' in sys.modules)
"""
    assert run(code) == "False True False"


@pytest.mark.slow
def test_the_package_adds_little_to_the_import_of_its_dependencies():
    code = """
import time, numpy, jaxtyping, array_api_compat
start = time.perf_counter()
import geom3d
print(time.perf_counter() - start)
"""
    assert min(float(run(code)) for _ in range(3)) < 0.1


@pytest.mark.slow
def test_it_works_where_torch_cannot_be_imported():
    code = """
import sys
sys.modules['torch'] = None
import numpy as np
from geom3d import boxes, overlap
print(boxes.corners(np.ones((1, 7))).shape, overlap.iou_3d(np.ones((1, 7)), np.ones((1, 7))).tolist())
"""
    assert run(code) == "(1, 8, 3) [[1.0]]"
