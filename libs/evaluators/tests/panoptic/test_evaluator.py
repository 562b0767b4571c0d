"""The collecting class: merging, state, policies."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluators import panoptic
from evaluators.panoptic import PanopticEvaluator, PanopticLabels, PanopticProtocol
from evaluators.semantickitti.protocol import plain_map
from evaluators.state import Evaluator, read_state, write_state
from hypothesis import given, settings
from hypothesis import strategies as st

Scan = tuple[PanopticLabels, PanopticLabels]
MakeScan = Callable[..., Scan]
SEEDS = st.integers(0, 2**32 - 1)
SMALL = PanopticProtocol(
    name="small",
    label_map=plain_map(("void", "car", "person", "road", "other"), ignored=(0, 4)),
    things=("car", "person"),
    stuff=("road",),
    min_points=3,
)
CAR = np.full(60, 10 + (3 << 16), dtype=np.uint32)


def scans(make_scan: MakeScan, seed: int, count: int = 9) -> dict[str, Scan]:
    rng = np.random.default_rng(seed)
    return {f"08/{index:06d}": make_scan(rng) for index in range(count)}


def collected(frames: dict[str, Scan], names: list[str]) -> PanopticEvaluator:
    evaluator = PanopticEvaluator(protocol=SMALL)
    for name in names:
        evaluator.update(name, frames[name][0], None if name.endswith("5") else frames[name][1])
    return evaluator


@pytest.mark.slow
@given(seed=SEEDS, cuts=st.tuples(st.integers(0, 9), st.integers(0, 9)))
@settings(max_examples=40)
def test_any_split_in_any_order_gives_the_same_digits(
    make_scan: MakeScan, seed: int, cuts: tuple[int, int]
) -> None:
    frames = scans(make_scan, seed)
    whole = collected(frames, list(frames)).compute()
    mixed = np.random.default_rng(seed).permutation(list(frames)).tolist()
    first, second = sorted(cuts)
    parts = [collected(frames, part) for part in (mixed[:first], mixed[first:second], mixed[second:])]
    parts[1].merge(pickle.loads(pickle.dumps(parts[2])))
    parts[1].merge_state(parts[0].state())
    assert parts[1].compute().to_json() == whole.to_json()
    assert parts[1].compute().iou_sum.tobytes() == whole.iou_sum.tobytes()


def test_it_is_an_evaluator() -> None:
    assert isinstance(PanopticEvaluator(), Evaluator)


def test_a_state_file_resumes(make_scan: MakeScan, tmp_path: Path) -> None:
    frames = scans(make_scan, 1)
    names = list(frames)
    write_state(tmp_path / "s.npz", collected(frames, names[:4]))
    resumed = PanopticEvaluator(protocol=SMALL)
    resumed.merge_state(read_state(tmp_path / "s.npz"))
    for name in names[4:]:
        resumed.update(name, frames[name][0], None if name.endswith("5") else frames[name][1])
    assert resumed.compute().to_json() == collected(frames, names).compute().to_json()


def test_merging_leaves_the_other_as_it_is(make_scan: MakeScan) -> None:
    frames = scans(make_scan, 2)
    first, second = collected(frames, ["08/000000"]), collected(frames, ["08/000001"])
    before = second.compute().to_json()
    first.merge(second)
    first.merge(collected(frames, ["08/000002"]))
    assert second.compute().to_json() == before
    assert (len(first), len(second)) == (3, 1)


def test_merging_nothing_changes_nothing(make_scan: MakeScan) -> None:
    frames = scans(make_scan, 3)
    evaluator = collected(frames, list(frames))
    before = evaluator.compute().to_json()
    evaluator.merge(PanopticEvaluator(protocol=SMALL))
    assert evaluator.compute().to_json() == before


def test_memory_does_not_grow_with_points() -> None:
    sizes = []
    for n in (100, 100_000):
        evaluator = PanopticEvaluator()
        evaluator.update("a", np.full(n, 40, dtype=np.uint32), np.full(n, 40, dtype=np.uint32))
        sizes.append(sum(array.nbytes for array in evaluator.state().values()))
    assert sizes[0] == sizes[1]


def test_a_scan_counts_once() -> None:
    evaluator, other = PanopticEvaluator(), PanopticEvaluator()
    evaluator.update("08/000000", CAR, CAR)
    other.update("08/000000", CAR, CAR)
    with pytest.raises(ValueError, match="frame '08/000000' was added before"):
        evaluator.update("08/000000", CAR, CAR)
    with pytest.raises(ValueError, match="both evaluators hold 1 frames: 08/000000; split"):
        evaluator.merge(other)
    assert evaluator.compute().counts.n_points == 60


def test_a_refused_scan_leaves_no_trace() -> None:
    evaluator = PanopticEvaluator()
    with pytest.raises(ValueError, match="labels for 60 points"):
        evaluator.update("a", CAR, CAR[:50])
    evaluator.update("a", CAR, CAR)
    assert evaluator.compute().counts.n_points == 60


@pytest.mark.parametrize(
    ("settings_of_other", "message"),
    [
        ({"protocol": "semantic-kitti-api-class"}, "there .*name='semantic-kitti-api-class'"),
        ({"min_points": 7}, "there .*min_points=7.*here .*min_points=50"),
        ({"unknown": "unlabeled"}, "there .*unknown=unlabeled.*here .*unknown=error"),
        (
            {"protocol": replace(panoptic.SEMANTIC_KITTI, things=("car",))},
            r"there .*things=\('car',\)",
        ),
    ],
)
def test_other_settings_are_refused(settings_of_other: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"the other evaluator has other settings: .*{message}"):
        PanopticEvaluator().merge(PanopticEvaluator(**settings_of_other))  # type: ignore[arg-type]


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"there .*name='semantic-kitti-api-multi'"):
        PanopticEvaluator().merge(PanopticEvaluator(protocol="semantic-kitti-api-multi"))


@pytest.mark.parametrize(
    "name", ["settings", "frames", "iou_sums", "missing", "counts", "confusion", "n_unknown"]
)
def test_a_broken_state_is_refused_and_leaves_no_trace(name: str) -> None:
    evaluator, other = PanopticEvaluator(), PanopticEvaluator()
    other.update("a", CAR, CAR)
    state = other.state()
    for broken in (
        {key: array for key, array in state.items() if key != name},
        state | {name: np.zeros((3, 3, 3))},
        state | {name: np.array(b"bytes")},
    ):
        with pytest.raises(ValueError, match=r"not what PanopticEvaluator\.state\(\) returned"):
            evaluator.merge_state(broken)
    assert len(evaluator) == 0
    twice = state | {key: np.repeat(state[key], 2, axis=0) for key in ("frames", "iou_sums", "missing")}
    with pytest.raises(ValueError, match="lists some frames twice"):
        evaluator.merge_state(twice)


def test_reset_forgets_everything() -> None:
    evaluator = PanopticEvaluator(min_points=7, unknown="unlabeled")
    evaluator.update("a", np.full(9, 900, dtype=np.uint32), None)
    evaluator.reset()
    assert len(evaluator) == 0
    evaluator.update("a", CAR, CAR)
    counts = evaluator.compute().counts
    assert (counts.n_missing, counts.n_unknown_labels, counts.n_points) == (0, 0, 60)
    assert evaluator.compute().protocol.min_points == 7


def test_a_scan_without_predictions_is_all_missed() -> None:
    result = panoptic.evaluate({"a": CAR, "b": CAR}, {"a": CAR}, missing="empty")
    assert (result.tp[1], result.fn[1], result.fp.sum(), result.counts.n_missing) == (1, 1, 0, 1)
    unlabeled = panoptic.evaluate({"a": CAR, "b": CAR}, {"a": CAR, "b": np.zeros(60, dtype=np.uint32)})
    for name in ("tp", "fp", "fn", "iou_sum", "confusion"):
        assert getattr(result, name).tolist() == getattr(unlabeled, name).tolist()


def test_scans_without_points_count_nothing() -> None:
    none = np.zeros(0, dtype=np.uint32)
    result = panoptic.evaluate({"a": none}, {"a": none})
    assert (result.counts.n_frames, result.counts.n_points, result.mean("pq")) == (1, 0, 0.0)


def test_missing_and_unknown_scans_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"predictions lack 1 of 2 frames: b; .* pass missing='empty'"):
        panoptic.evaluate({"a": CAR, "b": CAR}, {"a": CAR})
    with pytest.raises(ValueError, match="hold 1 frames that the ground truth lacks: b"):
        panoptic.evaluate({"a": CAR}, {"a": CAR, "b": CAR})
    with pytest.raises(ValueError, match="no frames to evaluate"):
        panoptic.evaluate({}, {})


def test_wrong_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="min_points must be at least 0, got -1"):
        PanopticEvaluator(min_points=-1)
    with pytest.raises(ValueError, match=r"protocol must be one of semantic-kitti-api, .* got 'kitti'"):
        PanopticEvaluator(protocol="kitti")
