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
