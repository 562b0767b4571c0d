"""Every golden case and every printed figure, against mmdet3d and VoteNet."""

import math
from typing import Any

import pytest
from evaluators import indoor
from evaluators.indoor import ClassTable, IndoorBoxes, IndoorResult

Case = dict[str, Any]
COMPARED = (
    "class_without_gt",
    "class_without_pred",
    "duplicates",
    "empty_scenes_mixed",
    "no_gt",
    "no_predictions",
    "perfect_axis_aligned",
    "perfect_rotated",
    "scannet_axis_aligned",
    "second_best_not_used",
    "sunrgbd_rotated",
    "tied_scores",
)
UNTIED = tuple(case for case in COMPARED if case != "tied_scores")


def score(case: Case, **options: Any) -> IndoorResult:
    names = [f"{index:04d}" for index in range(len(case["scenes"]))]
    gt = {
        name: IndoorBoxes(scene["gt_boxes"], scene["gt_labels"])
        for name, scene in zip(names, case["scenes"], strict=True)
    }
    pred = {
        name: IndoorBoxes(scene["pred_boxes"], scene["pred_labels"], scene["pred_scores"])
        for name, scene in zip(names, case["scenes"], strict=True)
    }
    return indoor.evaluate(gt, pred, classes=ClassTable.numbered(case["num_classes"]), **options)


def figures(result: IndoorResult) -> dict[str, float]:
    """Return the figures under the names of the references: classes that occur, and means."""
    found: dict[str, float] = {}
    for threshold in result.thresholds:
        for number, name in enumerate(result.classes.classes):
            curve = result.curves[name, threshold]
            if curve.n_gt or curve.n_pred:
                ap, recall = curve.ap(), curve.final_recall()
                found[f"c{number}_AP_{threshold:.2f}"] = math.nan if ap is None else ap
                found[f"c{number}_rec_{threshold:.2f}"] = math.nan if recall is None else recall
        for name, mean in (("mAP", result.mean_ap), ("mAR", result.mean_recall)):
            value = mean(threshold)
            assert value is not None
            found[f"{name}_{threshold:.2f}"] = value
    return found


def test_the_archive_holds_exactly_the_listed_cases(golden_indoor: dict[str, Case]) -> None:
    assert sorted(golden_indoor) == sorted((*COMPARED, "degenerate_boxes"))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_every_figure_equals_mmdet3d_with_a_stable_sort(golden_indoor: dict[str, Case], name: str) -> None:
    case = golden_indoor[name]
    ours = figures(score(case, mean_over="reference"))
    assert ours == pytest.approx(case["mmdet3d_stable_sort"], abs=1e-7, rel=0, nan_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNTIED)
def test_every_figure_equals_mmdet3d_where_no_scores_are_tied(
    golden_indoor: dict[str, Case], name: str
) -> None:
    case = golden_indoor[name]
    ours = figures(score(case, mean_over="reference"))
    assert ours == pytest.approx(case["mmdet3d"], abs=1e-7, rel=0, nan_ok=True)


@pytest.mark.parametrize("name", [case for case in UNTIED if case != "perfect_rotated"])
def test_every_figure_equals_votenet_with_its_faults(golden_indoor: dict[str, Case], name: str) -> None:
    case = golden_indoor[name]
    ours = figures(score(case, mean_over="reference", protocol="votenet"))
    assert ours == pytest.approx(case["votenet"], abs=1e-12, rel=0, nan_ok=True)


def test_votenet_stops_where_edges_coincide_and_so_do_we(golden_indoor: dict[str, Case]) -> None:
    case = golden_indoor["perfect_rotated"]
    assert "NaN" in case["votenet_error"]
    with pytest.raises(
        ValueError, match=r"row \d+: VoteNet's overlap with ground truth row \d+ is not a num"
    ):
        score(case, protocol="votenet")


@pytest.mark.parametrize("name", ["perfect_axis_aligned", "perfect_rotated"])
def test_a_perfect_detector_reaches_exactly_one(golden_indoor: dict[str, Case], name: str) -> None:
    result = score(golden_indoor[name])
    assert [result.mean_ap(threshold) for threshold in result.thresholds] == [1.0, 1.0]
    assert {result.ap(cls, 0.5) for cls, _ in result.curves} <= {1.0, None}


@pytest.mark.parametrize("name", ["class_without_gt", "empty_scenes_mixed"])
def test_by_default_only_classes_with_ground_truth_enter_the_mean(
    golden_indoor: dict[str, Case], name: str
) -> None:
    case = golden_indoor[name]
    expected = case["mmdet3d_stable_sort"]
    known = [value for key, value in expected.items() if key.endswith("_AP_0.25") and not math.isnan(value)]
    without = sum(math.isnan(value) for key, value in expected.items() if key.endswith("_AP_0.25"))
    assert without
    default, listed = score(case), score(case, mean_over="listed")
    assert default.mean_ap(0.25) == pytest.approx(sum(known) / len(known), abs=1e-7)
    assert listed.mean_ap(0.25) == pytest.approx(sum(known) / case["num_classes"], abs=1e-7)
    assert any("without any ground truth" in note and "enter no mean" in note for note in default.notes())


def test_without_ground_truth_there_is_no_mean(golden_indoor: dict[str, Case]) -> None:
    case = golden_indoor["no_gt"]
    assert score(case).mean_ap(0.5) is None
    assert score(case, mean_over="listed").mean_ap(0.5) == 0.0
    assert math.isnan(score(case, mean_over="reference").mean_recall(0.5) or 0.0)


def test_the_three_means_agree_when_every_class_has_ground_truth(golden_indoor: dict[str, Case]) -> None:
    case = golden_indoor["sunrgbd_rotated"]
    means = {score(case, mean_over=rule).mean_ap(0.25) for rule in ("gt", "listed", "reference")}
    assert len(means) == 1


def test_boxes_without_extent_are_refused_or_dropped(golden_indoor: dict[str, Case]) -> None:
    case = golden_indoor["degenerate_boxes"]
    with pytest.raises(
        ValueError, match=r"frame '0000', predictions, row 1: expected positive sizes .* got 0 1 1"
    ):
        score(case)
    result = score(case, on_invalid="drop")
    assert (result.counts.n_dropped_pred, result.counts.n_pred, result.mean_ap(0.5)) == (2, 1, 1.0)
    assert any("0 invalid ground truth rows and 2 invalid predictions" in note for note in result.notes())
