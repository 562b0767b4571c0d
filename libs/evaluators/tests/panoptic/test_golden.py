"""Every golden case against what the official tools printed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators import panoptic
from evaluators.panoptic import PanopticResult

SCRIPTED = (
    "absent_classes",
    "all_ignored_gt",
    "all_unlabeled_prediction",
    "main",
    "min_points_boundary",
    "perfect",
    "road_lane_merge",
)
COMPARED = (*SCRIPTED, "empty_scan_in_list")
PROTOCOLS = {
    "semantic-kitti-api": ("single", lambda expected: expected["single"]["panoptic"]),
    "semantic-kitti-api-class": ("single", lambda expected: expected["panoptic_min30"]),
    "semantic-kitti-api-multi": ("multi", lambda expected: expected["multi"]["panoptic"]),
}


def expected_of(folder: Path) -> Any:
    return json.loads((folder / "expected.json").read_text())


def assert_counts_and_figures(result: PanopticResult, entry: Any) -> None:
    for name in ("tp", "fp", "fn"):
        assert getattr(result, name).tolist() == entry[name], name
    for name in ("iou_sum", "pq", "sq", "rq"):
        np.testing.assert_allclose(getattr(result, name), entry[name], rtol=0, atol=1e-9, err_msg=name)


def test_the_archive_holds_exactly_the_listed_cases(golden_panoptic: Path) -> None:
    names = {path.name for path in (golden_panoptic / "semantickitti").iterdir()}
    assert names == {*COMPARED, "large_instance_ids"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", COMPARED)
def test_case_equals_the_official_class(golden_panoptic: Path, case: str, protocol: str) -> None:
    folder = golden_panoptic / "semantickitti" / case
    expected = expected_of(folder)
    task, entry_of = PROTOCOLS[protocol]
    entry = entry_of(expected)
    result = panoptic.evaluate_folders(folder, folder, protocol=protocol)
    assert result.protocol.min_points == entry["min_points"]
    assert_counts_and_figures(result, entry)
    for name in ("PQ", "SQ", "RQ"):
        assert result.mean(name.lower()) == pytest.approx(entry[name], abs=1e-9, rel=0)
    points = expected[task]
    assert result.protocol.label_map.classes == tuple(points["class_names"])
    assert result.confusion.tolist() == points["confusion_rows_pred_cols_gt"]
    np.testing.assert_allclose(result.iou, points["iou"], rtol=0, atol=1e-9)
    assert result.mean("iou") == pytest.approx(points["mIoU"], abs=1e-9, rel=0)


@pytest.mark.parametrize("case", SCRIPTED)
def test_case_equals_the_official_script(golden_panoptic: Path, case: str) -> None:
    folder = golden_panoptic / "semantickitti" / case
    scores = panoptic.evaluate_folders(folder, folder).scores()
    assert scores == pytest.approx(expected_of(folder)["script_panoptic"], abs=1e-9, rel=0)


@pytest.mark.parametrize("case", ["absent_classes", "main", "min_points_boundary", "road_lane_merge"])
def test_case_with_moving_classes_equals_the_official_script(golden_panoptic: Path, case: str) -> None:
    folder = golden_panoptic / "semantickitti" / case
    result = panoptic.evaluate_folders(folder, folder, protocol="semantic-kitti-api-multi")
    expected = json.loads((golden_panoptic / "script_panoptic_multi.json").read_text())[case]
    assert result.scores() == pytest.approx(expected, abs=1e-9, rel=0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_large_instance_ids_count_like_small_ones(golden_panoptic: Path, protocol: str) -> None:
    large, small = (
        panoptic.evaluate_folders(folder, folder, protocol=protocol).to_json()
        for folder in (golden_panoptic / "semantickitti" / name for name in ("large_instance_ids", "perfect"))
    )
    assert large == small


def test_large_instance_ids_are_where_the_tool_overflows(golden_panoptic: Path) -> None:
    folder = golden_panoptic / "semantickitti" / "large_instance_ids"
    assert "panoptic_error" in expected_of(folder)["single"]
    labels = np.fromfile(folder / "sequences/08/labels/000000.label", dtype="<u4")
    assert (labels >> 16).max() >= 32768


def test_nuscenes_equals_the_official_tool(golden_panoptic: Path) -> None:
    folder = golden_panoptic / "nuscenes"
    expected = expected_of(folder)
    result = panoptic.evaluate_nuscenes_folders(folder / "gt", folder / "pred")
    scores, means = result.scores(), expected["results"].pop("all")
    assert result.confusion.tolist() == expected["confusion_rows_pred_cols_gt"]
    for name in ("tp", "fp", "fn"):
        assert getattr(result, name).tolist() == expected[name], name
    np.testing.assert_allclose(result.iou_sum, expected["iou_sum"], rtol=0, atol=1e-9)
    ours = {"PQ": "pq_mean", "SQ": "sq_mean", "RQ": "rq_mean", "mIoU": "iou_mean", "PQ_dagger": "pq_dagger"}
    assert {name: scores[ours[name]] for name in means} == pytest.approx(means, abs=1e-9, rel=0)
    assert tuple(expected["results"]) == result.protocol.label_map.classes
    for at, figures in enumerate(expected["results"].values()):
        values = {name: getattr(result, name.lower())[at] for name in figures}
        assert values == pytest.approx(figures, abs=1e-9, rel=0)


def test_the_nuscenes_tables_are_those_of_the_tool(golden_panoptic: Path) -> None:
    expected = expected_of(golden_panoptic / "nuscenes")
    gt_label_map = panoptic.NUSCENES.gt_label_map
    assert gt_label_map is not None
    assert {str(raw): train for raw, train in gt_label_map.raw_to_train} == expected["category_to_class"]
    assert sorted(panoptic.NUSCENES.things) == expected["things"]
    assert sorted(panoptic.NUSCENES.stuff) == expected["stuff"]
