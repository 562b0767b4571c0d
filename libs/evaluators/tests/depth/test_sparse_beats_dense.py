"""The protocol of Sparse Beats Dense against what its released evaluation says of four sets of images."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators import depth

pytestmark = pytest.mark.golden

SINGLE = 1e-5
"""Relative; the released code sums in single precision."""


@pytest.fixture(scope="module")
def vectors() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    root = os.environ.get("FUSION3D_GOLDEN")
    if not root:
        pytest.skip("needs the golden vectors: set FUSION3D_GOLDEN to their folder")
    folder = Path(root) / "sparse_beats_dense"
    return dict(np.load(folder / "metrics_inputs.npz")), json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize("case", range(4), ids=("noise", "heavy", "far", "empty"))
def test_case_equals_the_released_evaluation(
    vectors: tuple[dict[str, np.ndarray], dict[str, Any]], case: int
) -> None:
    arrays, expected = vectors[0], vectors[1][f"case{case}"]
    gt, pred = (dict(zip("abcd", arrays[f"{name}{case}"], strict=False)) for name in ("gt", "pred"))
    # points behind the camera leave negative depths, which the released code does not count either
    result = depth.evaluate(gt, pred, protocol="sparse-beats-dense", on_invalid="drop")
    assert len(result.image_ids) == len(expected["per_image_mae_rmse"])
    for cap in (50, 70, 80):
        images = [image[str(cap)] for image in expected["per_image_mae_rmse"]]
        released = np.array(images, np.float64)
        np.testing.assert_allclose(result.per_image[cap], released, rtol=SINGLE, equal_nan=True)
        unseen = int(np.isnan(released[:, 0]).sum())
        assert result.counts.n_empty[result.caps_m.index(cap)] == unseen
        for name, metric in (("epe", "mae_m"), ("rmse", "rmse_m")):
            mean = expected["official"][f"{name}:0-{cap}"]
            # one image without true depth makes the released mean NaN; ours is over the others
            assert (mean is None) == (unseen > 0)
            found = result.value(metric, cap_m=cap)
            if mean is not None:
                assert found == pytest.approx(mean, rel=SINGLE)
            elif unseen == len(images):
                assert math.isnan(found)
            else:
                assert math.isfinite(found)
