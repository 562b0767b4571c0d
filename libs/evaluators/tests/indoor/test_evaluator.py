import math
import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from evaluators import indoor
from evaluators.indoor import ClassTable, IndoorBoxes, IndoorEvaluator, IndoorResult
from hypothesis import given, settings
from hypothesis import strategies as st

Scenes = dict[str, IndoorBoxes]
MakeScenes = Callable[..., tuple[Scenes, Scenes]]
SEEDS = st.integers(0, 2**32 - 1)
BOX = [[0.0, 0.0, 0.5, 1.0, 1.0, 1.0]]


def figures(result: IndoorResult) -> dict[object, tuple[float | None, float | None]]:
    return {key: (curve.ap(), curve.final_recall()) for key, curve in result.curves.items()}


def with_scores(pred: Scenes, change: Callable[[np.ndarray], np.ndarray]) -> Scenes:
    return {
        name: IndoorBoxes(boxes.boxes, boxes.labels, change(boxes.scores))
        for name, boxes in pred.items()
        if boxes.scores is not None
    }


def moved(scenes: Scenes, *, shift: list[float], turn: float) -> Scenes:
    cos, sin = math.cos(turn), math.sin(turn)
    found: Scenes = {}
    for name, scene in scenes.items():
        boxes = scene.boxes.copy()
        boxes[:, 0], boxes[:, 1] = (
            cos * scene.boxes[:, 0] - sin * scene.boxes[:, 1],
            sin * scene.boxes[:, 0] + cos * scene.boxes[:, 1],
        )
        boxes[:, :3] += shift
        boxes[:, 6] += turn
        found[name] = IndoorBoxes(boxes, scene.labels, scene.scores)
    return found


def corners(box: list[float]) -> list[complex]:
    x, y, _, dx, dy, _, yaw = box
    turn = complex(math.cos(yaw), math.sin(yaw))
    return [
        complex(x, y) + turn * complex(dx * a, dy * b) / 2 for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))
    ]


def slow_overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union by cutting a's outline along every edge of b."""
    outline = corners(a)
    edges = corners(b)
    for start, end in zip(edges, edges[1:] + edges[:1], strict=True):
        side = [((end - start).conjugate() * (point - start)).imag for point in outline]
        cut: list[complex] = []
        for at, point in enumerate(outline):
            before, here = side[at - 1], side[at]
            if (before < 0) != (here < 0):
                cut.append(outline[at - 1] + (point - outline[at - 1]) * before / (before - here))
            if here >= 0:
                cut.append(point)
        outline = cut
    area = sum((p.conjugate() * q).imag for p, q in zip(outline, outline[1:] + outline[:1], strict=True)) / 2
    height = min(a[2] + a[5] / 2, b[2] + b[5] / 2) - max(a[2] - a[5] / 2, b[2] - b[5] / 2)
    common = area * max(height, 0.0)
    return common / (a[3] * a[4] * a[5] + b[3] * b[4] * b[5] - common)


def slow_ap(gt: Scenes, pred: Scenes, label: int, threshold: float) -> tuple[float, float] | None:
    """Average precision and recall of one class, written from the rules, one prediction at a time."""
    objects = {
        name: [box for box, own in zip(scene.boxes.tolist(), scene.labels, strict=True) if own == label]
        for name, scene in gt.items()
    }
    n_gt = sum(map(len, objects.values()))
    if not n_gt:
        return None
    found = [
        (-score, name, row, box)
        for name, scene in pred.items()
        for row, (box, own, score) in enumerate(
            zip(scene.boxes.tolist(), scene.labels, scene.scores, strict=True)  # pyright: ignore
        )
        if own == label
    ]
    taken: set[tuple[str, int]] = set()
    points: list[tuple[float, float]] = []
    for rank, (_, name, _, box) in enumerate(sorted(found), start=1):
        overlaps = [slow_overlap(box, other) for other in objects[name]]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] > threshold:
            taken.add((name, best))
        points.append((len(taken) / n_gt, len(taken) / rank))
    area, reached = 0.0, 0.0
    for at, (recall, _) in enumerate(points):
        area += (recall - reached) * max(precision for _, precision in points[at:])
        reached = recall
    return area, reached


@pytest.mark.slow
@given(seed=SEEDS, score_levels=st.sampled_from([0, 4]))
@settings(max_examples=15)
def test_every_figure_equals_the_slow_evaluation(
    make_scenes: MakeScenes, three: ClassTable, seed: int, score_levels: int
) -> None:
    gt, pred = make_scenes(seed, 5, score_levels=score_levels)
    result = indoor.evaluate(gt, pred, classes=three, thresholds=(0.0, 0.1, 0.25, 0.5))
    for threshold in result.thresholds:
        for label, name in enumerate(three.classes):
            expected = slow_ap(gt, pred, label, threshold)
            ours = figures(result)[name, threshold]
            assert ours == ((None, None) if expected is None else pytest.approx(expected, abs=1e-12))


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_votenet_agrees_where_no_edges_coincide(
    make_scenes: MakeScenes, three: ClassTable, seed: int
) -> None:
    gt, pred = make_scenes(seed, 6)
    exact = figures(indoor.evaluate(gt, pred, classes=three))
    votenet = figures(indoor.evaluate(gt, pred, classes=three, protocol="votenet"))
    assert votenet == exact


@pytest.mark.slow
@given(seed=SEEDS, score_levels=st.sampled_from([0, 3]), parts=st.integers(1, 4))
@settings(max_examples=15)
def test_order_of_updates_and_merging_change_no_digit(
    make_scenes: MakeScenes, three: ClassTable, seed: int, score_levels: int, parts: int
) -> None:
    gt, pred = make_scenes(seed, 7, score_levels=score_levels)
    rng = np.random.default_rng(seed)
    pieces = [IndoorEvaluator(classes=three) for _ in range(parts)]
    for name in rng.permutation(list(gt)).tolist():
        pieces[int(rng.integers(parts))].update(name, gt[name], pred[name])
    whole = IndoorEvaluator(classes=three)
    for index, piece in enumerate(pieces):
        if index % 2:
            whole.merge_state(piece.state())
        else:
            whole.merge(pickle.loads(pickle.dumps(piece)))
    assert len(whole) == 7
    assert whole.compute().to_json() == indoor.evaluate(gt, pred, classes=three).to_json()


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_renaming_scenes_changes_nothing_when_scores_are_unique(
    make_scenes: MakeScenes, three: ClassTable, seed: int
) -> None:
    gt, pred = make_scenes(seed, 7)
    names = dict(zip(gt, np.random.default_rng(seed).permutation(list(gt)).tolist(), strict=True))
    renamed = indoor.evaluate(
        {names[name]: gt[name] for name in gt}, {names[name]: pred[name] for name in gt}, classes=three
    )
    assert figures(renamed) == figures(indoor.evaluate(gt, pred, classes=three))


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_order_of_rows_changes_nothing_when_scores_are_unique(
    make_scenes: MakeScenes, three: ClassTable, seed: int
) -> None:
    gt, pred = make_scenes(seed, 7)
    rng = np.random.default_rng(seed)

    def shuffled(scenes: Scenes) -> Scenes:
        found: Scenes = {}
        for name, scene in scenes.items():
            rows = rng.permutation(len(scene))
            scores = None if scene.scores is None else scene.scores[rows]
            found[name] = IndoorBoxes(scene.boxes[rows], scene.labels[rows], scores)
        return found

    mixed = indoor.evaluate(shuffled(gt), shuffled(pred), classes=three)
    assert figures(mixed) == figures(indoor.evaluate(gt, pred, classes=three))


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_a_monotone_change_of_scores_changes_nothing(
    make_scenes: MakeScenes, three: ClassTable, seed: int
) -> None:
    gt, pred = make_scenes(seed, 7, score_levels=8)
    changed = with_scores(pred, lambda scores: np.exp(3 * scores) - 100)
    assert figures(indoor.evaluate(gt, changed, classes=three)) == figures(
        indoor.evaluate(gt, pred, classes=three)
    )


@pytest.mark.slow
@given(seed=SEEDS, turn=st.floats(-3, 3), x=st.floats(-50, 50))
@settings(max_examples=10)
def test_moving_the_building_changes_nothing(
    make_scenes: MakeScenes, three: ClassTable, seed: int, turn: float, x: float
) -> None:
    gt, pred = make_scenes(seed, 7)
    before = indoor.evaluate(gt, pred, classes=three)
    shift = [x, -x, 2.0]
    after = indoor.evaluate(
        moved(gt, shift=shift, turn=turn), moved(pred, shift=shift, turn=turn), classes=three
    )
    assert figures(after) == figures(before)


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_a_prediction_below_all_scores_never_raises_precision(
    make_scenes: MakeScenes, three: ClassTable, seed: int
) -> None:
    gt, pred = make_scenes(seed, 7)
    name = next(iter(gt))
    source, found = gt[name], pred[name]
    assert found.scores is not None
    added = IndoorBoxes(
        np.concatenate([found.boxes, source.boxes]),
        np.concatenate([found.labels, source.labels]),
        np.concatenate([found.scores, np.full(len(source), -5.0)]),
    )
    before = indoor.evaluate(gt, pred, classes=three)
    after = indoor.evaluate(gt, pred | {name: added}, classes=three)
    for key, curve in before.curves.items():
        assert after.curves[key].tp[: curve.n_pred].tolist() == curve.tp.tolist()


@pytest.mark.slow
@given(seed=SEEDS)
@settings(max_examples=10)
def test_all_scenes_twice_leave_recall_and_precision(
    make_scenes: MakeScenes, three: ClassTable, seed: int
) -> None:
    gt, pred = make_scenes(seed, 6)
    once = indoor.evaluate(gt, pred, classes=three)
    again = {f"{name}_again": scene for name, scene in gt.items()}
    # Every score occurs twice and both rows share their fate; only the precision between them may differ.
    twice = indoor.evaluate(
        gt | again, pred | {f"{name}_again": scene for name, scene in pred.items()}, classes=three
    )
    for key, curve in once.curves.items():
        assert twice.curves[key].tp[1::2].tolist() == (2 * curve.tp).tolist()
        assert twice.curves[key].n_gt == 2 * curve.n_gt


def test_the_overlap_must_exceed_the_threshold() -> None:
    gt = {"a": IndoorBoxes(BOX, [0])}
    # Half as long: the overlap is exactly 1/2.
    pred = {"a": IndoorBoxes([[0.0, 0.0, 0.5, 0.5, 1.0, 1.0]], [0], [0.5])}
    result = indoor.evaluate(gt, pred, thresholds=(0.5, 0.4999999))
    assert (result.ap("cabinet", 0.5), result.ap("cabinet", 0.4999999)) == (0.0, 1.0)


def at(*places: float) -> list[list[float]]:
    return [[place, *BOX[0][1:]] for place in places]


def test_the_second_best_object_does_not_count() -> None:
    gt = {"a": IndoorBoxes(at(0.0, 0.25), [0, 0])}
    pred = {"a": IndoorBoxes(at(0.0, 0.0625), [0, 0], [0.9, 0.8])}
    result = indoor.evaluate(gt, pred)
    assert (result.ap("cabinet", 0.5), result.recall("cabinet", 0.5)) == (0.5, 0.5)


@pytest.mark.parametrize(("places", "ap"), [((-0.25, 0.25), 0.5), ((0.25, -0.25), 1.0)])
def test_the_first_of_two_objects_that_overlap_equally_is_taken(
    places: tuple[float, float], ap: float
) -> None:
    # The first prediction lies between the objects, the second one on the left object.
    gt = {"a": IndoorBoxes(at(*places), [0, 0])}
    pred = {"a": IndoorBoxes(at(0.0, -0.25), [0, 0], [0.9, 0.8])}
    assert indoor.evaluate(gt, pred).ap("cabinet", 0.5) == ap


@pytest.mark.parametrize(("first", "ap"), [("a", 1.0), ("b", 0.5)])
def test_tied_scores_go_by_scene_name(first: str, ap: float) -> None:
    hit, other = ("a", "b") if first == "a" else ("b", "a")
    gt = {hit: IndoorBoxes(BOX, [0]), other: IndoorBoxes.empty()}
    found = IndoorBoxes(BOX, [0], [0.5])
    result = indoor.evaluate(gt, {other: found, hit: found})
    assert result.ap("cabinet", 0.5) == ap
    assert result.counts.n_tied_scores == 2


def test_a_class_of_another_name_at_the_same_place_is_no_hit() -> None:
    result = indoor.evaluate({"a": IndoorBoxes(BOX, [0])}, {"a": IndoorBoxes(BOX, [1], [0.5])})
    assert (result.ap("cabinet", 0.25), result.ap("bed", 0.25)) == (0.0, None)


@pytest.mark.parametrize(
    "rows", [[[0, 0, 0, 1e200, 1e200, 1e200]], [[1e300] * 6], [[0, 0, 0, 1e-160, 1e-160, 1e-160]]]
)
def test_numbers_beyond_reason_do_no_harm(rows: list[list[float]]) -> None:
    result = indoor.evaluate({"a": IndoorBoxes(rows, [0])}, {"a": IndoorBoxes(rows, [0], [0.5])})
    assert result.ap("cabinet", 0.25) in (0.0, 1.0)


def test_predictions_for_unknown_scenes_are_refused() -> None:
    nothing = IndoorBoxes.empty()
    with pytest.raises(ValueError, match="predictions hold 1 frames that the ground truth lacks: b"):
        indoor.evaluate({"a": nothing}, {"a": nothing, "b": nothing})


def test_missing_scenes_are_refused_or_counted() -> None:
    gt = {"a": IndoorBoxes(BOX, [0]), "b": IndoorBoxes(BOX, [0])}
    pred = {"a": IndoorBoxes(BOX, [0], [0.5])}
    with pytest.raises(ValueError, match=r"predictions lack 1 of 2 frames: b; give IndoorBoxes\.empty"):
        indoor.evaluate(gt, pred)
    result = indoor.evaluate(gt, pred, missing="empty")
    assert (result.counts.n_missing, result.recall("cabinet", 0.5)) == (1, 0.5)


def test_predictions_need_scores() -> None:
    with pytest.raises(ValueError, match="frame 'a': predictions have no scores"):
        IndoorEvaluator().update("a", IndoorBoxes.empty(), IndoorBoxes(BOX, [0]))


def test_something_must_be_evaluated() -> None:
    with pytest.raises(ValueError, match="no frames to evaluate"):
        IndoorEvaluator().compute()


@pytest.mark.slow
def test_unknown_choices_are_refused() -> None:
    # In a process of its own, without the run-time type checks of the tests, which would come first.
    code = (
        "from evaluators import indoor\n"
        "nothing = {'a': indoor.IndoorBoxes.empty()}\n"
        "for name in ('missing', 'on_invalid', 'protocol', 'mean_over'):\n"
        "    try:\n        indoor.evaluate(nothing, nothing, **{name: 'maybe'})\n"
        "    except ValueError as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "missing must be one of 'error', 'empty', got 'maybe'",
        "on_invalid must be one of 'error', 'drop', got 'maybe'",
        "protocol must be one of 'mmdet3d', 'votenet', got 'maybe'",
        "mean_over must be one of 'gt', 'listed', 'reference', got 'maybe'",
    ]
