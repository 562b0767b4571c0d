import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
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


def test_numba_reports_compilations_and_not_what_it_finds_on_disk(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "import torch, sparseops; sparseops.group(torch.ones(1, 2, 3), torch.zeros(1, 1, 1).long())",
    ]
    first, second = (
        subprocess.run(
            command,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(2)
    )
    assert first.stderr.count("compiling kernels for this CPU") == 1
    assert "compiling" not in second.stderr
