"""Every golden case and every figure of it, against what the public tools gave."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators import semantickitti
from evaluators.semantickitti import RANGES_M, SemanticKittiEvaluator, SemanticKittiResult

CASES = (
    "absent_classes",
    "all_ignored_gt",
    "all_unlabeled_prediction",
    "empty_scan_in_list",
    "large_instance_ids",
    "main",
    "min_points_boundary",
    "perfect",
    "road_lane_merge",
)
SCRIPTED = tuple(case for case in CASES if case not in ("empty_scan_in_list", "large_instance_ids"))
TASKS = {"single": "single-scan", "multi": "multi-scan", "mos": "moving"}
VARIANTS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "semantickitti" / "variants.json").read_text()
)


def expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text())


def test_the_archive_holds_exactly_the_listed_cases(golden_semantickitti: Path) -> None:
    assert sorted(path.name for path in golden_semantickitti.iterdir()) == sorted((*CASES, "ranges"))


@pytest.mark.parametrize("key", TASKS)
@pytest.mark.parametrize("case", CASES)
def test_case_equals_the_official_class(golden_semantickitti: Path, case: str, key: str) -> None:
    folder = golden_semantickitti / case
    entry = expected(folder)[key]
    result = semantickitti.evaluate_folders(folder, folder, task=TASKS[key])
    assert list(result.label_map.classes) == entry["class_names"]
    assert list(result.label_map.ignored) == entry["ignored"] == [0]
    assert result.confusion.tolist() == entry["confusion_rows_pred_cols_gt"]
    assert result.scores.iou[1:].tolist() == pytest.approx(entry["iou"][1:], abs=1e-9, rel=0)
    assert np.isnan(result.scores.iou[0])
    assert result.scores.miou == pytest.approx(entry["mIoU"], abs=1e-9, rel=0)
    assert result.scores.accuracy == pytest.approx(entry["acc"], abs=1e-9, rel=0)


@pytest.mark.parametrize("case", CASES)
def test_case_equals_what_the_scripts_wrote(golden_semantickitti: Path, case: str) -> None:
    folder = golden_semantickitti / case
    entries = expected(folder)
    assert ("script_semantics" in entries) == ("script_mos" in entries) == (case in SCRIPTED)
    if case in SCRIPTED:
        written = entries["script_semantics"]
        assert script_figures(semantickitti.evaluate_folders(folder, folder)) == pytest.approx(
            written, abs=1e-9, rel=0
        )
        moving = semantickitti.evaluate_folders(folder, folder, task="moving").iou("moving")
        assert {"iou_moving": moving} == pytest.approx(entries["script_mos"], abs=1e-9, rel=0)


def script_figures(result: SemanticKittiResult, index: int | None = None) -> dict[str, float]:
    """Return the figures by the names that the scripts write."""
    scores = result.scores if index is None else result.range_scores[index]
    return {
        "accuracy_mean": scores.accuracy,
        "iou_mean": scores.miou,
        **{f"iou_{result.label_map.classes[i]}": float(scores.iou[i]) for i in result.label_map.evaluated},
    }


@pytest.mark.parametrize(("key", "limit"), [("by_distance", None), ("by_distance_limit_500", 500)])
def test_ranges_equal_the_official_script(golden_semantickitti: Path, key: str, limit: int | None) -> None:
    folder = golden_semantickitti / "ranges"
    like = SemanticKittiEvaluator(ranges_m=RANGES_M, limit=limit)
    result = semantickitti.collect_folders(folder, folder, like=like).compute()
    ours = {
        f"{far}m_{name}": value
        for index, (_, far) in enumerate(RANGES_M)
        for name, value in script_figures(result, index).items()
    }
    assert ours == pytest.approx(expected(folder)[key], abs=1e-9, rel=0)


def test_the_range_case_tells_float32_from_float64(golden_semantickitti: Path) -> None:
    """Distances in float64 would put points on a limit into a bin, and the figures would differ."""
    folder = golden_semantickitti / "ranges"
    evaluator = SemanticKittiEvaluator(ranges_m=RANGES_M)
    for frame in ("08/000000", "08/000001"):
        labels = [
            semantickitti.read_label_file(semantickitti.frame_path(folder, frame, kind))
            for kind in ("labels", "predictions")
        ]
        points = semantickitti.read_points(semantickitti.frame_path(folder, frame, "velodyne"))
        evaluator.update(frame, labels[0], labels[1], points.astype(np.float64))
    figure = evaluator.compute().range_scores[0].accuracy
    assert figure != pytest.approx(expected(folder)["by_distance"]["10.0m_accuracy_mean"], abs=1e-9)


@pytest.mark.parametrize("tool", ["mmdet3d", "spvnas", "torchmetrics"])
@pytest.mark.parametrize("case", CASES)
def test_variant_equals_the_tool(golden_semantickitti: Path, case: str, tool: str) -> None:
    folder = golden_semantickitti / case
    entry = VARIANTS[case][tool]
    tolerance = 2e-7 if tool == "torchmetrics" else 1e-9
    scores = semantickitti.evaluate_folders(folder, folder, protocol=tool).scores
    for index, theirs in enumerate(entry["iou"], start=1):
        if tool == "torchmetrics" and not scores.evaluated[index]:
            # The tool leaves such a class out of its mean, too, but lists it as 0.
            assert theirs in (0.0, None)
        else:
            ours = float(scores.iou[index])
            assert ours == pytest.approx(number(theirs), abs=tolerance, rel=0, nan_ok=True), index
    assert scores.miou == pytest.approx(number(entry["miou"]), abs=tolerance, rel=0, nan_ok=True)
    if "overall_accuracy" in entry:
        assert scores.overall_accuracy == pytest.approx(
            number(entry["overall_accuracy"]), abs=tolerance, rel=0, nan_ok=True
        )


def number(value: float | None) -> float:
    return float("nan") if value is None else value


def test_variants_disagree_where_a_class_does_not_occur() -> None:
    means = {tool: VARIANTS["absent_classes"][tool]["miou"] for tool in ("mmdet3d", "spvnas")}
    assert means == pytest.approx({"mmdet3d": 0.558, "spvnas": 0.803}, abs=1e-3)


@pytest.mark.parametrize("key", TASKS)
def test_large_instance_ids_change_nothing(golden_semantickitti: Path, key: str) -> None:
    large, small = (
        semantickitti.evaluate_folders(folder, folder, task=TASKS[key])
        for folder in (golden_semantickitti / "large_instance_ids", golden_semantickitti / "perfect")
    )
    assert large.confusion.tolist() == small.confusion.tolist()
