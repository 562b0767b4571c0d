import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest
import torch
from numba.core import event
from sparseops._backend import _warn_slow_path, backend_for, sync_threads


def test_cpu_tensors_take_the_compiled_kernels() -> None:
    assert backend_for("group", torch.zeros(1)) == "cpu"


def test_the_reference_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    assert backend_for("group", torch.zeros(1)) == "reference"


def test_an_unknown_back_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEOPS_BACKEND", "fast")
    message = "SPARSEOPS_BACKEND must be unset, 'reference' or 'triton', got 'fast'"
    with pytest.raises(ValueError, match=message):
        backend_for("group", torch.zeros(1))


def test_a_device_without_kernels_is_named_once() -> None:
    _warn_slow_path.cache_clear()
    with pytest.warns(
        RuntimeWarning, match="sparseops.group: no compiled kernels for meta .*, the slower PyTorch"
    ):
        assert backend_for("group", torch.zeros(1, device="meta")) == "reference"
    assert backend_for("group", torch.zeros(1, device="meta")) == "reference"


def test_kernels_take_as_many_threads_as_torch(threads) -> None:
    threads(1)
    assert sync_threads() == 1
    assert torch.get_num_threads() == 1


def test_compilation_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    from sparseops._numba.progress import CompilationLine

    def compilation_in(module: str) -> SimpleNamespace:
        kernel = SimpleNamespace(__module__=module, __name__="kernel")
        return SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=kernel)})

    line = CompilationLine()
    for module in ("elsewhere", "sparseops.ops.nms._cpu", "sparseops.ops.group._cpu"):
        line.on_start(compilation_in(module))
        line.on_end(compilation_in(module))
    printed = capsys.readouterr().err.splitlines()
    assert printed == ["sparseops: compiling kernels for this CPU, once per machine and version ..."]
    assert line.kernels == 2


def test_numba_reports_compilations_and_not_what_it_finds_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparseops._numba.progress import CompilationLine

    source = "from sparseops._numba import njit\n\n\n@njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    (tmp_path / "sparseops_doubled.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    kernels = []
    for _ in range(2):
        # As in a new process: the function that numba compiled before is forgotten, its file is not.
        monkeypatch.delitem(sys.modules, "sparseops_doubled", raising=False)
        line = CompilationLine()
        with event.install_listener("numba:compile", line):
            assert importlib.import_module("sparseops_doubled").double(21) == 42
        kernels.append(line.kernels)
    assert kernels == [1, 0]


def test_importing_kernels_turns_the_announcement_on() -> None:
    import sparseops._numba
    from sparseops._numba.progress import CompilationLine

    assert sparseops._numba.prange is numba.prange
    listeners = event._registered["numba:compile"]
    assert [type(listener) for listener in listeners].count(CompilationLine) == 1


FORKED = """
import os, sys, warnings
import numpy, torch, sparseops
warnings.simplefilter("ignore")
torch.set_num_threads(2)
points = torch.rand(1, 400, 3)
boxes = torch.rand(5, 7) + 1
cells = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 3], [0, 3, 3, 3]]).int()
grid = sparseops.SparseTensor(torch.rand(3, 4), cells, (4, 4, 4), 1)
OPERATORS = {
    "knn": lambda: sparseops.knn(points, points, k=2),
    "iou": lambda: sparseops.iou_bev(boxes, boxes),
    "maps": lambda: sparseops.nn.SubmanifoldConv3d(4, 4, 3)(grid),
    "voxelize": lambda: sparseops.voxelize(
        points[0], voxel_size=(0.1,) * 3, bounds=(0, 0, 0, 1, 1, 1), max_points=5, max_voxels=99
    ),
}
def in_a_fork(name):
    child = os.fork()
    if not child:
        torch.set_num_threads(1)
        try:
            OPERATORS[name]()
            print(name, "computed", flush=True)
        except RuntimeError as error:
            print(name, error, flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, name
for name in OPERATORS:
    in_a_fork(name)
for operator in OPERATORS.values():
    operator()
for name in OPERATORS:
    in_a_fork(name)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_computes_or_says_what_to_do() -> None:
    command = [sys.executable, "-c", FORKED]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    before, after = (lines[i : i + 4] for lines in [printed.splitlines()] for i in (0, 4))
    assert before == [f"{name} computed" for name in ("knn", "iou", "maps", "voxelize")]
    computed = [line.endswith("computed") for line in after]
    refused = ["multiprocessing_context='spawn'" in line for line in after]
    assert after[3] == "voxelize computed"
    # Other threads than GNU OpenMP's live on in a fork.
    assert computed[:3] == [not said for said in refused[:3]]
    if numba.threading_layer() == "omp" and sys.platform == "linux":
        assert refused[:3] == [True] * 3
