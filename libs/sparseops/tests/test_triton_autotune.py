"""The choice of kernel configurations, with a timer that reads the times off a list."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from sparseops._triton.autotune import Tuner, cache_path, choose, time_on_device
from triton.runtime.errors import OutOfResources


@dataclass(frozen=True)
class Config:
    rows: int
    milliseconds: float = 1.0


SLOW, FAST, MIDDLE = Config(64, 3.0), Config(128, 1.0), Config(32, 2.0)


class Clock:
    """A timer whose times the configurations name; it remembers what ran."""

    def __init__(self) -> None:
        self.ran: list[Config] = []

    def run(self, config: Config) -> None:
        self.ran.append(config)

    def time(self, call: Callable[[], object]) -> float:
        call()
        return self.ran[-1].milliseconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_fastest_candidate_is_chosen_and_measured_once(tmp_path: Path, clock: Clock) -> None:
    tuner = Tuner(tmp_path / "device.json", clock.time)
    for _ in range(3):
        assert tuner.choose("conv 16", [SLOW, FAST, MIDDLE], clock.run) is FAST
    assert clock.ran == [SLOW, FAST, MIDDLE]


def test_a_later_process_reads_the_choice(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "new" / "device.json"
    Tuner(path, clock.time).choose("conv 16", [SLOW, FAST], clock.run)
    later = Clock()
    assert Tuner(path, later.time).choose("conv 16", [SLOW, FAST], later.run) is FAST
    assert later.ran == []
    assert [file.name for file in path.parent.iterdir()] == ["device.json"]


def test_two_processes_keep_what_the_other_found(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "device.json"
    one, two = Tuner(path, clock.time), Tuner(path, clock.time)
    one.choose("conv 16", [SLOW, FAST], clock.run)
    two.choose("conv 32", [SLOW, FAST], clock.run)
    later = Tuner(path, Clock().time)
    for key in ("conv 16", "conv 32"):
        assert later.choose(key, [SLOW, FAST], clock.run, measure=False) is FAST


def test_a_choice_that_is_no_candidate_any_more_is_made_anew(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "device.json"
    Tuner(path, clock.time).choose("conv 16", [SLOW, FAST], clock.run)
    assert Tuner(path, clock.time).choose("conv 16", [SLOW, MIDDLE], clock.run) is MIDDLE


def test_nothing_is_measured_where_it_must_not(tmp_path: Path, clock: Clock) -> None:
    tuner = Tuner(tmp_path / "device.json", clock.time)
    assert tuner.choose("conv 16", [SLOW, FAST], clock.run, measure=False) is SLOW
    assert clock.ran == []
    assert tuner.choose("conv 16", [SLOW, FAST], clock.run) is FAST
    assert tuner.choose("conv 16", [SLOW, FAST], clock.run, measure=False) is FAST


def test_a_candidate_that_does_not_fit_the_device_is_left_out(tmp_path: Path, clock: Clock) -> None:
    def run(config: Config) -> None:
        clock.run(config)
        if config is FAST:
            raise OutOfResources(300_000, 232_448, "shared memory")

    tuner = Tuner(tmp_path / "device.json", clock.time)
    assert tuner.choose("conv 16", [SLOW, FAST, MIDDLE], run) is MIDDLE


@pytest.mark.parametrize("content", ["{", "[1]", "", "\x00"])
def test_a_damaged_file_is_replaced_with_a_warning(tmp_path: Path, clock: Clock, content: str) -> None:
    path = tmp_path / "device.json"
    path.write_text(content)
    with pytest.warns(RuntimeWarning, match=r"device\.json holds no kernel configurations"):
        tuner = Tuner(path, clock.time)
    with pytest.warns(RuntimeWarning, match="measured anew"):
        assert tuner.choose("conv 16", [SLOW, FAST], clock.run) is FAST
    assert Tuner(path, clock.time).choose("conv 16", [SLOW, FAST], clock.run, measure=False) is FAST


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    tuner = Tuner(tmp_path / "file" / "device.json", clock.time)
    with pytest.warns(RuntimeWarning, match="could not be kept in .* set SPARSEOPS_CACHE_DIR"):
        assert tuner.choose("conv 16", [SLOW, FAST], clock.run) is FAST


def test_tuning_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("SPARSEOPS_AUTOTUNE", "0")
    assert choose("conv 16", [SLOW, FAST], clock.run, device=torch.device("cpu")) is SLOW
    assert clock.ran == []


@pytest.mark.triton
def test_the_interpreter_takes_the_first_candidate(triton_device: torch.device, clock: Clock) -> None:
    if triton_device.type != "cpu":
        pytest.skip("kernels are compiled here")
    assert choose("conv 16", [SLOW, FAST], clock.run, device=triton_device) is SLOW
    assert clock.ran == []


def test_the_file_is_named_after_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARSEOPS_CACHE_DIR", str(tmp_path))
    path = cache_path("NVIDIA H100 80GB HBM3")
    assert path.parent == tmp_path
    assert path.name.startswith("nvidia-h100-80gb-hbm3-sparseops-")
    assert cache_path("NVIDIA A100") != path
    monkeypatch.delenv("SPARSEOPS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_path("NVIDIA A100").parent == tmp_path / "user" / "sparseops"


@pytest.mark.gpu
def test_times_grow_with_the_work() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    small, large = (torch.randn(size, size, device="cuda") for size in (64, 4096))
    assert time_on_device(lambda: small @ small) < time_on_device(lambda: large @ large)
