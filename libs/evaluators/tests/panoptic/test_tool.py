"""Random scans against PanopticEval itself, where a checkout of PRBonn/semantic-kitti-api is named."""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators.panoptic import PanopticEvaluator, PanopticLabels

Scan = tuple[PanopticLabels, PanopticLabels]


@pytest.fixture(scope="module")
def tool() -> Any:
    if "SEMANTIC_KITTI_API" not in os.environ:
        pytest.skip("set SEMANTIC_KITTI_API to a checkout of PRBonn/semantic-kitti-api")
    path = Path(os.environ["SEMANTIC_KITTI_API"], "auxiliary", "eval_np.py")
    spec = importlib.util.spec_from_file_location("eval_np", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PanopticEval


@pytest.mark.oracle
@pytest.mark.parametrize("min_points", [0, 1, 5])
def test_random_scans_count_as_in_the_tool(
    tool: Any, make_scan: Callable[..., Scan], min_points: int
) -> None:
    rng = np.random.default_rng(min_points)
    theirs, ours = tool(20, None, [0], min_points=min_points), PanopticEvaluator(min_points=min_points)
    for frame in range(60):
        # The tool overflows from instance 32768 on.
        gt, pred = (replace(side, instance=side.instance % 1000) for side in make_scan(rng, 20))
        ours.update(str(frame), gt, pred)
        theirs.addBatch(pred.semantic, pred.instance, gt.semantic, gt.instance)
    result = ours.compute()
    for name in ("tp", "fp", "fn"):
        assert getattr(result, name).tolist() == getattr(theirs, f"pan_{name}").tolist()
    assert result.confusion.tolist() == theirs.px_iou_conf_matrix.tolist()
    np.testing.assert_allclose(result.iou_sum, theirs.pan_iou, rtol=0, atol=1e-9)
    expected = theirs.getPQ()
    figures = [result.mean("pq"), result.mean("sq"), result.mean("rq")]
    assert figures == pytest.approx(expected[:3], abs=1e-9, rel=0)
    assert result.mean("iou") == pytest.approx(theirs.getSemIoU()[0], abs=1e-9, rel=0)
