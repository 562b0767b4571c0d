import json
from collections.abc import Callable

import numpy as np
import pytest
from evaluators import indoor
from evaluators.indoor import SCANNET_MD40, ClassTable, IndoorBoxes, IndoorResult
from evaluators.page import LineChart, Result, Table

BOX = [[0.0, 0.0, 0.5, 1.0, 1.0, 1.0]]


@pytest.fixture
def result(make_scenes: Callable[..., tuple[dict[str, IndoorBoxes], ...]], three: ClassTable) -> IndoorResult:
    gt, pred = make_scenes(3, 30)
    return indoor.evaluate(gt, pred, classes=three)


def of_labels(gt: list[int], pred: list[int], *, mean_over: indoor.MeanOver = "gt") -> IndoorResult:
    """Boxes side by side: predictions of a label that is in the ground truth are hits."""

    def row(labels: list[int]) -> list[list[float]]:
        return [[3.0 * label, *BOX[0][1:]] for label in labels]

    return indoor.evaluate(
        {"a": IndoorBoxes(row(gt), gt)},
        {"a": IndoorBoxes(row(pred), pred, np.linspace(0.9, 0.1, len(pred)))},
        classes=SCANNET_MD40,
        mean_over=mean_over,
    )


def test_the_table_shows_classes_and_means(result: IndoorResult) -> None:
    assert isinstance(result, Result)
    rows = {line.split()[0]: line.split()[1:] for line in result.table().splitlines() if line}
    assert rows["class"] == ["AP_0.25", "recall_0.25", "AP_0.5", "recall_0.5", "objects", "predicted"]
    for name in result.classes.classes:
        expected = [(result.ap(name, at), result.recall(name, at)) for at in (0.25, 0.5)]
        assert rows[name][:4] == [f"{value:.4f}" for pair in expected for value in pair]
    for subset, label in ((None, "mean"), ("S", "mean_S"), ("O", "mean_O")):
        means = [
            (result.mean_ap(at, subset=subset), result.mean_recall(at, subset=subset)) for at in (0.25, 0.5)
        ]
        assert rows[label] == [f"{value:.4f}" for pair in means for value in pair]


def test_the_subsets_have_their_own_means() -> None:
    # Found: bottle (4) of bottle and cup (6); chair (5) of chair and bed (1).
    result = of_labels([4, 6, 5, 1], [4, 5])
    assert result.mean_ap(0.25) == 0.5
    assert (result.mean_ap(0.25, subset="S"), result.mean_ap(0.25, subset="O")) == (0.5, 0.5)
    listed = of_labels([4, 6, 5, 1], [4, 5], mean_over="listed")
    assert listed.mean_ap(0.25) == 2 / 22
    assert (listed.mean_ap(0.25, subset="S"), listed.mean_ap(0.25, subset="O")) == (1 / 4, 1 / 18)
    assert (listed.mean_recall(0.5, subset="S"), listed.ap("sofa", 0.5)) == (1 / 4, None)


def test_a_subset_without_ground_truth_has_no_mean() -> None:
    result = of_labels([5], [5, 4])
    assert (result.mean_ap(0.25), result.mean_ap(0.25, subset="S")) == (1.0, None)
    assert "predicted, but without any ground truth: bottle (1); they enter no mean." in result.notes()
    reference = of_labels([5], [5, 4], mean_over="reference")
    assert np.isnan([reference.mean_ap(0.25), reference.mean_ap(0.25, subset="S")]).all()
    assert reference.mean_ap(0.25, subset="O") == 1.0
    assert reference.to_json()["means"] == {
        f"{figure}{name}_{at}": 1.0 if name == "_O" else None
        for figure in ("mAP", "mAR")
        for name in ("", "_S", "_O")
        for at in ("0.25", "0.5")
    }


def test_notes_name_the_rule_that_absent_classes_follow() -> None:
    assert "they enter no mean." in of_labels([5], [5]).notes()[0]
    assert "they enter the means as 0." in of_labels([5], [5], mean_over="listed").notes()[0]
    assert "they make the mean NaN" in of_labels([5], [5, 4], mean_over="reference").notes()[0]


def test_curves_run_from_the_best_prediction_to_the_last(result: IndoorResult) -> None:
    for curve in result.curves.values():
        assert (np.diff(curve.scores) <= 0).all()
        np.testing.assert_array_equal(curve.tp + curve.fp, np.arange(1, curve.n_pred + 1))
        np.testing.assert_allclose(curve.precision, curve.tp / (curve.tp + curve.fp))
        assert (curve.envelope >= curve.precision).all()
        assert (np.diff(curve.envelope) <= 0).all()
        assert (np.diff(curve.tp)[np.setdiff1d(curve.hits, 0) - 1] == 1).all()
        assert curve.tp[-1] == len(curve.hits) <= curve.n_gt
        assert curve.final_recall() == curve.recall[-1]


def test_a_class_without_predictions_has_empty_curves() -> None:
    result = of_labels([5], [])
    curve = result.curves["chair", 0.5]
    assert (curve.ap(), curve.final_recall(), curve.evaluated, len(curve.envelope)) == (0.0, 0.0, True, 0)
    unknown = result.curves["bed", 0.5]
    assert (unknown.ap(), unknown.final_recall(), unknown.evaluated, len(unknown.recall)) == (
        None,
        None,
        False,
        0,
    )


def test_json_holds_the_curves_and_survives_a_round_trip(result: IndoorResult) -> None:
    report = json.loads(json.dumps(result.to_json(), allow_nan=False))
    curve = result.curves["bed", 0.25]
    entry = report["results"]["bed/0.25"]
    assert entry["ap"] == curve.ap()
    assert entry["curve"]["precision"] == curve.precision[curve.hits].tolist()
    assert entry["curve"]["score"] == curve.scores[curve.hits].tolist()
    assert (entry["n_gt"], entry["n_pred"], entry["n_tp"]) == (curve.n_gt, curve.n_pred, curve.tp[-1])
    assert report["means"]["mAP_S_0.5"] == result.mean_ap(0.5, subset="S")
    assert len(report["results"]) == 6
    assert report["counts"]["n_frames"] == 30
    assert report["classes"]["subsets"] == {"S": ["cup"], "O": ["cabinet", "bed"]}
    assert report["protocol"] == {
        "name": "indoor-detection",
        "version": "voc-all-point",
        "variant": "mmdet3d",
        "mean_over": "gt",
    }


def test_the_page_has_the_table_and_the_curves(result: IndoorResult) -> None:
    table, *charts = result.sections()
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["cabinet", "bed", "cup", "mean", "mean_S", "mean_O"]
    assert len(charts) == 2
    for chart, threshold in zip(charts, result.thresholds, strict=True):
        assert isinstance(chart, LineChart)
        for name, (recall, precision) in chart.lines.items():
            # The area under what is drawn is the average precision.
            area = float(np.sum(np.diff(recall) * precision[1:]))
            assert area == pytest.approx(result.ap(name, threshold), abs=1e-12)


def test_many_classes_are_spread_over_charts_and_long_curves_are_thinned() -> None:
    row = [[3.0 * at, *BOX[0][1:]] for at in range(300)]
    gt = {f"{label:02d}": IndoorBoxes(row, [label] * 300) for label in range(18)}
    pred = {name: IndoorBoxes(scene.boxes, scene.labels, [0.5] * 300) for name, scene in gt.items()}
    _, *charts = indoor.evaluate(gt, pred).sections()
    lines = [line for chart in charts if isinstance(chart, LineChart) for line in chart.lines.values()]
    assert (len(charts), len(lines)) == (4, 36)
    assert {(recall[0], recall[-1], len(recall)) for recall, _ in lines} == {(0.0, 1.0, 202)}


@pytest.mark.parametrize(
    ("cls", "threshold", "message"),
    [
        ("beds", 0.25, "no class 'beds' in this result; it has cabinet, bed, cup"),
        ("bed", 0.3, "no threshold 0.3"),
    ],
)
def test_unknown_entries_are_refused_with_the_known_ones(
    result: IndoorResult, cls: str, threshold: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        result.ap(cls, threshold)
    with pytest.raises(ValueError, match=message):
        result.recall(cls, threshold)


def test_unknown_subsets_are_refused(result: IndoorResult) -> None:
    with pytest.raises(ValueError, match="no subset 'M' in the class table 'three'; it has S, O"):
        result.mean_ap(0.25, subset="M")
