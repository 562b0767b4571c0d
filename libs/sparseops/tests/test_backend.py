import importlib
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

    assert sparseops._numba.njit is numba.njit
    listeners = event._registered["numba:compile"]
    assert [type(listener) for listener in listeners].count(CompilationLine) == 1
