"""Every golden case and every figure against the official compiled operation."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators import waymo

CASES = (
    "all_hard",
    "chain",
    "constant_score",
    "crowded",
    "few",
    "loose_boxes",
    "main",
    "near_and_far",
    "no_detections",
    "no_ground_truth",
    "opposite_headings",
    "perfect",
    "scores_on_cutoffs",
)


def test_the_archive_holds_exactly_the_listed_cases(golden_waymo: Path) -> None:
    assert sorted(path.name for path in golden_waymo.iterdir()) == sorted(
        f"{case}.{suffix}" for case in CASES for suffix in ("npz", "json")
    )


@pytest.mark.parametrize("case", CASES)
def test_case_equals_the_official_operation(golden_waymo: Path, load: Callable, case: str) -> None:
    result = waymo.evaluate(*load(golden_waymo / f"{case}.npz"))
    expected = json.loads((golden_waymo / f"{case}.json").read_text())
    assert len(expected) == len(result.curves) == 4 * 4 * 2
    for key, entry in expected.items():
        generator, shard, level = map(int, key.split("/"))
        kind, where = (shard, 0) if generator == 2 else (shard // 3, 1 + shard % 3)
        curve = result.curve(waymo.TYPE_NAMES[kind], waymo.LEVELS[level - 1], waymo.RANGES[where])
        for column in ("tp", "fp", "fn"):
            assert getattr(curve, column).tolist() == entry[column], (key, column)
        assert curve.ap == pytest.approx(entry["ap"], abs=1e-6), key
        assert curve.aph == pytest.approx(entry["aph"], abs=1e-6), key
        np.testing.assert_allclose(curve.precision_heading, entry["precision_heading"], rtol=0, atol=1e-6)
