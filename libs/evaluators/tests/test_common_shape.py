"""What all benchmarks have in common, checked for every sub-package that is there."""

import argparse
import importlib
import inspect
import json
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from evaluators import _cli
from evaluators._cli import _common
from evaluators.page import Heatmap, LineChart, Result, Table, write_page
from evaluators.state import Evaluator, read_state, write_state

PACKAGE = Path(str(find_spec("evaluators").origin)).parent
BENCHMARKS = sorted(path.parent.name for path in PACKAGE.glob("[a-z]*/__init__.py"))


def kitti_frame(rng: np.random.Generator) -> tuple[Any, ...]:
    from evaluators.kitti import KittiObjects

    fields: dict[str, Any] = {
        "alpha": [0.1], "bbox": [[0, 0, 100, 60]], "size_hwl": [[1.5, 1.6, 4.0]],
        "location": [[0, 1.6, 20 + rng.random()]], "rotation_y": [0.1],
    }  # fmt: skip
    found = KittiObjects.predictions(["Car"], **fields, score=[rng.random()])
    return found, found


def indoor_frame(rng: np.random.Generator) -> tuple[Any, ...]:
    from evaluators.indoor import IndoorBoxes

    boxes = np.column_stack([rng.normal(size=(3, 3)), rng.uniform(1, 2, (3, 3)), np.zeros(3)])
    names = ["chair", "table", "sofa"]
    shifted = boxes + 0.02 * rng.normal(size=boxes.shape)
    return IndoorBoxes(boxes, names), IndoorBoxes(shifted, names, rng.random(3))


def segmentation_frame(rng: np.random.Generator) -> tuple[Any, ...]:
    labels = rng.choice([10, 40, 50, 70], (2, 500)).astype(np.uint32)
    return labels[0], labels[1]


def panoptic_frame(rng: np.random.Generator) -> tuple[Any, ...]:
    from evaluators.panoptic import PanopticLabels

    semantic = rng.choice([1, 9, 13], 600)
    found = np.where(rng.random(600) < 0.1, 9, semantic)
    instance = np.zeros(600, np.int64)
    return (
        PanopticLabels(semantic=semantic, instance=instance),
        PanopticLabels(semantic=found, instance=instance),
    )


def depth_frame(rng: np.random.Generator) -> tuple[Any, ...]:
    true = rng.uniform(1, 80, (40, 60))
    return true, true + rng.normal(size=true.shape) * 0.1


def nuscenes_frame(rng: np.random.Generator) -> tuple[Any, ...]:
    from evaluators.nuscenes import NuscenesBoxes, NuscenesSample, rotation_from_yaw

    place = rng.uniform(-20, 20, (2, 3))
    fields: dict[str, Any] = {
        "size_wlh": np.full((2, 3), 2.0), "rotation": rotation_from_yaw([0.1, 0.2]),
        "velocity": np.zeros((2, 2)),
    }  # fmt: skip
    names = ["car", "pedestrian"]
    return (
        NuscenesSample(boxes=NuscenesBoxes.ground_truth(names, translation=place, num_pts=[5, 5], **fields)),
        NuscenesBoxes.predictions(names, translation=place + 0.3, score=rng.random(2), **fields),
    )


def waymo_frame(rng: np.random.Generator) -> tuple[Any, ...]:
    from evaluators.waymo import WaymoGroundTruth, WaymoPredictions

    boxes = np.column_stack([rng.normal(size=(4, 3)) * 20, rng.uniform(2, 4, (4, 3)), np.zeros(4)])
    types = np.array([1, 1, 2, 4])
    return (
        WaymoGroundTruth(boxes=boxes, types=types, difficulty=np.array([1, 2, 1, 1])),
        WaymoPredictions(boxes=boxes + 0.05, types=types, scores=rng.random(4)),
    )


FRAMES: Mapping[str, Callable[[np.random.Generator], tuple[Any, ...]]] = {
    "kitti": kitti_frame,
    "indoor": indoor_frame,
    "semantickitti": segmentation_frame,
    "panoptic": panoptic_frame,
    "depth": depth_frame,
    "nuscenes": nuscenes_frame,
    "waymo": waymo_frame,
}


@pytest.fixture(params=BENCHMARKS)
def benchmark_module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"evaluators.{request.param}")


def the(module: ModuleType, ending: str) -> type:
    """Return the one public class whose name is that of the benchmark and `ending`."""
    short = module.__name__.rpartition(".")[2]
    (found,) = [name for name in module.__all__ if name.lower() == f"{short}{ending}".lower()]
    return getattr(module, found)


def gathered(module: ModuleType, frames: range) -> Any:
    evaluator = the(module, "Evaluator")()
    for index in frames:
        make = FRAMES[module.__name__.rpartition(".")[2]]
        evaluator.update(f"{index:06d}", *make(np.random.default_rng(index)))
    return evaluator


def test_public_names_are_explained(benchmark_module: ModuleType) -> None:
    names = benchmark_module.__all__
    assert len(set(names)) == len(names)
    assert benchmark_module.__doc__
    for name in names:
        public = getattr(benchmark_module, name)
        if inspect.isclass(public) or inspect.isfunction(public):
            assert inspect.getdoc(public), name
            assert public.__module__.startswith("evaluators."), name


def test_every_benchmark_offers_the_same_calls(benchmark_module: ModuleType) -> None:
    assert inspect.isfunction(benchmark_module.evaluate)
    evaluator = the(benchmark_module, "Evaluator")
    for method in ("update", "compute", "reset", "merge", "state", "merge_state"):
        assert inspect.getdoc(getattr(evaluator, method)), method
    assert isinstance(evaluator(), Evaluator)
    result = the(benchmark_module, "Result")
    for method in ("table", "notes", "to_json", "sections"):
        assert inspect.getdoc(getattr(result, method)), method


def public_functions(module: ModuleType) -> Mapping[str, Any]:
    """Return functions, classes and public methods of a benchmark by name."""
    found = {name: getattr(module, name) for name in module.__all__ if callable(getattr(module, name))}
    for name, public in list(found.items()):
        if inspect.isclass(public):
            methods = inspect.getmembers(public, callable)
            found |= {f"{name}.{method}": call for method, call in methods if not method.startswith("_")}
    return found


def parameters(call: Any) -> dict[str, inspect.Parameter]:
    return {name: item for name, item in inspect.signature(call).parameters.items() if name != "self"}


def keyword_only(items: Iterable[inspect.Parameter]) -> set[str]:
    return {item.name for item in items if item.kind is inspect.Parameter.KEYWORD_ONLY}


# What was called so once, or is in the tool that a benchmark follows; here it has another name.
OTHER_WORDS = {
    "det": "pred", "dets": "pred", "dt": "pred", "preds": "pred", "detections": "pred", "predictions": "pred",
    "truth": "gt", "target": "gt", "labels_gt": "gt", "ground_truth": "gt",
    "gt_root": "gt_dir", "gt_folder": "gt_dir", "pred_root": "pred_dir", "submission": "pred_file",
    "frame": "frame_id", "scene": "frame_id", "scene_id": "frame_id", "scan_id": "frame_id",
    "image_id": "frame_id", "sample_token": "frame_id",
    "frame_ids": "frames", "scenes": "frames", "scans": "frames", "image_ids": "frames",
    "tokens": "frames", "samples": "frames", "names_of_frames": "frames",
    "config": "protocol", "rules": "protocol", "variant": "protocol",
    "on_missing": "missing", "n_jobs": "processes", "workers": "processes",
}  # fmt: skip


def test_the_same_thing_has_the_same_name_in_every_signature(benchmark_module: ModuleType) -> None:
    for name, call in public_functions(benchmark_module).items():
        try:
            used = parameters(call).keys() & OTHER_WORDS.keys()
        except ValueError:  # an alias of a type has no signature
            continue
        assert not used, {f"{name}: {word}": OTHER_WORDS[word] for word in used}


def test_ground_truth_comes_first_then_the_prediction(benchmark_module: ModuleType) -> None:
    positional = list(parameters(benchmark_module.evaluate))[:2]
    assert positional == ["gt", "pred"]
    assert list(parameters(the(benchmark_module, "Evaluator").update))[:3] == ["frame_id", "gt", "pred"]
    for name in ("evaluate_folders", "collect_folders", "evaluate_nuscenes_folders", "evaluate_submission"):
        call = getattr(benchmark_module, name, None)
        if call is not None:
            first, second, *options = parameters(call).values()
            assert first.name == "gt_dir", name
            assert second.name == ("pred_file" if name == "evaluate_submission" else "pred_dir"), name
            assert keyword_only(options) == {item.name for item in options}, name


def test_folders_are_read_with_the_same_options(benchmark_module: ModuleType) -> None:
    collect = getattr(benchmark_module, "collect_folders", None)
    if collect is None:
        assert benchmark_module.__name__ == "evaluators.nuscenes"
        return
    # A scan of SemanticKITTI belongs to a sequence; a depth map cannot stand for "nothing found".
    by_sequence = benchmark_module.__name__ in ("evaluators.semantickitti", "evaluators.panoptic")
    expected = ["like", "sequences" if by_sequence else "frames", "missing", "processes", "progress"]
    if benchmark_module.__name__ == "evaluators.depth":
        expected.remove("missing")
    assert list(parameters(collect))[2:] == expected
    assert {"processes", expected[1]} <= set(parameters(benchmark_module.evaluate_folders))


def test_counts_are_called_the_same(benchmark_module: ModuleType) -> None:
    counts = the(benchmark_module, "Counts").__dataclass_fields__
    assert "n_frames" in counts
    assert not [name for name in counts if re.search(r"det(_|$)|scan|scene|image|sample", name)]
    assert "frames" in the(benchmark_module, "Evaluator")().state()


def command_options() -> dict[str, dict[str, argparse.Action]]:
    """Return the options of every command by their long names."""
    parsers: dict[str, argparse.ArgumentParser] = {}
    for command in _cli._COMMANDS:
        name = command.__name__.rpartition(".")[2]
        parsers[name] = argparse.ArgumentParser()
        command.add_options(parsers[name])
        _common.add_outputs(parsers[name])
    return {
        name: {option: action for action in parser._actions for option in action.option_strings}
        for name, parser in parsers.items()
    }


def test_the_same_option_means_the_same_in_every_command() -> None:
    commands = command_options()
    assert sorted(commands) == BENCHMARKS
    for name, options in commands.items():
        assert {"--gt", "--pred", "--json", "--html"} <= options.keys(), name
        assert not {option.removeprefix("--").replace("-", "_") for option in options} & OTHER_WORDS.keys()
    own = {"--gt", "--pred", "--protocol", "--frames", "--split", "-h", "--help"}
    for option in {word for options in commands.values() for word in options} - own:
        forms = {
            (action.help, action.metavar, str(action.default), str(action.choices), str(action.type))
            for options in commands.values()
            if (action := options.get(option)) is not None
        }
        assert len(forms) == 1, option
    for name, options in commands.items():
        if "--protocol" in options:
            assert options["--protocol"].dest == "protocol"
            assert options["--protocol"].default == options["--protocol"].choices[0], name


def test_an_empty_evaluator_has_a_state_and_refuses_to_compute(benchmark_module: ModuleType) -> None:
    evaluator, other = the(benchmark_module, "Evaluator")(), the(benchmark_module, "Evaluator")()
    evaluator.merge_state(other.state())
    evaluator.merge(other)
    pickle.loads(pickle.dumps(evaluator)).reset()
    with pytest.raises(ValueError, match=r"no .* to evaluate"):
        evaluator.compute()


@pytest.mark.slow
def test_a_state_is_plain_arrays_that_a_file_keeps(benchmark_module: ModuleType, tmp_path: Path) -> None:
    evaluator = gathered(benchmark_module, range(3))
    state = evaluator.state()
    assert all(type(array) is np.ndarray and not array.dtype.hasobject for array in state.values())
    write_state(tmp_path / "part.npz", evaluator)
    again = the(benchmark_module, "Evaluator")()
    again.merge_state(read_state(tmp_path / "part.npz"))
    assert again.compute().to_json() == evaluator.compute().to_json()


@pytest.mark.slow
def test_split_merged_or_sent_the_result_is_the_same(benchmark_module: ModuleType) -> None:
    expected = json.dumps(gathered(benchmark_module, range(5)).compute().to_json())
    late, early = gathered(benchmark_module, range(2, 5)), gathered(benchmark_module, range(2))
    by_state = pickle.loads(pickle.dumps(late))
    late.merge(early)
    assert json.dumps(late.compute().to_json()) == expected
    by_state.merge_state(early.state())
    assert json.dumps(by_state.compute().to_json()) == expected


@pytest.mark.slow
def test_a_frame_counts_once_and_reset_forgets_it(benchmark_module: ModuleType) -> None:
    evaluator, same = gathered(benchmark_module, range(1)), gathered(benchmark_module, range(1))
    for repeat in (
        lambda: evaluator.update("000000", *FRAMES[benchmark_module.__name__[11:]](np.random.default_rng(0))),
        lambda: evaluator.merge(same),
        lambda: evaluator.merge_state(same.state()),
    ):
        with pytest.raises(ValueError, match="000000"):
            repeat()
    expected = evaluator.compute().to_json()
    evaluator.reset()
    evaluator.merge(same)
    assert evaluator.compute().to_json() == expected


@pytest.mark.slow
def test_results_are_shown_as_text_json_and_page(benchmark_module: ModuleType, tmp_path: Path) -> None:
    result = gathered(benchmark_module, range(3)).compute()
    assert isinstance(result, Result)
    text = result.table()
    # The notes may be wrapped in the text.
    assert all("".join(note.split()) in "".join(text.split()) for note in result.notes())
    json.dumps(result.to_json(), allow_nan=False)
    sections = result.sections()
    assert any(isinstance(section, Table) for section in sections)
    assert all(isinstance(section, Table | LineChart | Heatmap) for section in sections)
    assert len({section.title for section in sections}) == len(sections)
    write_page(tmp_path / "page.html", "t", {"only": result})
    assert pickle.loads(pickle.dumps(result)).to_json() == result.to_json()


@pytest.mark.slow
def test_as_a_metric_two_processes_equal_one(benchmark_module: ModuleType) -> None:
    pytest.importorskip("torchmetrics", reason="the adapter needs torchmetrics")
    from evaluators.torchmetrics import EvaluatorMetric

    computed: list[Any] = []

    def figures(evaluator: Any) -> float:
        computed.append(evaluator.compute().to_json())
        return 0.0

    here = EvaluatorMetric(gathered(benchmark_module, range(2, 5)), figures)
    there = EvaluatorMetric(gathered(benchmark_module, range(2)), figures)
    here.sync(lambda mine, group: [mine, there._packed()], distributed_available=lambda: True)
    figures(here.evaluator)
    assert computed == [gathered(benchmark_module, range(5)).compute().to_json()]
