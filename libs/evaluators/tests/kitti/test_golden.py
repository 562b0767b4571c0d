"""Every golden case, strict and loose, against what the official development kit printed."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluators import kitti

COMPARED = (
    "2d_only_detections",
    "alpha_invalid_once",
    "case_insensitive",
    "constant_score",
    "dontcare_2d_only",
    "empty_both",
    "empty_det",
    "empty_gt",
    "exact_duplicates",
    "five_gt",
    "height_boundary",
    "iou_boundary",
    "main",
    "negative_and_large_scores",
    "no_cyclist_detections",
    "occlusion_truncation_boundary",
    "only_dontcare",
    "perfect_constant_scores",
    "perfect_random_scores",
    "small_detections_absorb_gt",
    "tied_scores",
)
REFUSED = ("nan_location", "nan_score")


def test_the_archive_holds_exactly_the_listed_cases(golden_kitti: Path) -> None:
    assert sorted(path.name for path in golden_kitti.iterdir()) == sorted(COMPARED + REFUSED)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["strict", "loose"])
@pytest.mark.parametrize("case", COMPARED)
def test_case_equals_the_official_kit(golden_kitti: Path, case: str, table: str) -> None:
    folder = golden_kitti / case
    expected = json.loads((folder / "expected.json").read_text())[f"devkit_{table}"]
    result = kitti.evaluate_folders(folder / "label_2", folder / "det", overlaps=table)
    compared = ("2d", "aos") if case == "iou_boundary" else ("2d", "aos", "bev", "3d")
    ours = {
        f"{name.lower()}/{metric}/{level}": curve
        for (name, metric, level), curve in result.curves.items()
        if metric in compared
    }
    # What the kit leaves out is "not evaluated" here, and the other way round.
    assert {key for key, curve in ours.items() if curve.evaluated} == {
        key for key in expected if key.split("/")[1] in compared
    }
    for key, curve in ours.items():
        if not curve.evaluated:
            assert curve.ap(40) == curve.ap(11) == 0.0
            continue
        entry = expected[key]
        assert curve.ap(40) == pytest.approx(entry["R40"], abs=1e-6), key
        assert curve.ap(11) == pytest.approx(entry["R11"], abs=1e-6), key
        np.testing.assert_allclose(curve.curve, entry["curve"], atol=1e-9, rtol=0, err_msg=key)
        for column in ("thresholds", "tp", "fp", "fn"):
            if column in entry:
                assert getattr(curve, column).tolist() == entry[column], (key, column)
        assert curve.n_gt == entry.get("n_gt", curve.n_gt), key


@pytest.mark.parametrize("case", REFUSED)
def test_nan_is_refused_with_file_and_line(golden_kitti: Path, case: str) -> None:
    folder = golden_kitti / case
    with pytest.raises(
        ValueError, match=r"\d{6}\.txt, line \d+: expected a finite number for (x|score), got"
    ):
        kitti.evaluate_folders(folder / "label_2", folder / "det")


@pytest.mark.parametrize("case", REFUSED)
def test_nan_rows_can_be_dropped_and_are_counted(golden_kitti: Path, case: str) -> None:
    folder = golden_kitti / case
    result = kitti.evaluate_folders(folder / "label_2", folder / "det", on_invalid="drop")
    lines = [line.split() for path in (folder / "det").iterdir() for line in path.read_text().splitlines()]
    assert result.counts.n_dropped_pred == sum("nan" in line for line in lines) > 0
    assert any("invalid predictions were dropped" in note for note in result.notes())
