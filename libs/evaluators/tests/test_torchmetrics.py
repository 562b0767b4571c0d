"""The adapter to torchmetrics: what it returns, keeps, refuses, and gathers from two processes."""

import copy
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators.state import State

torch = pytest.importorskip("torch", reason="the adapter needs torch")
torchmetrics = pytest.importorskip("torchmetrics", reason="the adapter needs torchmetrics")
from evaluators.torchmetrics import EvaluatorMetric  # noqa: E402 - after the check that it can be imported


class Means:
    """The smallest evaluator: the mean of the values of all frames, in the order of their names."""

    def __init__(self) -> None:
        self.frames: dict[str, float] = {}

    def update(self, frame_id: str, values: np.ndarray) -> None:
        assert isinstance(values, np.ndarray)
        self._add(frame_id, float(values.mean()))

    def compute(self) -> float:
        return float(np.mean([self.frames[name] for name in sorted(self.frames)]))

    def reset(self) -> None:
        self.frames.clear()

    def merge(self, other: "Means") -> None:
        self.merge_state(other.state())

    def state(self) -> dict[str, np.ndarray]:
        return {"names": np.array(list(self.frames), np.str_), "means": np.array(list(self.frames.values()))}

    def merge_state(self, state: State) -> None:
        for name, mean in zip(state["names"].tolist(), state["means"].tolist(), strict=True):
            self._add(name, mean)

    def _add(self, name: str, mean: float) -> None:
        if name in self.frames:
            raise ValueError(f"frame {name!r} was added before")
        self.frames[name] = mean


def named(evaluator: Means) -> Mapping[str, float]:
    return {"mean": evaluator.compute(), "count": float(len(evaluator.frames))}


def alone(evaluator: Means) -> float:
    return evaluator.compute()


def filled(figures: Any = named) -> EvaluatorMetric:
    metric = EvaluatorMetric(Means(), figures)
    metric.update("a", np.array([1.0]))
    metric.update("b", values=np.array([0.1, 0.2]))
    return metric


def test_it_returns_figures_by_name_or_one_in_full_precision() -> None:
    expected = (1.0 + np.mean([0.1, 0.2])) / 2
    computed = filled().compute()
    assert {name: value.item() for name, value in computed.items()} == {"mean": expected, "count": 2.0}
    one = filled(alone).compute()
    assert one.dtype == torch.float64
    assert one.item() == expected


def test_tensors_become_arrays() -> None:
    metric = EvaluatorMetric(Means(), alone)
    metric.update("a", torch.tensor([1.0, 2.0], requires_grad=True))
    metric.update("b", values=torch.tensor([0.5], dtype=torch.bfloat16))
    assert metric.compute().item() == 1.0


def test_forward_scores_its_batch_and_keeps_everything() -> None:
    metric = filled(alone)
    assert metric("c", np.array([4.0])).item() == 4.0
    assert sorted(metric.evaluator.frames) == ["a", "b", "c"]
    assert metric.compute().item() == pytest.approx((1.0 + 0.15 + 4.0) / 3)


def test_compute_is_not_stale_after_another_update_or_merge() -> None:
    metric = filled()
    assert metric.compute()["count"] == 2
    metric.update("c", np.ones(1))
    assert metric.compute()["count"] == 3
    other = Means()
    other.update("d", np.ones(1))
    metric.merge_state(other.state())
    assert metric.compute()["count"] == 4
    another = EvaluatorMetric(Means(), named)
    another.update("e", np.ones(1))
    metric.merge_state(another)
    assert metric.compute()["count"] == 5


def test_a_metric_of_another_kind_cannot_be_merged() -> None:
    with pytest.raises(TypeError, match="expected an EvaluatorMetric, got SumMetric"):
        filled().merge_state(torchmetrics.SumMetric())


def test_reset_forgets_and_leaves_the_given_evaluator_alone() -> None:
    given = Means()
    given.update("z", np.ones(1))
    metric = EvaluatorMetric(given, named)
    metric.update("a", np.ones(1))
    assert metric.compute()["count"] == 2
    metric.reset()
    metric.update("a", np.ones(1))
    assert metric.compute()["count"] == 1
    assert list(given.frames) == ["z"]


def test_it_survives_pickling_copying_and_moving() -> None:
    expected = filled().compute()
    for metric in (pickle.loads(pickle.dumps(filled())), copy.deepcopy(filled()), filled().clone()):
        assert metric.compute() == expected
        metric.update("c", np.ones(1))
        assert metric.compute()["count"] == 3
    assert filled().to("cpu").half().compute() == expected


def test_two_metrics_in_one_collection_stay_apart() -> None:
    collection = torchmetrics.MetricCollection(
        {
            "mean": EvaluatorMetric(Means(), alone),
            "count": EvaluatorMetric(Means(), lambda e: float(len(e.frames))),
        }
    )
    for name in "abc":
        collection.update(name, np.full(2, 7.0))
    assert {name: value.item() for name, value in collection.compute().items()} == {"mean": 7.0, "count": 3.0}


def test_synchronising_every_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dist_sync_on_step is not supported: .*end of the epoch"):
        EvaluatorMetric(Means(), named, dist_sync_on_step=True)


def two_processes(metric: EvaluatorMetric, other: Means) -> list[Any]:
    """Let `metric` gather from itself and from a process that holds `other`; return what was called."""
    calls: list[Any] = []

    def gather(mine: Any, group: Any = None) -> list[Any]:
        calls.append(group)
        assert mine.dtype == torch.uint8
        return [mine, EvaluatorMetric(other, alone)._packed()]

    metric.dist_sync_fn = gather
    metric.distributed_available_fn = lambda: True
    return calls


def test_compute_gathers_and_returns_to_its_own_frames() -> None:
    metric, other = filled(), Means()
    other.update("c", np.array([3.0]))
    metric.process_group = "group"
    calls = two_processes(metric, other)
    assert metric.compute()["count"] == 3
    assert calls == ["group"]
    assert sorted(metric.evaluator.frames) == ["a", "b"]
    metric.update("d", np.ones(1))
    assert metric.compute()["count"] == 4
    metric.sync(dist_sync_fn=metric.dist_sync_fn)
    assert sorted(metric.evaluator.frames) == ["a", "b", "c", "d"]
    metric.unsync()
    assert sorted(metric.evaluator.frames) == ["a", "b", "d"]


def test_a_frame_on_two_processes_is_refused_and_the_metric_stays_usable() -> None:
    metric, other = filled(), Means()
    other.update("a", np.ones(1))
    two_processes(metric, other)
    with pytest.raises(ValueError, match="frame 'a' was added before"):
        metric.compute()
    other.reset()
    assert metric.compute()["count"] == 2


def test_lightning_logs_it_at_the_end_of_the_epoch(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning", reason="checks the flow of Lightning")

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.metric = EvaluatorMetric(Means(), alone)

        def validation_step(self, batch: Any, index: int) -> None:
            self.metric.update(str(index), batch)
            self.log("mean", self.metric)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the trainer about this machine
        trainer = lightning.Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        values = [torch.tensor([1.0, 3.0]), torch.tensor([5.0])]
        (logged,) = trainer.validate(
            Model(), torch.utils.data.DataLoader(values, batch_size=None), verbose=False
        )
    assert logged == {"mean": 3.5}


def test_a_process_without_frames_gathers_those_of_the_others() -> None:
    metric = filled()
    two_processes(metric, Means())
    assert metric.compute()["count"] == 2
    idle, other = EvaluatorMetric(Means(), named), Means()
    other.update("c", np.array([3.0]))
    two_processes(idle, other)
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert idle.compute()["count"] == 1


def test_without_torchmetrics_the_cure_is_named() -> None:
    # An empty stand-in for torch, which takes seconds to load and is not what is missing.
    code = (
        "import sys, types\nsys.modules |= {'torch': types.ModuleType('torch'), 'torchmetrics': None}\n"
        "import evaluators.torchmetrics"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert re.search(
        r'needs torch and torchmetrics .*pip install "fusion3d-evaluators\[torchmetrics\]"', done.stderr
    )


def some_frames() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"{i:03d}": rng.random(int(rng.integers(1, 50))) for i in range(31)}


def rank_main(rank: int, folder: Path) -> None:
    """Gather as one of two processes, of which the first sees every third frame and the second all others."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=timedelta(minutes=2)
    )
    metric = EvaluatorMetric(Means(), named)
    for position, (name, values) in enumerate(some_frames().items()):
        if (position % 3 == 0) == (rank == 0):
            metric.update(name, values)
    torch.save(metric.compute(), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one_bit_for_bit(tmp_path: Path) -> None:
    single = EvaluatorMetric(Means(), named)
    for name, values in some_frames().items():
        single.update(name, values)
    # This process is one of the two; the other is this file, run as a program.
    with subprocess.Popen([sys.executable, __file__, str(tmp_path)]) as other:
        rank_main(0, tmp_path)
    assert other.returncode == 0
    expected = {name: value.item() for name, value in single.compute().items()}
    for rank in range(2):
        computed = torch.load(tmp_path / f"{rank}.pt")
        assert {name: value.item() for name, value in computed.items()} == expected


if __name__ == "__main__":
    rank_main(1, Path(sys.argv[1]))
