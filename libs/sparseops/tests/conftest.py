"""Seeds, back ends, and memory that shows when a kernel leaves an element unwritten."""

import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._device import _device_constructors


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=["reference", "cpu"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test on the PyTorch reference and on the compiled CPU kernels."""
    if request.param == "reference":
        monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    return request.param


@pytest.fixture
def triton_device(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Where Triton kernels run: a CUDA device, else the CPU in Triton's interpreter."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("needs a CUDA device, or TRITON_INTERPRET=1 to run on the CPU")
    monkeypatch.setenv("SPARSEOPS_BACKEND", "triton")
    return torch.device("cpu")


@pytest.fixture
def compile_kernel(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compile a Triton kernel to machine code of one GPU generation, which needs no GPU.

    A test may name it (80 or 90); the others take one by their name, so that about half of them take either.
    `compile_kernel(kernel, {"x": "*fp32", "n": "i32"}, {"BLOCK": 128})`: types of the arguments, then values
    of the constants.
    """
    triton = pytest.importorskip("triton")
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("the interpreter replaces the compiler")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    generation = getattr(request, "param", (80, 90)[zlib.crc32(request.node.nodeid.encode()) % 2])

    def compile_one(kernel: Any, types: dict[str, str], constants: dict[str, Any], **options: int) -> None:
        signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
        source = ASTSource(kernel, signature=signature, constexprs=constants)
        compiled = triton.compile(source, target=GPUTarget("cuda", generation, 32), options=options)
        assert len(compiled.asm["cubin"]) > 0

    return compile_one


@pytest.fixture(scope="session")
def random_coords() -> Callable[..., Tensor]:
    """Make distinct cells in random order, at most `rows` of them."""

    def make(rows: int, shape: tuple[int, ...], batch_size: int = 1, *, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        columns = [torch.randint(size, (rows,), generator=generator) for size in (batch_size, *shape)]
        cells = torch.unique(torch.stack(columns, dim=1).int(), dim=0)
        return cells[torch.randperm(len(cells), generator=generator)]

    return make


def _poisoned(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def make_poisoned(*args: Any, **kwargs: Any) -> Tensor:
        tensor = make(*args, **kwargs)
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.startswith("sparseops") and type(tensor) is Tensor and tensor.device.type == "cpu":
            if tensor.is_floating_point():
                tensor.fill_(torch.nan)
            elif tensor.dtype is not torch.bool:
                tensor.fill_(torch.iinfo(tensor.dtype).max)
        return tensor

    return make_poisoned


@pytest.fixture(autouse=True)
def _poison_empty_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # From the first `with torch.device(...)` on torch keeps a list of its constructors: not of poisoned ones.
    _device_constructors()
    monkeypatch.setattr(torch, "empty", _poisoned(torch.empty))
    monkeypatch.setattr(torch, "empty_like", _poisoned(torch.empty_like))
    monkeypatch.setattr(torch.Tensor, "new_empty", _poisoned(torch.Tensor.new_empty))


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """Switch the run-time checks of annotations off, so that a wrong call reaches our own messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set the number of threads for the rest of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def imagepg_ops() -> dict[str, Tensor]:
    """Operator vectors of the official ImagePG code, read through FUSION3D_GOLDEN."""
    root = os.environ.get("FUSION3D_GOLDEN")
    if root is None:
        pytest.skip("FUSION3D_GOLDEN is not set")
    with np.load(Path(root) / "imagepg" / "ops.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}
