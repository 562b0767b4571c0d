"""Every golden case and every figure: the KITTI kit, the float64 columns, the range masks and NLSPN."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators import depth

CASES = (
    "boundary_values",
    "empty_prediction",
    "far_only",
    "holes_interpolated",
    "holes_no_inner_empty_row",
    "main_dense",
    "one_empty_gt",
    "perfect",
)
STILL_OPEN = ("empty_prediction", "holes_interpolated")
"""Cases in which pixels stay without prediction after filling."""
NAMES = {
    "mae": ("mae_m", 1.0),
    "rmse": ("rmse_m", 1.0),
    "inverse_mae": ("imae_per_km", 1000.0),
    "inverse_rmse": ("irmse_per_km", 1000.0),
    "log_mae": ("log_mae", 1.0),
    "log_rmse": ("log_rmse", 1.0),
    "silog": ("silog", 1.0),
    "abs_rel": ("abs_rel", 1.0),
    "sq_rel": ("sq_rel_kitti", 1.0),
    "sq_rel_eigen": ("sq_rel_eigen_m", 1.0),
    "delta1": ("delta_1_25", 1.0),
    "delta2": ("delta_1_25_2", 1.0),
    "delta3": ("delta_1_25_3", 1.0),
    "delta_1_05": ("delta_1_05", 1.0),
    "delta_1_10": ("delta_1_10", 1.0),
}
DEVKIT_ORDER = tuple(NAMES)[:9]
NLSPN = {
    "RMSE": ("rmse_m", 1.0),
    "MAE": ("mae_m", 1.0),
    "iRMSE": ("irmse_per_km", 1000.0),
    "iMAE": ("imae_per_km", 1000.0),
    "REL": ("abs_rel", 1.0),
    "D^1": ("delta_1_25", 1.0),
    "D^2": ("delta_1_25_2", 1.0),
    "D^3": ("delta_1_25_3", 1.0),
}


def kitti(folder: Path) -> depth.DepthResult:
    return depth.evaluate_folders(folder / "gt", folder / "pred", fill="kitti")


def expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text())


def agree(ours: dict[str, float], theirs: dict[str, float], rel: float, *, skip: tuple[str, ...] = ()) -> int:
    compared = 0
    for key, value in theirs.items():
        if key != "n" and key not in skip:
            name, scale = NAMES[key]
            assert ours[name] == pytest.approx(scale * value, rel=rel, abs=1e-15, nan_ok=True), key
            compared += 1
    return compared


def rows(result: depth.DepthResult) -> list[dict[str, float]]:
    """Return the figures of the images that have true depth."""
    table = result.per_image[math.inf]
    return [dict(zip(result.protocol.metrics, row, strict=True)) for row in table if not np.isnan(row[0])]


def test_the_archive_holds_exactly_the_listed_cases(golden_depth: Path) -> None:
    assert sorted(path.name for path in golden_depth.iterdir()) == sorted(CASES)


@pytest.mark.parametrize("case", [case for case in CASES if case != "one_empty_gt"])
def test_case_equals_the_kitti_kit(golden_depth: Path, case: str) -> None:
    result, entry = kitti(golden_depth / case), expected(golden_depth / case)
    assert agree(dict(result.image_mean[math.inf]), entry["devkit_mean"], 1e-4) == 9
    for ours, theirs in zip(rows(result), entry["devkit_per_image"], strict=True):
        agree(ours, dict(zip(DEVKIT_ORDER, theirs, strict=True)), 1e-4)


@pytest.mark.parametrize("case", CASES)
def test_case_equals_the_float64_columns(golden_depth: Path, case: str) -> None:
    result, entry = kitti(golden_depth / case), expected(golden_depth / case)
    deltas = tuple(key for key in NAMES if key.startswith("delta"))
    skip = (*deltas, "silog") if case in STILL_OPEN else ()
    compared = agree(dict(result.image_mean[math.inf]), entry["float64_image_mean"], 1e-9, skip=skip)
    assert compared == len(NAMES) - len(skip)
    agree(dict(result.pixel_mean[math.inf]), entry["float64_pooled"], 1e-9, skip=skip)
    assert result.counts.n_pixels == (entry["float64_pooled"]["n"],)
    theirs = [row for row in entry["float64_per_image"] if row]
    for ours, row in zip(rows(result), theirs, strict=True):
        agree(ours, row, 1e-9, skip=skip)


@pytest.mark.parametrize("case", STILL_OPEN)
def test_open_pixels_are_misses_where_the_columns_count_them_as_hits(golden_depth: Path, case: str) -> None:
    result, entry = kitti(golden_depth / case), expected(golden_depth / case)
    share = result.counts.n_nonpositive[0] / result.counts.n_pixels[0]
    assert share > 0
    for key in ("delta1", "delta2", "delta3", "delta_1_05", "delta_1_10"):
        ours = result.value(NAMES[key][0], aggregate="pixel")
        assert ours == pytest.approx(entry["float64_pooled"][key] - share, rel=1e-9, abs=1e-12)
    assert "inverse or log errors are therefore undefined" in result.table()


@pytest.mark.parametrize("case", CASES)
def test_case_equals_the_range_masks(golden_depth: Path, case: str) -> None:
    folder = golden_depth / case
    result = depth.evaluate_folders(folder / "gt", folder / "pred", protocol="sparse-beats-dense")
    compared = 0
    for key, value in expected(folder)["range_masked_image_mean"].items():
        name, _, cap = key.split("_")
        ours = result.value(f"{name}_m", cap_m=float(cap))
        index = result.caps_m.index(float(cap))
        if math.isnan(value):  # an image without pixels; theirs is lost, ours leaves it out
            assert result.counts.n_empty[index] > 0
            assert any(f"{cap} m: " in note for note in result.notes())
        else:
            assert ours == pytest.approx(value, rel=1e-9), key
            compared += 1
    assert compared == {"one_empty_gt": 0, "far_only": 4}.get(case, 6)


@pytest.mark.parametrize("case", CASES)
def test_case_equals_the_metric_of_nlspn(golden_depth: Path, case: str) -> None:
    entries = json.loads((Path(__file__).parents[1] / "golden" / "depth" / "nlspn.json").read_text())[case]
    folder = golden_depth / case
    result = depth.evaluate_folders(folder / "gt", folder / "pred", protocol="nlspn")
    assert set(result.protocol.metrics) == {name for name, _ in NLSPN.values()}
    # Theirs gives zeros for an image without true depth; ours leaves it out.
    theirs = [entry for entry in entries if case != "one_empty_gt" or entry["MAE"] > 0]
    for ours, entry in zip(rows(result), theirs, strict=True):
        for key, (name, scale) in NLSPN.items():
            assert ours[name] == pytest.approx(scale * entry[key], rel=1e-9, abs=1e-15), key


def test_the_image_without_true_depth_is_left_out_and_named(golden_depth: Path) -> None:
    result = kitti(golden_depth / "one_empty_gt")
    assert result.counts.n_frames == 2
    assert result.counts.n_empty == (1,)
    assert "all: 1 of 2 frames have no true depth" in result.table()


@pytest.mark.parametrize("case", ["empty_prediction", "holes_interpolated", "holes_no_inner_empty_row"])
def test_holes_are_refused_unless_filling_is_asked_for(golden_depth: Path, case: str) -> None:
    folder = golden_depth / case
    with pytest.raises(
        ValueError, match=r"pixels with true depth have no positive prediction .* fill='kitti'"
    ):
        depth.evaluate_folders(folder / "gt", folder / "pred")
