"""The report: table, notes, JSON, page."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluators.page import Result, write_page
from evaluators.semantickitti import SemanticKittiResult, evaluate

Scans = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@pytest.fixture
def result() -> SemanticKittiResult:
    gt, pred = np.array([40, 40, 40, 70, 70, 0, 252]), np.array([40, 40, 70, 70, 0, 40, 10])
    points = np.linspace(1, 45, 21, dtype=np.float32).reshape(7, 3)
    return evaluate({"08/000000": gt}, {"08/000000": pred}, points={"08/000000": points})


def test_table_shows_percent(result: SemanticKittiResult) -> None:
    lines = result.table().splitlines()
    assert lines[0] == "SemanticKITTI, single-scan: 1 frames, 7 points"
    assert next(line for line in lines if line.startswith("road ")).split() == [
        "road",
        "66.67",
        "2",
        "0",
        "1",
    ]
    assert "mIoU  10.53" in lines
    assert "accuracy (official)  80.00" in lines
    assert "accuracy (all labelled points)  66.67" in lines
    assert any("0-10 m" in line and "40-50 m" in line for line in lines)


def test_notes_say_what_is_odd(result: SemanticKittiResult) -> None:
    notes = " ".join(result.notes())
    assert "No points of bicycle, motorcycle," in notes
    assert "counts as 0 in the mean, as in the official tool" in notes
    assert "1 labelled points were predicted as unlabeled" in notes


@pytest.mark.parametrize(("tool", "rule"), [("mmdet3d", "left out of the mean"), ("spvnas", "counts as 1")])
def test_notes_name_other_tools(tool: str, rule: str) -> None:
    labels = {"s": np.array([40])}
    notes = " ".join(evaluate(labels, labels, protocol=tool).notes())
    assert rule in notes
    assert f"Means follow {tool}" in notes


def test_no_evaluated_ground_truth_is_said() -> None:
    nothing = evaluate({"s": np.array([0])}, {"s": np.array([0])}, protocol="torchmetrics")
    assert "No point has evaluated ground truth." in nothing.notes()
    assert "mIoU  -" in nothing.table()
    assert nothing.to_json()["iou_mean"] is None


def test_json_carries_everything(result: SemanticKittiResult) -> None:
    report = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert report["protocol"] == {
        "name": "semantic-kitti",
        "version": "semantic-kitti-api",
        "tool": "semantic-kitti-api",
        "absent": "zero",
        "task": "single-scan",
    }
    assert report["counts"]["n_points"] == 7
    assert report["classes"]["road"] == {"evaluated": True, "iou": 2 / 3, "tp": 2, "fp": 0, "fn": 1}
    assert report["classes"]["unlabeled"]["iou"] is None
    assert not report["classes"]["unlabeled"]["evaluated"]
    assert np.array(report["confusion_rows_pred_cols_gt"]).sum() == 7
    assert [entry["far_m"] for entry in report["ranges"]] == [10, 20, 30, 40, 50]


def test_page_has_tables_and_heat_map(result: SemanticKittiResult, tmp_path: Path) -> None:
    assert isinstance(result, Result)
    write_page(tmp_path / "r.html", "t", {"single": result})
    page = (tmp_path / "r.html").read_text()
    for title in ("Over all classes", "Classes", "By distance to the sensor", "Confusion matrix"):
        assert title in page
    heat = result.sections()[-1]
    # The heat map shows what became of each class of the ground truth: rows are ground truth.
    assert heat.values[9, 15] == 1
    assert heat.row_label == "ground truth"


def test_moving_leads_with_the_score_of_the_benchmark() -> None:
    result = evaluate({"s": np.array([252, 40])}, {"s": np.array([251, 251])}, task="moving")
    assert "IoU of moving (the score of the benchmark)  50.00" in result.table()
    with pytest.raises(ValueError, match="no class 'road' in this result; it has unlabeled, static, moving"):
        result.iou("road")
