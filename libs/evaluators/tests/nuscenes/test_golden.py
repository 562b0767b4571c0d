"""Every golden case against what the official kit wrote: the summary, and the curves."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators import nuscenes
from evaluators.nuscenes import DETECTION_CVPR_2019, NuscenesEvaluator, NuscenesProtocol, NuscenesResult

CASES = (
    "at_the_range",
    "barriers",
    "constant_score",
    "few_classes",
    "low_recall",
    "main",
    "nothing_in_range",
    "on_a_grid",
    "own_config",
    "perfect",
    "points_given",
    "racks",
    "slow_frames",
    "tied_scores",
    "unknown_velocity",
    "zero_scores",
)
TOLERANCE = 1e-9


def configured(cfg: dict[str, Any]) -> NuscenesProtocol:
    return replace(
        DETECTION_CVPR_2019,
        dist_thresholds_m=tuple(cfg["dist_ths"]),
        tp_threshold_m=cfg["dist_th_tp"],
        min_recall=cfg["min_recall"],
        min_precision=cfg["min_precision"],
    )


def evaluated(folder: Path) -> tuple[dict[str, Any], NuscenesResult]:
    expected = json.loads((folder / "expected.json").read_text())
    protocol = configured(expected["summary"]["cfg"])
    return expected, nuscenes.evaluate_submission(
        folder, folder / "results.json", split="mini_val", protocol=protocol
    )


def flat(value: Any, path: str = "") -> dict[str, float]:
    """Return all numbers under their path; null, our NaN, as NaN."""
    if isinstance(value, dict):
        return {
            key: number
            for name, item in value.items()
            for key, number in flat(item, f"{path}/{name}").items()
        }
    return {path: math.nan if value is None else float(value)}


def test_the_archive_holds_exactly_the_listed_cases(golden_nuscenes: Path) -> None:
    assert sorted(path.name for path in golden_nuscenes.iterdir()) == sorted(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_summary_equals_that_of_the_official_kit(golden_nuscenes: Path, case: str) -> None:
    expected, result = evaluated(golden_nuscenes / case)
    ours = result.to_json()
    figures = (
        "label_aps",
        "mean_dist_aps",
        "mean_ap",
        "label_tp_errors",
        "tp_errors",
        "tp_scores",
        "nd_score",
    )
    for key in figures:
        theirs, here = flat(expected["summary"][key]), flat(ours[key])
        assert here.keys() == theirs.keys(), key
        for path, value in theirs.items():
            assert here[path] == pytest.approx(value, abs=TOLERANCE, rel=0, nan_ok=True), path
    kept = {"n_gt": 0, "n_pred": 0}
    for name in result.protocol.class_names:
        kept["n_gt"] += result.curve(name).n_gt
        kept["n_pred"] += result.curve(name).n_pred
    assert kept == expected["kept"]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_curves_equal_those_of_the_official_kit(golden_nuscenes: Path, case: str) -> None:
    expected, result = evaluated(golden_nuscenes / case)
    assert len(expected["curves"]) in (10, 40)
    for key, columns in expected["curves"].items():
        name, distance = key.split(":")
        curve = result.curve(name, float(distance))
        ours = {"precision": curve.precision, "confidence": curve.confidence, **curve.errors}
        assert ours.keys() == columns.keys()
        for column, values in columns.items():
            every = 1 if len(values) == 101 else 5
            np.testing.assert_allclose(
                ours[column][::every], values, atol=TOLERANCE, rtol=0, err_msg=f"{key} {column}"
            )


@pytest.mark.slow
def test_the_configuration_is_that_of_the_official_kit(golden_nuscenes: Path) -> None:
    expected, result = evaluated(golden_nuscenes / "main")
    assert result.protocol == DETECTION_CVPR_2019
    assert result.to_json()["cfg"] == expected["summary"]["cfg"]


@pytest.mark.slow
def test_the_cases_reach_what_they_are_for(golden_nuscenes: Path) -> None:
    counts = {case: evaluated(golden_nuscenes / case)[1].counts for case in CASES}
    assert counts["racks"].n_gt_in_racks > 5 and counts["racks"].n_pred_in_racks > 5
    assert counts["at_the_range"].n_gt_out_of_range > 50
    assert counts["main"].n_gt_without_points > 10
    assert counts["points_given"].n_pred_without_points > 10
    assert counts["tied_scores"].n_tied_scores > 100
    gt = nuscenes.read_ground_truth(golden_nuscenes / "main", split="mini_val")
    velocities = np.concatenate([sample.boxes.velocity for sample in gt.values()])
    assert 0.05 < np.isnan(velocities).mean() < 0.7
    assert any(sample.boxes.attributes.count("") > 5 for sample in gt.values())


@pytest.mark.slow
def test_ties_follow_the_order_of_the_submission(golden_nuscenes: Path) -> None:
    folder = golden_nuscenes / "tied_scores"
    expected, result = evaluated(folder)
    gt = nuscenes.read_ground_truth(folder, split="mini_val")
    found = nuscenes.read_submission(folder / "results.json").boxes
    assert list(found) != sorted(found)
    evaluator = NuscenesEvaluator()
    for token in gt:
        evaluator.update(token, gt[token], found[token])
    assert evaluator.compute(order=list(found)).to_json() == result.to_json()
    # Sorted tokens, the rule that needs no file, give other figures: the case can tell the two apart.
    assert evaluator.compute().mean_ap != pytest.approx(expected["summary"]["mean_ap"], abs=1e-6)
